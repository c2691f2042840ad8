"""Pictures of one shape, given as a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np

from sidelog.arrays import Array, as_array, describe, dtype_of, is_tensor, shape_of
from sidelog.pictures.options import make_recipe
from sidelog.pictures.selection import Selection, check_channels, check_not_empty, refuse_ambiguous_integers
from sidelog_shared.errors import SnapshotError
from sidelog_shared.recipe import Layout


def is_list_of_arrays(value: object) -> TypeGuard[Sequence[object]]:
    """Whether it is a list of pictures: one of numbers, however nested, is an array."""
    return isinstance(value, (list, tuple)) and any(map(_is_array, value))


def grid_of_list(
    value: Sequence[object], options: dict[str, object], what: str, *, single_channel: bool = False
) -> Selection:
    """A grid with a tile for each.

    Args:
        value: ``[H, W]`` each, or ``[C, H, W]``.
        options: of the recipe.
        what: the call, for its errors.
        single_channel: C must be 1.

    Raises:
        SnapshotError: other shapes, several shapes, types or devices, or nothing in them.
        ConfigError: options that no picture can be made with.
    """
    items = [as_array(item, f"{what}[{index}]") for index, item in enumerate(value)]
    for index, item in enumerate(items):
        if item.ndim == 4:
            raise SnapshotError(
                f"{what}[{index}] is {describe(item)}, a batch, expected [H, W] or [C, H, W]: log one sample of it, "
                "f[0]"
            )
        if item.ndim not in (2, 3):
            raise SnapshotError(f"{what}[{index}] is {describe(item)}, expected [H, W] or [C, H, W]")
    items = same_shape(items, what)
    check_not_empty(items[0], what)
    refuse_ambiguous_integers(items[0], options, what)
    shape = (len(items), *((1, *items[0].shape) if items[0].ndim == 2 else items[0].shape))
    if single_channel and shape[1] != 1:
        raise SnapshotError(
            f"{what} is a list of {describe(items[0])}, expected single-channel maps [H, W] or [1, H, W]: log each "
            "with a call of its own"
        )
    return check_channels(Selection(items, shape, make_recipe(Layout.GRID, options, what)), 1, what)


def same_shape(items: list[Array], what: str) -> list[Array]:
    """``items``, which can be stacked.

    Raises:
        SnapshotError: they differ in kind, shape, type or device.
    """
    first = items[0]
    for index, item in enumerate(items):
        if (
            is_tensor(item) != is_tensor(first)
            or shape_of(item) != shape_of(first)
            or dtype_of(item) != dtype_of(first)
        ):
            raise SnapshotError(f"{what}[{index}] is {describe(item)}, expected {describe(first)} as {what}[0]")
        if not isinstance(item, np.ndarray) and item.device != first.device:
            raise SnapshotError(f"{what}[{index}] is on {item.device}, expected {first.device} as {what}[0]")
    return items


def _is_array(value: object) -> bool:
    return is_tensor(value) or (isinstance(value, np.ndarray) and value.ndim > 0)
