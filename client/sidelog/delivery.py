"""The client's side of the protocol: what was sent, what has settled, what to send next. No I/O, no threads.

The sender thread drives it: it opens a connection (``connected``), feeds replies (``feed``), hands over what was
called (``collect``), and sends what ``peek`` gives until there is nothing or the socket takes no more.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from sidelog.outbox import FlushRequest, LightCall, Outbox, PictureCall, ScalarCall, TextCall
from sidelog.snapshot import Snapshot
from sidelog_shared import replies, requests
from sidelog_shared.dtypes import UINT8
from sidelog_shared.errors import ProtocolError, TransportError, VersionMismatch, WriterError
from sidelog_shared.frames import unpack
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import KIB, MAX_PICTURE_RANGES, MIB, PART_BYTES
from sidelog_shared.records import (
    Buffer,
    BufferSpec,
    End,
    Kind,
    Lane,
    Record,
    Refusal,
    ScalarColumns,
    Series,
    Worker,
)

if TYPE_CHECKING:
    from sidelog.cuda_snapshot import PendingScalar

log = logging.getLogger("sidelog")

MAX_ROWS = 8192
"""Scalars in one message: 230 kB, small enough that nothing waits long behind it."""
MAX_SERIES_BYTES = 32 * KIB
"""Tags in one message: half of the header's limit."""
MAX_LIGHT_BYTES = 64 * MIB
"""Reliable records held until settled; beyond it the calls wait in the outbox."""
LIGHT_WINDOW_BYTES = 8 * MIB
"""Reliable records under way at once, so that a daemon with a slow disk is not handed everything."""


class Phase(Enum):
    """Where a connection stands."""

    AWAY = "away"
    GREETING = "greeting"
    OPENING = "opening"
    LIVE = "live"
    DRAINING = "draining"
    LEAVING = "leaving"
    GONE = "gone"


@dataclass(slots=True)
class RunHandle:
    """A run directory that this worker logs into.

    Attributes:
        id: how records name it.
        path: what OPEN_RUN says.
        refused: why the daemon refused it, once it has; empty otherwise.
    """

    id: int
    path: str
    refused: str = ""


@dataclass(slots=True)
class _Batch:
    """A reliable message, kept until every record in it is settled."""

    message: requests.Scalars | requests.RecordMessage
    first: int
    last: int
    nbytes: int


@dataclass(slots=True)
class _Flight:
    """A picture that was sent and has not settled."""

    call: PictureCall
    snapshots: tuple[Snapshot, ...]


@dataclass(frozen=True, slots=True)
class Statistics:
    """What became of the records of one connection so far.

    Attributes:
        logged: calls that were taken, pictures that were dropped included.
        written: records that stand in an event file.
        rejected: records that the daemon could not write.
        dropped: pictures dropped under pressure, here or in the daemon.
        lost: records that went down with a daemon, or that no daemon took before the deadline.
        pending: records under way.
        dropped_tags: pictures dropped, by tag.
    """

    logged: int
    written: int
    rejected: int
    dropped: int
    lost: int
    pending: int
    dropped_tags: dict[str, int]


@dataclass(slots=True)
class _Totals:
    """Ends as the daemons told them; a new daemon begins at zero, so what earlier ones said is kept apart."""

    earlier: Counter[End] = field(default_factory=Counter)
    current: Counter[End] = field(default_factory=Counter)
    earlier_tags: Counter[str] = field(default_factory=Counter)
    current_tags: Counter[str] = field(default_factory=Counter)

    def fold(self) -> None:
        self.earlier.update(self.current)
        self.earlier_tags.update(self.current_tags)
        self.current, self.current_tags = Counter(), Counter()

    def __getitem__(self, end: End) -> int:
        return self.earlier[end] + self.current[end]

    def tags(self) -> Counter[str]:
        return self.earlier_tags + self.current_tags


