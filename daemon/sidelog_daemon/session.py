"""What the daemon knows of one worker: its connection epoch, its runs, and how far each lane has come.

No I/O and no clock: messages and outcomes go in, counters and statuses come out. Used by the receiver thread only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from sidelog_daemon.actions import CloseRun
from sidelog_daemon.meter import Meter
from sidelog_shared.client_view import ClientView
from sidelog_shared.errors import LimitExceeded, MalformedHeader
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.missing import PRESSURE_IN_DAEMON, Missing, listed
from sidelog_shared.records import Buffer, End, Lane, LaneState, Record, Worker
from sidelog_shared.replies import MAX_SETTLED_RANGES, MAX_STATE_RANGES, Settled, Status, Trouble
from sidelog_shared.requests import Hello, Part


class RunState(Enum):
    OPENING = "opening"
    OPEN = "open"
    CLOSING = "closing"


@dataclass(slots=True)
class Assembly:
    """A record whose bytes arrive in parts."""

    record: Record
    buffers: list[memoryview]
    buffer: int = 0
    offset: int = 0

    @classmethod
    def begin(cls, record: Record) -> Assembly:
        # Not a bytearray: that would be cleared first, and copies what is assigned to a slice of it twice.
        return cls(record, [np.empty(spec.nbytes, np.uint8).data for spec in record.specs])

    def add(self, part: Part) -> Record | None:
        """Take the next part; returns the whole record with the last one.

        Raises:
            MalformedHeader: it is not the next one.
        """
        while self.buffer < len(self.buffers) and self.offset == len(self.buffers[self.buffer]):
            self.buffer, self.offset = self.buffer + 1, 0
        if (part.buffer, part.offset) != (self.buffer, self.offset):
            raise MalformedHeader(
                f"PART is buffer {part.buffer} offset {part.offset:,}, expected buffer {self.buffer} "
                f"offset {self.offset:,}: parts come in order"
            )
        if self.buffer >= len(self.buffers) or self.offset + len(part.data) > len(self.buffers[self.buffer]):
            raise MalformedHeader(f"PART has {len(part.data):,} bytes, more than its buffer has left")
        self.buffers[self.buffer][self.offset : self.offset + len(part.data)] = part.data
        self.offset += len(part.data)
        for index in range(self.buffer, len(self.buffers)):
            if (self.offset if index == self.buffer else 0) < len(self.buffers[index]):
                return None
        whole: tuple[Buffer, ...] = tuple(self.buffers)
        record = self.record
        return Record(
            record.lane,
            record.seq,
            record.run,
            record.kind,
            record.tag,
            record.step,
            record.wall_time,
            record.options,
            record.specs,
            whole,
        )


@dataclass(slots=True)
class Session:
    """One worker, over all its connections.

    Attributes:
        worker: who it is.
        peer: ZeroMQ's routing id of its newest connection.
        epoch: that connection's number; messages of older ones are discarded.
        heard_at: when its last message came.
        features: what both sides can do.
        runs: the runs it asked for, by its own ids.
        refusals: why runs were refused, of those that are.
        lanes: how far each lane has come.
        leaving: it said goodbye, or it is dead.
        is_remembered: its runs go on knowing what of it stands in them, after its goodbye.
        awaiting_state: it asked for a flush, and waits for what comes of it.
        hastened_at: when the writer was last asked to write what it has of it.
        stated_at: when its last STATE was sent.
        changed: something happened that it has not been told.
        faults: its messages that were not taken, by why.
        complaints: log lines about what it sent, those that were not written included.
        known_since: when it was first heard of.
        received_records: records that came so far; those that came again not counted.
        received_bytes: bytes that came so far, of all its messages.
        meter: how fast those two grow.
        told_open: runs of which the log says that they are open.
        view: what it says of itself.
        viewed_at: when it said so.
        last_trouble: what its user was told last.
        troubled_at: when that was, by the last message before it.
    """

    worker: Worker
    peer: bytes
    epoch: int
    heard_at: float
    features: tuple[str, ...] = ()
    runs: dict[int, RunState] = field(default_factory=dict)
    refusals: dict[int, str] = field(default_factory=dict)
    lanes: dict[Lane, LaneState] = field(default_factory=lambda: {lane: LaneState() for lane in Lane})
    leaving: bool = False
    is_remembered: bool = False
    alive: bool = True
    drained: bool = False
    awaiting_state: bool = False
    hastened_at: float = 0.0
    stated_at: float = 0.0
    changed: bool = False
    faults: Counter[str] = field(default_factory=Counter)
    complaints: int = 0
    known_since: float = 0.0
    received_records: int = 0
    received_bytes: int = 0
    meter: Meter = field(init=False)
    told_open: set[int] = field(default_factory=set)
    view: ClientView | None = None
    viewed_at: float = 0.0
    last_trouble: str = ""
    troubled_at: float = 0.0
    _untold: dict[Lane, IntervalSet] = field(default_factory=lambda: {lane: IntervalSet() for lane in Lane})
    _highest: dict[tuple[Lane, int], int] = field(default_factory=dict)
    _assemblies: dict[tuple[Lane, int], Assembly] = field(default_factory=dict)
    _dropped_tags: dict[str, int] = field(default_factory=dict)
    _troubles: list[Trouble] = field(default_factory=list)
    _trouble_count: int = 0
    _missing: Counter[tuple[int, str, str]] = field(default_factory=Counter)
    _told_missing: dict[int, tuple[Missing, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known_since = self.heard_at
        self.meter = Meter(self.heard_at, 2)

    @property
    def dropped_tags(self) -> dict[str, int]:
        """Pictures dropped under pressure, by tag."""
        return self._dropped_tags

    @property
    def unsettled(self) -> int:
        """Records that arrived and have not reached their end."""
        return sum(len(state.received) - len(state.settled) for state in self.lanes.values())

    @property
    def begun_bytes(self) -> int:
        """Records in parts that have begun to arrive: what they will take."""
        return sum(one.record.nbytes for one in self._assemblies.values())

    @property
    def settled(self) -> bool:
        """Whether everything that arrived has reached its end."""
        return not self._assemblies and all(len(state.received) == len(state.settled) for state in self.lanes.values())

    @property
    def awaits_rendering(self) -> bool:
        """Whether it waits for records that are not written, some of which may still be rendered."""
        return self.alive and self.awaiting_state and not self.settled

    def connect(self, peer: bytes, epoch: int, hello: Hello, now: float) -> None:
        """Begin a new connection epoch: what HELLO says will never come is settled, uncounted."""
        self.peer, self.epoch, self.heard_at, self.features = peer, epoch, now, hello.features
        self.leaving = False
        self.drained = False
        self.alive = True
        self._assemblies.clear()
        for lane, state in self.lanes.items():
            last = hello.next_seq[lane] - 1
            for hole in state.received.missing(1, last) if last else ():
                state.received.add(*hole)
                state.settled.add(*hole)
        self.tell_all()
        self.changed |= any(state.settled.range_count > MAX_STATE_RANGES for state in self.lanes.values())

    def take(self, lane: Lane, first: int, last: int, spans: Mapping[int, tuple[int, int]]) -> list[tuple[int, int]]:
        """Mark ``first..last`` as received; returns those that are new, as ranges.

        Args:
            lane: their lane.
            first: the lowest number.
            last: the highest.
            spans: for each run the lowest and the highest number of its records.

        Raises:
            MalformedHeader: the lane is reliable and a higher number of the same run was taken before. The markers know
                the highest number alone, so a lower one that came later would count as written.
        """
        state = self.lanes[lane]
        fresh = state.received.missing(first, last)
        if fresh and lane.reliable:
            for run, (low, _) in spans.items():
                highest = self._highest.get((lane, run), 0)
                if low < highest and state.received.missing(low, min(spans[run][1], highest)):
                    raise MalformedHeader(
                        f"{lane.value} record {low:,} of run {run} comes after {highest:,}, expected the records of "
                        "a run's reliable lane in order"
                    )
            for run, (_, high) in spans.items():
                self._highest[lane, run] = max(self._highest.get((lane, run), 0), high)
        for hole in fresh:
            state.received.add(*hole)
            self.received_records += hole[1] - hole[0] + 1
        self.changed = True
        return fresh

    def take_record(self, record: Record, budget_bytes: int) -> Record | None:
        """Take a new record over if it is whole; None when its parts are to come.

        Raises:
            LimitExceeded: its parts would take more than ``budget_bytes``.
            MalformedHeader: see :meth:`take`.
        """
        if record.in_parts:
            begun = self.begun_bytes
            if begun + record.nbytes > budget_bytes:
                raise LimitExceeded(
                    f"RECORD of {record.nbytes:,} bytes in parts, with {begun:,} bytes of others begun, "
                    f"limit {budget_bytes:,} (limits.session_budget_bytes)"
                )
            self._assemblies[record.lane, record.seq] = Assembly.begin(record)
            return None
        self._take_one(record)
        return record

    def take_part(self, part: Part) -> Record | None:
        """Add a part; returns the record once it is whole.

        Raises:
            MalformedHeader: it does not continue its record; the record is given up.
        """
        key = (part.lane, part.seq)
        assembly = self._assemblies.get(key)
        if assembly is None:
            # The rest of a record that was refused, or known from an older epoch.
            return None
        try:
            record = assembly.add(part)
        except MalformedHeader:
            del self._assemblies[key]
            raise
        if record is not None:
            del self._assemblies[key]
            self._take_one(record)
        return record

    def _take_one(self, record: Record) -> None:
        self.take(record.lane, record.seq, record.seq, {record.run: (record.seq, record.seq)})

    def give_up_parts(self) -> None:
        """The rest of what has begun will not come in this epoch."""
        self._assemblies.clear()

    def settle(self, lane: Lane, ranges: Iterable[tuple[int, int]], end: End) -> None:
        state = self.lanes[lane]
        for first, last in ranges:
            state.received.add(first, last)
            count = state.settled.add(first, last)
            if count:
                state.ends[end] = state.ends.get(end, 0) + count
                self._untold[lane].add(first, last)
        self.changed = True

    def drop(self, record: Record) -> None:
        """Settle a picture that was dropped under pressure."""
        self._dropped_tags[record.tag] = self._dropped_tags.get(record.tag, 0) + 1
        self._missing[record.run, record.tag, PRESSURE_IN_DAEMON] += 1
        self.settle(record.lane, [(record.seq, record.seq)], End.DROPPED)

    def hear_missing(self, missing: tuple[Missing, ...]) -> None:
        """What the worker says of pictures that did not come; its newest word on a run counts."""
        for run in {one.run for one in missing}:
            self._told_missing[run] = tuple(one for one in missing if one.run == run)

    def close_of(self, run: int, *, forget: bool) -> CloseRun:
        """Let go of an open run, and say what of its pictures it does not hold."""
        self.runs[run] = RunState.CLOSING
        here = listed({key: count for key, count in self._missing.items() if key[0] == run})
        for key in [key for key in self._missing if key[0] == run]:
            del self._missing[key]
        told = self._told_missing.pop(run, ())
        return CloseRun(self.worker.id, run, forget, self.worker.label, (*told, *here))

    def reject(self, lane: Lane, ranges: Iterable[tuple[int, int]], why: str) -> None:
        """Settle records that cannot be written, and remember why."""
        ranges = list(ranges)
        for first, last in ranges:
            for key in [key for key in self._assemblies if key[0] is lane and first <= key[1] <= last]:
                del self._assemblies[key]
        self.settle(lane, ranges, End.REJECTED)
        self.note(why)

    def note(self, text: str) -> None:
        self._trouble_count += 1
        self._troubles = [*self._troubles[-7:], Trouble(self._trouble_count, text)]
        self.last_trouble, self.troubled_at = text, self.heard_at
        self.changed = True

    def status(self) -> Status:
        return Status(self.lanes, self._dropped_tags, tuple(self._troubles))

    def tell_all(self) -> None:
        """What was told may not have been heard: all that has settled is told again."""
        self._untold = {lane: IntervalSet(state.settled.ranges()) for lane, state in self.lanes.items()}

    def tell_settled(self) -> Settled | None:
        """What has settled and was not told, beside a STATE; some of it, if it is much.

        Returns:
            None where the STATE says it all.
        """
        told: dict[Lane, tuple[tuple[int, int], ...]] = {}
        room = MAX_SETTLED_RANGES
        for lane, state in self.lanes.items():
            untold = self._untold[lane]
            if state.settled.range_count <= MAX_STATE_RANGES:
                untold.take_lowest(untold.range_count)
                continue
            told[lane] = tuple(untold.take_lowest(room))
            room -= len(told[lane])
            self.changed |= bool(untold)
        return Settled(told) if room < MAX_SETTLED_RANGES else None
