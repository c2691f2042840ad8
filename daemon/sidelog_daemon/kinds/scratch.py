"""What making a record's content takes for the moment, at its worst: for the account of the daemon's memory."""

from __future__ import annotations

import math

from sidelog_daemon.render.png import MAX_COLORS
from sidelog_shared.limits import MIB
from sidelog_shared.recipe import Layout
from sidelog_shared.records import Kind, Record

BLOCKS_BYTES = 8 * MIB
"""Blocks and tables, whatever the size of a record: part of what is set aside for the process, counted nowhere else."""
_PIXEL = 3
"""Bytes of a channel of a pixel: the canvas, its deflated stream and the file; noise does not deflate."""
_CHANNELS = 3
"""Of what is grey until something in it is painted magenta."""
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
    elements = sum(math.prod(spec.shape) for spec in record.specs)
    widened = sum(_FLOAT32 * math.prod(spec.shape) for spec in record.specs if spec.dtype.numpy is None)
    return widened + _of_kind(record, elements, max_pixels)


def _of_kind(record: Record, elements: int, max_pixels: int) -> int:
    if record.kind is Kind.PICTURE:
        channels = 1 if _has_final_channels(record, elements) else _CHANNELS
        return _PIXEL * channels * min(elements, _CHANNELS * max_pixels)
    if record.kind is Kind.HISTOGRAM:
        is_counted_in_blocks = record.options.get("bins", "tensorflow") == "tensorflow" and len(record.specs) == 1
        return 0 if is_counted_in_blocks else _NUMBER * elements
    return int(_OTHERS * record.nbytes)


def _has_final_channels(record: Record, elements: int) -> bool:
    """Whether a picture has a byte for each element of its tensor: it is pixels, or labels with a palette."""
    recipe = record.options.get("recipe")
    if isinstance(recipe, dict) and recipe.get("layout") == Layout.LABELS.value:
        palette = recipe.get("palette")
        return not isinstance(palette, (list, tuple)) or len(palette) <= MAX_COLORS
    return record.nbytes == elements
