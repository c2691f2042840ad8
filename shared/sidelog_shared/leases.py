"""Who writes a directory, where the file system has no ``flock``: lease files, and the choice between the two.

A lease is a numbered file beside the lock, ``.sidelog.lease-7``, whose content names its holder; the highest number
counts. Its holder touches it every few seconds. Who finds the last one free, or stale, takes the next number: with a
hard link, which one of several gets, on network file systems too. So nothing has to be removed before something
is taken, and two that take over at once cannot take away each other's. The last file is never removed: a number that
came again could be taken by somebody who had looked long ago.

A lease is stale

* where its process can be seen (same boot of the same kernel, same process namespace): when that is gone. However
  long it is stopped, as long as it lives it holds the lease, as it would a lock;
* where it cannot: when it was not touched for ``STALE_S``, by the clock of the file server: that is the time of a file
  that is touched now, in the same folder. This machine's own clock is never asked.

A holder that was stopped for longer than that, and comes back, finds a higher number: it asks (:meth:`is_in_place`)
before it writes. What it was just writing when it was stopped it writes still; a lease can do no better.

One thread uses an instance, as with :class:`~sidelog_shared.locks.FileLock`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol

from sidelog_shared.errors import LocksUnsupported
from sidelog_shared.locks import FileLock

HEARTBEAT_S = 5.0
"""How often a holder touches its lease."""
STALE_S = 60.0
"""A lease that was not touched for so long is stale, where nobody can look whether its holder lives."""
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
_MAX_BYTES = 64 * 1024
_MAX_TRIES = 16


class DirectoryLock(Protocol):
    """What keeps a second writer out of a directory: a ``flock``, or a lease."""

    path: Path

    @property
    def held(self) -> bool: ...

    def is_in_place(self) -> bool: ...

    def try_acquire(self, note: bytes = b"") -> bool: ...

    def release(self) -> None: ...

    def holder_note(self) -> bytes: ...


def process_start(pid: int) -> int | None:
    """When a process of this machine was started, in the kernel's ticks since boot; None when it has ended.

    A process id comes again; together with this it does not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()  # the name in parentheses may hold anything
    return None if fields[0] in "ZX" else int(fields[19])


