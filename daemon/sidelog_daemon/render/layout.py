"""First step: what the tensor's dimensions mean. Every layout becomes tiles ``[N, C, H, W]`` and their arrangement."""

from __future__ import annotations

from dataclasses import dataclass

from sidelog_daemon.render.tensors import Array
from sidelog_daemon.render.tile import Grid
from sidelog_shared.errors import SnapshotError
from sidelog_shared.recipe import Layout, Recipe

PICTURE_CHANNELS = (1, 3, 4)
MOSAIC_COLUMNS = 8
"""tensorboardX ``utils.make_grid(I, ncols=8)``."""


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """Tiles and how they stand beside each other.

    Attributes:
        values: ``[N, C, H, W]``, a view of the tensor; no dimension is empty.
        columns: tiles per row, at most N.
        padding: pixels between tiles and around them.
    """

    values: Array
    columns: int
    padding: int

    def grid(self) -> Grid:
        """All of them, laid out."""
        count, _, height, width = self.values.shape
        return Grid(count, self.columns, height, width, self.padding)


def arrange(tensor: Array, recipe: Recipe) -> Tiles:
    """Read ``tensor`` as ``recipe.layout`` says, without copying it.

    Args:
        tensor: real numbers or bools. IMAGE: 2-D or 3-D in the order ``recipe.dataformats``; MOSAIC: 3-D or 4-D,
            likewise; GRID: ``[N, C, H, W]``; LABELS: integers or bools ``[N, H, W]``. C is 1, 3 or 4.
        recipe: see :class:`~sidelog_shared.recipe.Recipe`.

    Returns:
        The tiles. A GRID or LABELS of one tile has no padding, as ``torchvision.utils.make_grid``.

    Raises:
        SnapshotError: a tensor that the layout has no meaning for; says what, got and expected.
    """
    layout = recipe.layout
    kinds = "iub" if layout is Layout.LABELS else "fiub"
    if tensor.dtype.kind not in kinds:
        expected = "integers or bools" if layout is Layout.LABELS else "floats, integers or bools"
        raise SnapshotError(f"{layout.value} tensor is {tensor.dtype}, expected {expected}")
    dimensions = {Layout.GRID: "NCHW", Layout.LABELS: "NHW"}.get(layout, recipe.dataformats)
    if tensor.ndim != len(dimensions):
        raise SnapshotError(f"{layout.value} tensor has shape {list(tensor.shape)}, expected "
                            f"{len(dimensions)} dimensions [{', '.join(dimensions)}]")  # fmt: skip
    if tensor.size == 0:
        raise SnapshotError(f"{layout.value} tensor has shape {list(tensor.shape)}, expected no empty dimension "
                            f"in [{', '.join(dimensions)}]")  # fmt: skip
    values = tensor.transpose([dimensions.index(name) for name in "NCHW" if name in dimensions])
    if "C" not in dimensions:
        values = values[..., None, :, :]
    if "N" not in dimensions:
        values = values[None]
    count, channels = values.shape[:2]
    if channels not in PICTURE_CHANNELS:
        raise SnapshotError(f"{layout.value} tensor of shape {list(tensor.shape)} has {channels} channels, "
                            f"expected 1 (grey), 3 (RGB) or 4 (RGBA)")  # fmt: skip
    if layout is Layout.MOSAIC:
        return Tiles(values, min(MOSAIC_COLUMNS, count), 0)
    return Tiles(values, min(recipe.nrow, count), 0 if count == 1 else recipe.padding)
