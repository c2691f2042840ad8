"""Rows of a batch of scalars: their steps, the counted ones among them, and their numbers as ranges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidelog_daemon.sink import RunDirectory
from sidelog_daemon.sink.event_file import framed
from sidelog_daemon.sink.scalar_bytes import framed_scalars, plain_heads
from sidelog_daemon.sink.summaries import scalar_events
from sidelog_shared.limits import STEP_NEXT
from sidelog_shared.records import ScalarColumns

BY_HAND_FROM = 48
"""Rows from which on putting them together by hand is faster (``scripts/bench_render.py``)."""
SCALARS = "scalars"
"""The kind under which the steps of all scalars are counted."""


def counted_steps(directory: RunDirectory, columns: ScalarColumns, rows: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """The steps of ``rows``, the next ones counted; each row is appended right after."""
    steps = columns.steps[rows]
    counted = np.flatnonzero(steps == STEP_NEXT)
    for row in counted.tolist():
        steps[row] = directory.next_step(SCALARS, columns.series[columns.index[rows[row]]].tag)
    return steps


def framed_rows(columns: ScalarColumns, rows: npt.NDArray[np.intp], steps: npt.NDArray[np.int64]) -> bytes | bytearray:
    """``rows`` as records of an event file.

    Args:
        columns: a batch.
        rows: which of it.
        steps: of each.
    """
    index, wall_times, values = columns.index[rows], columns.wall_times[rows], columns.values[rows]
    heads = plain_heads(columns.series) if len(rows) >= BY_HAND_FROM else None
    if heads is not None:
        return framed_scalars(heads, index, steps, wall_times, values)
    return framed(scalar_events(columns.series, index.tolist(), steps.tolist(), wall_times.tolist(), values.tolist()))


def as_ranges(seqs: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ascending numbers, at least one, as closed ranges."""
    if int(seqs[-1]) - int(seqs[0]) == len(seqs) - 1:
        return [(int(seqs[0]), int(seqs[-1]))]
    breaks = np.flatnonzero(np.diff(seqs) != 1)
    starts = seqs[np.concatenate([[0], breaks + 1])]
    stops = seqs[np.concatenate([breaks, [len(seqs) - 1]])]
    return list(zip(starts.tolist(), stops.tolist(), strict=True))
