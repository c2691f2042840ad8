"""What cannot be drawn is refused by what, got and expected; SnapshotError is a ValueError."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sidelog_daemon.render import render_picture
from sidelog_shared.errors import SnapshotError
from sidelog_shared.recipe import Layout, Recipe

GRID, LABELS = Recipe(Layout.GRID), Recipe(Layout.LABELS)
CASES: list[tuple[Recipe, tuple[int, ...], Any, str]] = [
    (GRID, (3, 4, 4), "f4", "grid tensor has shape [3, 4, 4], expected 4 dimensions [N, C, H, W]"),
    (GRID, (2, 2, 4, 4), "f4",
     "grid tensor of shape [2, 2, 4, 4] has 2 channels, expected 1 (grey), 3 (RGB) or 4 (RGBA)"),
    (GRID, (0, 1, 4, 4), "f4", "grid tensor has shape [0, 1, 4, 4], expected no empty dimension in [N, C, H, W]"),
    (GRID, (1, 1, 4, 0), "f4", "grid tensor has shape [1, 1, 4, 0], expected no empty dimension in [N, C, H, W]"),
    (GRID, (1, 1, 4, 4), "c8", "grid tensor is complex64, expected floats, integers or bools"),
    (LABELS, (1, 4, 4), "f4", "labels tensor is float32, expected integers or bools"),
    (LABELS, (4, 4), "i8", "labels tensor has shape [4, 4], expected 3 dimensions [N, H, W]"),
    (LABELS, (0, 4, 4), "i8", "labels tensor has shape [0, 4, 4], expected no empty dimension in [N, H, W]"),
    (Recipe(Layout.IMAGE, "HWC"), (4, 4), "f4", "image tensor has shape [4, 4], expected 3 dimensions [H, W, C]"),
    (Recipe(Layout.IMAGE, "HWC"), (4, 4, 5), "u1",
     "image tensor of shape [4, 4, 5] has 5 channels, expected 1 (grey), 3 (RGB) or 4 (RGBA)"),
    (Recipe(Layout.IMAGE, "HW"), (0, 4), "f4", "image tensor has shape [0, 4], expected no empty dimension in [H, W]"),
    (Recipe(Layout.MOSAIC, "NHW"), (1, 4, 4, 3), "f4",
     "mosaic tensor has shape [1, 4, 4, 3], expected 3 dimensions [N, H, W]"),
    (Recipe(Layout.GRID, mean=(0.5,) * 3, std=(1.0,) * 3), (2, 1, 4, 4), "f4",
     "mean and std have 3 values, expected 1: one per channel"),
    (Recipe(Layout.GRID, mean=(0.5,) * 3, std=(1.0,) * 3), (2, 4, 4, 4), "u1",
     "mean and std have 3 values, expected 4: one per channel"),
    (Recipe(Layout.GRID, padding=4096), (10_000, 1, 1, 1), "u1",
     "a row of 8 tiles with a padding of 4,096 would be 8,193 x 36,872 pixels, expected at most 64,000,000 pixels and "
     "1,000,000 on a side: give a smaller padding or nrow"),
]  # fmt: skip


@pytest.mark.parametrize(("recipe", "shape", "dtype", "message"), CASES, ids=[case[3][:60] for case in CASES])
def test_message_says_what_got_and_expected(recipe: Recipe, shape: tuple[int, ...], dtype: str, message: str) -> None:
    with pytest.raises(SnapshotError) as caught:
        render_picture(np.zeros(shape, dtype), recipe)
    assert str(caught.value) == message
    assert isinstance(caught.value, ValueError)
