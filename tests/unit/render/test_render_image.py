"""The layouts IMAGE (against make_grid of one picture) and MOSAIC (against tensorboardX's convert_to_HWC)."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import numpy as np
import pytest
import render_oracles as oracle
import torch
from tensorboardX.utils import convert_to_HWC

from sidelog_daemon.render import render_picture
from sidelog_shared.recipe import Layout, Recipe

IMAGE_FORMATS = ["".join(order) for letters in ("HW", "CHW") for order in permutations(letters)]
MOSAIC_FORMATS = ["".join(order) for letters in ("NHW", "NCHW") for order in permutations(letters)]
OPTIONS: list[dict[str, Any]] = [{}, {"normalize": True}, {"normalize": True, "value_range": (0.2, 0.6)}]


def tensor(dataformats: str, sizes: dict[str, int], dtype: str) -> np.ndarray:
    values = np.random.default_rng(len(dataformats)).random([sizes[letter] for letter in dataformats]) * 1.4 - 0.2
    return (values * 255).clip(0, 255).astype(np.uint8) if dtype == "uint8" else values.astype(dtype)


def as_nchw(values: np.ndarray, dataformats: str) -> torch.Tensor:
    full = "".join(letter for letter in "NC" if letter not in dataformats)
    order = [(full + dataformats).index(letter) for letter in "NCHW"]
    return torch.from_numpy(values[(None,) * len(full)].transpose(order).copy())


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bool"])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dataformats", IMAGE_FORMATS)
def test_image_equals_make_grid_of_one(dataformats: str, channels: int, dtype: str, options: dict[str, Any]) -> None:
    values = tensor(dataformats, {"C": channels, "H": 5, "W": 7}, dtype)
    picture = render_picture(values, Recipe(Layout.IMAGE, dataformats, **options))
    np.testing.assert_array_equal(oracle.shown(picture), oracle.grid(as_nchw(values, dataformats), **options))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dataformats", IMAGE_FORMATS)
def test_uint8_image_is_pixels(dataformats: str, channels: int) -> None:
    values = tensor(dataformats, {"C": channels, "H": 5, "W": 7}, "uint8")
    picture = render_picture(values, Recipe(Layout.IMAGE, dataformats))
    expected = as_nchw(values, dataformats)[0].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(oracle.shown(picture), expected)


def test_red_is_red_and_alpha_is_alpha() -> None:
    values = np.zeros((4, 1, 2), np.float32)
    values[0], values[3] = 1.0, 0.2
    assert oracle.shown(render_picture(values[:3], Recipe(Layout.IMAGE, "CHW")))[0, 0].tolist() == [255, 0, 0]
    assert oracle.shown(render_picture(values, Recipe(Layout.IMAGE, "CHW")))[0, 0].tolist() == [255, 0, 0, 51]


def test_values_outside_0_to_1_are_clamped_not_wrapped() -> None:
    picture = render_picture(np.float32([[-0.01, 0.5, 1.01, 3e38]]), Recipe(Layout.IMAGE, "HW"))
    assert oracle.shown(picture)[0, :, 0].tolist() == [0, 128, 255, 255]


def test_integers_without_normalize_are_clamped() -> None:
    picture = render_picture(np.int32([[-5, 0, 1, 300]]), Recipe(Layout.IMAGE, "HW"))
    assert oracle.shown(picture)[0, :, 0].tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("dtype", ["float32", "uint8"])
@pytest.mark.parametrize("count", [1, 3, 8, 11])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dataformats", MOSAIC_FORMATS)
def test_mosaic_equals_tensorboardx(dataformats: str, channels: int, count: int, dtype: str) -> None:
    values = tensor(dataformats, {"N": count, "C": channels, "H": 3, "W": 4}, dtype)
    picture = render_picture(values, Recipe(Layout.MOSAIC, dataformats, nrow=2, pad_value=1.0))
    nchw = as_nchw(values, dataformats)
    rounded = nchw if dtype == "uint8" else (nchw * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    expected = convert_to_HWC(rounded.numpy(), "NCHW")
    np.testing.assert_array_equal(oracle.shown(picture), expected[..., : rounded.shape[1]])


def test_mosaic_can_be_normalized() -> None:
    values = np.float32([[[2.0]], [[4.0]], [[3.0]]])
    picture = render_picture(values, Recipe(Layout.MOSAIC, "NHW", normalize=True))
    assert oracle.shown(picture)[0, :, 0].tolist() == [0, 255, 128]
    assert (picture.low, picture.high) == (2.0, 4.0)
