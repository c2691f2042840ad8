"""Files that one process at a time holds: who starts the daemon, who writes a run directory.

A lock is ``flock`` on a file that is never removed: a removed file could be locked by two processes at once, each
on an inode of its own. The kernel lets go when the holder dies, however it dies.

The lock belongs to the open file, and a forked child inherits that: an unlock in the child would release the
parent's lock, a close would not. So holders unlock before they close, and in children it is closed at once
(:mod:`sidelog_shared.descriptors`). Where there is no ``flock``: :mod:`sidelog_shared.leases`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from pathlib import Path
from types import TracebackType

from sidelog_shared.descriptors import close_private, open_private
from sidelog_shared.errors import LocksUnsupported

_HELD_BY_ANOTHER = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES})
_NOT_SUPPORTED = frozenset({errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK})
_POLL_S = 0.02
_MAX_NOTE_BYTES = 64 * 1024


class FileLock:
    """An exclusive lock on one file.

    One thread uses an instance. Two instances on one path exclude each other, in one process too.

    Args:
        path: the lock's file; its folder exists.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._fd: int | None = None
        self._pid = 0

    @property
    def held(self) -> bool:
        """Whether this process holds the lock through this object; False in a forked child."""
        return self._fd is not None and self._pid == os.getpid()

    def is_in_place(self) -> bool:
        """Whether the file that is locked is the one that others find at ``path``.

        It is not when somebody removed it, with its folder or alone, or moved it: others may lock what stands there.
        """
        if self._fd is None:
            return False
        return is_at(self._fd, self.path)

    def try_acquire(self, note: bytes = b"") -> bool:
        """Take the lock if nobody has it.

        Args:
            note: what the file says about its holder from then on (JSON). Where this object holds the lock
                already, the note is replaced.

        Returns:
            False when another holder has it; nothing was changed then.

        Raises:
            LocksUnsupported: the file system does not support locks.
            OSError: the file cannot be opened or written.
        """
        if self.held:
            self._write_note(note)
            return True
        fd = open_private(self.path, os.O_RDWR | os.O_CREAT)
        try:
            taken = _lock(fd, self.path)
        except BaseException:
            close_private(fd)
            raise
        if not taken:
            close_private(fd)
            return False
        self._fd, self._pid = fd, os.getpid()
        try:
            self._write_note(note)
        except OSError:
            self.release()
            raise
        return True

    def acquire(self, deadline_s: float, *, note: bytes = b"") -> bool:
        """Take the lock, waiting at most ``deadline_s`` seconds for its holder to let go.

        Returns:
            Whether the lock was taken.

        Raises:
            LocksUnsupported: the file system does not support locks.
            OSError: the file cannot be opened or written.
        """
        deadline = time.monotonic() + deadline_s
        while not self.try_acquire(note):
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            time.sleep(min(_POLL_S, remaining))  # flock has no deadline of its own, and a signal may not be ours
        return True

    def release(self) -> None:
        """Let go: unlock, then close. In a forked child it is the parent's, and stays so. Idempotent."""
        fd, self._fd = self._fd, None
        if fd is None or self._pid != os.getpid():
            return
        try:
            fcntl.flock(fd, fcntl.LOCK_UN)
        finally:
            close_private(fd)

    def holder_note(self) -> bytes:
        """What the last holder wrote about itself; empty when there is none, or it is just being written."""
        try:
            with open(self.path, "rb") as file:
                return file.read(_MAX_NOTE_BYTES)
        except FileNotFoundError:
            return b""

    def __enter__(self) -> FileLock:
        """For ``with lock:`` around what the lock, taken before or inside, protects."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _write_note(self, note: bytes) -> None:
        assert self._fd is not None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, note, 0)


def is_held_by_someone(path: str | os.PathLike[str]) -> bool:
    """Whether some process (this one included) holds the lock on ``path`` right now.

    The probe holds the lock itself for some microseconds: a ``try_acquire`` at that very moment fails, so who
    cannot bear that uses ``acquire`` with a deadline.

    Raises:
        LocksUnsupported: the file system does not support locks.
        OSError: the file cannot be opened.
    """
    try:
        fd = open_private(path, os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        if not _lock(fd, path):
            return True
        fcntl.flock(fd, fcntl.LOCK_UN)
        return False
    finally:
        close_private(fd)


def is_at(fd: int, path: str | os.PathLike[str]) -> bool:
    """Whether the open file ``fd`` is what stands at ``path``; True where nobody lets us look there."""
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # such as a parent that may not be searched any more: what is open can be written all the same
        return True


def _lock(fd: int, path: str | os.PathLike[str]) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _NOT_SUPPORTED:
            raise LocksUnsupported(
                f"lock file {os.fspath(path)} cannot be locked: got {os.strerror(error.errno)}, expected a file "
                f"system with flock (some network file systems have none; choose a folder on a local disk)"
            ) from error
        if error.errno in _HELD_BY_ANOTHER:
            return False
        raise
    return True
