"""Last step: pixels to the bytes that TensorBoard serves: PNG, or JPEG by choice (it serves no others)."""

from __future__ import annotations

from sidelog_daemon.render import jpeg, png
from sidelog_daemon.render.annotate import in_words, text_chunk
from sidelog_daemon.render.png import Pixels
from sidelog_shared.recipe import Format, Recipe

MAX_SIDES = {Format.PNG: png.MAX_SIDE, Format.JPEG: jpeg.MAX_SIDE}
"""Pixels on a side, at most."""


def encode(
    pixels: Pixels, palette: Pixels | None, recipe: Recipe, description: dict[str, object], line_filter: png.Filter
) -> bytes:
    """A finished picture that carries its description.

    Args:
        pixels: see :func:`~sidelog_daemon.render.png.write_png`.
        palette: likewise.
        recipe: says which format.
        description: goes into a text chunk of a PNG, or the comment of a JPEG.
        line_filter: of a PNG.

    Raises:
        SnapshotError: the format cannot hold such pixels.
    """
    if recipe.format is Format.JPEG:
        return jpeg.write_jpeg(pixels, quality=recipe.quality, comment=in_words(description).encode())
    return png.write_png(pixels, palette=palette, chunks=text_chunk(description), line_filter=line_filter)
