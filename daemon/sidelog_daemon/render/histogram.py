"""Histograms: counting raw values into TensorBoard's message, with tensorboardX's buckets and counts.

tensorboardX's own bins (``bins="tensorflow"``), which nearly everybody takes, are counted by :mod:`.tally`; all others
by tensorboardX's own function.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from sidelog_daemon.render import tally
from sidelog_daemon.render.tensors import Array
from sidelog_daemon.tensorboardx import summary, summary_pb2
from sidelog_shared.errors import SnapshotError

if TYPE_CHECKING:
    from tensorboardX.proto.summary_pb2 import HistogramProto

Doubles = npt.NDArray[np.float64]

MAX_BINS = 1 << 16
"""More than TensorBoard can show (it merges them to 30); numpy's rule ``fd`` knows no bound of its own."""
_SUMMED_AT_ONCE = 1 << 16
"""Values that are looked at a few times, within the second-level cache."""
BIN_RULES = ("auto", "fd", "doane", "scott", "stone", "rice", "sturges", "sqrt")
"""``numpy.histogram_bin_edges``'s."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """A counted histogram.

    Attributes:
        message: TensorBoard's ``HistogramProto``.
        nonfinite: NaN and infinite values, which are left out of it.
    """

    message: HistogramProto
    nonfinite: int


def count_histogram(values: Array, bins: str | int | Array, max_bins: int | None = None) -> Histogram:
    """Count ``values`` as ``tensorboardX.SummaryWriter.add_histogram`` does, without the non-finite ones.

    Counts, sums and limits are computed in float64, as tensorboardX does (integers cannot overflow so).

    Args:
        values: real numbers or bools, any shape.
        bins: ``"tensorflow"`` for tensorboardX's default limits; a rule of ``numpy.histogram``; a number of
            bins; or their limits, rising.
        max_bins: merge neighbors until about so many are left.

    Raises:
        SnapshotError: (a ValueError) nothing to count, or bins that cannot be; says what, got and expected.
    """
    if values.dtype.kind not in "fiub":
        raise SnapshotError(f"histogram values are {values.dtype}, expected floats, integers or bools")
    if values.size == 0:
        raise SnapshotError(f"histogram values have shape {list(values.shape)}, expected at least one value")
    if max_bins is not None and max_bins < 1:
        raise SnapshotError(f"max_bins is {max_bins}, expected at least 1")
    if isinstance(bins, str) and bins == "tensorflow":
        with np.errstate(over="ignore"):  # likewise
            return _count_default(values.reshape(-1), max_bins)
    numbers = values.astype(np.float64).reshape(-1)
    finite = np.isfinite(numbers)
    nonfinite = numbers.size - int(np.count_nonzero(finite))
    if nonfinite:
        numbers = numbers[finite]
    _check_any(numbers.size, nonfinite)
    with np.errstate(all="ignore"):  # a sum of squares may be infinite; TensorBoard shows the bins alone
        chosen = _check_bins(bins, numbers)
        try:
            message = summary.make_histogram(numbers, chosen, max_bins)
        except ValueError as error:  # numpy's own checks, such as more bins than numbers between two values
            raise SnapshotError(f"histogram of {numbers.size:,} values from {numbers.min()} to {numbers.max()} "
                                f"with bins={bins!r}: {error}") from None  # fmt: skip
    return Histogram(message, nonfinite)


def _count_default(values: Array, max_bins: int | None) -> Histogram:
    """Of ``[n]``; works block by block, so that there is never a copy of all of them in another type."""
    limits = default_bins()
    # float32 holds half precision exactly; all others are counted as tensorboardX counts them.
    table = _default_table(is_single=values.dtype in (np.float32, np.float16))
    counts, nonfinite = tally.count(values, table)
    finite = values.size - nonfinite
    _check_any(finite, nonfinite)
    low, high, total, squares = _moments(values, table.reach.dtype, has_others=bool(nonfinite))
    counts = counts[1:-1]
    if not counts.any():
        raise _outside(limits, low, high)
    if max_bins is not None and len(counts) > max_bins:
        counts, limits = _merged(counts, limits, len(counts) // max_bins)
    held = np.flatnonzero(counts)
    first, last = int(held[0]), int(held[-1])
    # TensorBoard knows the right limit of each bin alone: an empty one in front says where the first begins.
    bucket = [0, *counts[first : last + 1].tolist()]
    message = summary_pb2.HistogramProto(
        min=low, max=high, num=finite, sum=total, sum_squares=squares,
        bucket_limit=limits[first : last + 2].tolist(), bucket=bucket,
    )  # fmt: skip
    return Histogram(message, nonfinite)


@functools.cache
def _default_table(*, is_single: bool) -> tally.CodeTable:
    return tally.CodeTable.of(default_bins(), np.float32 if is_single else np.float64)


def _moments(values: Array, floats: np.dtype[np.floating], *, has_others: bool) -> tuple[float, float, float, float]:
    """The least and the greatest, the sum and the sum of squares of what is finite, in float64."""
    low, high, total, squares = np.inf, -np.inf, 0.0, 0.0
    for start in range(0, len(values), _SUMMED_AT_ONCE):
        part: tally.Values = np.ascontiguousarray(values[start : start + _SUMMED_AT_ONCE], floats)
        if has_others:
            part = part[np.isfinite(part)]
            if not part.size:
                continue
        low, high = min(low, float(part.min())), max(high, float(part.max()))
        if len(values) <= _SUMMED_AT_ONCE:  # equal to tensorboardX's to the last bit
            numbers = part.astype(np.float64)
            return low, high, float(numbers.sum()), float(numbers.dot(numbers))
        total += cv2.sumElems(part)[0]
        squares += cv2.norm(part, cv2.NORM_L2SQR)
    return low, high, total, squares


def _merged(counts: tally.Counts, limits: Doubles, group: int) -> tuple[tally.Counts, Doubles]:
    """Each ``group`` neighbors as one bin, the last of them as many as are left."""
    starts = np.arange(0, len(counts), group)
    return np.add.reduceat(counts, starts), np.append(limits[:-1][starts], limits[-1])


def _check_any(size: int, nonfinite: int) -> None:
    if not size:
        raise SnapshotError(f"histogram values are all NaN or infinite ({nonfinite:,} of them), "
                            f"expected at least one finite value")  # fmt: skip


def _check_bins(bins: str | int | Array, numbers: Doubles) -> str | int | Doubles:
    if isinstance(bins, str):
        if bins not in BIN_RULES:
            raise SnapshotError(f"bins is {bins!r}, expected 'tensorflow' or one of {', '.join(BIN_RULES)}")
        _check_span(bins, numbers)
        if bins in ("auto", "fd"):
            _check_freedman_diaconis(bins, numbers)
        return bins
    if isinstance(bins, np.ndarray):
        limits = bins.astype(np.float64)
        if limits.ndim != 1 or not 2 <= limits.size <= MAX_BINS + 1 or not bool((np.diff(limits) >= 0).all()):
            raise SnapshotError(f"bins has shape {list(bins.shape)}, expected 2 to {MAX_BINS + 1:,} rising limits")
        return _limits_that_hold(limits, numbers)
    if not 1 <= bins <= MAX_BINS:
        raise SnapshotError(f"bins is {bins}, expected 1 to {MAX_BINS:,}")
    _check_span(bins, numbers)
    return bins


def _limits_that_hold(limits: Doubles, numbers: Doubles) -> Doubles:
    if not bool(((numbers >= limits[0]) & (numbers <= limits[-1])).any()):
        raise _outside(limits, float(numbers.min()), float(numbers.max()))
    return limits


def _outside(limits: Doubles, low: float, high: float) -> SnapshotError:
    return SnapshotError(f"no histogram value lies in the bins: values from {low} to {high}, bins from {limits[0]} to "
                         f"{limits[-1]}")  # fmt: skip


def _check_span(bins: str | int, numbers: Doubles) -> None:
    if not np.isfinite(numbers.max() - numbers.min()):
        raise SnapshotError(f"histogram values from {numbers.min()} to {numbers.max()} are too far apart for "
                            f"bins={bins!r}, expected a distance that float64 can say")  # fmt: skip


def _check_freedman_diaconis(rule: str, numbers: Doubles) -> None:
    """Refuse what would be more bins than memory: one far value against a narrow middle is enough.

    Source: Freedman and Diaconis 1981, as in numpy's ``fd``: bins are 2 IQR / n^(1/3) wide.
    """
    lower, upper = np.percentile(numbers, [25, 75])
    width = 2.0 * (upper - lower) / numbers.size ** (1.0 / 3.0)
    if width > 0 and (numbers.max() - numbers.min()) / width > MAX_BINS:
        raise SnapshotError(f"bins={rule!r} would make {(numbers.max() - numbers.min()) / width:,.0f} bins of values "
                            f"from {numbers.min()} to {numbers.max()}, expected at most {MAX_BINS:,}: "
                            f"use bins='tensorflow'")  # fmt: skip


@functools.cache
def default_bins() -> Doubles:
    """tensorboardX's limits for ``bins="tensorflow"``: 1e-12 growing by 10% to 1e20, mirrored around 0.

    Source: ``tensorboardX.SummaryWriter.__init__`` (its ``default_bins``), after TensorFlow's histogram.cc.
    """
    limits = []
    limit = 1e-12
    while limit < 1e20:
        limits.append(limit)
        limit *= 1.1
    return np.array([-limit for limit in reversed(limits)] + [0.0] + limits)
