"""Reads event files while they grow, and counts what has arrived. Every checksum is verified."""

from __future__ import annotations

import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import crc32c
from tensorboardX.proto import event_pb2

_MASK_DELTA = 0xA282EAD8
"""Record framing and masked CRC: tensorflow/core/lib/io/record_writer.h and lib/hash/crc32c.h."""
_POLL_S = 0.005
Told = Callable[[str, int, float], None]
"""``(tag, step, wall time)`` of a value."""


class EventTail:
    """The events of one run directory, in the order in which they arrive.

    TensorBoard's own reader in Python computes checksums byte by byte, a second for 10 MB; this one takes the
    package ``crc32c``. A test holds it against ``EventAccumulator``.

    Args:
        folder: the run directory; need not be there yet.
        told: hears of each value.

    Attributes:
        counts: values per tag so far.
        last_step: step of the newest value per tag.
        keep_pictures: how many of the newest PNGs to keep.
        pictures: those.
    """

    def __init__(self, folder: Path, told: Told | None = None) -> None:
        self.counts: Counter[str] = Counter()
        self.last_step: dict[str, int] = {}
        self.pictures: list[bytes] = []
        self.keep_pictures = 0
        self._folder = folder
        self._told = told
        self._offsets: dict[Path, int] = {}

    def poll(self) -> None:
        """Take in what has arrived since the last time.

        Raises:
            ValueError: a record whose checksum is wrong.
        """
        for path in sorted(self._folder.glob("events.out.tfevents.*")):
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                for record in _records(file, path):
                    self._count(record)
                    self._offsets[path] = file.tell()

    def wait_for(self, steps: Mapping[str, int], *, deadline_s: float) -> float | None:
        """Wait until each tag's newest value has the step given; seconds from now, or None when it is too late."""
        begun = time.monotonic()
        while True:
            self.poll()
            if all(self.last_step.get(tag) == step for tag, step in steps.items()):
                return time.monotonic() - begun
            if time.monotonic() - begun >= deadline_s:
                return None
            time.sleep(_POLL_S)

    def _count(self, record: bytes) -> None:
        event = event_pb2.Event.FromString(record)
        for value in event.summary.value:
            self.counts[value.tag] += 1
            self.last_step[value.tag] = event.step
            if self._told is not None:
                self._told(value.tag, event.step, event.wall_time)
            if self.keep_pictures and value.HasField("image"):
                self.pictures.append(value.image.encoded_image_string)
                del self.pictures[: -self.keep_pictures]


def _records(file: BinaryIO, path: Path) -> Iterator[bytes]:
    """Whole records from here on; the file's position is behind the last one that was taken."""
    while True:
        here = file.tell()
        head = file.read(12)
        length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else 0
        body = file.read(length + 4) if len(head) == 12 else b""
        if len(head) < 12 or len(body) < length + 4:
            file.seek(here)
            return
        _verify(head[:8], head[8:], path, here)
        _verify(body[:length], body[length:], path, here)
        yield body[:length]


def _verify(data: bytes, stored: bytes, path: Path, offset: int) -> None:
    crc = crc32c.crc32c(data)
    masked = ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF
    if masked != struct.unpack("<I", stored)[0]:
        raise ValueError(f"{path} has a record at byte {offset} whose checksum is wrong")
