"""PR curves that are counted in the daemon."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from kind_records import NOW, TAG, events, record

from sidelog_daemon.kinds import make_content
from sidelog_shared.errors import SnapshotError
from sidelog_shared.records import Kind, Record
from tensorboardx_events import theirs


@given(
    count=st.integers(0, 40),
    thresholds=st.integers(2, 200),
    labels=st.sampled_from([np.bool_, np.uint8, np.int64, np.float32]),
    predictions=st.sampled_from([np.float16, np.float32, np.float64, np.uint8]),
    weighted=st.sampled_from(["no", "one", "each"]),
    seed=st.integers(0, 999),
)
def test_a_curve(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    thresholds: int,
    labels: type[np.generic],
    predictions: type[np.generic],
    weighted: str,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    truth = random.integers(0, 2, count).astype(labels)
    guess = random.integers(0, 11, count) / 10 if predictions is not np.uint8 else random.integers(0, 2, count)
    guess = guess.astype(predictions)
    weights = {"no": None, "one": np.array([0.5], np.float32), "each": random.random(count)}[weighted]
    expected = theirs(
        tmp_path_factory.mktemp("x"),
        lambda writer: writer.add_pr_curve(TAG, truth, guess, 3, thresholds, weights, NOW),
    )
    buffers = [truth, guess] if weights is None else [truth, guess, weights]
    assert events(record(Kind.PR_CURVE, *buffers, num_thresholds=thresholds)) == expected


def test_a_curve_of_bfloat16_is_that_of_its_float32(tmp_path: object) -> None:
    guess = torch.linspace(0, 1, 50).bfloat16()
    labels = (np.arange(50) % 3 == 0).reshape(5, 10)
    half = events(record(Kind.PR_CURVE, labels, guess.reshape(10, 5), num_thresholds=127))
    assert half == events(record(Kind.PR_CURVE, labels, guess.float(), num_thresholds=127))


@pytest.mark.parametrize(
    ("wrong", "counts_as", "warning"),
    [
        (1.0000001, 1.0, ""),
        (-1e-7, 0.0, ""),
        (1.5, 1.0, "1 of 3 predictions are outside 0..1, counted as 0 or 1"),
        (-0.1, 0.0, "1 of 3 predictions are outside 0..1, counted as 0 or 1"),
        (np.inf, 1.0, "1 of 3 predictions are outside 0..1, counted as 0 or 1"),
    ],
)
def test_a_prediction_that_is_no_probability_counts_as_0_or_1(wrong: float, counts_as: float, warning: str) -> None:
    def curve(prediction: float) -> Record:
        return record(Kind.PR_CURVE, np.array([0, 1, 1]), np.array([0.5, prediction, 1.0]), num_thresholds=127)

    content = make_content(curve(wrong))
    assert content.warning == warning
    assert content.events == make_content(curve(counts_as)).events


@pytest.mark.parametrize("weights", [[], [np.array([0.5])], [np.array([1.0, 2.0, 3.0])]])
def test_a_prediction_that_is_nan_is_left_out(weights: list[np.ndarray]) -> None:
    one = record(Kind.PR_CURVE, np.array([0, 1, 1]), np.array([0.5, np.nan, 1.0]), *weights, num_thresholds=127)
    fewer = [weight if weight.size == 1 else weight[[0, 2]] for weight in weights]
    same = record(Kind.PR_CURVE, np.array([0, 1]), np.array([0.5, 1.0]), *fewer, num_thresholds=127)
    content = make_content(one)
    assert content.events == make_content(same).events
    assert content.warning == "1 of 3 predictions are NaN, left out"


@pytest.mark.parametrize("name", ["labels", "weights"])
def test_what_is_no_number_is_refused(name: str) -> None:
    labels, weights = np.array([0.0, 1.0]), np.array([1.0, 1.0])
    {"labels": labels, "weights": weights}[name][1] = np.nan
    one = record(Kind.PR_CURVE, labels, np.array([0.5, 1.0]), weights, num_thresholds=127)
    with pytest.raises(SnapshotError, match=f"^1 of 2 {name} are NaN or infinite, expected numbers$"):
        make_content(one)
