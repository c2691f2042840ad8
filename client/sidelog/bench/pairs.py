"""Statistics of paired blocks: slowdown, its confidence interval, percentiles. Pure functions of numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over pairs.

    Attributes:
        mean: the estimate; 0.01 means 1% slower.
        low: lower end of the 95% confidence interval of the mean.
        high: its upper end.
        median: of the pairs, beside the mean: far from it, a few disturbed blocks made the mean.
        pairs: how many there were.
    """

    mean: float
    low: float
    high: float
    median: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two medians.

    Attributes:
        value: the ratio; 0.5 means half as much.
        low: lower end of its 95% confidence interval.
        high: its upper end.
    """

    value: float
    low: float
    high: float


def slowdowns(baseline: Sequence[float], measured: Sequence[float]) -> list[float]:
    """Of each pair, by how much the measured block is slower than the block without logging beside it.

    Raises:
        ValueError: not as many of one as of the other, or a baseline that took no time.
    """
    if len(baseline) != len(measured):
        raise ValueError(f"{len(baseline)} baseline blocks and {len(measured)} measured, expected as many")
    if any(time <= 0 for time in baseline):
        raise ValueError(f"a baseline block took {min(baseline)}, expected more than 0")
    return [after / before - 1 for before, after in zip(baseline, measured, strict=True)]


def estimate(values: Sequence[float], *, seed: int = 0) -> Estimate:
    """The mean of paired values and its 95% confidence interval.

    The interval is the percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993,
    chapter 13) over pairs, with a fixed seed: 10,000 resamples of the pairs, 2.5th and 97.5th percentile of
    their means.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no pairs, expected at least one")
    array = np.asarray(values, np.float64)
    chosen = np.random.default_rng(seed).integers(0, array.size, (RESAMPLES, array.size))
    low, high = np.percentile(array[chosen].mean(axis=1), [2.5, 97.5])
    return Estimate(float(array.mean()), float(low), float(high), float(np.median(array)), array.size)


def percentile(values: Sequence[float] | npt.NDArray[np.float64], which: float) -> float:
    """The ``which``-th percentile: a value that occurred, at or above the rank.

    Raises:
        ValueError: no values.
    """
    if len(values) == 0:
        raise ValueError("no values, expected at least one")
    return float(np.percentile(np.asarray(values, np.float64), which, method="higher"))


def ratio_of_medians(measured: Sequence[float], baseline: Sequence[float], *, seed: int = 0) -> Ratio:
    """The median of one over the median of the other, both taken in turns, and its 95% confidence interval.

    As :func:`estimate`: percentile bootstrap over the turns, fixed seed.

    Raises:
        ValueError: no values, or not as many of one as of the other.
    """
    if not measured or len(measured) != len(baseline):
        raise ValueError(f"{len(measured)} measured and {len(baseline)} baseline, expected as many, at least one")
    over, under = np.asarray(measured, np.float64), np.asarray(baseline, np.float64)
    chosen = np.random.default_rng(seed).integers(0, over.size, (RESAMPLES, over.size))
    ratios = np.median(over[chosen], axis=1) / np.median(under[chosen], axis=1)
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Ratio(percentile(over, 50) / percentile(under, 50), float(low), float(high))  # of the medians that are told


def beyond_calls(baseline_s: float, measured_s: float, in_calls_s: float) -> float:
    """The part of a slowdown that the calls' own time does not explain, in units of the baseline step.

    Args:
        baseline_s: a step without logging.
        measured_s: a step with it.
        in_calls_s: what the logging calls of a step take by themselves.
    """
    return (measured_s - in_calls_s) / baseline_s - 1
