"""Scalars per second and core: columns in, event files out, beside a call for each in the loop."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from unittest import mock

import numpy as np

from render_bench.arms import TENSORBOARDX, TORCH, peer
from sidelog.bench.event_tail import EventTail
from sidelog.bench.pairs import Ratio, percentile, ratio_of_medians
from sidelog_daemon.actions import Commit, OpenRun, WriteScalars
from sidelog_daemon.sink import step_order
from sidelog_daemon.sink.event_file import framed
from sidelog_daemon.sink.scalar_bytes import framed_scalars, plain_heads
from sidelog_daemon.sink.summaries import scalar_events
from sidelog_daemon.writer import EventWriter
from sidelog_shared.records import ScalarColumns, Series

RATE_GOAL = 150_000.0
RATIO_GOAL = 10.0
TAGS = 50
BATCHES = (50, 500, 5_000)
"""Rows that come at once: of one step, of ten, of a training whose sender catches up."""
CROSSINGS = (16, 32, 48, 64, 128, 192, 256, 512)
"""Rows for which the two ways of each step are compared: ``BY_HAND_FROM`` and ``AT_ONCE_FROM`` come from there."""
_INLINE_STEPS = 100
_WORKER = "b" * 16
_DEADLINE_S = 120.0


@dataclass(frozen=True, slots=True)
class ScalarRates:
    """What was found.

    Attributes:
        rows: scalars of each block of ours.
        per_s: by arm, of each block; ours by rows of a batch.
        ratios: ours over tensorboardX's, by rows of a batch.
        ways_us: by step and way, what a batch takes for each of :data:`CROSSINGS`, at best.
    """

    rows: int
    per_s: dict[str, list[float]] = field(default_factory=dict)
    ratios: dict[str, Ratio] = field(default_factory=dict)
    ways_us: dict[str, list[float]] = field(default_factory=dict)

    def median(self, arm: str) -> float:
        return percentile(self.per_s[arm], 50)

    def to_map(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def ours(batch: int) -> str:
    """What our arm is called whose batches have so many rows."""
    return f"sidelog, {batch:,} at once"


def measure_scalars(*, rounds: int, rows: int, progress: Callable[[str], None]) -> ScalarRates:
    """All arms take turns.

    Args:
        rounds: blocks of each arm.
        rows: scalars of each block of ours.
        progress: told what is going on.
    """
    found = ScalarRates(rows)
    with tempfile.TemporaryDirectory(prefix="sidelog-bench-") as folder:
        for turn in range(rounds):
            progress(f"scalars: round {turn + 1} of {rounds}")
            for arm in (TENSORBOARDX, TORCH):
                found.per_s.setdefault(arm, []).append(_inline(arm, Path(folder) / f"{arm}{turn}"))
            for batch in BATCHES:
                rate = _of_writer(batch, rows, Path(folder) / f"ours{batch}-{turn}")
                found.per_s.setdefault(ours(batch), []).append(rate)
    for batch in BATCHES:
        found.ratios[ours(batch)] = ratio_of_medians(found.per_s[ours(batch)], found.per_s[TENSORBOARDX])
    found.ways_us.update(_ways(rounds))
    return found


def _ways(rounds: int) -> dict[str, list[float]]:
    """Microseconds of both ways to frame a batch and to look at its steps."""

    def by_protobuf(columns: ScalarColumns) -> object:
        lists = (one.tolist() for one in (columns.index, columns.steps, columns.wall_times, columns.values))
        return framed(scalar_events(columns.series, *lists))

    def by_hand(columns: ScalarColumns) -> object:
        heads = plain_heads(columns.series) or []
        return framed_scalars(heads, columns.index, columns.steps, columns.wall_times, columns.values)

    def seen_from(rows: int) -> Callable[[ScalarColumns], object]:
        def see(columns: ScalarColumns) -> object:
            with mock.patch.object(step_order, "AT_ONCE_FROM", rows):
                return step_order.StepOrder().see_scalars(columns.series, columns.index, columns.steps)

        return see

    ways = {
        "frame, protobuf": by_protobuf,
        "frame, by hand": by_hand,
        "steps, one by one": seen_from(1 << 30),
        "steps, all at once": seen_from(0),
    }
    batches = [_columns(0, rows) for rows in CROSSINGS]
    return {name: [_best_us(partial(way, one), 30 * rounds) for one in batches] for name, way in ways.items()}


def _best_us(call: Callable[[], object], times: int) -> float:
    best_s = float("inf")
    for _ in range(times):
        begun = time.thread_time()
        call()
        best_s = min(best_s, time.thread_time() - begun)
    return 1e6 * best_s


def _inline(arm: str, folder: Path) -> float:
    writer = peer(arm, folder)
    tags = [f"train/metric{number}" for number in range(TAGS)]
    begun = time.process_time()
    for step in range(_INLINE_STEPS):
        for number, tag in enumerate(tags):
            writer.add_scalar(tag, 0.1 * number + step, step)
    writer.close()
    cpu_s = time.process_time() - begun
    _check(folder, _INLINE_STEPS)
    return _INLINE_STEPS * TAGS / cpu_s


def _of_writer(batch: int, rows: int, folder: Path) -> float:
    """What the daemon's writer thread does with batches as they come off the wire."""
    batches = [_columns(first, batch) for first in range(0, rows, batch)]
    writer = EventWriter(owner_note=b"{}", report=lambda outcome: None)
    writer.start()
    writer.submit(OpenRun(_WORKER, 1, str(folder)))
    begun = time.process_time()
    for columns in batches:
        writer.submit(WriteScalars(_WORKER, columns, ((0, len(columns) - 1),)))
    writer.submit(Commit())
    if not writer.stop(_DEADLINE_S):
        raise RuntimeError(f"not everything was written: {writer.failure}")
    cpu_s = time.process_time() - begun
    _check(folder, rows // TAGS)
    return rows / cpu_s


def _columns(first_row: int, rows: int) -> ScalarColumns:
    """A part of what a training logs that has so many tags in each step."""
    numbers = np.arange(first_row, first_row + rows)
    series = tuple(Series(1, f"train/metric{number}") for number in range(TAGS))
    index, steps = (numbers % TAGS).astype(np.uint32), numbers // TAGS
    return ScalarColumns(first_row + 1, series, index, steps, 1.7e9 + 0.01 * steps, 0.1 * index + steps)


def _check(folder: Path, steps: int) -> None:
    tail = EventTail(folder)
    tail.poll()
    if tail.counts != Counter({f"train/metric{number}": steps for number in range(TAGS)}):
        raise RuntimeError(f"{sum(tail.counts.values()):,} scalars are in the event file, expected {TAGS * steps:,}")
