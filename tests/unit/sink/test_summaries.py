from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sink_files import NOW
from torch.utils.tensorboard.summary import scalar as torch_scalar

from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import event_pb2, summary, summary_pb2
from sidelog_shared.limits import STEP_NONE
from sidelog_shared.records import ScalarForm, Series
from tensorboardx_events import parsed, theirs

TAGS = ["loss", "train/loss", "/leading/slash", "a b:c é#", "größe", "x" * 200]
STEPS = [None, 0, 1, -3, 2**62]


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("step", STEPS)
def test_a_scalar_is_add_scalars(tmp_path: Path, tag: str, step: int | None) -> None:
    expected = theirs(tmp_path, lambda writer: writer.add_scalar(tag, 0.1, step, NOW))
    assert parsed(summaries.scalar_event(tag, 0.1, step, NOW)) == expected
    assert parsed(*summaries.scalar_events([Series(1, tag)], [0], [step], [NOW], [0.1])) == expected


@pytest.mark.parametrize("value", [0.0, -1.5, 1e300, -1e300, 1e-300, math.inf, -math.inf])
def test_a_value_of_any_size_is_as_in_tensorboardx(tmp_path: Path, value: float) -> None:
    expected = theirs(tmp_path, lambda writer: writer.add_scalar("v", value, 1, NOW))
    assert parsed(summaries.scalar_event("v", value, 1, NOW)) == expected
    assert parsed(*summaries.scalar_events([Series(1, "v")], [0], [1], [NOW], [value])) == expected


def test_a_nan_stays_one() -> None:
    (event,) = parsed(summaries.scalar_event("v", math.nan, 1, NOW))
    assert math.isnan(event.summary.value[0].simple_value)


@pytest.mark.parametrize(("display_name", "description"), [("The loss", ""), ("", "*markdown*"), ("a", "b")])
def test_display_name_and_description_are_as_in_tensorboardx(
    tmp_path: Path, display_name: str, description: str
) -> None:
    expected = theirs(tmp_path, lambda writer: writer.add_scalar("t", 2.0, 3, NOW, display_name, description))
    ours = summaries.scalar_event("t", 2.0, 3, NOW, display_name=display_name, description=description)
    series = Series(1, "t", display_name, description)
    assert parsed(ours) == expected
    assert parsed(*summaries.scalar_events([series], [0], [3], [NOW], [2.0])) == expected


def test_columns_are_the_same_as_one_by_one() -> None:
    series = [Series(1, "a b"), Series(2, "c"), Series(1, "d", "D", "described"), Series(1, "unused")]
    random = np.random.default_rng(0)
    index = random.integers(0, 3, 200).tolist()
    steps = [STEP_NONE if i % 7 == 0 else None if i % 11 == 0 else i for i in range(200)]
    values = random.normal(size=200).tolist()
    walls = (NOW + random.random(200)).tolist()
    expected = [
        summaries.scalar_event(
            series[which].tag,
            value,
            None if step == STEP_NONE else step,
            wall,
            display_name=series[which].display_name,
            description=series[which].description,
        )
        for which, step, wall, value in zip(index, steps, walls, values, strict=True)
    ]
    assert summaries.scalar_events(series, index, steps, walls, values) == expected


@pytest.mark.parametrize("form", [ScalarForm.FLOAT, ScalarForm.DOUBLE])
@given(values=st.lists(st.floats(allow_nan=False, width=64), min_size=1, max_size=5))
def test_a_scalar_of_another_form_is_torchs_new_style(form: ScalarForm, values: list[float]) -> None:
    series = [Series(1, "simple"), Series(1, "tensor", form=form)]
    count = len(values)
    rows = summaries.scalar_events(
        series, [0, 1] * count, [4] * 2 * count, [NOW] * 2 * count, [v for v in values for _ in (0, 1)]
    )
    for value, simple, tensor in zip(values, parsed(*rows[::2]), parsed(*rows[1::2]), strict=True):
        expected = torch_scalar("tensor", value, new_style=True, double_precision=form is ScalarForm.DOUBLE)
        assert tensor.summary == summary_pb2.Summary.FromString(expected.SerializeToString())
        assert (tensor.step, tensor.wall_time) == (4, NOW)
        assert not simple.summary.value[0].HasField("tensor")


