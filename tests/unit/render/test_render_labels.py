"""The layout LABELS: a palette, its limits, and the tiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import render_oracles as oracle
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st

from sidelog_daemon.render import render_picture, tile
from sidelog_daemon.render.color import IGNORED, WARNING, pascal_voc_palette
from sidelog_shared.recipe import Layout, Recipe

INTEGERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"]


def expected_picture(
    labels: np.ndarray, palette: Any, classes: int, *, ignore: int | None, nrow: int, padding: int
) -> Any:
    """Pixel by pixel, then torchvision's own grid of the colors with a white gap."""
    colors = np.empty((*labels.shape, 3), np.uint8)
    outside = 0
    for place, label in np.ndenumerate(labels):
        if label == ignore:
            colors[place] = IGNORED
        elif 0 <= int(label) < classes:
            colors[place] = palette[int(label)]
        else:
            colors[place] = WARNING
            outside += 1
    tiles = torch.from_numpy(colors).permute(0, 3, 1, 2)
    return torchvision.utils.make_grid(tiles, nrow, padding, pad_value=255).permute(1, 2, 0).numpy(), outside


@oracle.examples
@given(
    seed=st.integers(0, 9999),
    dtype=st.sampled_from(INTEGERS),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 5), st.integers(1, 5)),
    colors=st.sampled_from([None, 1, 5, 300]),
    num_classes=st.sampled_from([None, 1, 4, 21, 1000]),
    ignore_index=st.sampled_from([None, 0, 3, 255, -1, -100, 2**40]),
    nrow=st.integers(1, 4),
    padding=st.integers(0, 2),
    block=st.sampled_from([1, 20, 1 << 17]),
)
def test_every_pixel_has_its_class_color(
    *, seed: int, dtype: str, shape: Any, colors: int | None, num_classes: int | None, ignore_index: int | None,
    nrow: int, padding: int, block: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    bounds = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low, high = max(-6, bounds[0]), min([30, 400, 2**40][seed % 3], bounds[1])
    labels = rng.integers(low, high, shape, dtype=np.int64, endpoint=True).astype(dtype)
    if seed % 2:
        labels.flat[0], labels.flat[-1] = bounds
    palette = None if colors is None else tuple((n % 256, (7 * n) % 256, 9) for n in range(colors))
    recipe = Recipe(Layout.LABELS, palette=palette, num_classes=num_classes, ignore_index=ignore_index, nrow=nrow,
                    padding=padding)  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tile, "BLOCK_ELEMENTS", block)
        picture = render_picture(labels, recipe)
    table = palette or pascal_voc_palette()
    classes = min(len(table), num_classes or len(table))
    pixels, outside = expected_picture(labels, table, classes, ignore=ignore_index, nrow=nrow, padding=padding)
    np.testing.assert_array_equal(oracle.shown(picture), pixels)
    assert picture.out_of_range == outside
    assert (picture.nonfinite, picture.low, picture.channels) == (0, None, 3)


def test_pascal_voc_colors() -> None:
    """The first 21 as published, and the border's 255, in the development kit."""
    published = [
        (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128),
        (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128), (64, 128, 128),
        (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
    ]  # fmt: skip
    palette = pascal_voc_palette()
    assert list(palette[:21]) == published
    assert palette[255] == (224, 224, 192)
    assert len(set(palette)) == 256


def test_warning_and_ignored_colors_are_no_class() -> None:
    assert not {WARNING, IGNORED} & set(pascal_voc_palette())


def test_one_tile_has_no_gap_and_more_have_a_white_one() -> None:
    labels = np.zeros((2, 3, 3), np.uint8)
    assert oracle.shown(render_picture(labels[:1], Recipe(Layout.LABELS))).shape == (3, 3, 3)
    pixels = oracle.shown(render_picture(labels, Recipe(Layout.LABELS)))
    assert pixels.shape == (7, 12, 3)
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[2, 2].tolist() == [0, 0, 0]


def test_strides_make_no_difference() -> None:
    base = np.random.default_rng(0).integers(0, 25, (6, 5, 8))
    view = base.transpose(1, 2, 0)[:, ::2, ::-1]
    recipe = Recipe(Layout.LABELS, num_classes=20)
    assert render_picture(view, recipe).encoded == render_picture(view.copy(), recipe).encoded


def test_a_bool_byte_that_is_neither_0_nor_1_is_no_class_of_a_small_palette() -> None:
    labels = np.frombuffer(b"\0\1\xff", np.bool_).reshape(1, 1, 3)
    picture = render_picture(labels, Recipe(Layout.LABELS, palette=((1, 2, 3), (4, 5, 6))))
    assert oracle.shown(picture)[0].tolist() == [[1, 2, 3], [4, 5, 6], list(WARNING)]
