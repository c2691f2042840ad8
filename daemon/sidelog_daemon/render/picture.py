"""All steps of a picture in order: a pure function from a tensor and a recipe to a finished picture.

Safe in any number of threads at once. The steps release the interpreter lock (numpy, OpenCV, ISA-L).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from sidelog_daemon.config import MAX_PIXELS
from sidelog_daemon.render import annotate, channels, color, denormalize, encode, layout, normalize, thin
from sidelog_daemon.render.png import Filter, Pixels
from sidelog_daemon.render.tensors import Array, Floats, to_float32
from sidelog_daemon.render.tile import Block, Grid
from sidelog_shared.recipe import Layout, Recipe

_DRAWING = threading.Lock()
"""Held while pixels are made. That takes a hundred operations of some ten microseconds, and each gives the interpreter
lock away and asks for it again: two threads at once spend more time on waking each other than they gain. Deflating,
which takes longer, is a few long calls: it goes on beside it (docs/decisions/0011-deflate-by-isa-l.md)."""
_UINT8 = np.dtype(np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A finished picture.

    Attributes:
        encoded: the PNG, with ``description`` as JSON in its text chunk ``sidelog``; or the JPEG, with that in its
            comment.
        width: in pixels.
        height: in pixels.
        channels: 1 (grey), 3 (RGB, or a palette of it) or 4 (RGBA).
        low: the value that became black: the range's lower end, or None where nothing was normalized or nothing
            finite was there to normalize. With ``scale_each`` the lowest of all tiles.
        high: the value that became white, likewise.
        nonfinite: pixels painted magenta because a channel of theirs is NaN or infinite.
        out_of_range: labels painted magenta because they are no class.
        stride: every so-manieth line and column of each tile is drawn; 1 for all.
        tiles_left_out: the last tiles, which are not drawn.
        description: the recipe and these facts, in JSON's types.
    """

    encoded: bytes
    width: int
    height: int
    channels: int
    low: float | None
    high: float | None
    nonfinite: int
    out_of_range: int
    stride: int
    tiles_left_out: int
    description: dict[str, object]


@dataclass(slots=True)
class _Facts:
    low: float | None = None
    high: float | None = None
    nonfinite: int = 0
    out_of_range: int = 0


