"""Event files read by the letter: each byte accounted for, both CRCs of each record, each event understood.

Nothing of the daemon's code is used: what it believes of its own files is not what is asked here.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import Any

import crc32c
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from torture.content import Place, decoded

SIGNATURE = '{"sidelog":'
"""How the message of a marker begins."""

_HEADER = Struct("<QI")
_CRC = Struct("<I")


@dataclass(frozen=True, slots=True)
class Value:
    """One value of one event."""

    place: Place
    content: Hashable
    file: str
    offset: int


@dataclass
class Reading:
    """What stands in a log folder.

    Attributes:
        values: all of them, in the order in which readers meet them.
        faults: what is not as it must be, each with file and offset.
        files: how many event files there are.
        bytes: how long they are together.
    """

    values: list[Value] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    files: int = 0
    bytes: int = 0


class Torn(ValueError):
    """The bytes at an offset are no whole record."""


def read_logdir(logdir: Path) -> Reading:
    """Read all event files below ``logdir``."""
    reading = Reading()
    for directory, folders, names in os.walk(logdir):
        folders.sort()
        event_files = sorted(name for name in names if "tfevents" in name)
        if event_files:
            _read_directory(reading, logdir, Path(directory), event_files)
    return reading


def records(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """The records of a file: where each begins and ends, and its bytes.

    Raises:
        Torn: what follows is no whole record, or one of its CRCs is wrong.
    """
    offset = 0
    while offset < len(data):
        if len(data) - offset < _HEADER.size:
            raise Torn(f"offset {offset}: got {len(data) - offset} bytes, expected a record's 12 bytes of header")
        length, crc = _HEADER.unpack_from(data, offset)
        if crc != masked_crc(data[offset : offset + 8]):
            raise Torn(f"offset {offset}: the length's CRC is {crc:08x}, expected "
                       f"{masked_crc(data[offset : offset + 8]):08x}")  # fmt: skip
        end = offset + _HEADER.size + length + _CRC.size
        if end > len(data):
            raise Torn(f"offset {offset}: got {len(data) - offset} bytes, expected a record of {end - offset}")
        content = data[offset + _HEADER.size : end - _CRC.size]
        (crc,) = _CRC.unpack_from(data, end - _CRC.size)
        if crc != masked_crc(content):
            raise Torn(f"offset {offset}: the data's CRC is {crc:08x}, expected {masked_crc(content):08x}")
        yield offset, end, content
        offset = end


def framed(content: bytes) -> bytes:
    """``content`` as a record."""
    length = len(content).to_bytes(8, "little")
    crcs = [_CRC.pack(masked_crc(part)) for part in (length, content)]
    return length + crcs[0] + content + crcs[1]


def masked_crc(data: bytes) -> int:
    """TFRecord's: CRC-32C, turned by 15 bits, plus a constant."""
    crc = crc32c.crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def end_of_last_marker(data: bytes) -> int:
    """Where the last intact marker of a file ends; 0 if it has none."""
    end = 0
    try:
        for offset, stop, content in records(data):
            marker = _marker(Event.FromString(content))
            if marker is not None and marker["at"] == offset:
                end = stop
    except (Torn, DecodeError):
        return end
    return end


def _read_directory(reading: Reading, logdir: Path, directory: Path, names: list[str]) -> None:
    relative = os.path.relpath(directory, logdir)
    seconds: list[int] = []
    for index, name in enumerate(names):
        path = directory / name
        data = path.read_bytes()
        reading.files += 1
        reading.bytes += len(data)
        seconds.append(int(name.split("tfevents.")[1].split(".")[0]))
        if len(seconds) > 1 and seconds[-1] <= seconds[-2]:
            reading.faults.append(f"{path}: its seconds are {seconds[-1]}, expected above {seconds[-2]}")
        _read_file(reading, relative, path, data, is_first=index == 0)


def _read_file(reading: Reading, relative: str, path: Path, data: bytes, *, is_first: bool) -> None:
    def fault(offset: int, text: str) -> None:
        reading.faults.append(f"{path}, offset {offset}: {text}")

    previous: int | None = None
    ended_by_marker = False
    count = 0
    try:
        for offset, _, content in records(data):
            event = Event.FromString(content)
            if not math.isfinite(event.wall_time) or event.wall_time <= 0:
                fault(offset, f"the wall time is {event.wall_time}, expected seconds since the epoch")
            what = event.WhichOneof("what")
            marker = _marker(event)
            ended_by_marker = marker is not None
            if (count == 0) != (what == "file_version"):
                fault(offset, f"record {count} is {what}, expected file_version in the first record, and there alone")
            if what == "session_log" and event.session_log.status == SessionLog.START and not (is_first and count == 1):
                fault(offset, "START, expected only in the second record of a directory's first file")
            if marker is not None:
                if marker["at"] != offset:
                    fault(offset, f"the marker says that it stands at {marker['at']}")
                if marker.get("prev") != previous:
                    fault(offset, f"the marker names {marker.get('prev')} as the one before, it is {previous}")
                if previous is None and not marker["full"]:
                    fault(offset, "a file's first marker is not full")
                previous = offset
            elif what == "summary":
                for value in event.summary.value:
                    place = Place(relative, value.tag, event.step)
                    reading.values.append(Value(place, decoded(value), path.name, offset))
            elif what not in ("file_version", "session_log"):
                fault(offset, f"an event of kind {what}, expected a summary, a session log or the file's version")
            count += 1
    except Torn as error:
        reading.faults.append(f"{path}, {error}")
        return
    except (DecodeError, ValueError, OSError) as error:
        reading.faults.append(f"{path}, record {count}: {type(error).__name__}: {error}")
        return
    if data and not ended_by_marker:
        fault(len(data), "the last record is no marker: what stands behind the last marker was never acknowledged")


def _marker(event: Any) -> dict[str, Any] | None:
    message = event.session_log.msg
    if event.session_log.status != SessionLog.CHECKPOINT or not message.startswith(SIGNATURE):
        return None
    marker: dict[str, Any] = json.loads(message)
    return marker
