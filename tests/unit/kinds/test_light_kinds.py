"""What is written as it comes: text, hyperparameters, layouts, counted histograms and curves, purges."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kind_records import NOW, TAG, documented, events, record
from torch.utils.tensorboard.summary import hparams as torch_hparams

from sidelog_shared.records import Kind
from tensorboardx_events import parsed, theirs, untimed, written_in

NUMBERS = st.floats(width=64)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(text=TEXTS, step=st.none() | st.integers(-5, 2**62))
def test_a_text(tmp_path_factory: pytest.TempPathFactory, text: str, step: int | None) -> None:
    expected = theirs(tmp_path_factory.mktemp("x"), lambda writer: writer.add_text(TAG, text, step, NOW))
    assert events(record(Kind.TEXT, text.encode(), step=step)) == expected


@given(
    hparams=st.dictionaries(TEXTS, TEXTS | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(), max_size=5),
    metrics=st.lists(TEXTS, unique=True, max_size=3),
)
def test_hyperparameters_are_three_events(hparams: dict[str, Any], metrics: list[str]) -> None:
    summary = importlib.import_module("tensorboardX.summary")
    got = events(documented(Kind.HPARAMS, {"hparams": [*map(list, hparams.items())], "metrics": metrics}, step=None))
    expected = summary.hparams(hparams, dict.fromkeys(metrics, 0.5))
    assert [_hparams(event.summary) for event in got] == [_hparams(one) for one in expected]
    assert {(event.step, event.wall_time) for event in got} == {(0, NOW)}


def _hparams(summary: Any) -> object:
    """The plugin's data, parsed: maps stand in any order in bytes."""
    plugin = importlib.import_module("tensorboardX.proto.plugin_hparams_pb2")
    (value,) = summary.value
    return value.tag, str(plugin.HParamsPluginData.FromString(value.metadata.plugin_data.content))


def test_hyperparameters_as_the_writer_writes_them(tmp_path: Path) -> None:
    hparams = {"lr": 0.1, "bsize": 32, "name": "adam", "bias": True, "layers": [1, 2]}
    with importlib.import_module("tensorboardX.writer").SummaryWriter(str(tmp_path)) as writer:
        writer.add_hparams(hparams, {}, name="trial")
    _, *expected = written_in(tmp_path / "trial")
    items = [[name, None if name == "layers" else value] for name, value in hparams.items()]
    got = untimed(events(documented(Kind.HPARAMS, {"hparams": items, "metrics": []}, step=None)))
    assert [_hparams(event.summary) for event in got] == [_hparams(event.summary) for event in untimed(expected)]
    assert "DATA_TYPE_UNSET" not in str(got)  # the default, which is not written


@pytest.mark.parametrize("domains", [{"lr": [0.1, 1.0], "name": ["adam", "sgd"]}, {"name": []}])
def test_domains_of_hyperparameters_are_torchs(domains: dict[str, list[Any]]) -> None:
    hparams = {"lr": 0.1, "depth": 3, "name": "adam"}
    document = {"hparams": [*map(list, hparams.items())], "metrics": ["loss"], "domains": domains}
    got = events(documented(Kind.HPARAMS, document, step=None))
    expected = torch_hparams(hparams, {"loss": 1.0}, domains)
    assert [_hparams(event.summary) for event in got] == [_hparams(one) for one in expected]
    assert str(_hparams(got[0].summary)).count("domain_discrete") == len(domains)


def test_a_layout(tmp_path: Path) -> None:
    layout = {
        "Taiwan": {"twse": ["Multiline", ["twse/0050", "twse/2330"]], "none": ["Multiline", []]},
        "USA": {"dow": ["Margin", ["dow/aaa", "dow/bbb", "dow/ccc"]]},
    }
    expected = theirs(tmp_path, lambda writer: writer.add_custom_scalars(layout))
    document = [
        [category, [[chart, kind, tags] for chart, (kind, tags) in charts.items()]]
        for category, charts in layout.items()
    ]
    assert untimed(events(documented(Kind.LAYOUT, document, step=None))) == untimed(expected)


@given(
    buckets=st.lists(st.tuples(NUMBERS, NUMBERS), max_size=6),
    numbers=st.lists(st.floats(allow_nan=False), min_size=5, max_size=5),
)
def test_buckets(
    tmp_path_factory: pytest.TempPathFactory, buckets: list[tuple[float, float]], numbers: list[float]
) -> None:
    limits, counts = [np.array(column, np.float64) for column in zip(*buckets, strict=True)] or [np.zeros(0)] * 2
    expected = theirs(
        tmp_path_factory.mktemp("x"),
        lambda writer: writer.add_histogram_raw(TAG, *numbers, limits.tolist(), counts.tolist(), 3, NOW),
    )
    got = events(record(Kind.BUCKETS, limits, counts, np.array(numbers)))
    assert [event.SerializeToString() for event in got] == [event.SerializeToString() for event in expected]


@given(thresholds=st.integers(1, 300), count=st.integers(0, 5), seed=st.integers(0, 99))
def test_a_counted_curve(tmp_path_factory: pytest.TempPathFactory, thresholds: int, count: int, seed: int) -> None:
    counts = np.random.default_rng(seed).random((6, count)) * 100
    expected = theirs(
        tmp_path_factory.mktemp("x"),
        lambda writer: writer.add_pr_curve_raw(TAG, *counts, global_step=3, num_thresholds=thresholds, walltime=NOW),
    )
    assert events(record(Kind.PR_COUNTS, counts, num_thresholds=thresholds)) == expected


@pytest.mark.parametrize("step", [0, 7, -2])
def test_a_purge(tmp_path: Path, step: int) -> None:
    importlib.import_module("tensorboardX.writer").SummaryWriter(str(tmp_path), purge_step=step).close()
    _, *expected = written_in(tmp_path)
    got = events(record(Kind.PURGE, step=step))
    assert {event.wall_time for event in got} == {NOW}
    assert untimed(got) == untimed(expected)
    assert len(parsed(*(event.SerializeToString() for event in got))) == 2
