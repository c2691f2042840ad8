"""Sixth step: where each tile stands on the picture, and in which portions the work is done.

A portion is a block: some rows of tiles, some tiles of one row, or some lines of one tile, few enough to stay in
the processor's cache from the first step to the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

T = TypeVar("T", bound=np.generic)

BLOCK_ELEMENTS = 1 << 17
"""Elements of a block: 512 KiB of float32, which the second-level cache of one core holds. Measured on
``[256, 1, 56, 56]``: half of it costs 1.3 times the time, a quarter 1.7 times; on large pictures a whole
megabyte and more costs three times."""


@dataclass(frozen=True, slots=True)
class Block:
    """Lines ``lines`` of each of the tiles ``tiles``: whole rows of tiles, or tiles of one row."""

    tiles: slice
    lines: slice


@dataclass(frozen=True, slots=True)
class Grid:
    """Tiles in rows, with gaps between and around them: the geometry of ``make_grid``.

    Attributes:
        count: tiles.
        columns: tiles per row.
        height: of a tile, in pixels.
        width: of a tile, in pixels.
        padding: pixels between tiles and around them.
    """

    count: int
    columns: int
    height: int
    width: int
    padding: int

    @property
    def rows(self) -> int:
        return -(-self.count // self.columns)

    @property
    def picture_size(self) -> tuple[int, int]:
        """Height and width of the whole picture, in pixels."""
        return (
            self.rows * (self.height + self.padding) + self.padding,
            self.columns * (self.width + self.padding) + self.padding,
        )

    @property
    def has_gaps(self) -> bool:
        """Whether some of the picture is no tile."""
        return self.padding > 0 or self.count < self.rows * self.columns

    def canvas(self, channels: int, fill: int, dtype: np.dtype[T]) -> npt.NDArray[T]:
        """A picture of nothing but gap: ``[height, width, channels]``."""
        return np.full((*self.picture_size, channels), fill, dtype)

    def largest_block(self, channels: int) -> int:
        """Elements of the largest block that :meth:`blocks` yields, or a little more."""
        return min(max(BLOCK_ELEMENTS, channels * self.width), self.count * channels * self.height * self.width)

    def blocks(self, channels: int) -> Iterator[Block]:
        """Every line of every tile once, in blocks of about :data:`BLOCK_ELEMENTS`."""
        line = channels * self.width
        tile = line * self.height
        whole = slice(0, self.height)
        if tile > BLOCK_ELEMENTS:
            step = max(1, BLOCK_ELEMENTS // line)
            for index in range(self.count):
                for top in range(0, self.height, step):
                    yield Block(slice(index, index + 1), slice(top, min(top + step, self.height)))
            return
        tiles_per_block = BLOCK_ELEMENTS // tile
        if tiles_per_block >= self.columns:
            tiles_per_block -= tiles_per_block % self.columns
            full = self.count - self.count % self.columns
            for start in range(0, full, tiles_per_block):
                yield Block(slice(start, min(start + tiles_per_block, full)), whole)
            if full < self.count:
                yield Block(slice(full, self.count), whole)
            return
        for first in range(0, self.count, self.columns):
            end = min(first + self.columns, self.count)
            for start in range(first, end, tiles_per_block):
                yield Block(slice(start, min(start + tiles_per_block, end)), whole)

    def place(self, canvas: npt.NDArray[T], block: Block, pixels: npt.NDArray[T]) -> None:
        """Lay the pixels of ``block`` into ``canvas``.

        Args:
            canvas: what :meth:`canvas` made.
            block: one of :meth:`blocks`.
            pixels: ``[tiles, lines, width, channels]``.
        """
        channels = canvas.shape[-1]
        cells = canvas[self.padding :, self.padding :].reshape(
            self.rows, self.height + self.padding, self.columns, self.width + self.padding, channels
        )[:, block.lines, :, : self.width]  # a view: splitting an axis never copies
        row, column = divmod(block.tiles.start, self.columns)
        count, lines = pixels.shape[:2]
        if count % self.columns == 0:
            rows = count // self.columns
            by_row = pixels.reshape(rows, self.columns, lines, self.width, channels)
            cells[row : row + rows] = by_row.transpose(0, 2, 1, 3, 4)
        else:
            cells[row, :, column : column + count] = pixels.transpose(1, 0, 2, 3)
