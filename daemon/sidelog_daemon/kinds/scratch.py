"""What making a record's content takes for the moment, at its worst: for the account of the daemon's memory."""

from __future__ import annotations

import math

import numpy as np

from sidelog_daemon.render.color import LabelColors
from sidelog_daemon.render.layout import Tiles, arrange
from sidelog_daemon.render.png import MAX_COLORS
from sidelog_daemon.render.thin import thin
from sidelog_shared.errors import SidelogError
from sidelog_shared.limits import MIB
from sidelog_shared.recipe import Layout, Recipe
from sidelog_shared.records import BufferSpec, Kind, Record

BLOCKS_BYTES = 8 * MIB
"""Blocks and tables, whatever the size of a record: part of what is set aside for the process, counted nowhere else."""
_PIXEL = 3
"""Bytes of a channel of a pixel: the canvas, its deflated stream and the file; noise does not deflate."""
_NUMBER = 28
"""Bytes of a number that numpy counts into bins of its own choice: float64, sorted, and masks."""
_FLOAT32 = 4
"""Bytes of a number that numpy has no type for (bfloat16, float8), and that becomes one it has."""
_OTHERS = 1.3
"""Times the bytes of whatever else: nothing of it is larger than one finished copy."""


def scratch_bytes(record: Record, max_pixels: int) -> int:
    """The bytes that are held beside those of ``record`` until its content is finished, about, and not less.

    They grow with the record; ``BLOCKS_BYTES`` come beside them.

    Args:
        record: of any kind.
        max_pixels: of a picture.
    """
    widened = sum(_FLOAT32 * math.prod(spec.shape) for spec in record.specs if spec.dtype.numpy is None)
    return widened + _of_kind(record, max_pixels)


def _of_kind(record: Record, max_pixels: int) -> int:
    if record.kind is Kind.PICTURE and len(record.specs) == 1:
        try:
            return _of_picture(record.specs[0], Recipe.from_map(record.options.get("recipe")), max_pixels)
        except (SidelogError, ValueError):
            return 0  # it cannot be drawn, and is rejected before anything is
    if record.kind is Kind.HISTOGRAM:
        is_counted_in_blocks = record.options.get("bins", "tensorflow") == "tensorflow" and len(record.specs) == 1
        return 0 if is_counted_in_blocks else _NUMBER * sum(math.prod(spec.shape) for spec in record.specs)
    return int(_OTHERS * record.nbytes)


def _of_picture(spec: BufferSpec, recipe: Recipe, max_pixels: int) -> int:
    numpy_type = np.dtype(np.float32) if spec.dtype.numpy is None else spec.dtype.numpy
    # An array of one element that looks like the whole: nothing is computed but shapes.
    tiles: Tiles = arrange(np.broadcast_to(np.zeros((), numpy_type), spec.shape), recipe)
    height, width = thin(tiles, max_pixels=max_pixels).grid.picture_size
    channels = tiles.values.shape[1]
    if recipe.layout is Layout.LABELS:
        channels = 1 if len(LabelColors.of(recipe).table) <= MAX_COLORS else 3
    elif channels == 1 and (numpy_type.kind == "f" or recipe.mean is not None):
        channels = 3  # what is no number is painted magenta
    return int(_PIXEL * channels * height * width)
