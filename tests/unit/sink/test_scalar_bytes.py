"""Scalars put together by hand, against protobuf's messages and tensorboardX's framing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidelog_daemon.sink import summaries
from sidelog_daemon.sink.event_file import framed
from sidelog_daemon.sink.scalar_bytes import framed_scalars, plain_heads
from sidelog_shared.limits import STEP_MAX, STEP_MIN, STEP_NONE
from sidelog_shared.records import ScalarForm, Series

TAGS = ["loss", "train/loss", "a tag with spaces: 50%", "größe", "x" * 127, "y" * 200, "z" * 20_000]
STEPS = [0, 1, 127, 128, 2**14 - 1, 2**14, 2**21, 2**28, 2**35, 2**56 - 1, 2**56, STEP_MAX, -1, STEP_MIN, STEP_NONE]
VALUES = [0.0, -0.0, 0.1, 1e300, -1e300, 1e-300, 3.4e38, float("inf"), float("nan"), 16777217.0]


def by_protobuf(
    series: list[Series], index: list[int], steps: list[int], walls: list[float], values: list[float]
) -> bytes:
    return framed(summaries.scalar_events(series, index, steps, walls, values))


@settings(derandomize=True, deadline=None, max_examples=400, database=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, len(TAGS) - 1),
            st.one_of(st.sampled_from(STEPS), st.integers(STEP_MIN, STEP_MAX)),
            st.floats(allow_nan=False, allow_infinity=False),
            st.one_of(st.sampled_from(VALUES), st.floats(width=64)),
        ),
        min_size=1,
        max_size=30,
    )
)
def test_bytes_are_those_of_protobuf_and_record_writer(rows: list[tuple[int, int, float, float]]) -> None:
    series = [Series(1, tag) for tag in TAGS]
    index, steps, walls, values = map(list, zip(*rows, strict=True))
    ours = framed_scalars(
        plain_heads(series) or [], np.array(index), np.array(steps, np.int64), np.array(walls), np.array(values)
    )
    assert bytes(ours) == by_protobuf(series, index, steps, walls, values)


@pytest.mark.parametrize("wall_time", [float("nan"), float("inf")])
def test_a_wall_time_that_kills_a_reader_is_refused(wall_time: float) -> None:
    with pytest.raises(ValueError, match="expected finite seconds since the epoch"):
        framed_scalars([b""], np.array([0]), np.array([0]), np.array([wall_time]), np.array([1.0]))


@pytest.mark.parametrize(
    "other",
    [Series(1, "a", "a name", ""), Series(1, "a", "", "a description"), Series(1, "a", "", "", ScalarForm.DOUBLE)],
)
def test_metadata_and_tensors_are_left_to_protobuf(other: Series) -> None:
    assert plain_heads([Series(1, "a"), other]) is None
    assert plain_heads([Series(1, "a"), Series(2, "b/c")]) is not None
