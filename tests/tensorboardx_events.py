"""The oracle of events: what tensorboardX's own ``SummaryWriter`` writes for a call, decoded."""

from __future__ import annotations

import importlib
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sidelog_daemon.tensorboardx import event_pb2


def theirs(directory: Path, call: Callable[[Any], object]) -> list[Any]:
    """The events that tensorboardX writes into ``directory`` for ``call``, which gets a ``SummaryWriter``.

    A writer of the class itself, without what its module's ``__init__`` imports.
    """
    writer = importlib.import_module("tensorboardX.writer").SummaryWriter(str(directory))
    call(writer)
    writer.close()
    return written_in(directory)[1:]  # after the file version


def written_in(directory: Path) -> list[Any]:
    """All events of the one event file in ``directory``."""
    (path,) = (path for path in directory.iterdir() if "tfevents" in path.name)
    return parsed(*records(path.read_bytes()))


def records(content: bytes) -> Iterable[bytes]:
    """The records of an event file (length, its CRC, data, its CRC)."""
    at = 0
    while at < len(content):
        (length,) = struct.unpack_from("<Q", content, at)
        yield content[at + 12 : at + 12 + length]
        at += length + 16


def parsed(*serialized: bytes) -> list[Any]:
    """Serialized events as messages."""
    return [event_pb2.Event.FromString(data) for data in serialized]


def untimed(events: Iterable[Any]) -> list[Any]:
    """``events`` without their wall times, which some of tensorboardX's methods take from the clock."""
    events = list(events)
    for event in events:
        event.ClearField("wall_time")
    return events
