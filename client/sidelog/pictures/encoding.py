"""In what format a picture is stored: PNG unless its caller says JPEG."""

from __future__ import annotations

import operator
from dataclasses import replace

from sidelog.pictures.selection import Selection
from sidelog_shared.errors import ConfigError, SnapshotError
from sidelog_shared.recipe import Format


def encoded_as(selection: Selection, format_: object, quality: object, what: str) -> Selection:
    """The same in the format that its caller chose.

    Args:
        selection: of any layout but LABELS, whose colors a JPEG would change into those of other classes.
        format_: ``"png"`` or ``"jpeg"``; None, PNG.
        quality: of a JPEG, 1 to 100; None, the recipe's own.
        what: the call, for its errors.

    Raises:
        ConfigError: a format that TensorBoard does not show, or a quality that cannot be.
        SnapshotError: four channels as JPEG.
    """
    if format_ is None and quality is None:
        return selection
    try:
        chosen = Format.PNG if format_ is None else Format(format_)
    except ValueError:
        raise ConfigError(f"{what}: format is {format_!r:.80}, expected 'png' or 'jpeg'") from None
    if chosen is Format.JPEG and _channels(selection) == 4:
        raise SnapshotError(
            f"{what} has shape {list(selection.shape)} with 4 channels, expected 1 or 3 for format='jpeg', which has "
            "no alpha"
        )
    recipe = replace(selection.recipe, format=chosen)
    if quality is not None:
        recipe = replace(recipe, quality=_quality(quality, chosen, what))
    return replace(selection, recipe=recipe)


def _quality(value: object, chosen: Format, what: str) -> int:
    if chosen is not Format.JPEG:
        raise ConfigError(f"{what}: quality is {value!r:.80} of a PNG, which keeps every pixel, expected format='jpeg'")
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what it cannot take is told of
    except TypeError:
        number = 0
    if isinstance(value, bool) or not 1 <= number <= 100:
        raise ConfigError(f"{what}: quality is {value!r:.80}, expected an integer from 1 to 100")
    return number


def _channels(selection: Selection) -> int:
    letters = selection.recipe.dataformats or "NCHW"  # of a grid
    return selection.shape[letters.index("C")] if "C" in letters else 1
