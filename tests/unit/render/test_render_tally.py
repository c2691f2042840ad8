"""Counting by codes against numpy's histogram, where it is hardest: on the limits, beside them, across blocks."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import render_oracles as oracle
from hypothesis import given
from hypothesis import strategies as st

from sidelog_daemon.render import count_histogram, tally
from sidelog_daemon.render.histogram import default_bins

LIMITS = default_bins()


def by_numpy(values: np.ndarray) -> list[int]:
    return np.histogram(values.astype(np.float64), LIMITS)[0].tolist()


@pytest.fixture(params=["OpenCV's tables", "numpy's"])
def tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to look up 16 bits, whichever this OpenCV knows."""
    if request.param == "numpy's":
        monkeypatch.setattr(tally, "_has_wide_tables", lambda: False)
    return request.param


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_on_every_limit_and_next_to_it(tables: str, dtype: tally.FloatType) -> None:
    on = LIMITS.astype(dtype)
    beside = np.concatenate([np.nextafter(on, dtype(-np.inf)), on, np.nextafter(on, dtype(np.inf)), -on])
    counts, nonfinite = tally.count(beside, tally.CodeTable.of(LIMITS, dtype))
    assert counts[1:-1].tolist() == by_numpy(beside)
    assert counts.sum() == len(beside)
    assert nonfinite == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_more_than_is_counted_at_once(tables: str, dtype: tally.FloatType) -> None:
    rng = np.random.default_rng(0)
    values = (rng.standard_normal((1 << 20) + 70_001) * np.exp(4 * rng.standard_normal())).astype(dtype)
    values[[3, 70_000, -1]] = np.nan, np.inf, -np.inf
    finite = values[np.isfinite(values)]
    counts, nonfinite = tally.count(values, tally.CodeTable.of(LIMITS, dtype))
    assert counts[1:-1].tolist() == by_numpy(finite)
    assert nonfinite == 3
    message = count_histogram(values, "tensorflow").message
    assert (message.min, message.max, message.num) == (finite.min(), finite.max(), len(finite))
    assert message.sum == pytest.approx(finite.sum(dtype=np.float64), rel=1e-12)
    assert message.sum_squares == pytest.approx(np.square(finite, dtype=np.float64).sum(), rel=1e-12)


def test_more_in_one_bin_than_float32_can_count() -> None:
    """OpenCV counts in float32, to which one more than 2^24 is nothing."""
    values = np.full((1 << 24) + 1_001, 0.5, np.float32)
    counts, _ = tally.count(values, tally.CodeTable.of(LIMITS, np.float32))
    assert counts.max() == len(values)


@oracle.examples
@given(
    bits=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_any_bit_pattern(bits: list[int], dtype: tally.FloatType) -> None:
    values = np.array(bits, np.uint64).view(dtype)
    finite = values[np.isfinite(values)]
    counts, nonfinite = tally.count(values, tally.CodeTable.of(LIMITS, dtype))
    assert counts[1:-1].tolist() == by_numpy(finite)
    assert counts[0] == np.count_nonzero(finite.astype(np.float64) < LIMITS[0])
    assert counts.sum() + nonfinite == len(values)


def test_limits_that_share_a_code_are_refused() -> None:
    with pytest.raises(ValueError, match="too narrow"):
        tally.CodeTable.of(np.array([1.0, 1.0001, 1.0002]), np.float32)


def test_what_this_opencv_can_do_is_found_out_by_trying() -> None:
    found = tally._has_wide_tables.__wrapped__()
    version = tuple(map(int, cv2.__version__.split(".")[:2]))
    assert found == (version >= (4, 13))
