"""Histograms and precision-recall curves: count for count."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair import PEERS, Pair
from values import (
    FLOATS,
    INTEGERS,
    UNSIGNED,
    arrays,
    as_they_can_take,
    as_torch_can_take,
    plain_tags,
    shapes,
    steps,
    tags,
    wall_times,
)  # fmt: skip

Pairs = Callable[..., Pair]
often = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
BINS = ("tensorflow", "auto", "fd", "doane", "scott", "rice", "sturges", "sqrt")
EDGES = ([-60.0, -1.0, 0.0, 5.0, 100.0], (0, 50), np.array([0, 1, 1, 99]), torch.tensor([-99.0, 99.0]), range(0, 90, 7))

values = (
    arrays(shapes((1, 9), (1, 30)), FLOATS, low=-50, high=50, lists=True)
    | arrays(shapes((1, 90)), (*INTEGERS, *UNSIGNED), low=0, high=99, lists=True)
    | arrays(shapes((1, 9), (1, 3), (1, 2), (1, 2)), (torch.bool,), low=0, high=1)
    | arrays(st.just(()), FLOATS, low=1, high=50)
    | st.floats(1, 99)
    | st.integers(1, 99)
)
bins = (
    st.sampled_from(BINS)
    | st.integers(1, 40)
    | st.integers(1, 9).map(np.int64)
    | st.integers(1, 9).map(torch.tensor)
    | st.sampled_from(EDGES)
)
max_bins = st.none() | st.integers(1, 30) | st.integers(1, 9).map(np.int32)


def counts_something(call: tuple[Any, ...]) -> bool:
    """Both raise when no value lies within the edges."""
    _, given_values, _, given_bins, *_ = call
    if isinstance(given_bins, (str, int)) or np.ndim(given_bins) == 0:
        return True
    numbers = np.asarray(torch.as_tensor(given_values).detach().double() if not isinstance(given_values, np.ndarray)
                         else given_values, np.float64)  # fmt: skip
    edges = np.asarray(given_bins, np.float64)
    return bool(((numbers >= edges[0]) & (numbers <= edges[-1])).any())


@often
@given(
    calls=st.lists(
        st.tuples(tags, values, steps, bins, wall_times, max_bins).filter(counts_something), min_size=1, max_size=5
    )
)
def test_add_histogram(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for tag, given_values, *rest in calls:
        pair.ours_alone("add_histogram", tag, given_values, *rest)
        pair.theirs_alone("add_histogram", tag, as_they_can_take(given_values), *rest)
    pair.check()


@often
@given(
    calls=st.lists(
        st.tuples(plain_tags, values, steps, bins, wall_times, max_bins).filter(counts_something),
        min_size=1,
        max_size=5,
    )
)
def test_add_histogram_as_torch_has_it(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs(peer=PEERS["torch"])
    for tag, given_values, *rest in calls:
        pair.ours_alone("add_histogram", tag, given_values, *rest)
        pair.theirs_alone("add_histogram", tag, as_torch_can_take(given_values), *rest)
    pair.check()


def test_a_list_of_tensors_is_a_histogram(pair: Pair) -> None:
    pair.call("add_histogram", "values", [torch.tensor(1.0), torch.tensor(2.5)], 1, "auto", 1e9)
    pair.check()


facts = st.floats(-1e9, 1e9) | st.integers(-9, 9) | st.floats(width=32, allow_nan=False).map(np.float32)


@often
@given(
    calls=st.lists(
        st.tuples(
            tags, st.lists(st.floats(-1e9, 1e9), max_size=20).map(sorted), st.tuples(facts, facts, facts, facts, facts),
            st.sampled_from([list, tuple, np.array, torch.tensor]), steps, wall_times,
        ),
        min_size=1,
        max_size=5,
    ),
    peer=st.sampled_from([*PEERS]),
)  # fmt: skip
def test_add_histogram_raw(pairs: Pairs, calls: list[tuple[Any, ...]], peer: str) -> None:
    pair = pairs(peer=PEERS[peer])
    for tag, limits, numbers, form, step, wall_time in calls:
        counts = list(range(len(limits)))
        pair.ours_alone("add_histogram_raw", tag, *numbers, form(limits), form(counts), step, wall_time)
        theirs = torch.tensor(limits).tolist() if form is torch.tensor else limits  # float32
        # Of theirs torch's tensors are not taken by every protobuf; what they hold is the same.
        pair.theirs_alone("add_histogram_raw", tag, *map(float, numbers), theirs, counts, step, wall_time)
    pair.check()


def test_add_histogram_raw_as_it_is_documented(pairs: Pairs, peer: Any) -> None:
    numbers = np.random.default_rng(0).normal(size=200)
    counts, limits = np.histogram(numbers)
    pair = pairs(peer=peer)
    pair.call(
        "add_histogram_raw", tag="counted", min=numbers.min(), max=numbers.max(), num=len(numbers),
        sum=numbers.sum(), sum_squares=numbers.dot(numbers), bucket_limits=limits[1:].tolist(),
        bucket_counts=counts.tolist(), global_step=0, walltime=1e9,
    )  # fmt: skip
    pair.check()


@st.composite
def curves(draw: Any) -> tuple[Any, ...]:
    """Labels, predictions, thresholds, weights."""
    shape = draw(shapes((0, 40)) | shapes((1, 5), (1, 6)))
    labels = draw(
        arrays(st.just(shape), (torch.bool, torch.uint8, torch.int64, torch.float32), low=0, high=1, lists=True)
    )
    predictions = draw(arrays(st.just(shape), (*FLOATS, torch.int64, torch.bool), low=0, high=1, lists=True))
    weights = draw(
        st.none()
        | st.sampled_from([0.5, 2, True, np.float32(0.25), [3]])
        | arrays(st.just(shape), (torch.float32, torch.float64)).map(
            lambda array: np.asarray(torch.as_tensor(plain(array)))
        )
        | st.just(np.linspace(0, 1, shape[-1]))  # along the last dimension
    )
    if isinstance(weights, list) and len(shape) > 1:
        weights = np.array(weights)
    thresholds = draw(st.integers(1, 300))
    if getattr(predictions, "dtype", None) in (torch.float64, np.float64) and draw(st.booleans()):
        # With this numpy 2 counts in double precision, with Python's in that of the predictions; we always in theirs.
        thresholds = np.int64(thresholds)
    return labels, predictions, thresholds, weights


def plain(array: Any) -> np.ndarray:
    array = array.detach().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)
    return array.astype(array.dtype.newbyteorder("="))


@often
@given(calls=st.lists(st.tuples(tags, curves(), steps, wall_times), min_size=1, max_size=5))
def test_add_pr_curve(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for tag, (labels, predictions, thresholds, weights), step, wall_time in calls:
        rest = (step, thresholds, weights, wall_time)
        pair.ours_alone("add_pr_curve", tag, labels, predictions, *rest)
        pair.theirs_alone("add_pr_curve", tag, as_they_can_take(labels), as_they_can_take(predictions), *rest)
    pair.check()


@often
@given(calls=st.lists(st.tuples(tags, curves(), steps, wall_times), min_size=1, max_size=5))
def test_add_pr_curve_as_torch_has_it(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs(peer=PEERS["torch"])
    for tag, (labels, predictions, thresholds, weights), step, wall_time in calls:
        rest = (step, thresholds, weights, wall_time)
        pair.ours_alone("add_pr_curve", tag, labels, predictions, *rest)
        pair.theirs_alone("add_pr_curve", tag, as_torch_can_take(labels), as_torch_can_take(predictions), *rest)
    pair.check()


def test_add_pr_curve_with_nothing_but_what_it_needs(pairs: Pairs, peer: Any) -> None:
    pair = pairs(peer=peer)
    labels, predictions = np.array([0, 1, 1]), np.array([0.1, 0.7, 0.4])
    pair.call("add_pr_curve", "curve", labels, predictions)
    pair.call("add_pr_curve", tag="named", labels=labels, predictions=predictions, global_step=1, num_thresholds=5,
              weights=None, walltime=1e9)  # fmt: skip
    pair.check()


columns = st.integers(1, 130).flatmap(
    lambda count: st.lists(
        st.lists(st.floats(0, 1e6, width=32), min_size=count, max_size=count), min_size=6, max_size=6
    )
)


@often
@given(
    calls=st.lists(
        st.tuples(
            tags, columns, st.sampled_from([list, tuple, np.array, torch.tensor]), steps, st.integers(1, 200),
            st.none() | st.just(0.5), wall_times,
        ),
        min_size=1,
        max_size=3,
    ),
    peer=st.sampled_from([*PEERS]),
)  # fmt: skip
def test_add_pr_curve_raw(pairs: Pairs, calls: list[tuple[Any, ...]], peer: str) -> None:
    pair = pairs(peer=PEERS[peer])
    for tag, given_columns, form, *rest in calls:
        pair.call("add_pr_curve_raw", tag, *map(form, given_columns), *rest)
    pair.check()


@pytest.mark.parametrize("empty", ["values", "edges"])
def test_what_counts_nothing_is_an_error_in_both(pair: Pair, empty: str) -> None:
    arguments = ("values", [], 1) if empty == "values" else ("values", [1.0], 1, [])
    for writer in (pair.ours, pair.theirs):
        with pytest.raises((ValueError, IndexError)):
            writer.add_histogram(*arguments)
    pair.call("add_scalar", "loss", 1.0, 1, 1e9)
    pair.check()
