"""Rows of a batch of scalars: their steps, the counted ones among them, and their numbers as ranges."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sidelog_daemon.sink import RunDirectory
from sidelog_shared.limits import STEP_NEXT
from sidelog_shared.records import ScalarColumns

SCALARS = "scalars"
"""The kind under which the steps of all scalars are counted."""


def counted_steps(directory: RunDirectory, columns: ScalarColumns, rows: npt.NDArray[np.intp]) -> list[int]:
    """The steps of ``rows``, the next ones counted; each row is appended right after."""
    steps = columns.steps[rows]
    counted = np.flatnonzero(steps == STEP_NEXT)
    for row in counted.tolist():
        steps[row] = directory.next_step(SCALARS, columns.series[columns.index[rows[row]]].tag)
    listed: list[int] = steps.tolist()
    return listed


def as_ranges(seqs: list[int]) -> list[tuple[int, int]]:
    """Ascending numbers as closed ranges."""
    array = np.array(seqs)
    breaks = np.flatnonzero(np.diff(array) != 1)
    starts = array[np.concatenate([[0], breaks + 1])]
    stops = array[np.concatenate([breaks, [len(array) - 1]])]
    return list(zip(starts.tolist(), stops.tolist(), strict=True))
