"""Histograms against tensorboardX's own SummaryWriter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import render_oracles as oracle
import torch
from hypothesis import given
from hypothesis import strategies as st
from tensorboardX import summary as tensorboardx_summary
from tensorboardX.writer import SummaryWriter

from sidelog_daemon.render import count_histogram, to_array
from sidelog_daemon.render.histogram import default_bins
from sidelog_shared.dtypes import BFLOAT16, FLOAT8_E4M3FN
from sidelog_shared.errors import SnapshotError

DTYPES = ["float32", "float64", "float16", "int8", "int32", "int64", "uint8", "uint64", "bool"]


def by_tensorboardx(values: np.ndarray, bins: Any, max_bins: int | None = None) -> Any:
    message = tensorboardx_summary.histogram("tag", values, bins, max_bins)
    return message.value[0].histo


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """A SummaryWriter that keeps the summaries it would write."""
    writer = SummaryWriter(str(tmp_path))
    kept: list[Any] = []
    writer.file_writer.add_summary = lambda message, *_: kept.append(message.value[0].histo)
    yield writer, kept
    writer.close()


@pytest.mark.parametrize("max_bins", [None, 30])
@pytest.mark.parametrize("bins", ["tensorflow", "auto", "fd", "sturges"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_equals_summary_writer(written: Any, dtype: str, bins: str, max_bins: int | None) -> None:
    writer, kept = written
    values = np.random.default_rng(0).standard_normal((20, 30)).astype(dtype)
    writer.add_histogram("tag", values, 0, bins=bins, max_bins=max_bins)
    histogram = count_histogram(values, bins, max_bins)
    assert histogram.message == kept[0]
    assert histogram.nonfinite == 0
    assert histogram.message.num == 600


@pytest.mark.filterwarnings("ignore:The number of bins estimated may be suboptimal:RuntimeWarning")  # numpy's, "stone"
@oracle.examples
@given(
    seed=st.integers(0, 9999),
    size=st.integers(1, 60),
    dtype=st.sampled_from(DTYPES),
    bins=st.sampled_from(
        ["tensorflow", "auto", "doane", "scott", "stone", "rice", "sqrt", 1, 10, [-9.0, 0.0, 0.5, 1e9]]
    ),
    max_bins=st.sampled_from([None, 1, 3, 7]),
)
def test_equals_tensorboardx(seed: int, size: int, dtype: str, bins: Any, max_bins: int | None) -> None:
    rng = np.random.default_rng(seed)
    values = (rng.standard_normal(size) * [0.0, 1e-5, 1.0, 40.0][seed % 4]).astype("i4" if dtype[0] in "ui" else "f4")
    values = abs(values).astype(dtype) if dtype[0] == "u" else values.astype(dtype)
    bins = np.array(bins) if isinstance(bins, list) else bins
    limits = default_bins() if isinstance(bins, str) and bins == "tensorflow" else bins
    assert count_histogram(values, bins, max_bins).message == by_tensorboardx(values, limits, max_bins)


def test_default_bins_are_tensorboardxs(written: Any) -> None:
    assert default_bins().tolist() == written[0].default_bins


def test_integers_do_not_overflow() -> None:
    histogram = count_histogram(np.int64([2**62, 2**62, -(2**62)]), 3)
    assert histogram.message.sum_squares == 3 * 2.0**124
    assert histogram.message.sum == 2.0**62
    assert count_histogram(np.full(1000, 100, np.int8), 3).message.sum == 100_000


def test_non_finite_values_are_left_out_and_counted() -> None:
    values = np.float32([[1.0, np.nan, 2.0], [np.inf, -np.inf, 4.0]])
    histogram = count_histogram(values, "tensorflow")
    assert histogram.nonfinite == 3
    assert histogram.message == by_tensorboardx(np.float32([1, 2, 4]), default_bins())


def test_half_types() -> None:
    values = torch.randn(100, generator=torch.Generator().manual_seed(0))
    half = values.half().numpy()
    brain = to_array(BFLOAT16, (100,), values.bfloat16().view(torch.int16).numpy().tobytes())
    small = to_array(FLOAT8_E4M3FN, (100,), values.to(torch.float8_e4m3fn).view(torch.uint8).numpy().tobytes())
    for converted, exact in [
        (half, values.half()),
        (brain, values.bfloat16()),
        (small, values.to(torch.float8_e4m3fn)),
    ]:
        expected = by_tensorboardx(exact.float().numpy(), default_bins())
        assert count_histogram(converted, "tensorflow").message == expected


def test_strides_make_no_difference() -> None:
    values = np.random.default_rng(0).standard_normal((6, 8)).T[::2]
    assert count_histogram(values, "auto").message == count_histogram(values.copy(), "auto").message


def test_a_sum_of_squares_may_be_infinite() -> None:
    assert count_histogram(np.array([1e200, 0.0]), 4).message.sum_squares == np.inf


@pytest.mark.parametrize(
    ("values", "bins", "max_bins", "message"),
    [
        ([], "tensorflow", None, "histogram values have shape [0], expected at least one value"),
        ([np.nan, np.inf], "auto", None,
         "histogram values are all NaN or infinite (2 of them), expected at least one finite value"),
        ([1j], "auto", None, "histogram values are complex128, expected floats, integers or bools"),
        ([1.0], "many", None, "bins is 'many', expected 'tensorflow' or one of auto, fd, doane, scott, stone, rice, "
         "sturges, sqrt"),
        ([1.0], 0, None, "bins is 0, expected 1 to 65,536"),
        ([1.0], 1 << 17, None, "bins is 131072, expected 1 to 65,536"),
        ([1.0], np.array([1.0]), None, "bins has shape [1], expected 2 to 65,537 rising limits"),
        ([1.0], np.array([2.0, 1.0]), None, "bins has shape [2], expected 2 to 65,537 rising limits"),
        ([1.0], np.array([0.0, np.nan]), None, "bins has shape [2], expected 2 to 65,537 rising limits"),
        ([1e30, 2e30], "tensorflow", None,
         "no histogram value lies in the bins: values from 1e+30 to 2e+30, bins from -9.9"),
        ([7.0], np.array([0, 1]), None, "no histogram value lies in the bins: values from 7.0 to 7.0, bins from 0.0"),
        ([1.0], 3, 0, "max_bins is 0, expected at least 1"),
        ([0.0, 0.1, 0.2, 0.3, 1e12], "fd", None, "bins='fd' would make 4,274,939,866,692 bins of values from 0.0 to"),
        ([0.0, 0.1, 0.2, 0.3, 1e12], "auto", None, "expected at most 65,536: use bins='tensorflow'"),
        ([-1.7e308, 1.7e308], 3, None, "histogram values from -1.7e+308 to 1.7e+308 are too far "
         "apart for bins=3, expected a distance that float64 can say"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_says_so(values: Any, bins: Any, max_bins: int | None, message: str) -> None:
    with pytest.raises(SnapshotError) as caught:
        count_histogram(np.array(values), bins, max_bins)
    assert message in str(caught.value)


def test_what_numpy_refuses_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """numpy 2 refuses more bins than there are numbers between two values; numpy 1 does not."""

    def refuse(*_: object) -> None:
        raise ValueError("Too many bins for data range.")

    monkeypatch.setattr("sidelog_daemon.render.histogram.summary.make_histogram", refuse)
    with pytest.raises(SnapshotError) as caught:
        count_histogram(np.float64([1, 2]), 100)
    assert str(caught.value) == "histogram of 2 values from 1.0 to 2.0 with bins=100: Too many bins for data range."
