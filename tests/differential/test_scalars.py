"""Numbers: event for event what tensorboardX and torch write."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair import PEERS, Pair
from values import FLOATS, INTEGERS, UNSIGNED, arrays, as_they_can_take, plain_tags, steps, tags, wall_times

Pairs = Callable[..., Pair]
often = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])

floats = st.floats(width=64)
numbers = (
    floats
    | st.integers(-(2**60), 2**60)
    | st.booleans()
    | floats.map(np.float64)
    | floats.map(np.longdouble)
    | floats.map(lambda value: [value])
    | st.integers(-9, 9).map(lambda value: [[value]])
    | st.booleans().map(np.bool_)
    | st.sampled_from([np.int8, np.uint16, np.int32, np.uint64, np.float16, np.float32]).map(lambda kind: kind(7))
    | st.floats(width=32).map(torch.tensor)
    | st.floats(width=32).map(lambda value: torch.tensor([[value]], requires_grad=True))
    | st.integers(0, 3).flatmap(
        lambda ndim: arrays(st.just((1,) * ndim), (*FLOATS, *INTEGERS, *UNSIGNED, torch.bool), low=0, high=1)
    )
)
words = st.text("aß *\n", max_size=9)


@often
@given(
    calls=st.lists(st.tuples(tags, numbers, steps, wall_times, words, words), min_size=1, max_size=20),
    given_words=st.integers(0, 2),
)
def test_add_scalar(pairs: Pairs, calls: list[tuple[Any, ...]], given_words: int) -> None:
    pair = pairs()
    for tag, value, step, wall_time, *titles in calls:
        rest = (step, wall_time, *titles[:given_words])
        pair.ours_alone("add_scalar", tag, value, *rest)
        pair.theirs_alone("add_scalar", tag, as_they_can_take(value), *rest)
    pair.check()


@often
@given(
    calls=st.lists(
        st.tuples(plain_tags, numbers.filter(lambda number: not isinstance(number, list)), steps, wall_times),
        min_size=1,
        max_size=20,
    )
)
def test_add_scalar_as_torch_has_it(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs(peer=PEERS["torch"])
    for tag, value, *rest in calls:
        pair.ours_alone("add_scalar", tag, value, *rest)
        pair.theirs_alone("add_scalar", tag, as_they_can_take(value), *rest)
    pair.check()


@pytest.mark.parametrize("named", [{"display_name": "Loss"}, {"summary_description": "of *training*"}])
def test_either_of_title_and_description(pair: Pair, named: dict[str, str]) -> None:
    pair.call("add_scalar", "loss", 0.5, 1, 1e9, **named)
    pair.check()


def test_titles_that_change_and_end(pair: Pair) -> None:
    for step, title in enumerate(("", "a", "b", "", "a")):
        pair.call("add_scalar", "loss", 0.5, step, 1e9, title)
    pair.check()


def test_steps_that_are_equal_falling_and_missing(pair: Pair) -> None:
    for value, step in enumerate([5, 5, 4, None, 0, np.int64(7), torch.tensor(8), 2**62, 3.99, -0.5]):
        pair.call("add_scalar", "loss", float(value), step, 1e9 + value)
    pair.check()


keys = st.sampled_from(["a", "b", "c/d", "é", "two words", "trailing/", ".hidden"]) | st.text("abc", min_size=1)


@often
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["chart", "a/b", "x y", "trailing/", "chärt"]),
            st.dictionaries(keys, numbers, max_size=4),
            steps,
            wall_times,
        ),
        min_size=1,
        max_size=6,
    ).filter(lambda calls: any(values for _, values, *_ in calls))
)
def test_add_scalars(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for main_tag, values, *rest in calls:
        pair.ours_alone("add_scalars", main_tag, values, *rest)
        theirs = {key: as_they_can_take(value) for key, value in values.items()}
        pair.theirs_alone("add_scalars", main_tag, theirs, *rest)
    pair.check()


def test_add_scalars_by_name(pair: Pair) -> None:
    pair.call("add_scalars", main_tag="chart", tag_scalar_dict={"a": 1}, global_step=3, walltime=1e9)
    pair.check()


def export(writer: Any, path: Path) -> dict[str, Any]:
    """What the writer exports, with the names of its series as they are below its folder."""
    writer.export_scalars_to_json(path)
    return {key.removeprefix(str(writer.logdir)): rows for key, rows in json.loads(path.read_text()).items()}


@often
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["chart", "a/b"]),
            st.dictionaries(st.sampled_from("ab"), st.floats(-1e9, 1e9) | st.integers(-9, 9), min_size=1),
            st.none() | st.integers(-5, 2**40),
            st.floats(1e6, 1.5e9) | st.integers(1, 9),
        ),
        min_size=1,
        max_size=6,
    ),
    in_between=st.booleans(),
)
def test_export_scalars_to_json(pairs: Pairs, tmp_path: Path, calls: list[tuple[Any, ...]], in_between: bool) -> None:
    pair = pairs()
    for call in calls:
        pair.call("add_scalars", *call)
    pair.call("add_scalar", "loss", 0.5, 1, 1e9)  # not among them
    if in_between:
        pair.close()
    ours, theirs = (export(writer, tmp_path / "scalars.json") for writer in (pair.ours, pair.theirs))
    assert ours == theirs
    assert sum(map(len, ours.values())) == sum(len(values) for _, values, *_ in calls)
    for writer in (pair.ours, pair.theirs):
        assert export(writer, tmp_path / "scalars.json") == {}  # what was exported is forgotten
    pair.check()


def test_exported_tensors(pair: Pair, tmp_path: Path) -> None:
    for value in (torch.tensor(0.1), np.float32(0.1), torch.tensor([3]), True):
        pair.call("add_scalars", "chart", {"a": value}, np.int64(1).item(), 1e9)
    ours, theirs = (export(writer, tmp_path / "scalars.json") for writer in (pair.ours, pair.theirs))
    assert ours == theirs
    pair.check()


@often
@given(
    calls=st.lists(
        st.tuples(plain_tags, st.floats(width=64), steps, wall_times, st.booleans(), st.booleans()),
        min_size=1,
        max_size=10,
    ),
    how=st.sampled_from(["positional", "named"]),
)
def test_torchs_new_style(pairs: Pairs, calls: list[tuple[Any, ...]], how: str) -> None:
    pair = pairs(peer=PEERS["torch"])
    for tag, value, step, wall_time, new_style, double_precision in calls:
        if how == "positional":
            pair.call("add_scalar", tag, value, step, wall_time, new_style, double_precision)
        else:
            named = {"new_style": new_style, "double_precision": double_precision}
            pair.call("add_scalar", tag, value, step, wall_time, **named)
    pair.check()


def test_torchs_fifth_argument_alone(pairs: Pairs) -> None:
    pair = pairs(peer=PEERS["torch"])
    for step, new_style in enumerate(itertools.chain([True, False] * 2)):
        pair.call("add_scalar", "loss", 0.1, step, 1e9, new_style)
    pair.check()


def test_a_scalar_in_the_shape_of_an_array(pair: Pair) -> None:
    """Every shape of one element, by tensor and by array."""
    for ndim in range(5):
        pair.call("add_scalar", "tensor", torch.full((1,) * ndim, 2.5), ndim, 1e9)
        pair.call("add_scalar", "array", np.full((1,) * ndim, 2.5), ndim, 1e9)
    pair.check()
