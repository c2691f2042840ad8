"""Texts, hyperparameters, layouts of charts: event for event what tensorboardX and torch write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair import PEERS, Pair
from values import steps, tags, wall_times

Pairs = Callable[..., Pair]
often = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@often
@given(
    texts=st.lists(
        st.tuples(tags, st.text(st.characters(codec="utf-8"), max_size=50), steps, wall_times), min_size=1, max_size=9
    ),
    peer=st.sampled_from([*PEERS]),
)
def test_add_text(pairs: Pairs, texts: list[tuple[Any, ...]], peer: str) -> None:
    pair = pairs(peer=PEERS[peer])
    for text in texts:
        pair.call("add_text", *text)
    pair.check()


def test_a_long_text(pair: Pair) -> None:
    pair.call("add_text", "log", "| a | b |\n|---|---|\n" * 200_000, 1, 1e9)
    pair.check()


names = st.text("abc_é /", min_size=1, max_size=8)
shown = st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=9)
not_shown = st.sampled_from(
    [
        torch.relu, torch.nn.ReLU, torch.nn.ReLU(), len, print, np.float32(1), np.float64(2.5), np.int64(3),
        np.bool_(True), np.str_("numpy"), torch.tensor(1.0), torch.tensor([1.0]), (1, 2), [3], {"a": 1}, b"x",
        Path("a"), np.zeros(2), object,
    ]
)  # fmt: skip
"""Of some only the name is shown, or nothing."""
metric_names = st.text("xyz/ ä", min_size=1).filter(lambda tag: tag.strip("/"))
metric_values = (
    st.floats(width=32)
    | st.integers(-9, 9)
    | st.sampled_from([True, np.float32(0.5), torch.tensor(0.5), torch.tensor([2.0], requires_grad=True), [0.25]])
)


@often
@given(
    trials=st.lists(
        st.tuples(
            st.dictionaries(names, st.none() | shown | not_shown),
            st.dictionaries(metric_names, metric_values),
            st.sampled_from(["trial", "a/b", "ü 1", Path("path")]),
            steps,
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda trial: str(trial[2]),
    )
)
def test_add_hparams(pairs: Pairs, trials: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for trial in trials:
        pair.call("add_hparams", *trial)
    pair.check()


def test_add_hparams_by_name(pair: Pair) -> None:
    pair.call("add_hparams", hparam_dict={"lr": 0.1}, metric_dict={"loss": 1.0}, name="trial", global_step=7)
    pair.check()


def test_one_trial_twice(pair: Pair) -> None:
    for index in range(2):
        pair.call("add_hparams", {"lr": 0.1}, {"loss": 1.0}, f"trial{index}", 7)
        pair.call("add_scalar", "loss", 0.5, index, 1e9)  # of the writer itself
    pair.check()


@pytest.mark.parametrize("name", [None, ""])
def test_add_hparams_without_a_name_is_dated(pair: Pair, name: Any) -> None:
    pair.call("add_hparams", {"lr": 0.1}, {"loss": 1.0}, name)
    pair.close()
    ours, theirs = ([path.name for path in folder.iterdir() if path.is_dir()] for folder in pair.folders)
    assert abs(float(ours[0]) - float(theirs[0])) < 60


domains = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=3),
        "optimizer": st.lists(st.text(max_size=5), max_size=3),
        "depth": st.lists(st.integers(-9, 9), max_size=3),
    },
)


@often
@given(
    given_domains=st.none() | domains,
    metrics=st.dictionaries(metric_names.map(str.strip).filter(bool), st.floats(width=32)),
)
def test_add_hparams_as_torch_has_it(pairs: Pairs, given_domains: Any, metrics: dict[str, float]) -> None:
    pair = pairs(peer=PEERS["torch"])
    metrics = {name.replace(" ", "").lstrip("/") + "m": value for name, value in metrics.items()}
    hparams = {"lr": 0.1, "optimizer": "adam", "depth": 3, "none": None}
    pair.call("add_hparams", hparams, metrics, given_domains, "positional")
    pair.call("add_hparams", hparams, metrics, hparam_domain_discrete=given_domains, run_name="named")
    pair.check()


texts = st.text(st.characters(codec="utf-8"), max_size=8)
charts = st.tuples(st.just("Multiline"), st.lists(texts, max_size=4)) | st.tuples(
    st.just("Margin"), st.lists(texts, min_size=3, max_size=3)
)
layouts = st.dictionaries(texts, st.dictionaries(texts, charts | charts.map(list), max_size=3), max_size=3)


@often
@given(given_layouts=st.lists(layouts, min_size=1, max_size=3), peer=st.sampled_from([*PEERS]))
def test_add_custom_scalars(pairs: Pairs, given_layouts: list[Any], peer: str) -> None:
    pair = pairs(peer=PEERS[peer])
    for layout in given_layouts:
        pair.call("add_custom_scalars", layout)
    pair.call("add_custom_scalars", layout=given_layouts[0])
    pair.check()


def test_the_short_forms_of_custom_scalars(pairs: Pairs, peer: Any) -> None:
    pair = pairs(peer=peer)
    for name, tags_of_it in (("multilinechart", ["a", "b/.*"]), ("marginchart", ("a", "b", "c"))):
        call = f"add_custom_scalars_{name}"
        pair.call(call, tags_of_it)
        pair.call(call, tags_of_it, "category", "title")
        pair.call(call, tags=tags_of_it, category="category", title="title")
    pair.call("add_custom_scalars_multilinechart", [])
    pair.check()
