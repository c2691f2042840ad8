"""Writers whose calls end in an outbox: no sender thread, no socket, no daemon."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from sidelog import SummaryWriter
from sidelog.calls import LightCall, RecordCall
from sidelog.outbox import Outbox
from sidelog.pool import SlotPool
from sidelog.runs import RunHandle
from sidelog.snapshot import Snapshotter
from sidelog_shared.limits import MIB
from sidelog_shared.records import BufferSpec


class QuietConnection:
    """What a recorder needs of a connection."""

    def __init__(self, budget_bytes: int = 16 * MIB, overflow_bytes: int = 0) -> None:
        self.pool = SlotPool(budget_bytes)
        self.outbox = Outbox(wake=lambda: None, pressure_bytes=1 << 40, heavy_bytes=1 << 20)
        self.snapshotter = Snapshotter(self.pool, overflow_bytes=overflow_bytes)
        self.paths: list[str] = []
        self.said: list[str] = []
        self.settled: set[str] = set()

    def say(self, text: str) -> None:
        self.said.append(text)

    def open_run(self, path: str) -> RunHandle:
        self.paths.append(path)
        return RunHandle(len(self.paths), path)

    def knows(self, run: RunHandle) -> bool:
        return run.path not in self.settled

    def close_run(self, run: RunHandle) -> None:
        self.outbox.light.append("the run is closed")  # type: ignore[arg-type]  # for tests to see where


@dataclass
class Quiet:
    """A writer and what its calls put into the outbox."""

    writer: SummaryWriter
    connection: QuietConnection

    @property
    def outbox(self) -> Outbox:
        return self.connection.outbox

    def light(self) -> list[LightCall]:
        """The light calls so far, taken off the queue."""
        calls = list(self.outbox.light)
        self.outbox.light.clear()
        return calls

    def picture(self) -> RecordCall:
        """The one picture that waits, taken off the queue."""
        call = self.outbox.take_picture()
        assert call is not None
        assert self.outbox.take_picture() is None
        return call

    def shown(self) -> tuple[BufferSpec, bytes, dict[str, object]]:
        """What the one picture that waits is made of; its memory is given back."""
        call = self.picture()
        (snapshot,) = call.snapshots
        data = bytes(snapshot.data())
        snapshot.release()
        return snapshot.spec, data, call.options


def quiet_writer(
    monkeypatch: pytest.MonkeyPatch, folder: Path, *, budget_bytes: int = 16 * MIB, overflow_bytes: int = 0
) -> Quiet:
    connection = QuietConnection(budget_bytes, overflow_bytes)
    monkeypatch.setattr("sidelog.writer.handle.connect", lambda settings, path: (connection, connection.open_run(path)))
    return Quiet(SummaryWriter(folder, endpoint="ipc:///nobody"), connection)
