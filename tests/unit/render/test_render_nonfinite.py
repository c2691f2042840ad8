"""NaN and infinity: painted magenta and counted; the pixels beside them are what they are without them."""

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
from sidelog_shared.recipe import Layout, Recipe


def poisoned(seed: int, shape: tuple[int, ...], share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal(shape).astype(np.float32)
    values[rng.random(shape) < share] = rng.choice(np.float32([np.nan, np.inf, -np.inf]))
    return values


def without_poison(values: np.ndarray, *, each: bool) -> torch.Tensor:
    """Each non-finite value becomes its tile's (or the batch's) smallest finite one: no range changes by it."""
    finite = np.isfinite(values)
    axes = (1, 2, 3) if each else None
    low = np.where(finite, values, np.inf).min(axis=axes, keepdims=True)
    return torch.from_numpy(np.where(finite, values, np.where(np.isfinite(low), low, 0)).astype(np.float32))


@oracle.examples
@given(
    seed=st.integers(0, 9999),
    shape=st.tuples(st.integers(1, 9), st.sampled_from([1, 3, 4]), st.integers(1, 5), st.integers(1, 5)),
    share=st.sampled_from([0.02, 0.3, 0.9, 1.0]),
    options=st.fixed_dictionaries(
        {
            "nrow": st.integers(1, 5),
            "padding": st.integers(0, 2),
            "normalize": st.booleans(),
            "scale_each": st.booleans(),
            "value_range": st.sampled_from([None, (-0.5, 0.5)]),
            "pad_value": st.sampled_from([0.0, 0.4]),
        }
    ),
    block=st.sampled_from([1, 40, 1 << 17]),
)
def test_finite_pixels_stay_and_the_others_are_magenta(
    seed: int, shape: Any, share: float, options: dict[str, Any], block: int
) -> None:
    values = poisoned(seed, shape, share)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tile, "BLOCK_ELEMENTS", block)
        picture = render_picture(values, Recipe(Layout.GRID, **options))
    bad = ~np.isfinite(values).all(axis=1, keepdims=True)
    each = options["scale_each"] and options["value_range"] is None
    expected = oracle.grid(without_poison(values, each=each), **options)
    if shape[1] == 1 and bad.any():
        expected = np.repeat(expected, 3, axis=-1)
    layout = {name: options[name] for name in ("nrow", "padding")}
    where = torchvision.utils.make_grid(torch.from_numpy(bad).float(), **layout)[0].numpy() > 0
    expected = expected.copy()
    expected[where] = (*oracle.MAGENTA, 255)[: expected.shape[-1]]
    np.testing.assert_array_equal(oracle.shown(picture), expected)
    assert picture.nonfinite == np.count_nonzero(bad)


def test_range_is_of_the_finite_values() -> None:
    values = np.float32([[[[1.0, np.nan, 3.0]]], [[[-np.inf, 2.0, np.inf]]], [[[np.nan, np.nan, np.nan]]]])
    for each in (False, True):
        picture = render_picture(values, Recipe(Layout.GRID, normalize=True, scale_each=each))
        assert (picture.low, picture.high, picture.nonfinite) == (1.0, 3.0, 6)


@pytest.mark.parametrize("each", [False, True])
def test_nothing_finite_is_all_magenta(each: bool) -> None:
    values = np.full((1, 1, 2, 2), np.nan, np.float32)
    picture = render_picture(values, Recipe(Layout.GRID, normalize=True, scale_each=each))
    assert (oracle.shown(picture) == oracle.MAGENTA).all()
    assert (picture.low, picture.high, picture.nonfinite) == (None, None, 4)
    assert picture.description["low"] is None


def test_a_pixel_counts_once_however_many_channels_are_bad() -> None:
    values = np.zeros((3, 1, 2), np.float32)
    values[:2, 0, 0] = np.nan
    picture = render_picture(values, Recipe(Layout.IMAGE, "CHW"))
    assert picture.nonfinite == 1
    assert oracle.shown(picture)[0].tolist() == [list(oracle.MAGENTA), [0, 0, 0]]


def test_float64_beyond_float32_is_not_finite() -> None:
    picture = render_picture(np.array([[1e300, 0.5]]), Recipe(Layout.IMAGE, "HW"))
    assert picture.nonfinite == 1
    assert oracle.shown(picture)[0].tolist() == [list(oracle.MAGENTA), [128, 128, 128]]


def test_constant_tile_is_black_as_make_grid_has_it() -> None:
    picture = render_picture(np.full((1, 1, 2, 2), 7.0, np.float32), Recipe(Layout.GRID, normalize=True))
    assert oracle.shown(picture).max() == 0
    assert (picture.low, picture.high) == (7.0, 7.0)


def test_denormalizing_into_infinity_is_counted() -> None:
    recipe = Recipe(Layout.GRID, mean=(0.0,), std=(1e30,), normalize=True)
    picture = render_picture(np.float32([[[[1e30, 1.0, 2.0]]]]), recipe)
    assert picture.nonfinite == 1
    assert oracle.shown(picture)[0].tolist() == [list(oracle.MAGENTA), [0, 0, 0], [255, 255, 255]]
