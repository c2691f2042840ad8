"""The layout GRID against ``torchvision.utils.make_grid``, bit for bit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import render_oracles as oracle
import torch
import torchvision
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sidelog_daemon.render import render_picture, tile, to_array
from sidelog_shared.dtypes import BFLOAT16
from sidelog_shared.recipe import Layout, Recipe

KINDS = ["float32", "float64", "float16", "bfloat16", "bool", "int16", "int64", "constant"]
SHAPES = st.tuples(st.integers(1, 11), st.sampled_from([1, 3, 4]), st.integers(1, 7), st.integers(1, 7))
RANGES = st.none() | st.sampled_from(
    [(0.0, 1.0), (-1.0, 1.0), (0.1, 0.30000001), (0.25, 0.25), (-2.117904, 2.64), (-1e30, 1e30), (1e-40, 2e-40)]
)
OPTIONS = st.fixed_dictionaries(
    {
        "nrow": st.integers(1, 12),
        "padding": st.integers(0, 3),
        "normalize": st.booleans(),
        "value_range": RANGES,
        "scale_each": st.booleans(),
        "pad_value": st.sampled_from([0.0, 1.0, 0.5, 0.1, -3.0, 7.0]),
    }
)


def as_array(values: torch.Tensor) -> np.ndarray:
    if values.dtype is torch.bfloat16:
        return to_array(BFLOAT16, tuple(values.shape), values.view(torch.int16).numpy().tobytes())
    return values.numpy()


@oracle.thousands_of_examples
@given(
    seed=st.integers(0, 10_000),
    shape=SHAPES,
    kind=st.sampled_from(KINDS),
    options=OPTIONS,
    block=st.sampled_from([1, 5, 60, 300, 1 << 17]),
)
def test_equals_make_grid(seed: int, shape: Any, kind: str, options: dict[str, Any], block: int) -> None:
    values = oracle.numbers(seed, shape, kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tile, "BLOCK_ELEMENTS", block)
        picture = render_picture(as_array(values), Recipe(Layout.GRID, **options))
    expected = oracle.grid(values, **options)
    np.testing.assert_array_equal(oracle.shown(picture), expected)
    assert (picture.height, picture.width, picture.channels) == expected.shape
    assert picture.nonfinite == picture.out_of_range == 0


@oracle.thousands_of_examples
@given(
    values=arrays.arrays(
        np.float32,
        st.tuples(st.integers(1, 4), st.just(1), st.integers(1, 3), st.integers(1, 3)),
        elements=st.floats(-(2.0**126), 2.0**126, width=32),
    ),
    scale_each=st.booleans(),
    normalize=st.booleans(),
)
@example(values=np.float32([[[[1e-45, 3e-45]]], [[[0.0, -0.0]]]]), scale_each=True, normalize=True)
def test_any_finite_value_equals_make_grid(values: np.ndarray, scale_each: bool, normalize: bool) -> None:
    picture = render_picture(values, Recipe(Layout.GRID, normalize=normalize, scale_each=scale_each))
    expected = oracle.grid(torch.from_numpy(values), normalize=normalize, scale_each=scale_each)
    np.testing.assert_array_equal(oracle.shown(picture), expected)


@pytest.mark.parametrize("normalize", [False, True])
def test_each_half_number_equals_make_grid(normalize: bool) -> None:
    values = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    values = values[np.isfinite(values)].reshape(1, 1, 31, -1).copy()
    picture = render_picture(values, Recipe(Layout.GRID, normalize=normalize))
    expected = oracle.grid(torch.from_numpy(values), normalize=normalize)
    np.testing.assert_array_equal(oracle.shown(picture), expected)


@oracle.examples
@given(
    seed=st.integers(0, 999), shape=SHAPES, nrow=st.integers(1, 5), padding=st.integers(0, 3), pad=st.integers(0, 255)
)
def test_uint8_without_normalize_is_pixels(seed: int, shape: Any, nrow: int, padding: int, pad: int) -> None:
    values = oracle.numbers(seed, shape, "uint8")
    picture = render_picture(values.numpy(), Recipe(Layout.GRID, nrow=nrow, padding=padding, pad_value=pad))
    expected = torchvision.utils.make_grid(values, nrow, padding, pad_value=pad).permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(oracle.shown(picture), expected[..., : 1 if shape[1] == 1 else None])
    assert picture.low is None


def test_pad_value_of_pixels_is_rounded_and_clamped() -> None:
    values = np.zeros((2, 1, 1, 1), np.uint8)
    for pad, expected in [(99.5, 100), (1e9, 255), (-4.0, 0)]:
        picture = render_picture(values, Recipe(Layout.GRID, pad_value=pad))
        assert oracle.shown(picture)[0, 0, 0] == expected


@oracle.examples
@given(seed=st.integers(0, 999), shape=SHAPES, options=OPTIONS)
def test_uint8_with_normalize_goes_through_float(seed: int, shape: Any, options: dict[str, Any]) -> None:
    values = oracle.numbers(seed, shape, "uint8")
    options = {**options, "normalize": True}
    picture = render_picture(values.numpy(), Recipe(Layout.GRID, **options))
    np.testing.assert_array_equal(oracle.shown(picture), oracle.grid(values, **options))


@oracle.examples
@given(
    seed=st.integers(0, 999),
    shape=SHAPES,
    kind=st.sampled_from([*KINDS, "uint8"]),
    options=OPTIONS,
    mean=st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=4),
    std=st.lists(st.floats(-2, 2, width=32), min_size=4, max_size=4),
)
def test_mean_and_std_are_undone_first(
    *, seed: int, shape: Any, kind: str, options: dict[str, Any], mean: list[float], std: list[float]
) -> None:
    values = oracle.numbers(seed, shape, kind)
    mean, std = mean[: shape[1]], std[: shape[1]]
    recipe = Recipe(Layout.GRID, mean=tuple(mean), std=tuple(std), **options)
    picture = render_picture(as_array(values), recipe)
    undone = values.float() * torch.tensor(std)[:, None, None] + torch.tensor(mean)[:, None, None]
    np.testing.assert_array_equal(oracle.shown(picture), oracle.grid(undone, **options))


def test_undoes_torchvisions_normalize() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    image = torch.rand(2, 3, 9, 8, generator=torch.Generator().manual_seed(0))
    seen_by_the_network = torchvision.transforms.Normalize(mean, std)(image)
    picture = render_picture(seen_by_the_network.numpy(), Recipe(Layout.GRID, mean=mean, std=std))
    difference = oracle.shown(picture).astype(int) - oracle.grid(image).astype(int)
    assert abs(difference).max() <= 1


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, bool])
def test_strides_make_no_difference(dtype: Any, normalize: bool) -> None:
    base = (np.random.default_rng(0).random((7, 10, 3, 12)) * 3).astype(dtype)
    view = base.transpose(1, 2, 0, 3)[::2, :, ::-1, 1::3]
    recipe = Recipe(Layout.GRID, nrow=3, normalize=normalize)
    assert not view.flags.c_contiguous
    assert render_picture(view, recipe).encoded == render_picture(np.ascontiguousarray(view), recipe).encoded


def test_says_the_range_that_was_used() -> None:
    values = np.float32([[[[-1.0, 2.0]]], [[[0.5, 8.0]]]])
    own = render_picture(values, Recipe(Layout.GRID, normalize=True))
    each = render_picture(values[1:], Recipe(Layout.GRID, normalize=True, scale_each=True))
    both_each = render_picture(values, Recipe(Layout.GRID, normalize=True, scale_each=True))
    given_range = render_picture(values, Recipe(Layout.GRID, normalize=True, value_range=(0.25, 4.0)))
    none = render_picture(values, Recipe(Layout.GRID, value_range=(0.25, 4.0)))
    assert [(p.low, p.high) for p in (own, each, both_each, given_range, none)] == [
        (-1.0, 8.0),
        (0.5, 8.0),
        (-1.0, 8.0),
        (0.25, 4.0),
        (None, None),
    ]


def test_denormalized_range_is_the_one_said() -> None:
    picture = render_picture(
        np.float32([[[[0.0, 1.0]]]]), Recipe(Layout.GRID, normalize=True, mean=(0.5,), std=(-0.25,))
    )
    assert (picture.low, picture.high) == (0.25, 0.5)


def test_a_range_wider_than_float32_can_say() -> None:
    """make_grid answers NaN here (high - low overflows); the picture still goes from black to white."""
    top = float(np.finfo(np.float32).max)
    values = np.float32([[[[-top, 0.0, top]]]])
    picture = render_picture(values, Recipe(Layout.GRID, normalize=True))
    assert oracle.shown(picture)[0, :, 0].tolist() == [0, 128, 255]
    picture = render_picture(values, Recipe(Layout.GRID, normalize=True, value_range=(-1e300, 1e300)))
    assert oracle.shown(picture)[0, :, 0].tolist() == [0, 128, 255]
    assert picture.low == -top


@pytest.mark.parametrize(
    "shape", [(64, 1, 56, 56), (128, 1, 28, 28), (5, 3, 300, 200), (1, 1, 700, 300), (40, 1, 90, 60)]
)
def test_sizes_of_real_feature_maps(shape: tuple[int, ...]) -> None:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    for options in ({"normalize": True}, {"normalize": True, "scale_each": True, "nrow": 20}):
        picture = render_picture(values.numpy(), Recipe(Layout.GRID, **options))
        np.testing.assert_array_equal(oracle.shown(picture), oracle.grid(values, **options))


def test_input_is_left_alone_and_the_result_is_the_same_again() -> None:
    values = np.random.default_rng(0).standard_normal((3, 3, 5, 5)).astype(np.float32)
    values[0, 0, 0, 0] = math.nan
    before = values.tobytes()
    values.flags.writeable = False
    recipe = Recipe(Layout.GRID, normalize=True, mean=(1, 2, 3), std=(1, 2, 3))
    first, second = render_picture(values, recipe), render_picture(values, recipe)
    assert values.tobytes() == before
    assert first.encoded == second.encoded
