"""From what a caller gives to what is copied and how it is to be drawn: selection and every check, no copy yet.

Nothing is guessed from the values. Where a shape could mean two things, the error names the call that says which.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from sidelog.arrays import Array, as_array, as_lists, describe, dtype_of, is_tensor, shape_of
from sidelog_shared.dtypes import UINT8, DType
from sidelog_shared.errors import ConfigError, SnapshotError
from sidelog_shared.recipe import Format, Layout, Recipe

if TYPE_CHECKING:
    from sidelog.torch_grid import GridSource

_PICTURE_CHANNELS = (1, 3, 4)


@dataclass(frozen=True, slots=True)
class Selection:
    """What is to be copied of what the caller gave, and how it is to be drawn.

    Attributes:
        arrays: views into the caller's memory, of one shape and type; several are stacked.
        shape: shape of the copy.
        recipe: how it is drawn.
        owned: the memory is ours already (a lazy grid's): no copy is needed.
    """

    arrays: Sequence[Array]
    shape: tuple[int, ...]
    recipe: Recipe
    owned: bool = False


@dataclass(frozen=True, slots=True)
class GridArguments:
    """``make_grid``'s parameters as a caller gave them; None where nothing was given.

    Raises:
        ConfigError: ``range`` and ``value_range`` are both given.
    """

    nrow: int | None = None
    padding: int | None = None
    normalize: bool | None = None
    value_range: object = None
    scale_each: bool | None = None
    pad_value: float | None = None
    range: object = None

    def __post_init__(self) -> None:
        if self.range is not None and self.value_range is not None:
            raise ConfigError("range and value_range are both given, expected one: range is its old name")

    def given(self) -> dict[str, object]:
        """The parameters that were given, in the recipe's names and types."""
        chosen: dict[str, object] = {}
        if self.nrow is not None:
            chosen["nrow"] = _integer("nrow", self.nrow)
        if self.padding is not None:
            chosen["padding"] = _integer("padding", self.padding)
        if self.normalize is not None:
            chosen["normalize"] = bool(self.normalize)
        if self.scale_each is not None:
            chosen["scale_each"] = bool(self.scale_each)
        if self.pad_value is not None:
            try:
                chosen["pad_value"] = float(self.pad_value)
            except (TypeError, ValueError, OverflowError):
                raise ConfigError(f"pad_value is {self.pad_value!r:.80}, expected a number") from None
        bounds = self.value_range if self.value_range is not None else self.range
        if bounds is not None:
            try:
                low, high = cast("Sequence[float]", bounds)
                chosen["value_range"] = (float(low), float(high))
            except (TypeError, ValueError, OverflowError):
                raise ConfigError(f"value_range is {bounds!r:.80}, expected (low, high)") from None
        return chosen


def select_image(
    value: object, dataformats: str, grid: GridArguments, mean: object, std: object, what: str
) -> Selection:
    """What ``add_image`` shows: one picture, or a grid of a list or of a batch with any grid argument.

    Raises:
        SnapshotError: see the module.
        ConfigError: an argument that no picture can be made with.
    """
    options = {**grid.given(), **_denormalization(mean, std)}
    source = _lazy_source(value)
    if source is not None:
        if options:
            raise ConfigError(
                f"{what}: {', '.join(options)} given with a grid, expected them in make_grid(...), "
                "or a batch instead of the grid"
            )
        array = as_array(source.readable(), what)
        return _check_channels(Selection([array], shape_of(array), source.recipe, owned=True), 1, what)
    if isinstance(value, (list, tuple)) and any(_is_array(item) for item in value):
        return _grid_of_list(value, options, what)
    array = as_array(value, what)
    _check_not_empty(array, what)
    formats = _letters(dataformats, what)
    if array.ndim == 4:
        return _image_of_batch(array, formats, options, what)
    _check_formats(formats, array, what)
    _refuse_ambiguous_integers(array, options, what)
    recipe = _recipe(Layout.IMAGE, {"dataformats": formats, **options}, what)
    return _check_channels(Selection([array], shape_of(array), recipe), formats.find("C"), what)


def select_images(
    value: object, dataformats: str, grid: GridArguments, mean: object, std: object, what: str
) -> Selection:
    """What ``add_images`` shows: a batch in tensorboardX's mosaic, or in ``make_grid``'s with any grid argument.

    One picture in its own letters is shown as ``add_image`` shows it: the originals make no difference between them.
    """
    formats = _letters(dataformats, what)
    if sorted(formats) in (sorted("CHW"), sorted("HW")) and getattr(value, "ndim", 0) == len(formats):
        return select_image(value, dataformats, grid, mean, std, what)
    if isinstance(value, (list, tuple)) and any(_is_array(item) for item in value):
        arrays = _same_shape([as_array(item, f"{what}[{i}]") for i, item in enumerate(value)], what)
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
    _check_not_empty(arrays[0], what)
    if sorted(formats) not in (sorted("NCHW"), sorted("NHW")) or len(formats) != len(shape):
        raise SnapshotError(
            f"{what} has shape {list(shape)} with dataformats {dataformats!r}, expected one letter of N, C, H, W per "
            "dimension, such as 'NCHW'"
        )
    options = {**grid.given(), **_denormalization(mean, std)}
    _refuse_ambiguous_integers(arrays[0], options, what)
    if grid.given():
        if len(shape) == arrays[0].ndim:
            arrays = [_permuted(arrays[0], formats, "NCHW")]
        else:
            arrays = [_permuted(item, formats[1:], "CHW") for item in arrays]
        shape = (shape[formats.index("N")], *arrays[0].shape[-3:])
        return _check_channels(Selection(arrays, shape, _recipe(Layout.GRID, options, what)), 1, what)
    recipe = _recipe(Layout.MOSAIC, {"dataformats": formats, **options}, what)
    return _check_channels(Selection(arrays, shape, recipe), formats.find("C"), what)


def select_feature_map(value: object, sample: int, grid: GridArguments, what: str) -> Selection:
    """What ``add_feature_map`` shows: every channel of one sample as a grey tile of its own."""
    options: dict[str, object] = {"normalize": True, **grid.given()}
    if isinstance(value, (list, tuple)) and any(_is_array(item) for item in value):
        return _grid_of_list(value, options, what, single_channel=True)
    array = as_array(value, what)
    if array.ndim not in (3, 4):
        hint = ": for one map use add_image(..., dataformats='HW')" if array.ndim == 2 else ""
        raise SnapshotError(f"{what} is {describe(array)}, expected [C, H, W] or [B, C, H, W]{hint}")
    _check_not_empty(array, what)
    if array.ndim == 4:
        samples = array.shape[0]
        index = _integer("sample", sample)
        if not -samples <= index < samples:
            raise SnapshotError(f"{what}: sample is {sample!r}, expected an integer in 0..{samples - 1}")
        options["source"] = f"sample {index % samples} of {samples}"
        array = array[index]
    _refuse_ambiguous_integers(array, options, what)
    channels, height, width = array.shape
    return Selection([array], (channels, 1, height, width), _recipe(Layout.GRID, options, what))


def select_label_map(
    value: object,
    palette: object,
    num_classes: int | None,
    ignore_index: int | None,
    grid: GridArguments,
    what: str,
) -> Selection:
    """What ``add_label_map`` shows: integer classes in colors; a batch as tiles."""
    array = as_array(value, what)
    if array.ndim not in (2, 3):
        if array.ndim != 4 or array.shape[1] != 1:
            raise SnapshotError(f"{what} is {describe(array)}, expected [H, W], [1, H, W] or a batch [N, H, W]")
        array = array[:, 0]
    _check_not_empty(array, what)
    dtype = dtype_of(array)
    if dtype.is_floating:
        raise SnapshotError(
            f"{what} is {describe(array)}, expected integer classes: for scores of shape [C, H, W] give "
            "scores.argmax(0)"
        )
    options: dict[str, object] = {"pad_value": 0.0, **grid.given()}
    if palette is not None:
        options["palette"] = _palette(palette, what)
    if num_classes is not None:
        options["num_classes"] = _integer("num_classes", num_classes)
    if ignore_index is not None:
        options["ignore_index"] = _integer("ignore_index", ignore_index)
    shape = shape_of(array) if array.ndim == 3 else (1, *array.shape)
    return Selection([array], shape, _recipe(Layout.LABELS, options, what))


def encoded_as(selection: Selection, format_: object, quality: object, what: str) -> Selection:
    """The same in a format that its caller chose; None for what was not said.

    Raises:
        ConfigError: no format that TensorBoard shows, or a quality that there is not.
        SnapshotError: a JPEG of four channels.
    """
    if format_ is None and quality is None:
        return selection
    if format_ not in (None, "png", "jpeg"):
        raise ConfigError(f"{what}: format is {format_!r:.80}, expected 'png' or 'jpeg'")
    if quality is not None and format_ != "jpeg":
        raise ConfigError(f"{what}: quality is {quality!r:.80} without format='jpeg', the only one that has any")
    options: dict[str, object] = {"format": Format(format_)}
    if quality is not None:
        options["quality"] = _integer("quality", quality)
    recipe = selection.recipe
    if format_ == "jpeg" and _channels_of(selection) == 4:
        raise SnapshotError(f"{what} has shape {list(selection.shape)} with 4 channels, expected 1 or 3 for "
                            f"format='jpeg', which has no alpha")  # fmt: skip
    try:
        return replace(selection, recipe=replace(recipe, **options))  # type: ignore[arg-type]  # of their fields' types
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from None


def _channels_of(selection: Selection) -> int:
    letters = selection.recipe.dataformats or "NCHW"
    return selection.shape[letters.index("C")] if "C" in letters else 1


def _image_of_batch(array: Array, formats: str, options: dict[str, object], what: str) -> Selection:
    batch_formats = formats if "N" in formats else "N" + formats
    if sorted(batch_formats) != sorted("NCHW"):
        raise SnapshotError(f"{what} is {describe(array)}, expected an order of NCHW as dataformats, got {formats!r}")
    _refuse_ambiguous_integers(array, options, what)
    if options.keys() - {"mean", "std"}:
        view = _permuted(array, batch_formats, "NCHW")
        return _check_channels(Selection([view], shape_of(view), _recipe(Layout.GRID, options, what)), 1, what)
    if "N" not in formats:
        raise SnapshotError(
            f"{what} is {describe(array)}, a batch, expected one image {formats}: use add_images, or say how to "
            "tile it (nrow=8)"
        )
    recipe = _recipe(Layout.MOSAIC, {"dataformats": batch_formats, **options}, what)
    return _check_channels(Selection([array], shape_of(array), recipe), batch_formats.index("C"), what)


def _grid_of_list(
    value: Sequence[object], options: dict[str, object], what: str, *, single_channel: bool = False
) -> Selection:
    items = [as_array(item, f"{what}[{index}]") for index, item in enumerate(value)]
    for index, item in enumerate(items):
        if item.ndim == 4:
            raise SnapshotError(
                f"{what}[{index}] is {describe(item)}, a batch, expected [H, W] or [C, H, W]: log one sample of it, "
                "f[0]"
            )
        if item.ndim not in (2, 3):
            raise SnapshotError(f"{what}[{index}] is {describe(item)}, expected [H, W] or [C, H, W]")
    items = _same_shape(items, what)
    _check_not_empty(items[0], what)
    _refuse_ambiguous_integers(items[0], options, what)
    shape = (len(items), *((1, *items[0].shape) if items[0].ndim == 2 else items[0].shape))
    if single_channel and shape[1] != 1:
        raise SnapshotError(
            f"{what} is a list of {describe(items[0])}, expected single-channel maps [H, W] or [1, H, W]: log each "
            "with a call of its own"
        )
    return _check_channels(Selection(items, shape, _recipe(Layout.GRID, options, what)), 1, what)


def _same_shape(items: list[Array], what: str) -> list[Array]:
    first = items[0]
    for index, item in enumerate(items):
        if (
            is_tensor(item) != is_tensor(first)
            or shape_of(item) != shape_of(first)
            or dtype_of(item) != dtype_of(first)
        ):
            raise SnapshotError(f"{what}[{index}] is {describe(item)}, expected {describe(first)} as {what}[0]")
        if not isinstance(item, np.ndarray) and item.device != first.device:
            raise SnapshotError(f"{what}[{index}] is on {item.device}, expected {first.device} as {what}[0]")
    return items


def _check_channels(selection: Selection, dimension: int, what: str) -> Selection:
    """Refuse what cannot be shown in color; a negative ``dimension`` says that there is none of channels."""
    channels = 1 if dimension < 0 else selection.shape[dimension]
    if channels not in _PICTURE_CHANNELS:
        shape = list(selection.shape)
        hint = "add_feature_map shows each channel as a tile"
        if dimension == 0 and len(shape) == 3 and shape[-1] in _PICTURE_CHANNELS:
            hint = "give dataformats='HWC' if the channels come last; " + hint
        raise SnapshotError(f"{what} has shape {shape} with {channels} channels, expected 1, 3 or 4: {hint}")
    recipe = selection.recipe
    if recipe.mean is None or recipe.std is None or len(recipe.mean) == channels:
        return selection
    if len(recipe.mean) != 1:
        raise SnapshotError(
            f"{what} has {channels} channels and mean has {len(recipe.mean)} values, expected one per channel, or one"
        )
    # One for all, as Normalize((0.5,), (0.5,)) takes it.
    return replace(selection, recipe=replace(recipe, mean=recipe.mean * channels, std=recipe.std * channels))


def _check_not_empty(array: Array, what: str) -> None:
    if 0 in array.shape:
        raise SnapshotError(f"{what} is {describe(array)}, which is empty, expected at least one value")


def _letters(dataformats: object, what: str) -> str:
    if not isinstance(dataformats, str):
        raise ConfigError(f"{what}: dataformats is {dataformats!r}, expected a string such as 'CHW'")
    return dataformats.upper()


def _check_formats(formats: str, array: Array, what: str) -> None:
    if sorted(formats) not in (sorted("CHW"), sorted("HW")):
        raise ConfigError(f"{what}: dataformats is {formats!r}, expected an order of CHW or of HW")
    if len(formats) != array.ndim:
        hint = ": give dataformats='HW'" if array.ndim == 2 else ""
        raise SnapshotError(f"{what} is {describe(array)}, expected {len(formats)} dimensions ({formats}){hint}")


def _refuse_ambiguous_integers(array: Array, options: dict[str, object], what: str) -> None:
    dtype: DType = dtype_of(array)
    if dtype.is_integer and dtype is not UINT8 and not options.get("normalize"):
        raise SnapshotError(
            f"{what} is {describe(array)} without normalize=True, which has no brightness: use add_label_map for "
            "classes, .to(uint8) for pixels 0..255, or normalize=True"
        )


def _recipe(layout: Layout, options: dict[str, object], what: str) -> Recipe:
    try:
        return Recipe(layout, **options)  # type: ignore[arg-type]  # each option has its field's type
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from None


def _integer(name: str, value: object) -> int:
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what it cannot take is told of
    except TypeError:
        raise ConfigError(f"{name} is {value!r:.80}, expected an integer") from None
    if abs(number) >= 2**63:
        raise ConfigError(f"{name} is {number}, expected a 64-bit integer")
    return number


def _denormalization(mean: object, std: object) -> dict[str, object]:
    options: dict[str, npt.NDArray[np.float64]] = {}
    for name, value in (("mean", mean), ("std", std)):
        if value is not None:
            try:
                numbers = np.asarray(as_lists(value), np.float64)
            except (TypeError, ValueError):
                numbers = np.empty(0)
            # [C], or [C, 1, 1] as it is made for broadcasting.
            if not numbers.size or numbers.size != max(numbers.shape, default=1):
                raise ConfigError(f"{name} is {value!r:.80}, expected a number per channel")
            options[name] = numbers.reshape(-1)
    if len(options) == 2:
        mean, std = options["mean"], options["std"]
        if 1 in (mean.size, std.size):
            mean, std = np.broadcast_arrays(mean, std)
        options = {"mean": mean, "std": std}
    return {name: tuple(numbers.tolist()) for name, numbers in options.items()}


def _palette(palette: object, what: str) -> tuple[tuple[int, int, int], ...]:
    try:
        colors = np.asarray(as_lists(palette))
    except ValueError:
        colors = np.empty(0)
    if colors.ndim != 2 or colors.shape[1] != 3 or colors.dtype.kind not in "iu":
        raise ConfigError(f"{what}: palette is {palette!r:.80}, expected a list of (red, green, blue), each 0 to 255")
    return tuple((int(red), int(green), int(blue)) for red, green, blue in colors)


def _permuted(array: Array, given: str, wanted: str) -> Array:
    """The view whose dimensions are ``wanted``; a missing C is put in."""
    if "C" not in given:
        array, given = array[..., None], given + "C"
    order = [given.index(letter) for letter in wanted]
    return array.transpose(order) if isinstance(array, np.ndarray) else array.permute(order)


def _is_array(value: object) -> bool:
    return is_tensor(value) or (isinstance(value, np.ndarray) and value.ndim > 0)


def _lazy_source(value: object) -> GridSource | None:
    """The source of a grid that nobody has drawn or changed."""
    grids = sys.modules.get("sidelog.torch_grid")
    return value.source if grids is not None and isinstance(value, grids.LazyGrid) else None
