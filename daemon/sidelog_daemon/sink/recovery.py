"""A run directory as an earlier daemon left it: what stands in it, and away with what is half written.

The event file is its own journal. A group of records is followed by a marker (``marker.py``); what stands behind the
last marker was never acknowledged and will be sent again, so it is cut off. Only files of ours are touched, none is
removed, and whoever opens the directory goes on in a new file: a reader may stand in the old one.

The last marker is looked for from the end of the file, and the table is built by walking its ``prev`` offsets back
to a full one, so the time goes with the size of one group and of the table, not with the size of the file. Nothing in
between needs to be read for that: the file only ever grew by whole writes of one process, so bytes before a marker
that stands at the offset it names, with both CRCs right, are what was written before it. Where a disk damaged the
middle of a file all the same, cutting there would destroy records that were acknowledged, and TensorBoard decides
what it still shows; we keep every byte up to the last marker, and a damaged marker costs what it alone knew.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from sidelog_daemon.sink.event_file import event_file_names, is_ours
from sidelog_daemon.sink.marker import SIGNATURE, Marker, MarkTable
from sidelog_daemon.tensorboardx import record_writer

CHUNK_BYTES = 1 << 20
"""How much of a file is looked at in one go."""

_HEADER = Struct("<QI")
_CRC = Struct("<I")
_MARKER_START = re.compile(re.escape(SIGNATURE) + rb'\d{1,9},"at":(\d{1,19}),')
_LONGEST_START = 64
"""More than the longest match of ``_MARKER_START``, and than what stands before it in a record."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Bytes that were cut off behind a file's last marker."""

    path: Path
    size: int
    removed: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """What an earlier daemon left.

    Attributes:
        table: what stands in the directory.
        source: the file that says so; None when no file of ours has a marker.
        cuts: what was cut off.
    """

    table: MarkTable
    source: Path | None
    cuts: tuple[Cut, ...]


def recover(directory: Path) -> Recovery:
    """Read what stands in ``directory`` and cut off what no marker covers. The caller holds its lock.

    Raises:
        WriterError: a marker of another version of sidelog; nothing was changed.
        OSError: a file cannot be read or cut.
    """
    unmarked: list[tuple[Path, int]] = []
    for name in reversed(event_file_names(directory)):
        path = directory / name
        if not is_ours(name) or not stat.S_ISREG(path.lstat().st_mode):
            continue
        with _opened(path) as (fd, size):
            found = last_marker(fd, size)
            if found is None:
                unmarked.append((path, size))
                continue
            marker, end = found
            table = _table_up_to(fd, size, marker)
        cuts = [_cut(path, size, 0) for path, size in unmarked if size]
        if size > end:
            cuts.append(_cut(path, size, end))
        return Recovery(table, path, tuple(cuts))
    return Recovery(MarkTable(), None, tuple(_cut(path, size, 0) for path, size in unmarked if size))


def read_record(fd: int, offset: int, size: int) -> bytes | None:
    """The record at ``offset`` of a file of ``size`` bytes; None unless it is whole and both its CRCs are right."""
    header = os.pread(fd, _HEADER.size, offset)
    if len(header) < _HEADER.size:
        return None
    length, crc = _HEADER.unpack(header)
    if crc != record_writer.masked_crc32c(header[:8]) or offset + _HEADER.size + length + _CRC.size > size:
        return None
    data = os.pread(fd, length + _CRC.size, offset + _HEADER.size)
    if len(data) < length + _CRC.size:
        return None
    (crc,) = _CRC.unpack_from(data, length)
    data = data[:length]
    return data if crc == record_writer.masked_crc32c(data) else None


def last_marker(fd: int, end: int) -> tuple[Marker, int] | None:
    """The last intact marker that ends at or before ``end``, and the offset at which it ends.

    Raises:
        WriterError: it is of another version of sidelog.
    """
    stop = end
    while stop > 0:
        start = max(0, stop - CHUNK_BYTES)
        # Overlapping by the longest start, so that one on the border of two chunks is whole in one of them.
        chunk = os.pread(fd, min(end, stop + _LONGEST_START) - start, start)
        for match in reversed(list(_MARKER_START.finditer(chunk))):
            at = int(match[1])
            if 0 <= start + match.start() - at <= _LONGEST_START:
                found = marker_at(fd, at, end)
                if found is not None:
                    return found
        stop = start
    return None


def marker_at(fd: int, offset: int, end: int) -> tuple[Marker, int] | None:
    """The marker whose record begins at ``offset``, and where it ends; None if none stands there."""
    data = read_record(fd, offset, end)
    marker = None if data is None else Marker.from_event(data)
    if data is None or marker is None or marker.at != offset:
        return None
    return marker, offset + _HEADER.size + len(data) + _CRC.size


def _table_up_to(fd: int, size: int, newest: Marker) -> MarkTable:
    chain = [newest]
    while not chain[-1].full:
        at, previous = chain[-1].at, chain[-1].previous
        found = None
        if previous is not None and previous < at:
            found = marker_at(fd, previous, size)
        if found is None:  # damaged: go on with the one before it
            found = last_marker(fd, at if previous is None else min(at, previous))
        if found is None:
            break
        chain.append(found[0])
    table = MarkTable()
    for marker in reversed(chain):
        table.merge(marker)
    return table


def _cut(path: Path, size: int, end: int) -> Cut:
    os.truncate(path, end)
    return Cut(path, end, size - end)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[int, int]]:
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd, os.fstat(fd).st_size
    finally:
        os.close(fd)