def test_a_scalar_of_another_form_may_have_a_name() -> None:
    series = Series(1, "t", "The *t*", "described", ScalarForm.FLOAT)
    (event,) = parsed(*summaries.scalar_events([series], [0], [1], [NOW], [2.5]))
    metadata = event.summary.value[0].metadata
    assert (metadata.display_name, metadata.summary_description) == ("The *t*", "described")
    assert metadata.plugin_data.plugin_name == "scalars"


@pytest.mark.parametrize("step", [0, 1, -7, 2**62])
def test_an_event_without_a_step_gets_one(step: int) -> None:
    event = summaries.text_event("a", "text", None, NOW)
    assert parsed(summaries.with_step(event, step)) == parsed(summaries.text_event("a", "text", step, NOW))


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="shorter"):
        summaries.scalar_events([Series(1, "a")], [0, 0], [1, 2], [NOW, NOW], [1.0])


@pytest.mark.parametrize("tag", ["plain", "with spaces: é"])
@pytest.mark.parametrize("step", [None, 7])
def test_a_text_is_add_texts(tmp_path: Path, tag: str, step: int | None) -> None:
    expected = theirs(tmp_path, lambda writer: writer.add_text(tag, "some **text** ü", step, NOW))
    assert parsed(summaries.text_event(tag, "some **text** ü", step, NOW)) == expected
    assert expected[0].summary.value[0].tag == f"{tag}/text_summary"


@pytest.mark.parametrize("channels", [3, 4])
def test_an_image_is_add_images(tmp_path: Path, channels: int) -> None:
    pixels = np.arange(channels * 6 * 5, dtype=np.uint8).reshape(channels, 6, 5)
    expected = theirs(tmp_path, lambda writer: writer.add_image("an image", pixels, 4, NOW))
    png = expected[0].summary.value[0].image.encoded_image_string
    assert png.startswith(b"\x89PNG")
    assert parsed(summaries.image_event("an image", png, 5, 6, channels, 4, NOW)) == expected


def test_a_histogram_is_add_histograms(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=500)
    expected = theirs(tmp_path, lambda writer: writer.add_histogram("h h", values, 2, bins=10, walltime=NOW))
    histogram = summary.make_histogram(values, 10)
    assert parsed(summaries.histogram_event("h h", histogram, 2, NOW)) == expected


def test_any_other_summary_can_be_wrapped(tmp_path: Path) -> None:
    layout = {"group": {"losses": ["Multiline", ["a", "b"]]}}
    expected = theirs(tmp_path, lambda writer: writer.file_writer.add_summary(summary.custom_scalars(layout), 0, NOW))
    assert parsed(summaries.summary_event(summary.custom_scalars(layout), 0, NOW)) == expected


def test_file_version_and_session_start() -> None:
    version, start = parsed(summaries.file_version_event(NOW), summaries.session_start_event(5, NOW))
    assert (version.file_version, version.wall_time, version.step) == ("brain.Event:2", NOW, 0)
    assert (start.session_log.status, start.step) == (event_pb2.SessionLog.START, 5)


@pytest.mark.parametrize("wall_time", [math.nan, math.inf, -math.inf])
def test_a_wall_time_that_would_kill_the_file_is_refused(wall_time: float) -> None:
    builders: list[Callable[[], object]] = [
        lambda: summaries.scalar_event("a", 1.0, 1, wall_time),
        lambda: summaries.scalar_events([Series(1, "a")], [0], [1], [wall_time], [1.0]),
        lambda: summaries.text_event("a", "b", 1, wall_time),
        lambda: summaries.image_event("a", b"", 1, 1, 1, 1, wall_time),
        lambda: summaries.histogram_event("a", summary_pb2.HistogramProto(), 1, wall_time),
        lambda: summaries.session_start_event(1, wall_time),
    ]
    for build in builders:
        with pytest.raises(ValueError, match="expected finite seconds since the epoch"):
            build()
