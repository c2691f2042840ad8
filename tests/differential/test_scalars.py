"""Numbers and words: event for event what tensorboardX writes."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.tensorboard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair import Pair
from values import steps, tags, wall_times

Pairs = Callable[..., Pair]
often = settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])

floats = st.floats(width=64)
numbers = (
    floats
    | st.integers(-(2**60), 2**60)
    | st.booleans()
    | floats.map(np.float64)
    | st.floats(width=32).map(np.float32)
    | st.floats(width=32).map(torch.tensor)
    | st.floats(width=32).map(lambda value: torch.tensor([[value]], requires_grad=True))
    | st.integers(-100, 100).map(np.int32)
    | st.integers(0, 255).map(lambda value: torch.tensor([value], dtype=torch.uint8))
)


def for_them(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value


@often
@given(calls=st.lists(st.tuples(tags, numbers, steps, wall_times), min_size=1, max_size=20))
def test_add_scalar(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for tag, value, step, wall_time in calls:
        pair.ours_alone("add_scalar", tag, value, step, wall_time)
        pair.theirs_alone("add_scalar", tag, for_them(value), step, wall_time)
    pair.check()


@often
@given(step=steps, words=st.tuples(st.text("aß *", max_size=9), st.text("bü", max_size=9)))
def test_add_scalar_with_words(pairs: Pairs, step: int | None, words: tuple[str, str]) -> None:
    pair = pairs()
    pair.call("add_scalar", "loss", 0.5, step, 1e9, *words)
    pair.call("add_scalar", "loss", 0.25, step, 1e9, display_name=words[1])
    pair.check()


def test_steps_that_are_equal_falling_and_missing(pair: Pair) -> None:
    for value, step in enumerate([5, 5, 4, None, 0, np.int64(7), torch.tensor(8), 2**62]):
        pair.call("add_scalar", "loss", float(value), step, 1e9 + value)
    pair.check()


def test_wall_times_that_are_not_given(pair: Pair) -> None:
    pair.call("add_scalar", "loss", 0.5, 1)
    pair.call("add_text", "note", "text", 1)
    pair.call("add_scalars", "both", {"a": 1, "b": 2}, 1)
    pair.check()


@often
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["chart", "a/b", "x y"]),
            st.dictionaries(st.sampled_from(["a", "b", "c/d", "é"]), st.floats(width=32), min_size=1),
            steps,
            wall_times,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_add_scalars(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for call in calls:
        pair.call("add_scalars", *call)
    pair.check()


@often
@given(texts=st.lists(st.tuples(tags, st.text(max_size=50), steps, wall_times), min_size=1, max_size=5))
def test_add_text(pairs: Pairs, texts: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for text in texts:
        pair.call("add_text", *text)
    pair.check()


hyperparameters = st.dictionaries(
    st.text("abc_é", min_size=1, max_size=8),
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=9)
    | st.sampled_from([torch.relu, torch.nn.ReLU, np.float32(1), (1, 2), [3]]),
)  # fmt: skip


@often
@given(
    hparams=hyperparameters,
    metrics=st.dictionaries(st.text("xyz/", min_size=1).filter(lambda tag: tag.strip("/")), st.floats(width=32)),
    step=steps,
)
def test_add_hparams(pairs: Pairs, hparams: dict[str, Any], metrics: dict[str, float], step: int | None) -> None:
    pair = pairs()
    pair.call("add_hparams", hparams, metrics, "trial", step)
    pair.check()


def test_add_hparams_without_a_name_is_dated(pair: Pair) -> None:
    pair.ours_alone("add_hparams", {"lr": 0.1}, {"loss": 1.0})
    pair.close()
    (folder,) = [path for path in Path(pair.ours.logdir).iterdir() if path.is_dir()]
    assert float(folder.name) > 1.7e9


@pytest.mark.parametrize("how", ["positional", "by name"])
def test_add_hparams_as_torch_has_it(pairs: Pairs, how: str) -> None:
    pair = pairs(peer=torch.utils.tensorboard.SummaryWriter)
    arguments = ({"lr": 0.1, "optimizer": "adam", "depth": 3}, {"loss": 1.0})
    domains = {"lr": [0.1, 0.01], "optimizer": ["adam", "sgd"]}
    if how == "positional":
        pair.call("add_hparams", *arguments, domains, "trial")
    else:
        pair.call("add_hparams", *arguments, hparam_domain_discrete=domains, run_name="trial")
    pair.check()


LAYOUT = {
    "Taiwan": {"twse": ["Multiline", ["twse/0050", "twse/2330"]]},
    "USA": {"dow": ["Margin", ["dow/aaa", "dow/bbb", "dow/ccc"]], "nasdaq": ["Multiline", ["nasdaq/.*"]]},
}


def test_custom_scalars(pairs: Pairs) -> None:
    for name, arguments in (
        ("add_custom_scalars", (LAYOUT,)),
        ("add_custom_scalars_multilinechart", (["a", "b"], "category", "title")),
        ("add_custom_scalars_multilinechart", (["a", "b"],)),
        ("add_custom_scalars_marginchart", (["a", "b", "c"], "category", "title")),
    ):
        pair = pairs()
        pair.call(name, *arguments)
        pair.check()


def test_use_metadata(pair: Pair) -> None:
    for writer in (pair.ours, pair.theirs):
        with writer.use_metadata(global_step=7, walltime=1e9):
            writer.add_scalar("loss", 0.5)
            writer.add_scalar("loss", 0.25, 8, 2e8)
            writer.add_text("note", "text")
            writer.add_image("picture", np.zeros((3, 4, 5), np.uint8))
            writer.add_histogram("values", np.arange(5.0))
            writer.add_scalars("chart", {"a": 1.0}, walltime=1e9)
        writer.add_scalar("loss", 0.125, None, 1e9)
    pair.check()


def test_export_scalars_to_json(pair: Pair, tmp_path: Path) -> None:
    found = []
    for name, writer in (("ours", pair.ours), ("theirs", pair.theirs)):
        for step in (0, 1, None):
            writer.add_scalars("chart", {"a": 0.1, "b": torch.tensor(0.5)}, step, 1e9)
        writer.add_scalar("loss", 0.5, 1, 1e9)
        path = tmp_path / f"{name}.json"
        writer.export_scalars_to_json(path)
        found.append({key.replace(str(writer.logdir), ""): rows for key, rows in json.loads(path.read_text()).items()})
        writer.export_scalars_to_json(path)
        assert json.loads(path.read_text()) == {}  # what was exported is forgotten
    assert found[0] == found[1]
    assert found[0]["/chart/a"] == [[1e9, 0, 0.1], [1e9, 1, 0.1], [1e9, None, 0.1]]
    pair.check()


@pytest.mark.parametrize("arguments", [(True,), (True, True), (False, True)])
def test_torchs_new_style(pairs: Pairs, arguments: tuple[bool, ...]) -> None:
    pair = pairs(peer=torch.utils.tensorboard.SummaryWriter)
    for value in (0.1, -1e300, float("inf")):
        pair.call("add_scalar", "loss", value, 3, 1e9, *arguments)
    named = dict(zip(("new_style", "double_precision"), arguments, strict=False))
    pair.call("add_scalar", "loss", 0.7, 3, 1e9, **named)
    pair.check()


def test_purge_step(pairs: Pairs) -> None:
    pair = pairs(purge_step=5)
    pair.call("add_scalar", "loss", 0.5, 5, 1e9)
    pair.check()


def test_calls_after_close_go_on_in_the_same_folder(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    # Their files have the second in their names: opened again within one, the second file overwrites the first.
    seconds = itertools.count(int(time.time()))
    monkeypatch.setattr("tensorboardX.event_file_writer.time.time", lambda: float(next(seconds)))
    pair = pairs()
    for value in range(3):
        pair.call("add_scalar", "loss", float(value), value, 1e9)
        pair.call("add_scalars", "chart", {"a": value}, value, 1e9)
        pair.close()
        pair.close()
    pair.check()


def test_the_logdir_is_told_as_it_was_given(pairs: Pairs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    import sidelog

    with sidelog.SummaryWriter("runs/a") as writer:
        assert (writer.logdir, writer.log_dir, writer.get_logdir()) == ("runs/a",) * 3
        writer.add_scalar("loss", 1.0, 1)
        monkeypatch.chdir("/")
    assert list((tmp_path / "runs" / "a").glob("*tfevents*"))
    assert writer.purge_step is None