class Delivery:
    """One worker's connection to one daemon, over all its epochs. Used by the sender thread only.

    Args:
        worker: who this is.
        outbox: what was called.
        say: tells the user something (once per text).
    """

    def __init__(self, worker: Worker, outbox: Outbox, *, say: Callable[[str], None]) -> None:
        self._worker = worker
        self._outbox = outbox
        self._say = say
        self.phase = Phase.AWAY
        self.epoch = 0
        self.failure: Exception | None = None
        self._instance = ""
        self._runs: dict[int, RunHandle] = {}
        self._unanswered: set[int] = set()
        self._control: deque[list[Buffer]] = deque()
        # Light lane: batches in order of their numbers; the first `_sent` of them were sent in this epoch.
        self._batches: deque[_Batch] = deque()
        self._sent = 0
        self._light_bytes = 0
        self._window_bytes = 0
        self._last_light = 0
        # Picture lane.
        self._flights: dict[int, _Flight] = {}
        self._unresolved: set[int] = set()
        self._last_picture = 0
        self._parts: deque[list[Buffer]] = deque()
        self._lost = 0
        self._unwritten_light = 0
        self._totals = _Totals()
        self._heard_troubles = 0
        self._flushes: list[FlushRequest] = []
        self._max_record_bytes = MIB
        self._too_large: Counter[str] = Counter()

    # Runs

    def add_run(self, run: RunHandle) -> None:
        self._runs[run.id] = run
        if self.phase in (Phase.LIVE, Phase.OPENING):
            self._open(run)

    def close_run(self, run: RunHandle) -> None:
        """Nothing more will be logged into it; everything that was has settled, or is given up."""
        if self._runs.pop(run.id, None) is not None and self.phase is Phase.LIVE and not run.refused:
            self._control.append(requests.CloseRun(run.id).frames(self.epoch))

    def _open(self, run: RunHandle) -> None:
        if not run.refused:
            self._unanswered.add(run.id)
            self._control.append(requests.OpenRun(run.id, run.path).frames(self.epoch))

    # Connections

    def connected(self) -> None:
        """A new connection: a new epoch begins with HELLO."""
        self.epoch += 1
        self.phase = Phase.GREETING
        self._control.clear()
        self._unanswered.clear()
        self._parts.clear()
        self._sent = 0
        self._window_bytes = 0
        self.say_hello()

    def say_hello(self) -> None:
        """Say HELLO, or say it again when nobody answered."""
        next_seq = {
            Lane.LIGHT: self._batches[0].first if self._batches else self._last_light + 1,
            Lane.HEAVY: 1,
            Lane.PICTURE: self._last_picture + 1,
        }
        self._control.append(requests.Hello(self._worker, next_seq=next_seq).frames(self.epoch))

    def heartbeat(self) -> None:
        if self.phase in (Phase.LIVE, Phase.OPENING, Phase.DRAINING, Phase.LEAVING):
            self._control.append(requests.Heartbeat().frames(self.epoch))

    def disconnected(self) -> None:
        self.phase = Phase.AWAY

    def leave(self) -> None:
        """Say goodbye; GOODBYE answers it once every run is closed."""
        self.phase = Phase.LEAVING
        self._control.append(requests.Bye().frames(self.epoch))

    # Replies

    def feed(self, frames: list[bytes]) -> None:
        """Take one message from the daemon. A message that breaks the protocol is told to the user, not raised."""
        try:
            envelope = unpack(frames, max_bytes=MIB)
            reply = replies.read_reply(envelope)
        except VersionMismatch as error:
            self.failure = VersionMismatch(f"the daemon speaks another protocol: {error}")
            self._say(str(self.failure))
            return
        except ProtocolError as error:
            self._say(f"the daemon sent a message that breaks the protocol: {error}")
            return
        if reply is None or (envelope.epoch != self.epoch and not isinstance(reply, replies.Refused)):
            return
        match reply:
            case replies.Welcome():
                self._welcome(reply)
            case replies.Opened():
                self._opened(reply)
            case replies.Refused():
                self._refused(reply)
            case replies.State():
                self._apply(reply.status)
            case replies.Reset():
                if self.phase not in (Phase.GREETING, Phase.AWAY):
                    self.disconnected()
            case replies.Draining():
                if self.phase is not Phase.GONE:
                    # FLUSH is the last word of this epoch: the daemon knows then that nothing is under way.
                    self._parts.clear()
                    self._control.append(requests.Flush().frames(self.epoch))
                    self.phase = Phase.DRAINING
            case replies.Goodbye():
                self._apply(reply.status)
                self.phase = Phase.GONE if self.phase is Phase.LEAVING else Phase.AWAY

    def _welcome(self, welcome: replies.Welcome) -> None:
        if self.phase is not Phase.GREETING:
            return
        self.failure = None
        self._max_record_bytes = welcome.limits.max_record_bytes
        if welcome.known and welcome.instance == self._instance:
            self._apply(welcome.status)
            received = welcome.status.lanes[Lane.PICTURE].received
            for seq in [seq for seq in self._flights if seq not in received]:
                self._lose(seq)
        else:
            # Another daemon, or one that has forgotten us: what it does not find in the run directories is lost.
            self._totals.fold()
            self._heard_troubles = 0
            self._unresolved = set(self._flights)
        self._instance = welcome.instance
        self.phase = Phase.OPENING
        for run in self._runs.values():
            self._open(run)
        self._enter_live()

    def _opened(self, opened: replies.Opened) -> None:
        if opened.run not in self._unanswered:
            return
        written = IntervalSet(opened.marks.picture)
        for seq in [seq for seq in self._unresolved if self._flights[seq].call.run == opened.run]:
            if seq in written:
                self._totals.earlier[End.WRITTEN] += 1
                self._give_up(seq)
            else:
                self._lose(seq)
        self._unanswered.discard(opened.run)
        self._enter_live()

    def _refused(self, refused: replies.Refused) -> None:
        if refused.code is Refusal.VERSION:
            self.failure = VersionMismatch(refused.text)
            self._say(refused.text)
        elif refused.code is Refusal.DRAINING:
            self.disconnected()
        elif refused.run in self._unanswered:
            run = self._runs.get(refused.run)
            if run is not None:
                run.refused = refused.text
            self._unanswered.discard(refused.run)
            for seq in [seq for seq in self._unresolved if self._flights[seq].call.run == refused.run]:
                self._lose(seq)
            self._say(f"nothing of this run is written: {refused.text}")
            self._enter_live()

    def _enter_live(self) -> None:
        if self.phase is Phase.OPENING and not self._unanswered:
            # Pictures of runs that were closed in the meantime have nobody left who could tell of them.
            for seq in list(self._unresolved):
                self._lose(seq)
            self.phase = Phase.LIVE

    def _apply(self, status: replies.Status) -> None:
        light = status.lanes[Lane.LIGHT].settled
        while self._batches and not light.missing(self._batches[0].first, self._batches[0].last):
            batch = self._batches.popleft()
            self._light_bytes -= batch.nbytes
            if self._sent:
                self._sent -= 1
                self._window_bytes -= batch.nbytes
        pictures = status.lanes[Lane.PICTURE]
        for seq in list(self._flights):
            if seq in pictures.settled:
                self._give_up(seq)
            elif seq in pictures.received:
                self._release(self._flights[seq])
        self._totals.current = Counter()
        for state in status.lanes.values():
            self._totals.current.update(state.ends)
        self._totals.current_tags = Counter(status.dropped_tags)
        for trouble in status.troubles:
            if trouble.serial > self._heard_troubles:
                self._heard_troubles = trouble.serial
                self._say(trouble.text)
        self._answer_flushes()

    def _release(self, flight: _Flight) -> None:
        for snapshot in flight.snapshots:
            snapshot.release()
        flight.snapshots = ()

    def _give_up(self, seq: int) -> None:
        self._release(self._flights.pop(seq))
        self._unresolved.discard(seq)

    def _lose(self, seq: int) -> None:
        flight = self._flights.pop(seq)
        self._unresolved.discard(seq)
        for snapshot in flight.snapshots:
            snapshot.discard()
        self._lost += 1

    # What was called

    def collect(self) -> None:
        """Move what was called from the outbox into numbered messages, as far as memory allows."""
        while self._outbox.light and self._light_bytes < MAX_LIGHT_BYTES:
            self._collect_light()

    def _collect_light(self) -> None:
        light = self._outbox.light
        rows: list[ScalarCall] = []
        series_bytes = 0
        seen: dict[Series, int] = {}
        while light and len(rows) < MAX_ROWS and series_bytes < MAX_SERIES_BYTES:
            call = light.popleft()
            if type(call) is not tuple:
                self._add_scalars(rows, seen)
                self._collect_other(call)
                return
            series = call[0]
            if series not in seen:
                seen[series] = len(seen)
                series_bytes += len(series.tag) + len(series.display_name) + len(series.description) + 8
            rows.append(call)
        self._add_scalars(rows, seen)

    def _add_scalars(self, rows: list[ScalarCall], seen: dict[Series, int]) -> None:
        if not rows:
            return
        series, steps, wall_times, values = zip(*rows, strict=True)
        columns = ScalarColumns(
            self._last_light + 1,
            tuple(seen),
            np.array([seen[one] for one in series], np.uint32),
            np.array(steps, np.int64),
            np.array(wall_times, np.float64),
            np.array(_on_host(values), np.float64),
        )
        self._add_batch(requests.Scalars(columns), len(rows), 28 * len(rows) + 64 * len(seen))

    def _collect_other(self, call: LightCall) -> None:
        if isinstance(call, TextCall):
            spec = BufferSpec(UINT8, (len(call.payload),))
            if spec.nbytes > PART_BYTES:
                spec = BufferSpec(UINT8, spec.shape, storage="parts")
            record = Record(
                Lane.LIGHT,
                self._last_light + 1,
                call.run,
                Kind.TEXT,
                call.tag,
                call.step,
                call.wall_time,
                {},
                (spec,),
                (call.payload,),
            )
            self._add_batch(requests.RecordMessage(record), 1, len(call.payload) + 256)
        elif isinstance(call, FlushRequest):
            call.light_target = self._last_light
            call.picture_target = self._outbox.last_ordinal
            self._flushes.append(call)
            if self.phase is Phase.LIVE:
                self._control.append(requests.Flush().frames(self.epoch))
            self._answer_flushes()

    def _add_batch(self, message: requests.Scalars | requests.RecordMessage, count: int, nbytes: int) -> None:
        first = self._last_light + 1
        self._last_light += count
        self._light_bytes += nbytes
        self._batches.append(_Batch(message, first, self._last_light, nbytes))

    # What to send

    def peek(self) -> list[Buffer] | None:
        """The next message to send; None when there is nothing to send now. ``sent`` says that it was taken."""
        if self._control:
            return self._control[0]
        if self.phase is not Phase.LIVE or self._unanswered:
            return None
        if self._sent < len(self._batches) and self._window_bytes < LIGHT_WINDOW_BYTES:
            self._begin_batch(self._batches[self._sent])
            return self._control[0]
        if not self._parts:
            self._begin_picture()
        return self._parts[0] if self._parts else None

    def sent(self) -> None:
        """The message that ``peek`` gave was taken by the socket."""
        if self._control:
            self._control.popleft()
        else:
            self._parts.popleft()

    def _begin_batch(self, batch: _Batch) -> None:
        self._sent += 1
        self._window_bytes += batch.nbytes
        self._control.append(batch.message.frames(self.epoch))
        if isinstance(batch.message, requests.RecordMessage) and batch.message.record.in_parts:
            self._control.extend(_parts(batch.message.record, self.epoch))
        if any(True for request in self._flushes if request.light_target >= batch.last):
            self._control.append(requests.Flush().frames(self.epoch))

    def _begin_picture(self) -> None:
        while len(self._flights) < MAX_PICTURE_RANGES:
            call = self._outbox.take_picture()
            if call is None:
                return
            run = self._runs.get(call.run)
            size = sum(snapshot.spec.nbytes for snapshot in call.snapshots)
            if run is None or run.refused or size > self._max_record_bytes:
                self._refuse_picture(call, run, size)
                continue
            self._last_picture += 1
            specs = tuple(
                BufferSpec(one.spec.dtype, one.spec.shape, "parts" if size > PART_BYTES else "frame")
                for one in call.snapshots
            )
            buffers = tuple(snapshot.data() for snapshot in call.snapshots)
            record = Record(
                Lane.PICTURE,
                self._last_picture,
                call.run,
                call.kind,
                call.tag,
                call.step,
                call.wall_time,
                call.options,
                specs,
                buffers,
            )
            self._flights[self._last_picture] = _Flight(call, call.snapshots)
            self._parts.append(requests.RecordMessage(record).frames(self.epoch))
            if record.in_parts:
                self._parts.extend(_parts(record, self.epoch))
            return

    def _refuse_picture(self, call: PictureCall, run: RunHandle | None, size: int) -> None:
        self._lost += 1
        for snapshot in call.snapshots:
            snapshot.release()
        if run is not None and not run.refused:
            self._too_large[call.tag] += 1
            self._say(f"{call.tag!r} is {size:,} bytes, the daemon takes {self._max_record_bytes:,}: not logged")

    # What became of it

    @property
    def pending(self) -> int:
        """Records that were called and have not settled."""
        light = self._last_light - self._batches[0].first + 1 if self._batches else 0
        return light + len(self._outbox.light) + len(self._flights) + self._outbox.picture_count

    @property
    def busy(self) -> bool:
        """Whether something waits to be sent or to settle."""
        return bool(self._control or self._batches or self._flights or self._outbox.light or self._outbox.picture_count)

    @property
    def awaited(self) -> bool:
        """Whether a caller waits for something to settle."""
        return bool(self._flushes)

    def statistics(self) -> Statistics:
        totals = self._totals
        dropped_tags = totals.tags() + self._outbox.dropped
        dropped = totals[End.DROPPED] + sum(self._outbox.dropped.values())
        lost = self._lost + totals[End.LOST] + self._unwritten_light + self._outbox.light_refused
        pending = self.pending
        written, rejected = totals[End.WRITTEN], totals[End.REJECTED]
        logged = written + rejected + dropped + lost + pending
        return Statistics(logged, written, rejected, dropped, lost, pending, dict(dropped_tags))

    def _answer_flushes(self) -> None:
        settled_light = self._batches[0].first - 1 if self._batches else self._last_light
        waiting = self._outbox.first_waiting_ordinal
        under_way = min((flight.call.ordinal for flight in self._flights.values()), default=None)
        unsettled = min((one for one in (waiting, under_way) if one is not None), default=None)
        for request in list(self._flushes):
            light_done = settled_light >= request.light_target
            pictures_done = not request.pictures or unsettled is None or unsettled > request.picture_target
            if light_done and pictures_done:
                self._flushes.remove(request)
                request.done.set()

    def fail_flushes(self, error: Exception) -> None:
        """Answer those who wait: it cannot be done."""
        for request in self._flushes:
            request.error = error
            request.done.set()
        self._flushes.clear()

    def abandon(self) -> None:
        """The deadline has passed: what is left counts as lost, and its memory is free."""
        self._unwritten_light += self.pending - len(self._flights) - self._outbox.picture_count
        self._batches.clear()
        self._sent = 0
        self._outbox.light.clear()
        for seq in list(self._flights):
            self._lose(seq)
        while (call := self._outbox.take_picture()) is not None:
            self._refuse_picture(call, None, 0)

    def problem_of(self, runs: Iterable[RunHandle]) -> Exception | None:
        """Why records of these runs are not written, if they are not."""
        if self.failure is not None:
            return self.failure
        for run in runs:
            if run.refused:
                return WriterError(run.refused)
        return None


def _on_host(values: tuple[float | PendingScalar, ...]) -> list[float]:
    pending = [value for value in values if not isinstance(value, float)]
    if not pending:
        return values  # type: ignore[return-value]  # all of them are floats
    from sidelog.cuda_snapshot import fetch_scalars

    fetched = iter(fetch_scalars(pending))
    return [value if isinstance(value, float) else next(fetched) for value in values]


def _parts(record: Record, epoch: int) -> list[list[Buffer]]:
    parts: list[list[Buffer]] = []
    for index, buffer in enumerate(record.buffers):
        view = memoryview(buffer)
        for offset in range(0, len(view), PART_BYTES):
            part = requests.Part(record.lane, record.seq, index, offset, view[offset : offset + PART_BYTES])
            parts.append(part.frames(epoch))
    return parts
