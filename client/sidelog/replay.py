"""``sidelog replay FILE``: write what a training left in its spool."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

from sidelog.connection import FLUSH_TIMEOUT_S, Connection
from sidelog.left_spool import LeftSpool, NothingWhole, left_spools, open_left_spool, worker_may_live
from sidelog.settings import Settings, spool_folders
from sidelog.spool import SUFFIX
from sidelog.spool_path import free_path
from sidelog.statistics import Statistics
from sidelog_shared.errors import ConfigError, SidelogError, TransportError
from sidelog_shared.rendezvous import Rendezvous

DAMAGED_SUFFIX = ".damaged"
"""Of a file of which all is written that is whole, if anything is: nobody asks for its replay any more."""


class Exit(IntEnum):
    """Exit codes; the highest one of several files counts."""

    WRITTEN = 0
    NOT_WRITTEN = 1
    USAGE = 2
    DAMAGED = 4
    INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> int:
    """Replay spools, one after the other; returns an exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if bool(options.file) == options.all:
        parser.error("expected the files to replay, or --all")
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    try:
        Settings.read(endpoint=options.endpoint)
    except ConfigError as error:
        print(f"sidelog replay: {error}", file=sys.stderr)
        return Exit.USAGE
    files = left_spools(spool_folders()) if options.all else options.file
    if not files:
        print("sidelog replay: there is no spool")
    worst = Exit.WRITTEN
    for index, path in enumerate(files):
        try:
            worst = max(worst, _replay(path, options.endpoint, options.timeout))
        except KeyboardInterrupt:
            left = ", ".join(map(str, files[index:]))
            print(f"sidelog replay: interrupted; kept, and written again from where it was: {left}", file=sys.stderr)
            return Exit.INTERRUPTED
    return worst


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sidelog replay",
        description="Write what a training left in its spool: what it logged when no daemon was there to write it. "
        "What stands in the event files already is not written twice. A file that is written is removed.",
        epilog="exit codes: 0 all of it is written; 1 some is not, the file is kept; 2 no spool; 4 parts of the file "
        "are damaged, all else is written, and the file has a new name (FILE.damaged); 130 Ctrl-C",
    )
    parser.add_argument("file", nargs="*", type=Path, metavar="FILE", help="a spool: the training's last words name it")
    parser.add_argument("--all", action="store_true", help="every spool that is there and whose process is gone")
    parser.add_argument("--endpoint", default=None, metavar="ENDPOINT",
                        help="the daemon that is to write it (default: the one that was to write it)")  # fmt: skip
    parser.add_argument("--timeout", type=_seconds, default=60.0, metavar="S",
                        help="how long to wait without any progress (default: %(default)s s)")  # fmt: skip
    return parser


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(f"it is {text}, expected more than 0 and at most 86400 seconds")
    return value


def _replay(path: Path, endpoint: str | None, timeout_s: float) -> Exit:
    def say(text: str) -> None:
        print(f"sidelog replay: {text}", file=sys.stderr)

    try:
        left = open_left_spool(path, say=say)
    except NothingWhole as error:
        say(str(error))
        _set_aside(path, say)
        return Exit.USAGE
    except ConfigError as error:
        say(str(error))
        return Exit.USAGE
    except TransportError as error:
        say(str(error))
        return Exit.NOT_WRITTEN
    try:
        settings = _settings(left, endpoint)
    except ConfigError as error:
        left.spool.close()
        say(f"{path} is kept: {error}")
        return Exit.USAGE
    _announce(path, left, settings.endpoint)
    if left.nameless and not left.count:  # no daemon is needed for nothing
        left.spool.close()
        return _keep_nameless(path, left, say)
    try:
        statistics = _write(settings, left, timeout_s)
    except SidelogError as error:
        say(f"{path} is kept: {error}")
        return Exit.NOT_WRITTEN
    # Not what the daemon wrote: one that still knows the training counts what it had written before, too.
    done = f"{left.count - statistics.rejected - statistics.lost:,} records stand in the event files"
    if statistics.rejected:
        done += f", {statistics.rejected:,} were rejected, for the reasons above"
    print(f"{path}: {done}")
    is_whole = not (left.damaged_bytes or statistics.lost)
    if not is_whole:
        rest = "" if statistics.rejected or left.nameless else "; all else is written"
        say(f"{left.damaged_bytes:,} bytes of {path} are damaged, what stood in them alone is lost{rest}")
    return _keep_nameless(path, left, say) if left.nameless else _finish(path, say, is_whole=is_whole)


