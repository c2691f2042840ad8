"""Videos: the GIF that tensorboardX makes through moviepy and imageio, without them."""

from __future__ import annotations

import importlib
import io
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kind_records import NOW, TAG, events, record
from PIL import Image, ImageSequence

from sidelog_daemon.kinds import make_content
from sidelog_shared.errors import SnapshotError
from sidelog_shared.records import Kind
from tensorboardx_events import parsed, theirs

EXACT_FPS = (1, 2, 4, 8, 0.5)
"""Frames per second of which moviepy loses no frame: their reciprocals are exact."""


def frames_of(gif: bytes) -> list[tuple[np.ndarray, int]]:
    """Each frame as RGB, and for how long it is shown."""
    frames = ImageSequence.Iterator(Image.open(io.BytesIO(gif)))
    return [(np.asarray(frame.convert("RGB")), frame.info.get("duration", 0)) for frame in frames]


def video_in(event: object) -> bytes:
    gif: bytes = event.summary.value[0].image.encoded_image_string  # type: ignore[attr-defined]
    return gif


@settings(max_examples=30)
@given(
    shape=st.tuples(
        st.integers(1, 5), st.integers(1, 4), st.sampled_from([1, 3, 4]), st.integers(1, 6), st.integers(1, 7)
    ),
    order=st.sampled_from([*map("".join, permutations("NTCHW"))]),
    fps=st.sampled_from(EXACT_FPS),
    seed=st.integers(0, 999),
)
def test_frames_of_floats_that_are_whole_pixels(
    tmp_path_factory: pytest.TempPathFactory, shape: tuple[int, ...], order: str, fps: float, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)
    # A little above the pixel's value, so that tensorboardX's truncation is rounding.
    theirs_in, ours_in = (np.transpose(each, ["NTCHW".index(name) for name in order]) for each in (
        (values + 0.25) / 255, values.astype(np.uint8)))  # fmt: skip
    expected = theirs(tmp_path_factory.mktemp("x"), lambda writer: writer.add_video(TAG, theirs_in, 3, fps, NOW, order))
    assert events(record(Kind.VIDEO, np.ascontiguousarray(ours_in), dataformats=order, fps=fps)) == expected
    floats = record(Kind.VIDEO, np.ascontiguousarray(theirs_in), dataformats=order, fps=fps)
    assert events(floats) == expected


@settings(max_examples=30)
@given(frames=st.integers(1, 12), fps=st.floats(0.01, 300), seed=st.integers(0, 99))
def test_no_frame_is_lost_whatever_the_speed(frames: int, fps: float, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (1, frames, 3, 4, 5), np.uint8)
    (event,) = events(record(Kind.VIDEO, values, dataformats="NTCHW", fps=fps))
    shown = frames_of(video_in(event)) if frames > 1 else [(None, 0)]
    assert len(shown) == frames
    moviepy = importlib.import_module("tensorboardX.summary").make_video(values[0].transpose(0, 2, 3, 1), fps)
    kept = frames_of(moviepy.encoded_image_string) if moviepy.encoded_image_string and frames > 1 else []
    for (ours, ours_ms), (other, other_ms) in zip(shown, kept if len(kept) == frames else [], strict=False):
        np.testing.assert_array_equal(ours, other)
        assert ours_ms == other_ms


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.float8_e4m3fn])
def test_numbers_are_rounded_and_clamped(dtype: torch.dtype) -> None:
    values = torch.tensor([-1.0, 0.0, 0.25, 0.5, 1.0, 2.0]).to(dtype).reshape(1, 1, 1, 2, 3)
    expected = (values.float() * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    assert events(record(Kind.VIDEO, values, dataformats="NTCHW", fps=4)) == events(
        record(Kind.VIDEO, expected, dataformats="NTCHW", fps=4)
    )


def test_a_nan_is_black_and_said() -> None:
    values = np.array([np.nan, 1, np.inf, -np.inf], np.float32).reshape(1, 1, 1, 2, 2)
    content = make_content(record(Kind.VIDEO, values, dataformats="NTCHW", fps=4))
    assert content.warning == "1 values are NaN, shown in black"
    black_and_white = np.array([0, 255, 255, 0], np.uint8).reshape(1, 1, 1, 2, 2)
    assert parsed(*content.events) == events(record(Kind.VIDEO, black_and_white, dataformats="NTCHW", fps=4))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 2, 3, 4), "expected 5 dimensions"),
        ((0, 1, 3, 2, 2), "expected at least one frame"),
        ((1, 0, 3, 2, 2), "expected at least one frame"),
        ((1, 1, 2, 2, 2), "of 1, 3 or 4 channels"),
        ((1, 1, 1, 1, 65_536), "limit 65,535"),
    ],
)
def test_what_is_no_video_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        make_content(record(Kind.VIDEO, np.zeros(shape, np.uint8), dataformats="NTCHW", fps=4))


def test_a_picture_that_stands_too_long_is_refused() -> None:
    with pytest.raises(SnapshotError, match=r"a GIF shows a picture for at most 655\.35 s"):
        make_content(record(Kind.VIDEO, np.zeros((1, 9, 1, 2, 2), np.uint8), dataformats="NTCHW", fps=0.01))
