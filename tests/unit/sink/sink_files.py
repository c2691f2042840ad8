"""What the tests of the sink share: event files written by hand, and TensorBoard's reader in Python."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from sidelog_daemon.sink import RunDirectory
from sidelog_daemon.sink.summaries import scalar_event

NOTE = b'{"endpoint":"ipc:///run/a.sock","pid":1,"host":"h"}'
NOW = 1_700_000_000.0


class Clock:
    """Seconds since the epoch, moved by the test."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


class Disk:
    """Stands for ``os.write``: remembers what was written, and is full when told so.

    Attributes:
        room: bytes that still fit; None for any number.
        most: bytes taken by one call; None for all of them.
        writes: how long each write was.
    """

    def __init__(self, room: int | None = None, most: int | None = None) -> None:
        self.room = room
        self.most = most
        self.writes: list[int] = []

    def __call__(self, fd: int, data: memoryview) -> int:
        if self.room is not None and self.room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        limits = [limit for limit in (self.room, self.most) if limit is not None]
        count = os.write(fd, data[: min(limits)] if limits else data)
        if self.room is not None:
            self.room -= count
        self.writes.append(count)
        return count


def scalar(seq: int, tag: str = "loss") -> bytes:
    """The event of record ``seq``: its step and value name it."""
    return scalar_event(tag, float(seq), seq, NOW + seq)


def send(run: RunDirectory, seqs: Iterable[int], worker: str = "w1", lane: str = "light") -> int:
    """Append records as a client sends them, again or for the first time; how many were new."""
    return sum(run.append(worker, lane, seq, [scalar(seq, f"{worker}/{lane}")]) for seq in seqs)


def event_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.iterdir() if "tfevents" in path.name)


def events(path: Path) -> list[Event]:
    """All events of one file, by TensorBoard's own loader."""
    return list(LegacyEventFileLoader(str(path)).Load())


def starts(directory: Path) -> list[str]:
    """Names of the files in which a session start stands, one for each."""
    return [
        path.name
        for path in event_files(directory)
        for event in events(path)
        if event.session_log.status == SessionLog.START
    ]


def scalars(directory: Path) -> dict[str, list[tuple[int, float]]]:
    """(step, value) of each tag, by TensorBoard's Python reader."""
    accumulator = EventAccumulator(str(directory), size_guidance={"scalars": 0, "tensors": 0, "images": 0})
    accumulator.Reload()
    tags: list[str] = accumulator.Tags()["scalars"]
    return {tag: [(point.step, point.value) for point in accumulator.Scalars(tag)] for tag in tags}


def steps(directory: Path, tag: str = "w1/light") -> list[int]:
    return [step for step, _ in scalars(directory).get(tag, [])]