def _keep_nameless(path: Path, left: LeftSpool, say: Callable[[str], None]) -> Exit:
    for run, count in left.nameless.items():
        say(f"{count:,} records of run {run} are not written: what said where it belongs is damaged")
    say(f"{path} is kept: they stand in it")
    return Exit.NOT_WRITTEN


def _finish(path: Path, say: Callable[[str], None], *, is_whole: bool) -> Exit:
    """All that is whole is written: remove the file, or give it the name of a damaged one."""
    try:
        if is_whole:
            path.unlink()
        else:
            if path.suffix != DAMAGED_SUFFIX:
                path = _renamed(path)
            say(f"the file is {path} now")
    except OSError as error:
        say(f"{path} stays where it is, and is not needed any more: {error.strerror}")
    return Exit.WRITTEN if is_whole else Exit.DAMAGED


def _set_aside(path: Path, say: Callable[[str], None]) -> None:
    """Of what cannot be replayed: a spool gets another name, so that nobody recommends it again. Other files do not."""
    try:
        is_spool = path.suffix == SUFFIX and path.parent.resolve() in [folder.resolve() for folder in spool_folders()]
        if is_spool and not worker_may_live(path):
            say(f"the file is {_renamed(path)} now")
    except OSError as error:
        say(f"{path} stays where it is: {error.strerror}")


def _renamed(path: Path) -> Path:
    return path.rename(free_path(path.with_name(f"{path.name}{DAMAGED_SUFFIX}")))


def _settings(left: LeftSpool, endpoint: str | None) -> Settings:
    """Which daemon is to write a spool: the one that is given, or that was to write it.

    Raises:
        ConfigError: only that one knows where its runs are, and it is not known.
    """
    by_name = [run.path for run in left.runs if not run.path.startswith("/")]
    if endpoint is None and (left.endpoint or not by_name):
        endpoint = left.endpoint
    settings = Settings.read(endpoint=endpoint)
    if by_name and not settings.endpoint:
        raise ConfigError(f"where {by_name[0]!r} is, only the daemon knows that was to write it, expected --endpoint")
    return settings


def _announce(path: Path, left: LeftSpool, endpoint: str) -> None:
    runs = ", ".join(run.path for run in left.runs[:5]) + (" and others" if len(left.runs) > 5 else "")
    by = f", by the daemon at {endpoint}" if endpoint else ""
    print(f"{path}: {left.count:,} records of {left.worker.label}, for {runs or 'no run'}{by}", flush=True)
    if left.torn_bytes:
        print(f"{path}: the last {left.torn_bytes:,} bytes are half a message: its process was killed, or the file cut")


def _write(settings: Settings, left: LeftSpool, timeout_s: float) -> Statistics:
    """Have everything written that a process left in its spool, and say goodbye in its name.

    Args:
        settings: which daemon.
        left: what it left; let go of at the end.
        timeout_s: so long may pass without any progress.

    Raises:
        TransportError, WriterError, ProtocolError: as :meth:`Connection.flush`; what is not written stays in the file.
    """
    rendezvous = None if settings.endpoint else Rendezvous()
    connection = Connection(settings, rendezvous, left, patience_s=timeout_s)
    goodbye_s = 0.0
    try:
        while True:
            pending = connection.statistics().pending
            try:
                connection.flush(
                    left.runs, everything=True, timeout_s=timeout_s, show_progress=True, refused_s=timeout_s
                )
                break
            except TransportError:
                if connection.statistics().pending in (0, pending):
                    raise
        goodbye_s = FLUSH_TIMEOUT_S
    finally:
        connection.stop(goodbye_s)
    end = connection.statistics()
    if end.spooled or end.pending:
        raise TransportError(f"{end.spooled + end.pending:,} records are not known to be in the event files")
    return end
