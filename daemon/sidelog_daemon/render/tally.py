"""Counting floats into many fixed bins in a few passes, without sorting them.

The upper 16 bits of a float, its code, name an interval in which it lies. Where bins are wider than that, all values of
a code belong to one bin or, where a limit falls between them, to two neighbors. So a table says the bin of each code's
lowest value, another says from which value on the rest of the code belongs to the next bin, and the numbers of the bins
are counted: integer counts, exact, each pass a plain loop in OpenCV or numpy. numpy's ``histogram``, and so
tensorboardX, sorts; ``scripts/bench_render.py`` compares them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Values = npt.NDArray[np.floating]
FloatType = type[np.float32] | type[np.float64]
Codes = npt.NDArray[np.uint16]

_CODES = 1 << 16
_COUNTED_AT_ONCE = 1 << 20
"""OpenCV counts in float32, which is exact up to 2^24."""
_BLOCK = 1 << 16
"""Values that are looked up at a time: what belongs to them stays in the second-level cache."""


@dataclass(frozen=True, slots=True, eq=False)
class CodeTable:
    """Where the values of each code belong.

    Attributes:
        bins: ``[65536]``, the bin of a code's lowest value. 0 is below all limits, ``size`` - 2 above, and ``size`` - 1
            for what is NaN or infinite.
        reach: ``[65536]``, the value from which on the rest of a code belongs to the next bin; NaN where all is in one.
        size: how many bins there are, those three included.
    """

    bins: Codes
    reach: Values
    size: int

    @classmethod
    def of(cls, limits: Doubles, dtype: FloatType) -> CodeTable:
        """That of rising ``limits``, as ``numpy.histogram`` means them: the last bin holds its upper limit too.

        Args:
            limits: at least two, at most 65,000.
            dtype: of the values.

        Raises:
            ValueError: two limits share a code.
        """
        starts = np.append(limits[:-1], np.nextafter(limits[-1], np.inf))
        lowest, highest = _ends_of_codes(dtype)
        finite = np.isfinite(lowest) & np.isfinite(highest)
        below, up_to = (np.searchsorted(starts, np.where(finite, ends, 0), side="right") for ends in (lowest, highest))
        if int((up_to - below).max()) > 1:
            raise ValueError("bins are too narrow to be told apart by 16 bits")
        parted = up_to > below
        reach = np.full(_CODES, np.nan, dtype)
        reach[parted] = _round_up(starts[below[parted]], dtype)
        size = len(limits) + 2
        return cls(np.where(finite, below, size - 1).astype(np.uint16), reach, size)


def count(values: npt.NDArray[np.generic], table: CodeTable) -> tuple[Counts, int]:
    """How many values lie in each bin.

    Args:
        values: ``[n]``, real numbers or bools, which are counted as the dtype of ``table.reach``.
        table: where they belong.

    Returns:
        ``[limits + 1]``: below all limits, between each two, above. And how many values are NaN or infinite, which are
        in none of them.
    """
    quarters = table.reach.dtype.itemsize // 2
    counts = np.zeros(table.size, np.int64)
    numbers = np.empty(min(len(values), _COUNTED_AT_ONCE), np.uint16)
    for start in range(0, len(values), _COUNTED_AT_ONCE):
        part = values[start : start + _COUNTED_AT_ONCE]
        for begin in range(0, len(part), _BLOCK):
            block = np.ascontiguousarray(part[begin : begin + _BLOCK], table.reach.dtype)
            # Little-endian, as all that comes off the wire: the upper 16 bits stand last.
            code = cv2.extractChannel(block.view(np.uint16).reshape(1, -1, quarters), quarters - 1)
            reached = np.greater_equal(block, _looked_up(table.reach, code))
            np.add(_looked_up(table.bins, code), reached, out=numbers[begin : begin + _BLOCK][: len(block)])
        counted = cv2.calcHist([numbers[None, : len(part)]], [0], None, [table.size], [0, table.size])
        counts += counted.reshape(-1).astype(np.int64)
    return counts[:-1], int(counts[-1])


def _looked_up(table: Codes | Values, code: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if _has_wide_tables():
        return cv2.LUT(code, table[None]).reshape(-1)
    return table.take(code.reshape(-1))


@functools.cache
def _has_wide_tables() -> bool:
    """Whether this OpenCV looks 16 bits up, at half of numpy's cost; older ones know tables of 256 entries alone."""
    try:
        cv2.LUT(np.zeros((1, 1), np.uint16), np.zeros((1, _CODES), np.uint16))
    except cv2.error:
        return False
    return True


def _ends_of_codes(dtype: FloatType) -> tuple[Doubles, Doubles]:
    """The lowest and the highest value of each code; what is not finite is among them."""
    size = np.dtype(dtype).itemsize
    first = np.arange(_CODES, dtype=f"u{size}") << (8 * size - 16)
    last = first | ((1 << (8 * size - 16)) - 1)
    negative = np.arange(_CODES) >= _CODES // 2
    with np.errstate(invalid="ignore"):  # signaling NaN
        ends = first.view(dtype).astype(np.float64), last.view(dtype).astype(np.float64)
    return np.where(negative, ends[1], ends[0]), np.where(negative, ends[0], ends[1])


def _round_up(limits: Doubles, dtype: FloatType) -> Values:
    """The smallest values of ``dtype`` that are not below ``limits``."""
    rounded: Values = limits.astype(dtype)
    return np.where(rounded < limits, np.nextafter(rounded, dtype(np.inf)), rounded)
