"""Event files on disk: their names, and the file object that turns a group of records into one ``write``.

Used by the writer thread of a run directory alone. Nothing here knows what a record means.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import socket
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from sidelog_daemon.tensorboardx import record_writer
from sidelog_shared.errors import WriterError
from sidelog_shared.locks import is_at

Write = Callable[[int, memoryview], int]
"""``os.write``, or what a test puts in its place."""

SUFFIX = ".sidelog"
SPARE_NAME = ".sidelog.new"
"""Where a file's first group is written before the file gets its name; no reader takes it for an event file."""

_EVENT_FILE = re.compile(r"tfevents\.(\d{1,10})")
_UNSAFE_IN_HOST = re.compile(r"[^A-Za-z0-9_-]")
_PREFIX = "sidelog-group"


class CommitError(WriterError):
    """A group could not be written; it is still in memory, and a later commit tries again.

    Attributes:
        errno: the cause as the operating system says it (``errno.ENOSPC``: the disk is full).
        reason: the same in words.
    """

    def __init__(self, message: str, *, errno: int, reason: str = "") -> None:
        super().__init__(message)
        self.errno = errno
        self.reason = reason


class RecordWriter(Protocol):
    """tensorboardX's ``RecordWriter``, as far as we use it."""

    def write(self, data: bytes) -> None: ...


class RecordFile(Protocol):
    """What tensorboardX's ``RecordWriter`` writes to; it would ``fsync`` at every flush if this had ``fileno``."""

    def write(self, data: bytes | bytearray, /) -> int: ...


def is_event_file(name: str) -> bool:
    """Whether TensorBoard takes a file of this name for an event file, whoever wrote it."""
    return "tfevents" in name


def is_ours(name: str) -> bool:
    """Whether a file of this name was written by a sidelog daemon."""
    return is_event_file(name) and name.endswith(SUFFIX)


def event_file_names(directory: Path) -> list[str]:
    """The names of all event files in ``directory``, in the order in which readers go through them."""
    return sorted(name for name in os.listdir(directory) if is_event_file(name))


def seconds_of(name: str) -> int:
    """The time in an event file's name, as far as it decides the order of names (ten digits); 0 if none."""
    match = _EVENT_FILE.search(name)
    return int(match[1]) if match else 0


def next_name(existing: Iterable[str], *, now: float, number: int, host: str | None = None) -> str:
    """A name that stands behind all ``existing`` event files, also when the clock was set back.

    Readers go through a directory in the order of names, and some never return to a file once there is a later
    one. A name is decided by its seconds alone: pid 10000 stands before pid 9999.

    Args:
        existing: names of the event files that are there, of any writer.
        now: seconds since the epoch.
        number: how many files this writer has opened in the directory before.
        host: defaults to this machine's name.
    """
    seconds = max(int(now), 1 + max(map(seconds_of, existing), default=-1))
    safe_host = _UNSAFE_IN_HOST.sub("-", socket.gethostname() if host is None else host)[:64] or "host"
    return f"events.out.tfevents.{seconds:010d}.{safe_host}.{os.getpid()}.{number:04d}{SUFFIX}"


