"""Damage to a spool before its replay, and which records stood in the damaged messages."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import msgpack
import numpy as np

from sidelog_shared import recording
from torture.content import Kept

_OPEN_RUN, _SCALARS, _RECORD = 2, 4, 5
_KIND_AT = 6


def spool_of(folder: Path, pid: int) -> Path | None:
    """The spool that a process left."""
    found = sorted(folder.glob(f"*-{pid}-*.spool"))
    return found[0] if found else None


def damage(path: Path, how: str, chosen: random.Random) -> set[Kept]:
    """Flip a byte in the middle of some messages (``corrupt``), or cut the file within one (``truncated``).

    Returns:
        The records that stood in what is damaged.
    """
    fd = os.open(path, os.O_RDWR)
    try:
        messages = [one for one in recording.read(fd) if isinstance(one, recording.Recorded)]
        runs = dict(_opened(one.frames) for one in messages if one.frames[0][_KIND_AT] == _OPEN_RUN)
        carrying = [one for one in messages if one.frames[0][_KIND_AT] in (_SCALARS, _RECORD)]
        if not carrying:
            return set()
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
    return {kept for one in hit for kept in _kept(one.frames, runs)}


def _opened(frames: list[bytes]) -> tuple[int, str]:
    header = msgpack.unpackb(frames[1])
    return header["run"], header["path"].rpartition("/")[2]


def _kept(frames: list[bytes], runs: dict[int, str]) -> Iterator[Kept]:
    """The records of a message as docs/protocol.md says it."""
    header = msgpack.unpackb(frames[1])
    if frames[0][_KIND_AT] == _RECORD:
        yield Kept(runs[header["run"]], header["tag"], header["step"])
        return
    for index, step in zip(np.frombuffer(frames[2], "<u4"), np.frombuffer(frames[3], "<i8"), strict=True):
        run, tag, *_ = header["series"][index]
        yield Kept(runs[run], tag, int(step))
