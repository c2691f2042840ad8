"""What of feature maps and label maps is copied, and how it is drawn."""

from __future__ import annotations

from sidelog.arrays import as_array, describe, dtype_of, shape_of
from sidelog.pictures.lists import grid_of_list, is_list_of_arrays
from sidelog.pictures.options import GridArguments, integer, make_recipe, palette_colors
from sidelog.pictures.selection import Selection, check_not_empty, refuse_ambiguous_integers
from sidelog_shared.errors import SnapshotError
from sidelog_shared.recipe import Layout


def select_feature_map(value: object, sample: int, grid: GridArguments, what: str) -> Selection:
    """What ``add_feature_map`` shows: every channel of one sample as a grey tile of its own.

    Raises:
        SnapshotError: a shape or type that has no channels to show; says which call to use instead.
        ConfigError: an argument that no picture can be made with.
    """
    options: dict[str, object] = {"normalize": True, **grid.given()}
    if is_list_of_arrays(value):
        return grid_of_list(value, options, what, single_channel=True)
    array = as_array(value, what)
    if array.ndim not in (3, 4):
        hint = ": for one map use add_image(..., dataformats='HW')" if array.ndim == 2 else ""
        raise SnapshotError(f"{what} is {describe(array)}, expected [C, H, W] or [B, C, H, W]{hint}")
    check_not_empty(array, what)
    if array.ndim == 4:
        samples = array.shape[0]
        index = integer("sample", sample)
        if not -samples <= index < samples:
            raise SnapshotError(f"{what}: sample is {sample!r}, expected an integer in 0..{samples - 1}")
        options["source"] = f"sample {index % samples} of {samples}"
        array = array[index]
    refuse_ambiguous_integers(array, options, what)
    channels, height, width = array.shape
    return Selection([array], (channels, 1, height, width), make_recipe(Layout.GRID, options, what))


def select_label_map(
    value: object,
    palette: object,
    num_classes: int | None,
    ignore_index: int | None,
    grid: GridArguments,
    what: str,
) -> Selection:
    """What ``add_label_map`` shows: integer classes in colors; a batch as tiles.

    Raises:
        SnapshotError: a shape that is no map, or floats.
        ConfigError: an argument that no picture can be made with.
    """
    array = as_array(value, what)
    if array.ndim not in (2, 3):
        if array.ndim != 4 or array.shape[1] != 1:
            raise SnapshotError(f"{what} is {describe(array)}, expected [H, W], [1, H, W] or a batch [N, H, W]")
        array = array[:, 0]
    check_not_empty(array, what)
    dtype = dtype_of(array)
    if dtype.is_floating:
        raise SnapshotError(
            f"{what} is {describe(array)}, expected integer classes: for scores of shape [C, H, W] give "
            "scores.argmax(0)"
        )
    options: dict[str, object] = {"pad_value": 0.0, **grid.given()}
    if palette is not None:
        options["palette"] = palette_colors(palette, what)
    if num_classes is not None:
        options["num_classes"] = integer("num_classes", num_classes)
    if ignore_index is not None:
        options["ignore_index"] = integer("ignore_index", ignore_index)
    shape = shape_of(array) if array.ndim == 3 else (1, *array.shape)
    return Selection([array], shape, make_recipe(Layout.LABELS, options, what))
