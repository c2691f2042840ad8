"""The light lane: small reliable records, numbered, batched, and kept until the daemon says that they are settled."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np

from sidelog.calls import Fence, LightCall, RecordCall, ScalarCall
from sidelog.outbox import Outbox
from sidelog_shared import requests
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import KIB, MIB
from sidelog_shared.records import Buffer, Lane, ScalarColumns, Series

if TYPE_CHECKING:
    from sidelog.cuda_snapshot import PendingScalar

MAX_ROWS = 8192
"""Scalars in one message: 230 kB, small enough that nothing waits long behind it."""
_TAKEN_ROWS = 256
"""So many are taken off the queue at once, to see what they are."""
MAX_SERIES_BYTES = 32 * KIB
"""Tags in one message: half of the header's limit."""
MAX_HELD_BYTES = 64 * MIB
"""Records held until settled; beyond it the calls wait in the outbox."""
WINDOW_BYTES = 8 * MIB
"""Records under way at once, so that a daemon with a slow disk is not handed everything."""


@dataclass(slots=True)
class _Batch:
    """One message and the sequence numbers of its records."""

    message: requests.Scalars | requests.RecordMessage
    first: int
    last: int
    nbytes: int


class LightLane:
    """Scalars, texts and the like between the outbox and the event files.

    Args:
        outbox: what was called.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        # In order of their numbers; the first `_sent` of them were sent in this epoch.
        self._batches: deque[_Batch] = deque()
        self._sent = 0
        self._held_bytes = 0
        self._window_bytes = 0
        self._last = 0
        self._settled = IntervalSet()
        self._pending = 0
        self.lost = 0

    @property
    def last(self) -> int:
        """The highest sequence number given so far."""
        return self._last

    @property
    def settled_through(self) -> int:
        return self._batches[0].first - 1 if self._batches else self._last

    @property
    def held_bytes(self) -> int:
        """About what the numbered records take that have not settled."""
        return self._held_bytes

    @property
    def pending(self) -> int:
        """Numbered records that have not settled."""
        return self._pending

    def collect(self) -> Fence | None:
        """Number and batch what was called, as far as memory allows; stops behind a fence and returns it."""
        while self._outbox.light and self._held_bytes < MAX_HELD_BYTES:
            other = self._collect_scalars()
            if isinstance(other, Fence):
                self._outbox.fence_passed()
                other.light_target = self._last
                return other
            if other is not None:
                self._add_record(other)
        return None

    def _collect_scalars(self) -> RecordCall | Fence | None:
        """Make one batch of the scalars at the head of the queue; returns what ended it, if that is no scalar.

        A training may log tens of thousands of scalars a second, and for each this thread would take the interpreter
        from it: so no Python loop over rows where C can do it.
        """
        light = self._outbox.light
        calls: list[LightCall] = []
        while len(calls) < MAX_ROWS:
            taken = [light.popleft() for _ in range(min(len(light), _TAKEN_ROWS))]
            calls += taken
            if set(map(type, taken)) != {tuple}:
                break  # the rest goes back: little of it, lest texts between scalars make it quadratic
        end = len(calls)
        if set(map(type, calls)) != {tuple}:
            end = next((index for index, call in enumerate(calls) if type(call) is not tuple), 0)
        rows = _that_fit(cast("list[ScalarCall]", calls[:end]))
        other = calls[end] if len(rows) == end < len(calls) else None
        light.extendleft(reversed(calls[len(rows) + (other is not None) :]))
        if rows:
            self._add_scalars(rows)
        return cast("RecordCall | Fence | None", other)

    def _add_scalars(self, rows: list[ScalarCall]) -> None:
        series, steps, wall_times, values = zip(*rows, strict=True)
        # By identity: a writer keeps one object per series, and a hash by value would be Python code per row.
        table = dict(zip(map(id, series), series, strict=True))
        numbers = {identity: number for number, identity in enumerate(table)}
        columns = ScalarColumns(
            self._last + 1,
            tuple(table.values()),
            np.fromiter(map(numbers.__getitem__, map(id, series)), np.uint32, len(rows)),
            np.array(steps, np.int64),
            np.array(wall_times, np.float64),
            np.array(_on_host(values), np.float64),
        )
        self._add(requests.Scalars(columns), len(rows), 28 * len(rows) + 64 * len(table))

    def _add_record(self, call: RecordCall) -> None:
        record = call.record(Lane.LIGHT, self._last + 1)
        self._add(requests.RecordMessage(record), 1, call.nbytes + 256)

    def _add(self, message: requests.Scalars | requests.RecordMessage, count: int, nbytes: int) -> None:
        self._batches.append(_Batch(message, self._last + 1, self._last + count, nbytes))
        self._last += count
        self._pending += count
        self._held_bytes += nbytes

    def rewind(self) -> None:
        """A new epoch: everything that has not settled is sent again, and nothing else.

        Of one batch, the records of one run may have settled and those of another not. A new daemon would count the
        former a second time.
        """
        held, self._batches = self._batches, deque()
        for batch in held:
            self._batches.extend(_without(batch, self._settled))
        self._held_bytes = sum(batch.nbytes for batch in self._batches)
        self._sent = 0
        self._window_bytes = 0

    def next_messages(self, epoch: int) -> list[list[Buffer]]:
        """The messages of the next batch to send; none when all are sent or too much is under way."""
        if self._sent == len(self._batches) or self._window_bytes >= WINDOW_BYTES:
            return []
        batch = self._batches[self._sent]
        self._sent += 1
        self._window_bytes += batch.nbytes
        messages = [batch.message.frames(epoch)]
        if isinstance(batch.message, requests.RecordMessage):
            messages += requests.part_messages(batch.message.record, epoch)
        return messages

    def settle(self, settled: IntervalSet) -> None:
        """Forget what has reached its end.

        Args:
            settled: as the current daemon knows it.
        """
        self._settled = settled
        while self._batches and not settled.missing(self._batches[0].first, self._batches[0].last):
            batch = self._batches.popleft()
            self._held_bytes -= batch.nbytes
            if self._sent:
                self._sent -= 1
                self._window_bytes -= batch.nbytes
        self._pending = sum(
            last - first + 1 for batch in self._batches for first, last in settled.missing(batch.first, batch.last)
        )

    def abandon(self) -> list[Fence]:
        """The deadline has passed: what is left is lost. Returns the fences that were waiting in line."""
        waiting = list(self._outbox.light)
        self._outbox.light.clear()
        fences = [call for call in waiting if isinstance(call, Fence)]
        for _ in fences:
            self._outbox.fence_passed()
        self.lost += self.pending + len(waiting) - len(fences)
        self._batches.clear()
        self._pending = 0
        self.rewind()
        return fences


def _without(batch: _Batch, settled: IntervalSet) -> list[_Batch]:
    """What is left of a batch without the records that have settled."""
    left = settled.missing(batch.first, batch.last)
    if left == [(batch.first, batch.last)] or not isinstance(batch.message, requests.Scalars):
        return [batch] if left else []
    columns = batch.message.columns
    parts = []
    for first, last in left:
        rows = slice(first - columns.first_seq, last + 1 - columns.first_seq)
        part = ScalarColumns(
            first,
            columns.series,
            columns.index[rows],
            columns.steps[rows],
            columns.wall_times[rows],
            columns.values[rows],
        )
        parts.append(_Batch(requests.Scalars(part), first, last, batch.nbytes * len(part) // len(columns)))
    return parts


def _that_fit(rows: list[ScalarCall]) -> list[ScalarCall]:
    """As many of the rows, from the first on, as have room for their series in one header."""
    series = [row[0] for row in rows]
    distinct = dict(zip(map(id, series), series, strict=True)).values()
    if sum(map(_series_bytes, distinct)) <= MAX_SERIES_BYTES:
        return rows
    seen: set[int] = set()
    total = 0
    for index, one in enumerate(series):
        if id(one) not in seen:
            seen.add(id(one))
            total += _series_bytes(one)
            if total > MAX_SERIES_BYTES and index:
                return rows[:index]
    return rows


def _series_bytes(series: Series) -> int:
    texts = (series.tag, series.display_name, series.description)
    return 16 + sum(len(text.encode(errors="replace")) for text in texts)


def _on_host(values: tuple[float | PendingScalar, ...]) -> list[float] | tuple[float | PendingScalar, ...]:
    """The values as numbers; those on a device are fetched together."""
    if set(map(type, values)) == {float}:
        return values
    pending = [value for value in values if not isinstance(value, float)]
    from sidelog.cuda_snapshot import fetch_scalars

    fetched = iter(fetch_scalars(pending))
    return [value if isinstance(value, float) else next(fetched) for value in values]
