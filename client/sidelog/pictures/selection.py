"""What is selected of what a caller gave, and the checks that every way to it has in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from sidelog.arrays import Array, describe, dtype_of
from sidelog_shared.dtypes import UINT8
from sidelog_shared.errors import SnapshotError
from sidelog_shared.recipe import Recipe

_PICTURE_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be copied of what the caller gave, and how it is to be drawn.

    Attributes:
        arrays: views into the caller's memory, of one shape and type; several are stacked.
        shape: shape of the copy.
        recipe: how it is drawn.
        owned: the memory is ours already (a lazy grid's): no copy is needed.
    """

    arrays: Sequence[Array]
    shape: tuple[int, ...]
    recipe: Recipe
    owned: bool = False


def check_channels(selection: Selection, dimension: int, what: str) -> Selection:
    """Refuse what cannot be shown in color; a negative ``dimension`` says that there is none of channels."""
    channels = 1 if dimension < 0 else selection.shape[dimension]
    if channels not in _PICTURE_CHANNELS:
        shape = list(selection.shape)
        hint = "add_feature_map shows each channel as a tile"
        if dimension == 0 and len(shape) == 3 and shape[-1] in _PICTURE_CHANNELS:
            hint = "give dataformats='HWC' if the channels come last; " + hint
        raise SnapshotError(f"{what} has shape {shape} with {channels} channels, expected 1, 3 or 4: {hint}")
    recipe = selection.recipe
    if recipe.mean is None or recipe.std is None or len(recipe.mean) == channels:
        return selection
    if len(recipe.mean) != 1:
        raise SnapshotError(
            f"{what} has {channels} channels and mean has {len(recipe.mean)} values, expected one per channel, or one"
        )
    # One for all, as Normalize((0.5,), (0.5,)) takes it.
    return replace(selection, recipe=replace(recipe, mean=recipe.mean * channels, std=recipe.std * channels))


def check_not_empty(array: Array, what: str) -> None:
    """Refuse an array without a value.

    Raises:
        SnapshotError: it has none.
    """
    if 0 in array.shape:
        raise SnapshotError(f"{what} is {describe(array)}, which is empty, expected at least one value")


def refuse_ambiguous_integers(array: Array, options: dict[str, object], what: str) -> None:
    """Refuse integers that are neither pixels nor normalized.

    Raises:
        SnapshotError: they are; says what they could be meant as.
    """
    dtype = dtype_of(array)
    if dtype.is_integer and dtype is not UINT8 and not options.get("normalize"):
        raise SnapshotError(
            f"{what} is {describe(array)} without normalize=True, which has no brightness: use add_label_map for "
            "classes, .to(uint8) for pixels 0..255, or normalize=True"
        )


def permuted(array: Array, given: str, wanted: str) -> Array:
    """The view whose dimensions are ``wanted``; a missing C is put in."""
    if "C" not in given:
        array, given = array[..., None], given + "C"
    order = [given.index(letter) for letter in wanted]
    return array.transpose(order) if isinstance(array, np.ndarray) else array.permute(order)