def process_started_at(pid: int) -> float | None:
    """The same as the time of day, to about a second; None when it has ended, or nobody can tell."""
    ticks = process_start(pid)
    if ticks is None:
        return None
    try:
        uptime_s = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return None
    return time.time() - uptime_s + ticks / os.sysconf("SC_CLK_TCK")


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where a process runs, as far as others can tell whether they would see it.

    Attributes:
        host: the machine's name, for people.
        boot: the kernel's id of this boot; empty where there is none.
        namespace: of process ids; two containers on one machine do not see each other's processes.
        start_of: see :func:`process_start`.
    """

    host: str = field(default_factory=socket.gethostname)
    boot: str = field(default_factory=lambda: _read("/proc/sys/kernel/random/boot_id"))
    namespace: str = field(default_factory=_namespace)
    start_of: Callable[[int], int | None] = process_start


@dataclass(frozen=True, slots=True)
class Holder:
    """What a lease file says.

    Attributes:
        token: one for each lease that is taken.
        started: see :func:`process_start`.
        note: what the holder wants others to read.
        released: the holder has let go.
    """

    token: str
    host: str
    pid: int
    started: int
    boot: str
    namespace: str
    note: str
    released: bool = False

    def to_json(self) -> bytes:
        return json.dumps({"sidelog-lease": 1, **asdict(self)}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Holder | None:
        """None where the file is being written, or is something else."""
        try:
            fields = json.loads(data)
            return cls(**{name: fields[name] for name in cls.__dataclass_fields__})
        except (ValueError, KeyError, TypeError):
            return None


class LeaseFile:
    """An exclusive lease.

    Args:
        path: the lease files' common name; a number is added. Their folder exists.
        machine: where this process runs.
        pid: this process.
    """

    def __init__(self, path: str | os.PathLike[str], *, machine: Machine | None = None, pid: int | None = None) -> None:
        self.path = Path(path)
        self._machine = machine or Machine()
        self._given_pid = pid
        self._number = 0
        self._holder: Holder | None = None

    @property
    def held(self) -> bool:
        """Whether this process took the lease through this object and has not let go; see :meth:`is_in_place`."""
        return self._holder is not None and self._holder.pid == self._pid

    def is_in_place(self) -> bool:
        """Whether the lease is still this one's: the highest number, with its own token.

        It is not when somebody removed it, or took over while this process was stopped.
        """
        if self._holder is None:
            return False
        try:
            if max(self._numbers(), default=0) != self._number:
                return False
            # A client of a network file system may know an old listing, but opening a file asks the server: whoever
            # took over has removed this one.
            found = self._read(self._number)
        except OSError:  # nobody can tell whether it is, and then it must not be relied upon
            return False
        return found is not None and found.token == self._holder.token

    def try_acquire(self, note: bytes = b"") -> bool:
        """Take the lease if nobody has it, or who has it is gone.

        Returns:
            False when another has it.

        Raises:
            OSError: the folder cannot be read or written.
        """
        if self.held:
            assert self._holder is not None
            self._replace(replace(self._holder, note=note.decode()))
            return True
        machine, pid = self._machine, self._pid
        holder = Holder(
            token=secrets.token_hex(8),
            host=machine.host,
            pid=pid,
            started=machine.start_of(pid) or 0,
            boot=machine.boot,
            namespace=machine.namespace,
            note=note.decode(),
        )
        draft = self._draft(holder)
        try:
            number = self._take_number(draft, holder)
        finally:
            _remove(draft)
        if number is None:
            return False
        self._number, self._holder = number, holder
        with contextlib.suppress(OSError):  # what is left lying does no harm: the next holder tries again
            self._remove_older()
        return True

    def heartbeat(self) -> bool:
        """Say that the holder lives; False when the lease is lost."""
        if not self.held:
            return False
        try:
            os.utime(self._file(self._number))  # without a time: the file server's
        except FileNotFoundError:
            return False
        return self.is_in_place()

    def release(self) -> None:
        """Let go. The file stays, and says so. In a forked child the lease is the parent's. Idempotent."""
        holder = self._holder
        if holder is not None and self.held and self.is_in_place():
            self._replace(replace(holder, released=True))
        self._holder = None

    def holder_note(self) -> bytes:
        """What the last holder wrote about itself; empty when there is none."""
        try:
            numbers = self._numbers()
            holder = self._read(max(numbers)) if numbers else None
        except OSError:
            return b""
        return b"" if holder is None else holder.note.encode()

    def is_free(self) -> bool:
        """Whether nobody has it, or who has it is gone. Touches a file to learn the file server's time."""
        numbers = self._numbers()
        if not numbers:
            return True
        probe = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}.tmp")
        probe.touch(mode=0o600)
        try:
            return self._is_free(max(numbers), probe)
        finally:
            _remove(probe)

    @property
    def _pid(self) -> int:
        return os.getpid() if self._given_pid is None else self._given_pid

    def _take_number(self, draft: Path, holder: Holder) -> int | None:
        for _ in range(_MAX_TRIES):
            last = max(self._numbers(), default=0)
            if last and not self._is_free(last, draft):
                return None
            number = last + 1
            if not self._publish(draft, holder, number):
                continue  # another was faster: look what it says
            # Between the two looks others may have come and gone, and removed the very number: theirs is higher.
            if max(self._numbers(), default=0) == number:
                return number
            _remove(self._file(number))
        return None  # so many at once: one of them has it

    def _is_free(self, number: int, probe: Path) -> bool:
        path = self._file(number)
        try:
            holder = self._read(number)
            touched = path.stat().st_mtime
        except FileNotFoundError:  # removed since by one that took a higher number; the link will tell
            return True
        if holder is not None and holder.released:
            return True
        machine = self._machine
        if holder is not None and machine.boot and (holder.boot, holder.namespace) == (machine.boot, machine.namespace):
            return machine.start_of(holder.pid) != holder.started
        os.utime(probe)
        return probe.stat().st_mtime - touched > STALE_S

    def _publish(self, draft: Path, holder: Holder, number: int) -> bool:
        """Make the file of a number, with its whole content at once; False when it is there."""
        path = self._file(number)
        try:
            os.link(draft, path)
        except FileExistsError:
            # An answer that was lost on its way makes NFS ask again, and meet its own link.
            return draft.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            except FileExistsError:
                return False
            with os.fdopen(fd, "wb") as file:
                file.write(holder.to_json())
        return True

    def _replace(self, holder: Holder) -> None:
        """Only the holder of a number writes to it."""
        draft = self._draft(holder)
        try:
            draft.replace(self._file(self._number))
        except OSError:
            _remove(draft)
            raise
        self._holder = holder

    def _draft(self, holder: Holder) -> Path:
        draft = self.path.with_name(f"{self.path.name}.{holder.token}.tmp")
        with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(holder.to_json())
        return draft

    def _read(self, number: int) -> Holder | None:
        with open(self._file(number), "rb") as file:
            return Holder.from_json(file.read(_MAX_BYTES))

    def _file(self, number: int) -> Path:
        return self.path.with_name(f"{self.path.name}-{number}")

    def _numbers(self) -> list[int]:
        start = f"{self.path.name}-"
        with os.scandir(self.path.parent) as entries:
            ends = [entry.name.removeprefix(start) for entry in entries if entry.name.startswith(start)]
        return [int(end) for end in ends if end.isascii() and end.isdigit()]

    def _remove_older(self) -> None:
        """Earlier leases, and drafts of those who died over them. Not the drafts of those who are at it just now."""
        for number in self._numbers():
            if number < self._number:
                _remove(self._file(number))
        now = self._file(self._number).stat().st_mtime
        for draft in self.path.parent.glob(f"{self.path.name}.*.tmp"):
            with contextlib.suppress(FileNotFoundError):
                if now - draft.stat().st_mtime > STALE_S:
                    _remove(draft)


def take_directory(path: Path, note: bytes = b"") -> tuple[DirectoryLock, bool]:
    """Take a directory for one writer: by ``flock`` on ``path``, and where there is none by a lease beside it.

    Args:
        path: the lock's file in the directory.
        note: who takes it, for others (JSON).

    Returns:
        The lock or the lease, and whether it was taken.

    Raises:
        OSError: the directory cannot be read or written.
    """
    lock, lease = FileLock(path), LeaseFile(path.with_suffix(".lease"))
    try:
        taken = lock.try_acquire(note)
    except LocksUnsupported:
        return lease, lease.try_acquire(note)
    if taken:
        # Another machine may see the same directory through a mount without flock.
        try:
            free = lease.is_free()
        except BaseException:
            lock.release()
            raise
        if not free:
            lock.release()
            return lease, False
    return lock, taken


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a file too many does no harm
        path.unlink()
