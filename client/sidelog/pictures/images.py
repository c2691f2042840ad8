"""What of one picture or of a batch is copied, and how it is drawn: ``add_image`` and ``add_images``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from sidelog.arrays import Array, as_array, describe, shape_of
from sidelog.pictures.lists import grid_of_list, is_list_of_arrays, same_shape
from sidelog.pictures.options import GridArguments, denormalization, letters, make_recipe
from sidelog.pictures.selection import Selection, check_channels, check_not_empty, permuted, refuse_ambiguous_integers
from sidelog_shared.errors import ConfigError, SnapshotError
from sidelog_shared.recipe import Layout

if TYPE_CHECKING:
    from sidelog.torch_grid import GridSource


def select_image(
    value: object, dataformats: str, grid: GridArguments, mean: object, std: object, what: str
) -> Selection:
    """What ``add_image`` shows: one picture, or a grid of a list or of a batch with any grid argument.

    Raises:
        SnapshotError: a shape, type or layout that is no picture; says which call to use instead.
        ConfigError: an argument that no picture can be made with.
    """
    options = {**grid.given(), **denormalization(mean, std)}
    source = _lazy_source(value)
    if source is not None:
        if options:
            raise ConfigError(
                f"{what}: {', '.join(options)} given with a grid, expected them in make_grid(...), "
                "or a batch instead of the grid"
            )
        array = as_array(source.readable(), what)
        return check_channels(Selection([array], shape_of(array), source.recipe, owned=True), 1, what)
    if is_list_of_arrays(value):
        return grid_of_list(value, options, what)
    array = as_array(value, what)
    check_not_empty(array, what)
    formats = letters(dataformats, what)
    if array.ndim == 4:
        return _image_of_batch(array, formats, options, what)
    _check_formats(formats, array, what)
    refuse_ambiguous_integers(array, options, what)
    recipe = make_recipe(Layout.IMAGE, {"dataformats": formats, **options}, what)
    return check_channels(Selection([array], shape_of(array), recipe), formats.find("C"), what)


def select_images(
    value: object, dataformats: str, grid: GridArguments, mean: object, std: object, what: str
) -> Selection:
    """What ``add_images`` shows: a batch in tensorboardX's mosaic, or in ``make_grid``'s with any grid argument.

    One picture in its own letters is shown as ``add_image`` shows it: the originals make no difference between them.

    Raises:
        SnapshotError, ConfigError: as :func:`select_image`.
    """
    formats = letters(dataformats, what)
    if sorted(formats) in (sorted("CHW"), sorted("HW")) and getattr(value, "ndim", 0) == len(formats):
        return select_image(value, dataformats, grid, mean, std, what)
    if is_list_of_arrays(value):
        arrays = same_shape([as_array(item, f"{what}[{i}]") for i, item in enumerate(value)], what)
        shape: tuple[int, ...] = (len(arrays), *arrays[0].shape)
        if formats == "NCHW" and arrays[0].ndim == 2:
            formats = "NHW"
        elif "N" not in formats:
            formats = "N" + formats
        elif formats[0] != "N":
            raise SnapshotError(
                f"{what} is a list with dataformats {dataformats!r}, expected those of one picture, 'HWC'"
            )
    else:
        arrays = [as_array(value, what)]
        shape = shape_of(arrays[0])
    check_not_empty(arrays[0], what)
    if sorted(formats) not in (sorted("NCHW"), sorted("NHW")) or len(formats) != len(shape):
        raise SnapshotError(
            f"{what} has shape {list(shape)} with dataformats {dataformats!r}, expected one letter of N, C, H, W per "
            "dimension, such as 'NCHW'"
        )
    options = {**grid.given(), **denormalization(mean, std)}
    refuse_ambiguous_integers(arrays[0], options, what)
    if grid.given():
        if len(shape) == arrays[0].ndim:
            arrays = [permuted(arrays[0], formats, "NCHW")]
        else:
            arrays = [permuted(item, formats[1:], "CHW") for item in arrays]
        shape = (shape[formats.index("N")], *arrays[0].shape[-3:])
        return check_channels(Selection(arrays, shape, make_recipe(Layout.GRID, options, what)), 1, what)
    recipe = make_recipe(Layout.MOSAIC, {"dataformats": formats, **options}, what)
    return check_channels(Selection(arrays, shape, recipe), formats.find("C"), what)


def _image_of_batch(array: Array, formats: str, options: dict[str, object], what: str) -> Selection:
    batch_formats = formats if "N" in formats else "N" + formats
    if sorted(batch_formats) != sorted("NCHW"):
        raise SnapshotError(f"{what} is {describe(array)}, expected an order of NCHW as dataformats, got {formats!r}")
    refuse_ambiguous_integers(array, options, what)
    if options.keys() - {"mean", "std"}:
        view = permuted(array, batch_formats, "NCHW")
        return check_channels(Selection([view], shape_of(view), make_recipe(Layout.GRID, options, what)), 1, what)
    if "N" not in formats:
        raise SnapshotError(
            f"{what} is {describe(array)}, a batch, expected one image {formats}: use add_images, or say how to "
            "tile it (nrow=8)"
        )
    recipe = make_recipe(Layout.MOSAIC, {"dataformats": batch_formats, **options}, what)
    return check_channels(Selection([array], shape_of(array), recipe), batch_formats.index("C"), what)


def _check_formats(formats: str, array: Array, what: str) -> None:
    if sorted(formats) not in (sorted("CHW"), sorted("HW")):
        raise ConfigError(f"{what}: dataformats is {formats!r}, expected an order of CHW or of HW")
    if len(formats) != array.ndim:
        hint = ": give dataformats='HW'" if array.ndim == 2 else ""
        raise SnapshotError(f"{what} is {describe(array)}, expected {len(formats)} dimensions ({formats}){hint}")


def _lazy_source(value: object) -> GridSource | None:
    """The source of a grid that nobody has drawn or changed."""
    grids = sys.modules.get("sidelog.torch_grid")
    return value.source if grids is not None and isinstance(value, grids.LazyGrid) else None
