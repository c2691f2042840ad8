"""A run directory on its way to its one writer: made, taken by lock or lease, and read."""

from __future__ import annotations

import json
from pathlib import Path

from sidelog_daemon.sink.recovery import Recovery, recover
from sidelog_shared.errors import RunBusy, WriterError
from sidelog_shared.leases import DirectoryLock, take_directory

LOCK_NAME = ".sidelog.lock"


class WrittenMeanwhile(Exception):
    """Another daemon had the directory, and wrote records that are in this one's open group.

    No ``WriterError``, which is tried again: a daemon that meets this was stopped for so long that its workers went
    to another. It must end, as if it had died then; whatever it holds is sent again, and what stands is skipped.
    """


def take(path: Path, owner_note: bytes) -> tuple[DirectoryLock, Recovery]:
    """Make a run directory, take it, and read what stands in it.

    Raises:
        RunBusy: another daemon writes it; carries that daemon's endpoint.
        WriterError: it cannot be made, locked, read or written.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        lock, taken = take_directory(path / LOCK_NAME, owner_note)
    except OSError as error:
        raise _not_opened(path, error) from error
    if not taken:
        endpoint = _endpoint_in(lock.holder_note())
        if endpoint == _endpoint_in(owner_note):
            endpoint = ""  # this daemon listens where that one did: nobody finds the other one there
        raise RunBusy(
            f"run directory {path} is written by another daemon"
            f"{f' at {endpoint}' if endpoint else ''}, expected no other writer",
            owner_endpoint=endpoint,
        )
    try:
        return lock, recovered(path)
    except BaseException:
        lock.release()
        raise


def recovered(path: Path) -> Recovery:
    """See :func:`~sidelog_daemon.sink.recovery.recover`.

    Raises:
        WriterError: it cannot be read or written.
    """
    try:
        return recover(path)
    except OSError as error:
        raise _not_opened(path, error) from error


def _not_opened(path: Path, error: OSError) -> WriterError:
    return WriterError(
        f"run directory {path} cannot be opened: got {error.strerror} at {error.filename or path}, "
        f"expected a directory that this user may write"
    )


def _endpoint_in(note: bytes) -> str:
    try:
        endpoint = json.loads(note)["endpoint"]
    except (ValueError, KeyError, TypeError):
        return ""
    return endpoint if isinstance(endpoint, str) else ""
