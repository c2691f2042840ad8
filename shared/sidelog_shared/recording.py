"""Recordings: protocol messages in a file, as they would go over the wire. A worker's spool is one.

    file      "SDLGREC" and the format's version, 8 bytes; then messages
    message   "MSG:", number of frames (uint32), their lengths (uint32 each), CRC-32 of all that,
              the frames, CRC-32 of the frames

All numbers are little-endian. The lengths have a checksum of their own, so that a reader knows where a message ends
before it believes what is in it; and each message begins with the same four bytes, so that behind a damaged one it
finds the next. Nothing here knows what a message means.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sidelog_shared.limits import MAX_FRAME_BYTES, MAX_FRAMES
from sidelog_shared.records import Buffer

VERSION = 1
_MAGIC = b"SDLGREC"
FILE_HEADER = _MAGIC + bytes([VERSION])
_SYNC = b"MSG:"
_BEGIN = struct.Struct("<4sI")
_CRC = struct.Struct("<I")
_MAX_HEAD_BYTES = _BEGIN.size + 4 * MAX_FRAMES + _CRC.size
_SCAN_BYTES = 1 << 20
_MAX_PIECES = 512
"""Buffers in one system call (IOV_MAX is 1024 on Linux)."""
_write_pieces = os.pwritev
_write_piece = os.pwrite


@dataclass(frozen=True, slots=True)
class Recorded:
    """A message that stands in a recording, whole.

    Attributes:
        offset: where it begins.
        end: where the next one does.
        frames: as they were sent.
    """

    offset: int
    end: int
    frames: list[bytes]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Bytes between messages that are none.

    Attributes:
        offset: where they begin.
        end: where the next message does, or the file ends.
        torn: they are the beginning of a last message: whoever wrote it was killed, or the file was cut there.
    """

    offset: int
    end: int
    torn: bool


def recorded_bytes(frames: Sequence[Buffer]) -> int:
    """How long a message is in a recording."""
    return _BEGIN.size + 4 * len(frames) + 2 * _CRC.size + sum(map(len, frames))


def append(fd: int, size: int, messages: Sequence[Sequence[Buffer]]) -> int:
    """Write messages behind the first ``size`` bytes of a recording; the file header first where ``size`` is 0.

    Returns:
        The new size.

    Raises:
        OSError: they could not be written; the file is what it was, as far as the disk allows.
    """
    pieces: list[Buffer] = [] if size else [FILE_HEADER]
    for frames in messages:
        pieces += _pieces(frames)
    at = size
    try:
        for index in range(0, len(pieces), _MAX_PIECES):
            at += _write_all(fd, at, pieces[index : index + _MAX_PIECES])
    except OSError:
        os.ftruncate(fd, size)
        raise
    return at


def read(fd: int, start: int = 0, end: int | None = None) -> Iterator[Recorded | Unreadable]:
    """The messages of a recording, or of a part of it, and what lies between them that is none.

    Args:
        fd: the file.
        start: where a message begins; 0 for the whole file. Its header is not given; where it is damaged, that is.
        end: where one ends; None for the end of the file.

    Raises:
        OSError: the file cannot be read.
    """
    end = os.fstat(fd).st_size if end is None else end
    at = len(FILE_HEADER) if start == 0 and is_recording(fd) else start
    while at < end:
        found = _message_at(fd, at, end)
        if found is None:
            following = _next_message(fd, at + 1, end)
            yield Unreadable(at, following, torn=following == end and _begins_a_message(fd, at, end))
            at = following
        else:
            yield found
            at = found.end


def is_recording(fd: int) -> bool:
    """Whether a file begins as a recording of this version does."""
    return os.pread(fd, len(FILE_HEADER), 0) == FILE_HEADER


def is_of_another_version(fd: int) -> bool:
    """Whether a file begins as a recording of another version does, which nothing here can read."""
    head = os.pread(fd, len(FILE_HEADER), 0)
    return head.startswith(_MAGIC) and len(head) == len(FILE_HEADER) and head != FILE_HEADER


def _pieces(frames: Sequence[Buffer]) -> list[Buffer]:
    head = _BEGIN.pack(_SYNC, len(frames)) + struct.pack(f"<{len(frames)}I", *map(len, frames))
    crc = 0
    for frame in frames:
        crc = zlib.crc32(frame, crc)
    return [head + _CRC.pack(zlib.crc32(head)), *frames, _CRC.pack(crc)]


def _write_all(fd: int, at: int, pieces: list[Buffer]) -> int:
    total = sum(map(len, pieces))
    done = _write_pieces(fd, pieces, at)
    if done < total:  # a disk that is nearly full takes a part
        rest = memoryview(b"".join(pieces))
        while done < total:
            done += _write_piece(fd, rest[done:], at + done)
    return total


def _lengths_at(fd: int, at: int, end: int) -> tuple[list[int], int] | None:
    """The lengths of the frames of the message at ``at``, and where the first begins; None where none begins."""
    head = os.pread(fd, min(_MAX_HEAD_BYTES, end - at), at)
    if len(head) < _BEGIN.size:
        return None
    sync, count = _BEGIN.unpack_from(head)
    size = _BEGIN.size + 4 * count
    if sync != _SYNC or count > MAX_FRAMES or len(head) < size + _CRC.size:
        return None
    if _CRC.unpack_from(head, size)[0] != zlib.crc32(head[:size]):
        return None
    return list(struct.unpack_from(f"<{count}I", head, _BEGIN.size)), at + size + _CRC.size


def _message_at(fd: int, at: int, end: int) -> Recorded | None:
    found = _lengths_at(fd, at, end)
    if found is None:
        return None
    lengths, begin = found
    size = sum(lengths) + _CRC.size
    if begin + size > end or max(lengths, default=0) > MAX_FRAME_BYTES:
        return None
    data = memoryview(os.pread(fd, size, begin))
    if len(data) < size or _CRC.unpack(data[-_CRC.size :])[0] != zlib.crc32(data[: -_CRC.size]):
        return None
    frames, offset = [], 0
    for length in lengths:
        frames.append(bytes(data[offset : offset + length]))
        offset += length
    return Recorded(at, begin + size, frames)


def _next_message(fd: int, start: int, end: int) -> int:
    """Where the next whole message begins, from ``start`` on; ``end`` if nowhere."""
    at = start
    while at < end:
        chunk = os.pread(fd, min(_SCAN_BYTES, end - at), at)
        found = chunk.find(_SYNC)
        while found >= 0:
            if _message_at(fd, at + found, end) is not None:
                return at + found
            found = chunk.find(_SYNC, found + 1)
        if len(chunk) < len(_SYNC):
            break
        at += max(1, len(chunk) - len(_SYNC) + 1)
    return end


def _begins_a_message(fd: int, at: int, end: int) -> bool:
    """Whether the last bytes of a file are the beginning of a message: its head is right as far as it goes."""
    found = _lengths_at(fd, at, end)
    if found is not None:
        lengths, begin = found
        return begin + sum(lengths) + _CRC.size > end
    head = os.pread(fd, _MAX_HEAD_BYTES, at)
    if len(head) < _BEGIN.size:
        return _SYNC.startswith(head[: len(_SYNC)])
    sync, count = _BEGIN.unpack_from(head)
    return bool(sync == _SYNC) and count <= MAX_FRAMES and end - at < _BEGIN.size + 4 * count + _CRC.size
