"""Histograms and precision-recall curves: count for count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair import Pair
from values import FLOATS, INTEGERS, arrays, as_they_can_take, shapes, steps, tags, wall_times

Pairs = Callable[..., Pair]
often = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
BINS = ("tensorflow", "auto", "fd", "doane", "scott", "rice", "sturges", "sqrt")


@often
@given(
    tag=tags,
    values=arrays(shapes((1, 9), (1, 30)), FLOATS, low=-50, high=50)
    | arrays(shapes((1, 90)), INTEGERS, low=0, high=99),
    step=steps,
    bins=st.sampled_from(BINS) | st.integers(1, 40) | st.just([-60.0, -1.0, 0.0, 5.0, 100.0]),
    wall_time=wall_times,
    max_bins=st.none() | st.integers(2, 30),
)
def test_add_histogram(
    pairs: Pairs, tag: str, values: Any, step: int | None, bins: Any, wall_time: float, max_bins: int | None
) -> None:
    pair = pairs()
    pair.ours_alone("add_histogram", tag, values, step, bins, wall_time, max_bins)
    pair.theirs_alone("add_histogram", tag, as_they_can_take(values), step, bins, wall_time, max_bins)
    pair.check()


def test_add_histogram_of_a_list(pair: Pair) -> None:
    pair.call("add_histogram", "values", [1, 2.5, 3], 1, "auto", 1e9)
    pair.check()


@often
@given(
    limits=st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=20).map(sorted),
    facts=st.lists(st.floats(-1e9, 1e9), min_size=5, max_size=5),
    form=st.sampled_from([list, np.array, torch.tensor]),
    step=steps,
)
def test_add_histogram_raw(pairs: Pairs, limits: list[float], facts: list[float], form: Any, step: int | None) -> None:
    pair = pairs()
    counts = list(range(len(limits)))
    pair.ours_alone("add_histogram_raw", "counted", *facts, form(limits), form(counts), step, 1e9)
    given = limits if form is not torch.tensor else torch.tensor(limits).tolist()
    pair.theirs_alone("add_histogram_raw", "counted", *facts, given, counts, step, 1e9)
    pair.check()


@often
@given(
    count=st.integers(1, 60),
    seed=st.integers(0, 1000),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.float16]),
    labels=st.sampled_from([torch.int64, torch.uint8, torch.bool, torch.float32]),
    thresholds=st.integers(2, 200),
    weights=st.sampled_from([None, 0.5, "each"]),
    step=steps,
)
def test_add_pr_curve(
    pairs: Pairs, count: int, seed: int, dtype: Any, labels: Any, thresholds: int, weights: Any, step: int | None
) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(0, 2, (count,), generator=generator).to(labels)
    guess = torch.rand(count, generator=generator).to(dtype)
    weight = torch.rand(count, generator=generator).numpy() if weights == "each" else weights
    pair = pairs()
    pair.call("add_pr_curve", "curve", truth, guess, step, thresholds, weight, 1e9)
    pair.check()


@pytest.mark.parametrize("form", [list, np.array, torch.tensor])
def test_add_pr_curve_raw(pair: Pair, form: Any) -> None:
    columns = [form(column) for column in np.random.default_rng(0).integers(0, 99, (6, 10)).tolist()]
    pair.call("add_pr_curve_raw", "curve", *columns, 3, 10, None, 1e9)
    pair.check()
