"""The command ``sidelog status``: the daemons of this user on this machine, their workers, and what was left behind."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from dataclasses import dataclass

from sidelog import status_table
from sidelog.inquiry import Answer, Found, ask, find_daemons
from sidelog.settings import check_endpoint, spool_folders
from sidelog.spool_files import SpoolFile, find_spools
from sidelog_shared.errors import SidelogError
from sidelog_shared.rendezvous import runtime_folder

_SCHEMA = 1
_CLEAR = "\x1b[H\x1b[J"
_INTERRUPTED = 130
_MIN_INTERVAL_S = 0.1


@dataclass(frozen=True, slots=True)
class Status:
    """How things stand on this machine.

    Attributes:
        at: when, seconds since the epoch.
        answers: of each daemon that was asked.
        spools: what is left in the spool folder.
    """

    at: float
    answers: list[Answer]
    spools: list[SpoolFile]

    @property
    def is_well(self) -> bool:
        """Whether there is a daemon, and all answer."""
        return bool(self.answers) and all(answer.report is not None for answer in self.answers)

    def to_json(self) -> str:
        return json.dumps(
            {
                "sidelog_status": _SCHEMA,
                "at": self.at,
                "daemons": [answer.to_map() for answer in self.answers],
                "spools": [spool.to_map() for spool in self.spools],
            }
        )

    def to_text(self) -> str:
        nobody = f"no daemon of yours runs on this machine (looked in {runtime_folder()})"
        return status_table.render(self.answers, self.spools, nobody=nobody)


def gather(endpoint: str = "") -> Status:
    """Ask this user's daemons and the one that trainings of this shell use, or the one at ``endpoint``.

    Raises:
        SidelogError: the runtime folder cannot be used.
        OSError: something in it cannot be read.
    """
    daemons = find_daemons()
    if endpoint:
        known = [one for one in daemons if one.endpoint == endpoint]
        daemons = known or [Found(endpoint)]
    elif (ours := os.environ.get("SIDELOG_ENDPOINT", "")) and ours not in [one.endpoint for one in daemons]:
        daemons.append(Found(check_endpoint(ours)))
    answers = ask(daemons)
    return Status(time.time(), answers, find_spools(spool_folders()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sidelog status",
        description="Say how things stand: your daemons on this machine, their workers, queues, rates and errors, and "
        "spool files that wait to be replayed. Exit code 0: every daemon answers; 1: there is none, or one does not.",
    )
    parser.add_argument("--endpoint", default="", metavar="E", help="ask the daemon there, and no other")
    parser.add_argument("--json", action="store_true", help="one JSON object; with --watch one a line")
    parser.add_argument("--watch", nargs="?", type=float, const=1.0, default=None, metavar="S",
                        help="again every S seconds (default: 1) until Ctrl-C, which ends it with code 0")  # fmt: skip
    return parser


def main(arguments: list[str]) -> int:
    """Run the command; returns its exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.watch is not None and not options.watch >= _MIN_INTERVAL_S:
        parser.error(f"--watch is {options.watch:g}, expected at least {_MIN_INTERVAL_S:g} seconds")
    try:
        if options.endpoint:
            check_endpoint(options.endpoint)
        if options.watch is not None:
            return _watch(options)
        status = gather(options.endpoint)
        _say(status.to_json() + "\n" if options.json else status.to_text())
        return 0 if status.is_well else 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:
        # Who read has enough (| head). What is still buffered goes nowhere, so that the interpreter's exit is quiet.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (SidelogError, OSError) as error:
        print(f"sidelog status: {error}", file=sys.stderr)
        return 2


def _watch(options: argparse.Namespace) -> int:
    on_terminal = sys.stdout.isatty()
    try:
        while True:
            begun = time.monotonic()
            status = gather(options.endpoint)
            if options.json:
                _say(status.to_json() + "\n")
            else:
                text = (
                    f"{status_table.clock(status.at)}  every {options.watch:g} s, Ctrl-C ends it\n\n{status.to_text()}"
                )
                _say(_CLEAR + _cut(text) if on_terminal else text + "\n")
            time.sleep(max(0.0, options.watch - (time.monotonic() - begun)))
    except KeyboardInterrupt:
        return 0


def _cut(text: str) -> str:
    """As much as the terminal shows: a line that wraps, or one too many, would scroll what is above away."""
    columns, rows = shutil.get_terminal_size()
    return "\n".join(line[:columns] for line in text.splitlines()[: rows - 1]) + "\n"


def _say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
