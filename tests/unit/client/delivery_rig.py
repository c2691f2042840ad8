"""A client's delivery and a daemon's reception in one thread, with what lies between them: no socket, no file.

The daemon's other threads are played by :class:`MemoryDaemon`; its event files are a :class:`Disk`, which outlives it.
Messages stand in two queues until they are delivered, so that a connection can break with some under way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidelog.calls import FlushRequest, RecordCall, RunEnd
from sidelog.delivery import Delivery
from sidelog.left_spool import LeftSpool
from sidelog.outbox import Outbox
from sidelog.phase import Phase
from sidelog.runs import RunHandle, Runs
from sidelog.snapshot import BorrowedSnapshot, kept_bytes
from sidelog.spool import Spool
from sidelog.statistics import Statistics
from sidelog_daemon.actions import (
    Action,
    CloseRun,
    Commit,
    Dropped,
    OpenRun,
    Outcome,
    Rejected,
    Render,
    RunClosed,
    RunOpened,
    RunPaused,
    RunRefused,
    Send,
    Settled,
    WriteRecord,
    WriteScalars,
)
from sidelog_daemon.reception import Reception
from sidelog_shared.dtypes import UINT8
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MIB, Limits
from sidelog_shared.records import Buffer, BufferSpec, Kind, Lane, Record, Refusal, RunMarks, Series, Worker

WORKER = Worker("0123456789abcdef", "host", 4711)
Frames = list[Buffer]


class Memory:
    """A snapshot that knows whether it was given back."""

    def __init__(self, nbytes: int = 4) -> None:
        self.spec = BufferSpec(UINT8, (1, 1, 1, nbytes))
        self.end = ""

    def data(self) -> memoryview:
        assert not self.end, f"read after it was {self.end}"
        return memoryview(bytes(self.spec.nbytes))

    def release(self) -> None:
        self._finish("released")

    def discard(self) -> None:
        self._finish("discarded")

    def _finish(self, end: str) -> None:
        assert not self.end, f"{end} after it was {self.end}"
        self.end = end


@dataclass
class Disk:
    """Run directories: what was written, in that order, and what their markers say of the one worker.

    Attributes:
        written: path -> (lane, number, tag).
        busy: run directories that another daemon writes.
        full: those that cannot be written.
    """

    busy: set[str] = field(default_factory=lambda: {"/busy"})
    full: set[str] = field(default_factory=set)
    written: dict[str, list[tuple[Lane, int, str]]] = field(default_factory=dict)

    def marks(self, path: str) -> RunMarks:
        written = self.written.get(path, [])
        pictures = IntervalSet()
        for lane, seq, _ in written:
            if lane is Lane.PICTURE:
                pictures.add(seq)
        return RunMarks(
            light=max((seq for lane, seq, _ in written if lane is Lane.LIGHT), default=0),
            heavy=max((seq for lane, seq, _ in written if lane is Lane.HEAVY), default=0),
            picture=tuple(pictures.ranges()),
        )

    def tags(self, path: str, lane: Lane) -> list[str]:
        return [tag for one, _, tag in self.written.get(path, []) if one is lane]


HEAVY_BYTES = 8 * MIB
Entry = tuple[str, Lane, int, str]


class MemoryDaemon:
    """The reception, and its other threads: they work when they are told to.

    Attributes:
        replies: what it said, not yet delivered.
        commands: what the writer has still to do.
        renders: pictures that wait for the renderer.
        heavy: records of the heavy lane that do.
        entries: what the writer holds until its next commit.
    """

    def __init__(self, disk: Disk, instance: int) -> None:
        self._disk = disk
        self._runs: dict[int, str] = {}
        self._paused: set[str] = set()
        self._now = 0.0
        self.peer = b""
        self.replies: deque[Frames] = deque()
        self.commands: deque[Action] = deque()
        self.renders: list[Record] = []
        self.heavy: deque[Record] = deque()
        self.entries: list[Entry] = []
        self.reception = Reception(
            instance=f"{instance:016x}",
            logdir=Path("/logdir"),
            absolute_paths=True,
            limits=Limits(4 * MIB, 4 * MIB),
            process_is_gone=lambda _: False,
        )

    @property
    def open_runs(self) -> set[int]:
        return set(self._runs)

    def take(self, frames: Frames) -> None:
        self.carry_out(self.reception.feed(self.peer, frames, self._now))

    def tick(self) -> None:
        self._now += 0.03
        self.carry_out(self.reception.tick(self._now))

    def carry_out(self, actions: Iterable[Action]) -> None:
        for action in actions:
            if isinstance(action, Render) and action.record.lane is Lane.HEAVY:
                self.heavy.append(action.record)
            elif isinstance(action, Render):
                self.renders.append(action.record)
            elif not isinstance(action, Send):
                self.commands.append(action)
            elif action.peer == self.peer:
                self.replies.append([bytes(frame) for frame in action.frames])

    def _report(self, outcome: Outcome) -> None:
        self.carry_out(self.reception.apply(outcome))

    # The writer and the renderer

    def write(self, count: int = 1_000_000) -> None:
        """Do what the writer was asked, at most ``count`` things."""
        while self.commands and count:
            count -= 1
            match command := self.commands.popleft():
                case OpenRun(run=run, path=path):
                    if path in self._disk.busy:
                        self._report(RunRefused(WORKER.id, run, Refusal.RUN_BUSY, f"{path} is busy", "ipc:///other"))
                    elif path in self._paused and run not in self._runs:
                        self._report(RunRefused(WORKER.id, run, Refusal.RUN_UNWRITABLE, f"{path} is full"))
                    elif path in self._paused:
                        self._report(RunPaused(WORKER.id, run, f"{path} is full"))
                    else:
                        self._runs[run] = path
                        self._report(RunOpened(WORKER.id, run, self._disk.marks(path)))
                case CloseRun(run=run):
                    self.commit()
                    self._runs.pop(run, None)
                    self._report(RunClosed(WORKER.id, run))
                case WriteScalars():
                    columns = command.columns
                    for low, high in command.rows:
                        for row in range(low, high + 1):
                            series = columns.series[int(columns.index[row])]
                            tag = f"{series.tag} {columns.values[row]:g}"
                            self._append(series.run, Lane.LIGHT, columns.first_seq + row, tag)
                case WriteRecord(record=record):
                    self._append(record.run, Lane.LIGHT, record.seq, record.tag)
                case Commit():
                    self.commit()

    def _append(self, run: int, lane: Lane, seq: int, tag: str) -> None:
        self.entries.append((self._runs[run], lane, seq, tag))

    def render(self, choice: int, end: str = "written") -> None:
        """End the rendering of one of the pictures that wait."""
        if not self.renders:
            return
        self._end(self.renders.pop(choice % len(self.renders)), end)

    def encode(self, end: str = "written") -> None:
        """End the oldest record of the heavy lane."""
        if self.heavy:
            self._end(self.heavy.popleft(), end)

    def _end(self, record: Record, end: str) -> None:
        if end == "dropped":
            self._report(Dropped(WORKER.id, record))
        elif end == "rejected" or record.run not in self._runs:
            self._report(Rejected(WORKER.id, record, "cannot be drawn"))
        else:
            self._append(record.run, record.lane, record.seq, record.tag)

    def commit(self, only: str = "") -> None:
        """Write what is held, as the event files would be: what a marker covers is not written twice.

        Args:
            only: a run directory; the others are not written.
        """
        entries = [entry for entry in self.entries if only in ("", entry[0]) and entry[0] not in self._disk.full]
        self.entries = [entry for entry in self.entries if only not in ("", entry[0]) or entry[0] in self._disk.full]
        for path, lane, seq, tag in entries:
            marks = self._disk.marks(path)
            if lane is Lane.PICTURE:
                done = seq in IntervalSet(marks.picture)
            else:
                done = seq <= (marks.light if lane is Lane.LIGHT else marks.heavy)
            if not done:
                self._disk.written.setdefault(path, []).append((lane, seq, tag))
        for _, lane, seq, _ in entries:
            self._report(Settled(WORKER.id, lane, ((seq, seq),)))
        self._pause_and_go_on()

    def _pause_and_go_on(self) -> None:
        """Of a directory with entries that it cannot write no more is wanted, until it has written them."""
        for path in sorted({path for path, *_ in self.entries if path in self._disk.full} - self._paused):
            self._paused.add(path)
            for run in [run for run, of_run in self._runs.items() if of_run == path]:
                self._report(RunPaused(WORKER.id, run, f"{path} is full"))
        for path in sorted(self._paused - self._disk.full):
            self._paused.remove(path)
            for run in [run for run, of_run in self._runs.items() if of_run == path]:
                self._report(RunOpened(WORKER.id, run, self._disk.marks(path)))

    def finish(self) -> None:
        """Everything that arrived comes to its end, but for what cannot be written."""
        self.commit()
        while self.commands or self.renders or self.heavy or {path for path, *_ in self.entries} - self._disk.full:
            self.write()
            self.render(0)
            self.encode()
            if not self.renders and not self.heavy:
                self.commit()
        self.tick()


class Rig:
    """A worker, the daemon that it is connected to, and what is under way between them.

    Attributes:
        requests: what the worker sent, not yet delivered.
        said: what its user was told.
        memories: every snapshot so far.
    """

    def __init__(
        self, spool: Path | None = None, left: LeftSpool | None = None, *, budget_bytes: int = 64 * MIB
    ) -> None:
        self.now = 100.0
        self.disk = Disk()
        self.daemon = MemoryDaemon(self.disk, 1)
        self.outbox = Outbox(wake=lambda: None, pressure_bytes=1 << 40, heavy_bytes=HEAVY_BYTES)
        self.said: list[str] = []
        self.spool = None if spool is None else Spool([spool], WORKER, budget_bytes=budget_bytes, say=self.said.append)
        if left is not None:
            self.spool = left.spool
        self.runs: list[RunHandle] = []
        self._runs = Runs()
        self.delivery = Delivery(WORKER, self.outbox, self._runs, say=self.said.append, spool=self.spool)
        if left is not None:
            self.delivery.restore(left)
        self.requests: deque[Frames] = deque()
        self.memories: list[Memory] = []
        self._instances = 1

    # Calls

    def open_run(self, path: str = "/runs/a") -> RunHandle:
        """As a connection does it."""
        run = self._runs.open(path)
        if run not in self.runs:
            self.runs.append(run)
        return run

    def end_run(self, run: RunHandle) -> None:
        if self._runs.close(run):
            self.outbox.put_fence(RunEnd(run, run.closings))

    def scalar(self, value: float, *, tag: str = "loss", run: int = 1) -> None:
        assert self.outbox.put_light((Series(run, tag), 0, 0.0, float(value)))

    def text(self, tag: str = "note", *, run: int = 1, payload: bytes = b"text") -> None:
        assert self.outbox.put_light(RecordCall(run, Kind.TEXT, tag, 0, 0.0, {}, (kept_bytes(payload),)))

    def picture(self, tag: str = "map", *, run: int = 1, nbytes: int = 4) -> Memory:
        memory = Memory(nbytes)
        self.memories.append(memory)
        options: dict[str, object] = {"recipe": {"layout": "grid"}}
        self.outbox.put_picture(RecordCall(run, Kind.PICTURE, tag, 0, 0.0, options, (memory,)))
        return memory

    def clip(self, tag: str = "clip", *, run: int = 1, nbytes: int = 4) -> bool:
        """A record of the heavy lane; False when there was no room for it."""
        if not self.outbox.reserve_heavy(nbytes):
            return False
        spec = BufferSpec(UINT8, (nbytes,))
        samples = BorrowedSnapshot(spec, memoryview(bytes(nbytes)), None)
        self.outbox.put_heavy(RecordCall(run, Kind.AUDIO, tag, 0, 0.0, {"sample_rate": 8000}, (samples,)))
        return True

    def flush(self, *, everything: bool = False, runs: frozenset[int] | None = None) -> FlushRequest:
        request = FlushRequest(everything, runs)
        self.outbox.put_fence(request)
        return request

    # The connection

    def connect(self) -> None:
        """A new connection; whatever was under way in the old one is lost."""
        self.requests.clear()
        self.daemon.replies.clear()
        self.delivery.connected()
        self.daemon.peer = b"peer-%d" % self.delivery.epoch

    def new_daemon(self) -> None:
        """The daemon has died, with what it had not written; another takes its place."""
        self._instances += 1
        self.daemon = MemoryDaemon(self.disk, self._instances)
        self.delivery.disconnected()

    def pass_time(self, seconds: float) -> None:
        """What the sender thread does as time passes, whether there is a daemon or not."""
        self.delivery.collect(self.now)
        self.now += seconds
        self.delivery.collect(self.now)
        self.delivery.spill(self.now)

    def look(self, count: int = 1_000_000) -> None:
        """What the sender thread does at a look; it sends at most ``count`` messages."""
        if self.delivery.phase is Phase.AWAY:
            self.connect()
        self.delivery.collect(self.now)
        self.delivery.ask_again(self.now)
        while count and (frames := self.delivery.peek()) is not None:
            count -= 1
            self.requests.append([bytes(frame) for frame in frames])
            self.delivery.sent()

    def deliver(self, count: int = 1_000_000) -> None:
        """Requests arrive."""
        while self.requests and count:
            count -= 1
            self.daemon.take(self.requests.popleft())

    def answer(self, count: int = 1_000_000) -> None:
        """Replies arrive."""
        while self.daemon.replies and count:
            count -= 1
            self.delivery.feed([bytes(frame) for frame in self.daemon.replies.popleft()])

    def exchange(self, rounds: int = 3) -> None:
        """Messages arrive and are answered, runs are opened; what was logged is not written yet."""
        for _ in range(rounds):
            self.look()
            self.deliver()
            self.daemon.write()
            self.daemon.tick()
            self.answer()

    def settle(self) -> None:
        """Everything that was called comes to its end."""
        for _ in range(200):
            self.exchange(1)
            self.daemon.finish()
            self.answer()
            stuck = self.delivery.is_stuck and self.delivery.phase is Phase.LIVE
            if (stuck or not (self.delivery.busy or self.delivery.phase is Phase.AWAY)) and not self.delivery.awaited:
                return
        raise AssertionError(f"it does not come to an end: {self.delivery.phase}, {self.statistics}")

    def leave(self) -> None:
        self.delivery.leave()
        while self.delivery.phase is not Phase.GONE:
            self.look()
            self.deliver()
            self.daemon.finish()
            self.answer()

    @property
    def spool_exists(self) -> bool:
        return self.spool is not None and self.spool.path.exists()

    @property
    def statistics(self) -> Statistics:
        return self.delivery.statistics()

    def written(self, path: str = "/runs/a", lane: Lane = Lane.LIGHT) -> list[str]:
        return self.disk.tags(path, lane)


def ends(memories: Sequence[Memory]) -> list[str]:
    return [memory.end for memory in memories]
