"""Daemons that were started by hand on an endpoint of their own: each keeps a file in the runtime folder while it runs.

The file holds what a ready file does, and its daemon holds the lock on it, so that nobody takes the file of a daemon
that was killed for that of a living one. Unlike other locks it is removed: its name is used by one daemon only.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from sidelog_shared.locks import FileLock, is_held_by_someone
from sidelog_shared.rendezvous import Ready, read_ready


class Registration:
    """A daemon's entry; made when it is ready, removed when it ends.

    Args:
        folder: the runtime folder, which exists.
        ready: what is said of the daemon.

    Raises:
        WriterError: the file system does not support locks.
        OSError: the file cannot be written.
    """

    def __init__(self, folder: Path, ready: Ready) -> None:
        registered(folder)  # those of daemons that were killed go
        self._path = folder / f"bound-{ready.instance}.ready"
        draft = self._path.with_suffix(".draft")
        self._lock = FileLock(draft)
        try:
            # Under its name only once it is locked: who finds it unlocked takes it for that of a dead daemon.
            self._lock.try_acquire(json.dumps(asdict(ready)).encode())
            draft.replace(self._path)
        except BaseException:
            self._lock.release()
            draft.unlink(missing_ok=True)
            raise

    def remove(self) -> None:
        """Idempotent."""
        self._path.unlink(missing_ok=True)
        self._lock.release()


def registered(folder: Path) -> list[Ready]:
    """The daemons that have an entry and live. Entries of those that were killed are removed.

    Raises:
        WriterError: the file system does not support locks.
        OSError: an entry cannot be looked at.
    """
    found = []
    for path in sorted(folder.glob("bound-*.ready")):
        ready = read_ready(path)
        if not is_held_by_someone(path):
            path.unlink(missing_ok=True)
        elif ready is not None:
            found.append(ready)
    return found
