"""Damage to a spool before its replay, and which records stood in the damaged messages."""

from __future__ import annotations

import os
import random
from pathlib import Path

import msgpack

from sidelog_shared import recording
from sidelog_shared.records import Lane

_SCALARS, _RECORD = 4, 5
_KIND_AT = 6


def spool_of(folder: Path, pid: int) -> Path | None:
    """The spool that a process left."""
    found = sorted(folder.glob(f"*-{pid}-*.spool"))
    return found[0] if found else None


def damage(path: Path, how: str, chosen: random.Random) -> list[tuple[str, int]]:
    """Flip a byte in the middle of some messages (``corrupt``), or cut the file within one (``truncated``).

    Returns:
        (lane, sequence number) of the records that stood in what is damaged.
    """
    fd = os.open(path, os.O_RDWR)
    try:
        messages = [one for one in recording.read(fd) if isinstance(one, recording.Recorded)]
        carrying = [one for one in messages if _numbers(one.frames)]
        if not carrying:
            return []
        if how == "truncated":
            first = chosen.choice(carrying)
            os.ftruncate(fd, chosen.randrange(first.offset + 1, first.end))
            hit = [one for one in carrying if one.offset >= first.offset]
        else:
            hit = chosen.sample(carrying, min(len(carrying), chosen.randint(1, 3)))
            for one in hit:
                at = chosen.randrange(one.offset, one.end)
                byte = os.pread(fd, 1, at)[0]
                os.pwrite(fd, bytes([byte ^ chosen.randint(1, 255)]), at)
    finally:
        os.close(fd)
    return [number for one in hit for number in _numbers(one.frames)]


def _numbers(frames: list[bytes]) -> list[tuple[str, int]]:
    """The records of a message as docs/protocol.md says it; none where it carries none."""
    kind = frames[0][_KIND_AT]
    if kind not in (_SCALARS, _RECORD):
        return []
    header = msgpack.unpackb(frames[1])
    if kind == _SCALARS:
        return [(Lane.LIGHT.value, header["seq"] + row) for row in range(header["count"])]
    return [(header["lane"], header["seq"])]
