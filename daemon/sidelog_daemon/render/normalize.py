"""Third step: shift and scale to 0..1, by a range that NaN and infinity have no part in.

The arithmetic is ``torchvision.utils.make_grid``'s, operation by operation: clamp, subtract ``low``, divide by
``max(high - low, 1e-5)``. torch takes the scalars in double precision and rounds them to float32 where they meet
the tensor; so does this module, and the results are equal bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidelog_daemon.render.tensors import Floats

Doubles = npt.NDArray[np.float64]

SMALLEST_SPAN = 1e-5
"""``make_grid``'s ``norm_ip``: a constant tile is not divided by zero."""
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_AXES = (1, 2, 3)


def tile_ranges(values: Floats) -> tuple[Floats, Floats, bool]:
    """The smallest and the largest finite value of each tile.

    Args:
        values: ``[n, C, h, w]``.

    Returns:
        low and high, each ``[n]``; ``inf`` and ``-inf`` for a tile without any finite value. And whether all
        values are finite.
    """
    low: Floats = values.min(axis=_AXES)
    high: Floats = values.max(axis=_AXES)
    # min and max hand a NaN on, and infinity is one of the two: no pass of its own is needed to find either.
    if bool(np.isfinite(low).all() and np.isfinite(high).all()):
        return low, high, True
    finite = np.isfinite(values)
    low = values.min(axis=_AXES, where=finite, initial=np.inf)
    high = values.max(axis=_AXES, where=finite, initial=-np.inf)
    return low, high, False


@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """What becomes 0 and what becomes 1.

    Attributes:
        low: float64, ``[1]`` for one range for all tiles, ``[N]`` for one per tile.
        high: likewise.
        clamp: whether values may lie outside.
    """

    low: Doubles
    high: Doubles
    clamp: bool

    @classmethod
    def given(cls, low: float, high: float) -> Ranges:
        """The caller's ``value_range``, cut to what float32 can say."""
        cut = np.clip(np.array([[low], [high]], np.float64), -_FLOAT32_MAX, _FLOAT32_MAX)
        return cls(cut[0], cut[1], clamp=True)

    @classmethod
    def measured(cls, low: Floats, high: Floats, *, scale_each: bool) -> Ranges:
        """The tiles' own range, from what :func:`tile_ranges` found: one for all, or one each."""
        if not scale_each:
            low, high = low.min(keepdims=True), high.max(keepdims=True)
        ends = np.stack([low, high]).astype(np.float64)
        ends[:, low > high] = 0.0  # nothing finite: every pixel there will be painted over, any number does
        return cls(ends[0], ends[1], clamp=False)

    def of_tiles(self, tiles: slice) -> Ranges:
        """The ranges of some of the tiles."""
        if self.low.size == 1:
            return self
        return Ranges(self.low[tiles], self.high[tiles], self.clamp)


def normalize(values: Floats, ranges: Ranges, out: Floats) -> Floats:
    """Shift and scale each tile so that its range becomes 0..1.

    Args:
        values: ``[n, C, h, w]``, finite.
        ranges: of these n tiles, or one for all.
        out: of the shape of ``values``; may be ``values`` itself.

    Returns:
        ``out``; within 0..1 but for rounding.
    """
    low, high = ranges.low[:, None, None, None], ranges.high[:, None, None, None]
    span = np.maximum(high - low, SMALLEST_SPAN)
    if span.max() > _FLOAT32_MAX:  # torch would answer NaN; halves are exact
        values = np.multiply(values, np.float32(0.5), out=out)
        low, high, span = low / 2, high / 2, span / 2
    low = low.astype(np.float32)
    if ranges.clamp:
        values = np.clip(values, low, high.astype(np.float32), out=out)
    np.subtract(values, low, out=out)
    return np.divide(out, span.astype(np.float32), out=out)
