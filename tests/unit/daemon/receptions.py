"""A reception without sockets, and clients that hand it messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from sidelog_daemon.actions import (
    Action,
    CloseRun,
    OpenRun,
    Outcome,
    Render,
    RunClosed,
    RunOpened,
    Send,
    Settled,
    WriteRecord,
    WriteScalars,
)
from sidelog_daemon.reception import Reception
from sidelog_shared import dtypes, replies, requests
from sidelog_shared.frames import unpack
from sidelog_shared.limits import MIB, Limits
from sidelog_shared.records import (
    Buffer,
    BufferSpec,
    Kind,
    Lane,
    Record,
    RunMarks,
    ScalarColumns,
    Series,
    Worker,
)

INSTANCE = "d" * 16
_T = TypeVar("_T")


def make_reception(
    logdir: Path, *, absolute_paths: bool = True, process_is_gone: Callable[[Worker], bool] = lambda _: False
) -> Reception:
    return Reception(
        instance=INSTANCE,
        logdir=logdir,
        absolute_paths=absolute_paths,
        limits=Limits(4 * MIB, 4 * MIB),
        process_is_gone=process_is_gone,
    )


def text(seq: int, payload: bytes = b"hello", *, run: int = 1, tag: str = "note", storage: str = "frame") -> Record:
    spec = BufferSpec(dtypes.UINT8, (len(payload),), storage)
    return Record(Lane.LIGHT, seq, run, Kind.TEXT, tag, seq, 0.0, {}, (spec,), (payload,))


def picture(
    seq: int, *, run: int = 1, tag: str = "map", size: int = 4, storage: str = "frame", lane: Lane = Lane.PICTURE
) -> Record:
    spec = BufferSpec(dtypes.UINT8, (1, 1, 1, size), storage)
    options = {"recipe": {"layout": "grid"}}
    return Record(lane, seq, run, Kind.PICTURE, tag, seq, 0.0, options, (spec,), (bytes(size),))


def scalars(first: int, count: int, *, run: int = 1, runs: Iterable[int] = ()) -> requests.Scalars:
    """Rows go round the runs in turn."""
    chosen = list(runs) or [run]
    return requests.Scalars(
        ScalarColumns(
            first,
            tuple(Series(one, "loss") for one in chosen),
            np.arange(count, dtype=np.uint32) % len(chosen),
            np.arange(first, first + count),
            np.zeros(count),
            np.arange(count, dtype=np.float64),
        )
    )


@dataclass
class Client:
    """One worker; what the reception answers, and asks of other threads, is kept here.

    Attributes:
        heard: every reply so far.
        asked: every other action so far.
    """

    reception: Reception
    id: str = "a" * 16
    peer: bytes = b"peer-1"
    epoch: int = 1
    now: float = 0.0
    heard: list[replies.Reply] = field(default_factory=list)
    asked: list[Action] = field(default_factory=list)

    @property
    def worker(self) -> Worker:
        return Worker(self.id, "host", 4711)

    def take(self, actions: Iterable[Action]) -> list[replies.Reply]:
        """Sort what the reception wants; returns the replies to this client."""
        said = []
        for action in actions:
            if not isinstance(action, Send):
                self.asked.append(action)
            elif action.peer == self.peer:
                reply = replies.read_reply(unpack(action.frames, max_bytes=MIB))
                assert reply is not None
                said.append(reply)
        self.heard += said
        return said

    def frames(self, frames: list[Buffer]) -> list[replies.Reply]:
        return self.take(self.reception.feed(self.peer, [memoryview(frame) for frame in frames], self.now))

    def say(self, request: requests.Request) -> list[replies.Reply]:
        return self.frames(request.frames(self.epoch))

    def send(self, record: Record) -> list[replies.Reply]:
        """A record, and its parts where it has some."""
        heard = self.say(requests.RecordMessage(record))
        for frames in requests.part_messages(record, self.epoch):
            heard += self.frames(frames)
        return heard

    def hello(self, *, light: int = 1, heavy: int = 1, picture: int = 1) -> list[replies.Reply]:
        next_seq = {Lane.LIGHT: light, Lane.HEAVY: heavy, Lane.PICTURE: picture}
        return self.say(requests.Hello(self.worker, next_seq=next_seq))

    def reconnect(self, peer: bytes, **next_seq: int) -> replies.Welcome:
        self.peer, self.epoch = peer, self.epoch + 1
        (welcome,) = self.hello(**next_seq)
        assert isinstance(welcome, replies.Welcome)
        return welcome

    def open(self, run: int = 1, path: str = "/runs/exp1", marks: RunMarks | None = None) -> None:
        """Open a run, with the writer's answer."""
        self.say(requests.OpenRun(run, path))
        self.report(RunOpened(self.id, run, marks or RunMarks()))

    def report(self, outcome: Outcome) -> list[replies.Reply]:
        return self.take(self.reception.apply(outcome))

    def settle(self, lane: Lane, first: int, last: int | None = None) -> list[replies.Reply]:
        return self.report(Settled(self.id, lane, ((first, first if last is None else last),)))

    def state(self) -> replies.Status:
        (state,) = self.say(requests.Heartbeat())
        assert isinstance(state, replies.State)
        return state.status

    def tick(self, now: float) -> list[replies.Reply]:
        self.now = now
        return self.take(self.reception.tick(now))

    def wanted(self, kind: type[_T]) -> list[_T]:
        """Actions of one kind, taken off the list."""
        found = [action for action in self.asked if isinstance(action, kind)]
        self.asked = [action for action in self.asked if not isinstance(action, kind)]
        return found

    def written_seqs(self) -> dict[Lane, list[int]]:
        """What the writer and the renderer were given so far, taken off the list."""
        seqs: dict[Lane, list[int]] = {lane: [] for lane in Lane}
        for scalar in self.wanted(WriteScalars):
            for low, high in scalar.rows:
                seqs[Lane.LIGHT] += range(scalar.columns.first_seq + low, scalar.columns.first_seq + high + 1)
        for one in [*self.wanted(WriteRecord), *self.wanted(Render)]:
            seqs[one.record.lane].append(one.record.seq)
        return seqs

    def serve_runs(self) -> None:
        """Answer what was asked of the writer about runs, as it would."""
        for opening in self.wanted(OpenRun):
            self.report(RunOpened(opening.worker, opening.run, RunMarks()))
        for closing in self.wanted(CloseRun):
            self.report(RunClosed(closing.worker, closing.run))