class GroupFile:
    """A run directory's open event file, as tensorboardX's ``RecordWriter`` sees it.

    Records collect in memory; a commit appends them in one ``write`` between bytes that belong to the commit
    (a new file's first records, the marker). It has no ``fileno``: ``RecordWriter`` would fsync at every flush.

    A new file gets its name when its first group stands in it: readers never see a file without a marker, and a
    full disk, tried again every second, leaves no trail of empty files.

    Args:
        directory: where the files go.
        write: stands for ``os.write``.
    """

    def __init__(self, directory: Path, *, write: Write = os.write) -> None:
        self._directory = directory
        self._write = write
        self._group = io.BytesIO()
        self._fd: int | None = None
        self._must_cut = False
        self.path: Path | None = None
        """The file that the last commit went to."""
        self.size = 0
        """Its length in bytes at the last commit."""

    @property
    def pending_bytes(self) -> int:
        """How much the open group holds in memory."""
        return self._group.tell()

    @property
    def is_gone(self) -> bool:
        """Whether somebody removed the open file, or moved it away."""
        return self._fd is not None and self.path is not None and not is_at(self._fd, self.path)

    def write(self, data: bytes | bytearray, /) -> int:
        """Add to the open group."""
        return self._group.write(data)

    def flush(self) -> None:
        """Nothing: a group reaches the disk by ``commit`` alone."""

    def can_append(self, max_bytes: int) -> bool:
        """Whether the next group belongs into the open file.

        Not when there is none, when it has reached ``max_bytes``, when an earlier write to it failed, or when
        somebody else removed, cut or wrote it: what we append there would be seen by nobody.
        """
        if self._fd is None or self._must_cut or self.size >= max_bytes:
            return False
        status = os.fstat(self._fd)
        return status.st_nlink > 0 and status.st_size == self.size

    def commit(self, tail: bytes) -> None:
        """Append the group and ``tail`` to the open file, in one write.

        Raises:
            CommitError: the file is cut back to what it was, and closed; the group is kept, for a new file.
        """
        assert self._fd is not None
        kept = self._group.tell()
        self._group.write(tail)
        data = self._group.getbuffer()
        try:
            write_all(self._write, self._fd, data)
        except OSError as error:
            group = io.BytesIO()
            group.write(data[:kept])
            self._group = group
            self._must_cut = True
            self._retire()
            raise commit_error(self.path, error) from error
        self.size += len(data)
        self._group = io.BytesIO()

    def commit_to_new_file(self, head: bytes, tail: bytes, choose_name: Callable[[], str]) -> None:
        """Write ``head``, the group and ``tail``, in one write, into a new file; close the one that was open.

        Args:
            head: the new file's first records.
            tail: its first marker.
            choose_name: asked when the bytes stand on disk.

        Raises:
            CommitError: nothing was added to the directory; the group is kept.
        """
        self._retire()
        spare = self._directory / SPARE_NAME
        data = memoryview(b"".join((head, self._group.getbuffer(), tail)))
        fd = None
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(spare, flags, 0o666)
            write_all(self._write, fd, data)
            path = self._directory / choose_name()
            os.rename(spare, path)
        except OSError as error:
            if fd is not None:
                _empty_and_close(fd)
            raise commit_error(self._directory, error) from error
        self._fd, self.path, self.size = fd, path, len(data)
        self._group = io.BytesIO()

    def close(self) -> None:
        """Bring the open file to the disk's surface (``fsync``) and close it. Idempotent.

        Raises:
            CommitError: the disk refused; the file is closed all the same.
        """
        self._retire()

    def drop(self) -> None:
        """Forget the open group and close the file as it stands."""
        self._group = io.BytesIO()
        fd, self._fd = self._fd, None
        if fd is not None:
            os.close(fd)

    def _retire(self) -> None:
        """Leave the open file for good, as its last commit made it.

        Where it cannot be cut back it stays ours to cut: a new file begun before that would show readers part of
        a group twice.
        """
        if self._fd is None:
            return
        try:
            if self._must_cut:
                os.ftruncate(self._fd, self.size)
                self._must_cut = False
        except OSError as error:
            raise commit_error(self.path, error) from error
        fd, self._fd = self._fd, None
        try:
            os.fsync(fd)
        except OSError as error:
            raise commit_error(self.path, error) from error
        finally:
            os.close(fd)


class _FactoryOfOne:
    """tensorboardX opens a ``RecordWriter``'s file by the prefix of its path; this hands over the one just made."""

    def __init__(self) -> None:
        self._waiting: dict[str, RecordFile] = {}

    def writer_into(self, file: RecordFile) -> RecordWriter:
        key = f"{_PREFIX}:{id(file)}"
        self._waiting[key] = file
        writer: RecordWriter = record_writer.RecordWriter(key)
        return writer

    def open(self, key: str) -> RecordFile:
        return self._waiting.pop(key)


_factory = _FactoryOfOne()
record_writer.register_writer_factory(_PREFIX, _factory)


def record_writer_into(file: RecordFile) -> RecordWriter:
    """tensorboardX's ``RecordWriter``, framing records into ``file``."""
    return _factory.writer_into(file)


def framed(events: Iterable[bytes]) -> bytes:
    """Serialized events as they stand in an event file: length, its CRC, data, its CRC."""
    buffer = io.BytesIO()
    writer = record_writer_into(buffer)
    for event in events:
        writer.write(event)
    return buffer.getvalue()


def write_all(write: Write, fd: int, data: memoryview) -> None:
    """Write ``data``, in as many calls as it takes.

    Raises:
        OSError: the disk takes no more.
    """
    while data:
        try:
            count = write(fd, data)
        except InterruptedError:
            continue
        if count <= 0:
            raise OSError(errno.EIO, "write took no bytes")
        data = data[count:]


def _empty_and_close(fd: int) -> None:
    with contextlib.suppress(OSError):  # the next try opens it with O_TRUNC in any case
        os.ftruncate(fd, 0)  # on a full disk the part that did fit is wanted back
    os.close(fd)


def commit_error(path: Path | None, error: OSError) -> CommitError:
    """``error`` as what it means for a group of records that was to be written to ``path``."""
    number = error.errno or errno.EIO
    reason = f"{os.strerror(number)} ({errno.errorcode.get(number, number)})"
    return CommitError(f"{path} cannot be written: {reason}", errno=number, reason=reason)
