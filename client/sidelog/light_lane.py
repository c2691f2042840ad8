"""The light lane: small reliable records, numbered and batched."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, cast

import numpy as np

from sidelog.calls import Fence, LightCall, RecordCall, ScalarCall
from sidelog.kept_records import RECORD_BYTES, by_run, scalars_bytes
from sidelog.outbox import Outbox
from sidelog.reliable_lane import ReliableLane
from sidelog.spool import Spool
from sidelog.window import Window
from sidelog_shared import requests
from sidelog_shared.limits import KIB, MIB, Limits
from sidelog_shared.records import Lane, ScalarColumns, Series

if TYPE_CHECKING:
    from sidelog.cuda_snapshot import PendingScalar

MAX_ROWS = 8192
"""Scalars in one message: 230 kB, small enough that nothing waits long behind it."""
_TAKEN_ROWS = 256
"""So many are taken off the queue at once, to see what they are."""
MAX_SERIES_BYTES = 32 * KIB
"""Tags in one message: half of the header's limit."""
MAX_HELD_BYTES = 64 * MIB
"""Records held in memory until settled; beyond it the oldest go into the spool, or the calls wait in the outbox."""
WINDOW_BYTES = 8 * MIB
"""Records under way at once, so that a daemon with a slow disk is not handed everything."""
MAX_UNDER_WAY = 100_000
"""The same, in messages."""


class LightLane(ReliableLane):
    """Scalars, texts and the like between the outbox and the event files.

    Args:
        outbox: what was called.
        spool: where records are kept that no daemon takes; None keeps them in memory alone.
        say: tells the user something.

    Attributes:
        max_record_bytes: how large a record may be.
        too_large: records that were larger.
    """

    def __init__(self, outbox: Outbox, spool: Spool | None, say: Callable[[str], None]) -> None:
        super().__init__(
            window=Window(limit_bytes=WINDOW_BYTES, limit_entries=MAX_UNDER_WAY),
            held_bytes=MAX_HELD_BYTES // 2,
            spool=spool,
            say=say,
        )
        self._outbox = outbox
        self.max_record_bytes = Limits().max_record_bytes
        self.too_large = 0

    @property
    def is_full(self) -> bool:
        """Whether calls wait in the outbox because too much is held."""
        return self._memory_bytes - self._held.nbytes >= MAX_HELD_BYTES

    def collect(self, now: float) -> Fence | None:
        """Number and batch what was called, as far as memory allows; stops behind a fence and returns it."""
        while self._outbox.light and not self.is_full:
            other = self._collect_scalars(now)
            if isinstance(other, Fence):
                self._outbox.fence_passed()
                other.light_target = self._last
                return other
            if other is not None:
                self._add_record(other, now)
        return None

    def _collect_scalars(self, now: float) -> RecordCall | Fence | None:
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
            self._add_scalars(rows, now)
        return cast("RecordCall | Fence | None", other)

    def _add_scalars(self, rows: list[ScalarCall], now: float) -> None:
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
        columns = by_run(columns)
        self._add(requests.Scalars(columns), columns.spans(), scalars_bytes(columns), now)

    def _add_record(self, call: RecordCall, now: float) -> None:
        self._outbox.free_light(call.nbytes)
        if self._is_too_large(call):
            return
        seq = self._last + 1
        message = requests.RecordMessage(call.record(Lane.LIGHT, seq))
        self._add(message, {call.run: (seq, seq)}, call.nbytes + RECORD_BYTES, now)

    def _is_too_large(self, call: RecordCall) -> bool:
        """Whether the daemon would not take a record; before it is copied, spooled and sent for nothing."""
        if call.nbytes <= self.max_record_bytes:
            return False
        self.too_large += 1
        self._say(f"{call.tag!r} is {call.nbytes:,} bytes, the daemon takes {self.max_record_bytes:,}: not logged")
        return True

    def abandon(self) -> list[Fence]:
        """The connection ends: what is not in the spool is lost. Returns the fences that were waiting in line."""
        waiting: list[LightCall] = []
        while self._outbox.light:
            waiting.append(self._outbox.light.popleft())
        fences = [call for call in waiting if isinstance(call, Fence)]
        for _ in fences:
            self._outbox.fence_passed()
        self.lost += len(waiting) - len(fences)
        self._give_up_all()
        return fences


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
