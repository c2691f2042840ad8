"""From what a caller gives as a scalar to a call that the outbox takes: every check of its value."""

from __future__ import annotations

import math

import numpy as np

from sidelog.arrays import as_array, describe
from sidelog.calls import ScalarCall
from sidelog_shared.errors import SnapshotError
from sidelog_shared.records import Series


def scalar_call(series: Series, step: int, wall_time: float, value: object) -> ScalarCall | None:
    """A checked call; None for a tensor of a CUDA graph that is being captured, which has no value.

    Args:
        series: where it goes.
        step: as it travels.
        wall_time: seconds.
        value: a number, or an array or tensor of one element, on any device.

    Raises:
        TypeError: it is no number.
        SnapshotError: it is a tensor of another shape, or of a kind that cannot be read.
    """
    what = f"add_scalar {series.tag!r}"
    if isinstance(value, (tuple, str)) or value is None:
        raise TypeError(f"{what} is {type(value).__name__} {value!r:.60}, expected a number or a tensor of one element")
    if isinstance(value, np.longdouble):  # an array of them cannot travel
        value = float(value)
    if isinstance(value, list) or hasattr(value, "shape"):
        array = as_array(value, what)
        if math.prod(array.shape) != 1:
            raise SnapshotError(f"{what} is {describe(array)}, expected one element")
        if isinstance(array, np.ndarray):
            return (series, step, wall_time, float(array.item()))
        if array.device.type == "cuda":
            from sidelog.cuda_snapshot import PendingScalar
            from sidelog.torch_grid import is_capturing

            return None if is_capturing(array.device) else (series, step, wall_time, PendingScalar(array))
        return (series, step, wall_time, float(array.item()))
    try:
        return (series, step, wall_time, float(value))  # type: ignore[arg-type]  # what it cannot take is told of
    except (TypeError, ValueError, OverflowError):
        raise TypeError(
            f"{what} is {type(value).__name__} {value!r:.60}, expected a number or a tensor of one element"
        ) from None
