"""A disk that can be filled: a small file system in memory, or a daemon that is told that its disk is full."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from pathlib import Path
from typing import Protocol

from sidelog.bench.faults import full_disk_daemon

TMPFS_MB = 1024
"""Room for the event files of one measurement; memory is taken as they grow."""


class Disk(Protocol):
    """Where the event files of one measurement go.

    Attributes:
        how: what fills it, for people.
        logdir: the folder on it; not there yet.
        program: what to start in place of the daemon; None is the daemon itself.
    """

    how: str
    logdir: Path
    program: Path | None

    def fill(self) -> None:
        """From now on nothing can be written on it. Again: nor where something was removed since."""

    def empty(self) -> None:
        """Now it can. Idempotent."""

    @property
    def is_full(self) -> bool:
        """Whether a file that is opened on it takes no byte."""

    def close(self) -> None:
        """Take it away, with what is on it. Idempotent."""


class OrdinaryDisk:
    """A folder, for measurements in which no disk is full."""

    how = "a folder"
    program: Path | None = None
    is_full = False

    def __init__(self, folder: Path) -> None:
        self.logdir = folder

    def fill(self) -> None:
        raise AssertionError("an ordinary disk is not filled")

    def empty(self) -> None: ...

    def close(self) -> None: ...


class Tmpfs:
    """A file system in memory, which a file of its own fills to the last page.

    Raises:
        OSError: this user may not mount one.
    """

    how = f"a tmpfs of {TMPFS_MB} MB, filled up"
    program: Path | None = None

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        words = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "tmpfs", str(folder)]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            folder.rmdir()
            raise PermissionError(errno.EPERM, f"no tmpfs can be mounted: {done.stderr.strip()}")
        self._folder = folder
        self._filler = folder / "filler"
        self._is_mounted = True
        self.logdir = folder / "runs"

    def fill(self) -> None:
        fd = os.open(self._filler, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            size = os.fstat(fd).st_size
            with contextlib.suppress(OSError):  # until there is no room: the daemon may write meanwhile
                while (free := self._free_bytes()) > 0:
                    os.posix_fallocate(fd, size, free)
                    size += free
        finally:
            os.close(fd)

    def empty(self) -> None:
        self._filler.unlink(missing_ok=True)

    @property
    def is_full(self) -> bool:
        return self._free_bytes() == 0

    def close(self) -> None:
        if self._is_mounted:
            for words in (["umount"], ["umount", "--lazy"]):
                if subprocess.run([*words, str(self._folder)], capture_output=True, check=False).returncode == 0:
                    break
            self._is_mounted = False

    def _free_bytes(self) -> int:
        found = os.statvfs(self._folder)
        return found.f_bfree * found.f_frsize


class ToldDisk:
    """An ordinary folder, and a daemon whose writes to event files answer ENOSPC while a flag file is there."""

    how = "a daemon whose writes to event files answer ENOSPC"

    def __init__(self, folder: Path) -> None:
        self.logdir = folder / "runs"
        self.program: Path | None = Path(full_disk_daemon.__file__)
        self._flag = self.logdir / full_disk_daemon.FLAG_NAME

    def fill(self) -> None:
        self._flag.touch()

    def empty(self) -> None:
        self._flag.unlink(missing_ok=True)

    @property
    def is_full(self) -> bool:
        return self._flag.exists()

    def close(self) -> None:
        self.empty()


def disk_that_fills(folder: Path, which: str) -> Disk:
    """One that can be filled.

    Args:
        folder: where; not there yet.
        which: ``tmpfs``, ``told``, or ``auto`` for the first that can be had.

    Raises:
        OSError: no tmpfs can be mounted, and nothing else was allowed.
    """
    if which != "told":
        try:
            return Tmpfs(folder)
        except OSError:
            if which == "tmpfs":
                raise
    return ToldDisk(folder)