def render_picture(tensor: Array, recipe: Recipe, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Draw ``tensor`` as ``recipe`` says.

    uint8 without ``normalize`` and ``mean`` are pixels, 0..255, as tensorboardX takes them (``pad_value`` too);
    everything else is computed in float32, where 0..1 becomes black to white. Pixels are rounded and clamped.

    Args:
        tensor: see :func:`sidelog_daemon.render.layout.arrange` for shapes and dtypes; never written to.
        recipe: see :class:`~sidelog_shared.recipe.Recipe`.
        max_pixels: what would be larger is thinned (:mod:`sidelog_daemon.render.thin`), and its description says so.

    Raises:
        SnapshotError: (a ValueError) a tensor that cannot be drawn so; says what, got and expected.
    """
    tiles = layout.arrange(tensor, recipe)
    thinned = thin.thin(tiles, max_pixels=max_pixels, max_side=encode.MAX_SIDES[recipe.format])
    values, grid = thinned.tiles.values, thinned.grid
    facts, palette = _Facts(), None
    with _DRAWING, np.errstate(all="ignore"):  # overflow has its rules below; numpy's warnings would end up in a log
        if recipe.layout is Layout.LABELS:
            pixels, palette = _draw_labels(values, grid, recipe, facts)
        elif values.dtype == np.uint8 and not recipe.normalize and recipe.mean is None:
            pixels = _draw_pixels(values, grid, recipe)
        else:
            pixels = _draw_numbers(values, grid, recipe, facts, whole=tiles)
    high_px, wide_px, depth = pixels.shape
    depth = depth if palette is None else palette.shape[1]
    stride, left_out = thinned.stride, len(tiles.values) - grid.count
    thinning = {"stride": stride} if stride > 1 else {}
    if left_out:
        thinning["tiles_left_out"] = left_out
    description = annotate.describe(
        recipe,
        {
            "shape": list(tensor.shape),
            **thinning,
            "width": wide_px,
            "height": high_px,
            "channels": depth,
            "low": facts.low,
            "high": facts.high,
            "nonfinite": facts.nonfinite,
            "out_of_range": facts.out_of_range,
        },
    )
    line_filter = Filter.of_grid(grid.count, grid.width) if palette is None else Filter.UP
    encoded = encode.encode(pixels, palette, recipe, description, line_filter)
    return Picture(encoded, wide_px, high_px, depth, facts.low, facts.high, facts.nonfinite, facts.out_of_range,
                   stride, left_out, description)  # fmt: skip


def _draw_labels(labels: Array, grid: Grid, recipe: Recipe, facts: _Facts) -> tuple[Pixels, Pixels | None]:
    colors = color.LabelColors.of(recipe)

    def indexed() -> Iterator[tuple[Block, color.Indices, int]]:
        for block in grid.blocks(channels=1):
            yield block, *color.index_labels(labels[block.tiles, 0, block.lines], colors)

    paint = color.Paint.of_all(colors)
    if paint is None:  # more colors than a palette holds: one of those that are shown
        shown = np.zeros(len(colors.table), np.bool_)
        shown[colors.gap] = grid.has_gaps
        for _, index, _ in indexed():
            shown |= color.occurring(index, len(shown))
        paint = color.Paint.of_shown(colors, shown)
    canvas = grid.canvas(paint.channels, paint.gap, _UINT8)
    for block, index, out_of_range in indexed():
        facts.out_of_range += out_of_range
        grid.place(canvas, block, paint.pixels(index))
    return canvas, paint.palette


def _draw_pixels(values: Array, grid: Grid, recipe: Recipe) -> Pixels:
    background = 0.0 if recipe.layout is Layout.MOSAIC else recipe.pad_value
    canvas = grid.canvas(values.shape[1], int(min(max(background + 0.5, 0), 255)), _UINT8)
    for block in grid.blocks(values.shape[1]):
        planes = values[block.tiles, :, block.lines].view(np.uint8)
        grid.place(canvas, block, channels.interleave(planes))
    return canvas


def _draw_numbers(values: Array, grid: Grid, recipe: Recipe, facts: _Facts, *, whole: layout.Tiles) -> Pixels:
    numbers = everything = _Numbers(values, grid, recipe)
    if values.shape != whole.values.shape:  # the range is that of all numbers, drawn or not
        everything = _Numbers(whole.values, whole.grid(), recipe)
    ranges, finite = _find_ranges(everything, recipe, facts)
    depth = values.shape[1]
    grey_becomes_rgb = depth == 1 and not finite
    background = np.full((1, 1, 1, 1), 0.0 if recipe.layout is Layout.MOSAIC else recipe.pad_value, np.float32)
    fill = channels.to_8_bits(background, background).item()
    canvas = grid.canvas(3 if grey_becomes_rgb else depth, fill, _UINT8)
    for block, tiles, out in numbers.blocks():
        good = None if finite else np.isfinite(tiles)
        if good is not None:
            tiles = np.where(good, tiles, np.float32(0))  # noqa: PLW2901
        if ranges is not None:
            tiles = normalize.normalize(tiles, ranges.of_tiles(block.tiles), out)  # noqa: PLW2901
        pixels = channels.interleave(channels.to_8_bits(tiles, out, clamp=ranges is None))
        if grey_becomes_rgb:
            pixels = color.widen_grey(pixels)
        if good is not None:
            facts.nonfinite += color.paint_warning(pixels, np.logical_not(good.all(axis=1)))
        grid.place(canvas, block, pixels)
    return canvas


def _find_ranges(numbers: _Numbers, recipe: Recipe, facts: _Facts) -> tuple[normalize.Ranges | None, bool]:
    """What to normalize by (None: not at all), and whether every number is finite."""
    if recipe.normalize and recipe.value_range is None:
        low, high, finite = numbers.measure()
        if low.min() <= high.max():
            facts.low, facts.high = float(low.min()), float(high.max())
        return normalize.Ranges.measured(low, high, scale_each=recipe.scale_each), finite
    finite = not numbers.may_be_nonfinite or numbers.measure()[2]
    if recipe.value_range is None or not recipe.normalize:
        return None, finite
    ranges = normalize.Ranges.given(*recipe.value_range)
    facts.low, facts.high = ranges.low.item(), ranges.high.item()
    return ranges, finite


class _Numbers:
    """The tiles as float32, denormalized, block by block, so that no full-size copy of them is ever made."""

    def __init__(self, values: Array, grid: Grid, recipe: Recipe) -> None:
        self._values = values
        self._grid = grid
        self._mean, self._std = recipe.mean, recipe.std
        if self._mean is not None:
            denormalize.check_channels(self._mean, values.shape[1])

    @property
    def may_be_nonfinite(self) -> bool:
        return self._values.dtype.kind == "f" or self._mean is not None

    def blocks(self) -> Iterator[tuple[Block, Floats, Floats]]:
        """Each block, its numbers (not to be written to) and an array of their shape to compute in.

        Both arrays are good until the next block only, and may be the same.
        """
        depth = self._values.shape[1]
        scratch = np.empty(self._grid.largest_block(depth), np.float32)
        for block in self._grid.blocks(depth):
            part = self._values[block.tiles, :, block.lines]
            out = scratch[: part.size].reshape(part.shape)
            tiles = to_float32(part, out)
            if self._mean is not None and self._std is not None:
                tiles = denormalize.denormalize(tiles, self._mean, self._std, out)
            yield block, tiles, out

    def measure(self) -> tuple[Floats, Floats, bool]:
        """The finite range of each tile, ``[N]`` and ``[N]``, and whether all is finite."""
        low = np.full(self._grid.count, np.inf, np.float32)
        high = np.full(self._grid.count, -np.inf, np.float32)
        all_finite = True
        for block, tiles, _ in self.blocks():
            lowest, highest, finite = normalize.tile_ranges(tiles)
            np.minimum(low[block.tiles], lowest, out=low[block.tiles])
            np.maximum(high[block.tiles], highest, out=high[block.tiles])
            all_finite &= finite
        return low, high, all_finite
