"""Between layout and grid: of what would be too large a picture, every so-manieth line and column is drawn.

A picture of a billion pixels helps nobody, and would take the daemon's memory from all others. Tiles of one pixel are
the smallest there are; where even those are too many, the last rows of them are left out.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass

from sidelog_daemon.render.layout import Tiles
from sidelog_daemon.render.png import MAX_SIDE
from sidelog_daemon.render.tile import Grid
from sidelog_shared.errors import SnapshotError


@dataclass(frozen=True, slots=True, eq=False)
class Thinned:
    """What is drawn of the tiles.

    Attributes:
        tiles: a view of what there was.
        stride: every so-manieth line and column of each tile; 1 for all.
        grid: how they are laid out.
    """

    tiles: Tiles
    stride: int
    grid: Grid


def thin(tiles: Tiles, *, max_pixels: int, max_side: int = MAX_SIDE) -> Thinned:
    """Have a picture of at most ``max_pixels``, and of ``max_side`` on a side.

    Raises:
        SnapshotError: not even one row of tiles of one pixel would fit, for their padding.
    """
    count, _, height, width = tiles.values.shape

    def grid(stride: int, rows: int) -> Grid:
        shown = min(count, rows * tiles.columns)
        return Grid(shown, tiles.columns, -(-height // stride), -(-width // stride), tiles.padding)

    def fits(stride: int, rows: int) -> bool:
        high, wide = grid(stride, rows).picture_size
        return high * wide <= max_pixels and max(high, wide) <= max_side

    rows, longest = -(-count // tiles.columns), max(height, width)
    if fits(1, rows):
        return Thinned(tiles, 1, grid(1, rows))
    # Both become true once and stay so: the larger the stride, the fewer the rows, the smaller the picture.
    stride = 1 + bisect_left(range(1, longest), True, key=lambda one: fits(one, rows))
    if not fits(stride, rows):
        rows = bisect_left(range(1, rows + 1), True, key=lambda one: not fits(stride, one))
    if not rows:
        high, wide = grid(stride, 1).picture_size
        raise SnapshotError(f"a row of {tiles.columns:,} tiles with a padding of {tiles.padding:,} would be {high:,} x "
                            f"{wide:,} pixels, expected at most {max_pixels:,} pixels and {max_side:,} on a side: "
                            f"give a smaller padding or nrow")  # fmt: skip
    drawn = grid(stride, rows)
    values = tiles.values[: drawn.count, :, ::stride, ::stride]
    return Thinned(Tiles(values, tiles.columns, tiles.padding), stride, drawn)
