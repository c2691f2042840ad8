"""Counting floats into many fixed bins in a few passes, without sorting them.

The upper 16 bits of a float, its code, name an interval in which it lies. Where bins are wider than that, all values of
a code belong to one bin or, where a limit falls between them, to two neighbors. So the codes are counted, and once more
those of the values that have reached the limit within their code: integer counts, exact, each pass a plain loop in
OpenCV. numpy's ``histogram``, and so tensorboardX, sorts; ``scripts/bench_render.py`` compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.float32] | npt.NDArray[np.float64]

_CODES = 1 << 16
_BLOCK = 1 << 20
"""Values that are counted at once. OpenCV counts in float32, which is exact up to 2^24."""


@dataclass(frozen=True, slots=True, eq=False)
class CodeTable:
    """Where the values of each code belong.

    Attributes:
        bins: the bin of a code's lowest value; ``[65536]``. 0 is below all limits, ``size`` - 1 above.
        reach: the value from which on the rest of a code belongs to the next bin; infinite where all is in one.
        finite: the codes of finite values.
        size: how many bins there are, those below and above the limits included.
    """

    bins: npt.NDArray[np.intp]
    reach: Values
    finite: npt.NDArray[np.bool_]
    size: int

    @classmethod
    def of(cls, limits: Doubles, dtype: npt.DTypeLike) -> CodeTable:
        """That of rising ``limits``, as ``numpy.histogram`` means them: the last bin holds its upper limit too.

        Args:
            limits: at least two.
            dtype: of the values: float32 or float64.

        Raises:
            ValueError: two limits share a code.
        """
        starts = np.append(limits[:-1], np.nextafter(limits[-1], np.inf))
        lowest, highest = _ends_of_codes(np.dtype(dtype))
        finite = np.isfinite(lowest) & np.isfinite(highest)
        below, up_to = (np.searchsorted(starts, np.where(finite, ends, 0), side="right") for ends in (lowest, highest))
        if int((up_to - below).max()) > 1:
            raise ValueError("bins are too narrow to be told apart by 16 bits")
        parted = up_to > below
        reach = np.full(_CODES, np.inf, dtype)
        reach[parted] = _round_up(starts[below[parted]], np.dtype(dtype))
        return cls(below, reach, finite, len(limits) + 1)


def count(values: Values, table: CodeTable) -> tuple[Counts, int]:
    """How many values lie in each bin.

    Args:
        values: ``[n]``, C-contiguous, of the dtype of ``table.reach``.
        table: where they belong.

    Returns:
        ``[limits + 1]``: below all limits, between each two, above. And how many values are NaN or infinite, which are
        in none of them.
    """
    codes, reached = np.zeros(_CODES), np.zeros(_CODES)
    reach = table.reach.reshape(1, -1)
    quarters = values.dtype.itemsize // 2
    for start in range(0, len(values), _BLOCK):
        block = values[start : start + _BLOCK]
        code = cv2.extractChannel(block.view(np.uint16).reshape(1, -1, quarters), quarters - 1)
        codes += _counted(code, None)
        has_reached = block >= cv2.LUT(code, reach).reshape(-1)
        reached += _counted(code, has_reached.view(np.uint8).reshape(1, -1))
    nonfinite = int(codes[~table.finite].sum())
    codes[~table.finite] = reached[~table.finite] = 0
    counts = np.bincount(table.bins, codes - reached, table.size)
    counts[1:] += np.bincount(table.bins, reached, table.size)[:-1]
    return counts.astype(np.int64), nonfinite


def _counted(code: npt.NDArray[np.uint16], mask: npt.NDArray[np.uint8] | None) -> npt.NDArray[np.float32]:
    return np.asarray(cv2.calcHist([code], [0], mask, [_CODES], [0, _CODES]), np.float32).reshape(-1)


def _ends_of_codes(dtype: np.dtype[np.floating]) -> tuple[Doubles, Doubles]:
    """The lowest and the highest value of each code; what is not finite is among them."""
    bits = 8 * dtype.itemsize
    first = np.arange(_CODES, dtype=f"u{dtype.itemsize}") << (bits - 16)
    last = first | ((1 << (bits - 16)) - 1)
    negative = np.arange(_CODES) >= _CODES // 2
    with np.errstate(invalid="ignore"):  # signaling NaN
        ends = first.view(dtype).astype(np.float64), last.view(dtype).astype(np.float64)
    return np.where(negative, ends[1], ends[0]), np.where(negative, ends[0], ends[1])


def _round_up(limits: Doubles, dtype: np.dtype[np.floating]) -> Values:
    """The smallest values of ``dtype`` that are not below ``limits``."""
    rounded = limits.astype(dtype)
    return np.where(rounded < limits, np.nextafter(rounded, dtype.type(np.inf)), rounded)
