"""Pictures that would be too large: which lines and columns are drawn, by which range, and what is said of it."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
import render_oracles as oracle
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sidelog_daemon.render import render_picture
from sidelog_shared.recipe import Format, Layout, Recipe


@oracle.examples
@given(
    seed=st.integers(0, 9999),
    count=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    nrow=st.integers(1, 5),
    padding=st.integers(0, 2),
    scale_each=st.booleans(),
    max_pixels=st.integers(150, 3000),
)
def test_the_picture_is_that_of_every_nth_line_and_column_in_the_range_of_all(
    *, seed: int, count: int, channels: int, size: tuple[int, int], nrow: int, padding: int, scale_each: bool,
    max_pixels: int,
) -> None:  # fmt: skip
    values = oracle.numbers(seed, (count, channels, *size), "float32")
    recipe = Recipe(Layout.GRID, nrow=nrow, padding=padding, normalize=True, scale_each=scale_each)
    picture = render_picture(values.numpy(), recipe, max_pixels=max_pixels)
    stride = picture.description.get("stride", 1)
    drawn = [(values[:, :, ::one, ::one], one) for one in (stride, stride - 1) if one]
    ranges = values if not scale_each else None
    grids = []
    for part, _ in drawn:
        if ranges is not None:
            low, high = ranges.min().item(), ranges.max().item()
            grids.append(oracle.grid(part, nrow=nrow, padding=padding, normalize=True, value_range=(low, high)))
        else:  # one tile at a time, each with its own range
            low, high = values.amin((1, 2, 3)), values.amax((1, 2, 3))
            scaled = (part - low[:, None, None, None]) / (high - low).clamp(min=1e-5)[:, None, None, None]
            grids.append(oracle.grid(scaled, nrow=nrow, padding=padding))
    np.testing.assert_array_equal(oracle.shown(picture), grids[0])
    assert picture.width * picture.height <= max_pixels
    if stride > 1:
        assert grids[1].shape[0] * grids[1].shape[1] > max_pixels, "a smaller stride would have fitted"


def test_what_was_not_drawn_is_said() -> None:
    values = np.arange(4 * 30 * 30, dtype=np.float32).reshape(4, 1, 30, 30)
    picture = render_picture(values, Recipe(Layout.GRID, nrow=2, normalize=True), max_pixels=1000)
    image = Image.open(io.BytesIO(picture.encoded))
    assert json.loads(image.text["sidelog"])["stride"] == 3
    assert (picture.width, picture.height) == (2 * 12 + 2, 2 * 12 + 2)
    assert (picture.low, picture.high) == (0.0, 3599.0), "of all numbers, not of those that are drawn"


def test_where_single_pixels_are_too_many_the_last_rows_are_left_out() -> None:
    values = np.arange(100, dtype=np.uint8).reshape(100, 1, 1, 1)
    picture = render_picture(values, Recipe(Layout.GRID, nrow=10, padding=0), max_pixels=35)
    assert oracle.shown(picture)[..., 0].tolist() == np.arange(30).reshape(3, 10).tolist()
    assert picture.description["tiles_left_out"] == 70
    assert "stride" not in picture.description


def test_labels_and_pixels_are_thinned_too() -> None:
    labels = np.tile(np.arange(20), (20, 1))
    picture = render_picture(labels[None], Recipe(Layout.LABELS, palette=((0, 0, 0), (9, 9, 9))), max_pixels=100)
    assert (picture.width, picture.height, picture.description["stride"]) == (10, 10, 2)
    assert picture.out_of_range == 90, "of those that are drawn"
    pixels = np.random.default_rng(0).integers(0, 256, (3, 20, 20), np.uint8)
    picture = render_picture(pixels, Recipe(Layout.IMAGE, "CHW"), max_pixels=100)
    np.testing.assert_array_equal(oracle.shown(picture), pixels[:, ::2, ::2].transpose(1, 2, 0))


@pytest.mark.parametrize(("format_", "limit"), [(Format.PNG, 1_000_000), (Format.JPEG, 65_535)])
def test_no_side_is_longer_than_the_format_can_say(format_: Format, limit: int) -> None:
    picture = render_picture(np.zeros((1, limit + 1), np.uint8), Recipe(Layout.IMAGE, "HW", format=format_))
    assert picture.width == -(-(limit + 1) // 2)
    assert Image.open(io.BytesIO(picture.encoded)).size == (picture.width, 1)


def test_a_whole_picture_says_nothing_of_it() -> None:
    description = render_picture(np.zeros((4, 4), np.uint8), Recipe(Layout.IMAGE, "HW"), max_pixels=16).description
    assert not {"stride", "tiles_left_out"} & description.keys()
