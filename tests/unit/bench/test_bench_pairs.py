"""The statistics of the bench."""

from __future__ import annotations

import numpy as np
import pytest

from sidelog.bench.pairs import beyond_calls, estimate, percentile, ratio_of_medians, slowdowns


def test_slowdowns_are_paired() -> None:
    # A machine that becomes twice as slow halfway changes neither pair.
    assert slowdowns([1.0, 2.0], [1.1, 2.2]) == pytest.approx([0.1, 0.1])


@pytest.mark.parametrize(("baseline", "measured"), [([1.0], []), ([0.0], [1.0])])
def test_slowdowns_refuse_what_is_no_pair(baseline: list[float], measured: list[float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        slowdowns(baseline, measured)


def test_estimate_of_equal_pairs_has_no_width() -> None:
    found = estimate([0.25] * 8)
    assert (found.mean, found.low, found.high, found.median, found.pairs) == (0.25, 0.25, 0.25, 0.25, 8)


def test_interval_agrees_with_the_normal_one_of_many_pairs() -> None:
    values = np.random.default_rng(1).normal(0.02, 0.01, 400)
    found = estimate(values.tolist())
    half_width = 1.96 * values.std() / np.sqrt(values.size)
    assert found.low == pytest.approx(values.mean() - half_width, abs=2e-4)
    assert found.high == pytest.approx(values.mean() + half_width, abs=2e-4)


def test_ratio_of_medians_and_its_interval() -> None:
    rng = np.random.default_rng(3)
    found = ratio_of_medians(rng.normal(2.0, 0.1, 101).tolist(), rng.normal(4.0, 0.1, 101).tolist())
    assert found.low < found.value < found.high
    assert found.value == pytest.approx(0.5, abs=0.02)
    assert found.high - found.low < 0.05
    assert ratio_of_medians([1.0], [4.0]).value == 0.25


@pytest.mark.parametrize(("measured", "baseline"), [([], []), ([1.0], [])])
def test_a_ratio_of_nothing_is_refused(measured: list[float], baseline: list[float]) -> None:
    with pytest.raises(ValueError, match="expected as many"):
        ratio_of_medians(measured, baseline)


def test_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    found = [estimate(rng.normal(0.0, 1.0, 30).tolist()) for _ in range(200)]
    assert 0.88 <= np.mean([one.low <= 0.0 <= one.high for one in found]) <= 0.99


def test_estimate_is_the_same_each_time() -> None:
    values = np.random.default_rng(3).normal(size=30).tolist()
    assert estimate(values) == estimate(values)
    assert estimate(values, seed=1).low != estimate(values, seed=2).low


def test_estimate_needs_pairs() -> None:
    with pytest.raises(ValueError, match="at least one"):
        estimate([])


def test_percentile_is_a_value_that_occurred() -> None:
    values = list(range(100))
    assert percentile(values, 50) == 50
    assert percentile(values, 99) == 99
    assert percentile([7.0], 99) == 7.0
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 50)


def test_what_the_calls_explain_is_not_beyond_them() -> None:
    assert beyond_calls(2.0, 2.5, 0.5) == pytest.approx(0.0)
    assert beyond_calls(2.0, 2.6, 0.5) == pytest.approx(0.05)
