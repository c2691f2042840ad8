"""How a picture is to be made from a tensor: chosen by the caller, carried on the wire, kept with the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from enum import Enum

from sidelog_shared.errors import MalformedHeader

RecipeMap = dict[str, object]


class Layout(str, Enum):
    """What the dimensions of the tensor mean, and who the oracle of the result is.

    ``IMAGE``   one picture; ``dataformats`` names its dimensions (an order of H, W and maybe C).
    ``MOSAIC``  a batch, as tensorboardX tiles it: 8 columns, no gap; ``dataformats`` is an order of N, C, H, W.
    ``GRID``    ``[N, C, H, W]``, as ``torchvision.utils.make_grid`` tiles it.
    ``LABELS``  ``[N, H, W]`` of integer classes, colored by a palette and tiled with ``nrow`` and ``padding``.
    """

    IMAGE = "image"
    MOSAIC = "mosaic"
    GRID = "grid"
    LABELS = "labels"


class Format(str, Enum):
    """How a picture is encoded. TensorBoard serves these two."""

    PNG = "png"
    JPEG = "jpeg"


DEFAULT_QUALITY = 90
"""Of a JPEG, 1 to 100 as libjpeg means it: what is left of a photograph's detail at this one nobody misses."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """Every choice that turns a tensor into pixels.

    Attributes:
        layout: see :class:`Layout`.
        dataformats: meaning of each dimension, for ``IMAGE`` and ``MOSAIC``.
        nrow: tiles per row (``make_grid``'s name for it).
        padding: pixels between tiles and around them.
        normalize: shift and scale to 0..1.
        value_range: the (low, high) that becomes 0..1; None takes the tensor's own minimum and maximum.
        scale_each: take the range tile by tile.
        pad_value: value of the pixels between tiles, in the unit of the tiles after normalization.
        mean: per channel, undone before anything else: ``x * std + mean`` (torchvision's ``Normalize``).
        std: see ``mean``; both are given, or neither.
        palette: colors of the classes 0, 1, ... as (red, green, blue), 0..255; None takes Pascal VOC's.
        num_classes: classes at or above it are marked as out of range; None takes the palette's length.
        ignore_index: a class drawn in grey, never out of range.
        source: what was cut away before the tensor left the caller, for a reader of the picture
            (``"sample 0 of 16"``); empty when nothing was.
        format: PNG, which keeps every pixel, or JPEG, which is smaller on photographs. Not for LABELS, whose colors
            mean something.
        quality: of a JPEG, 1 to 100.

    Raises:
        ValueError: a value that no picture can be made with; says which, got and expected.
    """

    layout: Layout
    dataformats: str = ""
    nrow: int = 8
    padding: int = 2
    normalize: bool = False
    value_range: tuple[float, float] | None = None
    scale_each: bool = False
    pad_value: float = 0.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    palette: tuple[tuple[int, int, int], ...] | None = None
    num_classes: int | None = None
    ignore_index: int | None = None
    source: str = ""
    format: Format = Format.PNG
    quality: int = DEFAULT_QUALITY

    def __post_init__(self) -> None:
        _check_dataformats(self.layout, self.dataformats)
        if self.nrow < 1:
            raise ValueError(f"nrow is {self.nrow}, expected at least 1 tile per row")
        if not 0 <= self.padding <= 4096:
            raise ValueError(f"padding is {self.padding}, expected 0 to 4096 pixels")
        if not math.isfinite(self.pad_value):
            raise ValueError(f"pad_value is {self.pad_value}, expected a finite number")
        if self.value_range is not None:
            low, high = self.value_range
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise ValueError(f"value_range is {self.value_range}, expected finite (low, high) with low <= high")
        if (self.mean is None) != (self.std is None):
            given, absent = ("mean", "std") if self.std is None else ("std", "mean")
            raise ValueError(f"{given} is given without {absent}, expected both: x * std + mean undoes Normalize")
        if self.mean is not None and self.std is not None:
            if len(self.mean) != len(self.std) or not self.mean:
                raise ValueError(f"mean has {len(self.mean)} values and std {len(self.std)}, expected one per channel")
            if not all(map(math.isfinite, self.mean + self.std)):
                raise ValueError(f"mean is {self.mean} and std {self.std}, expected finite numbers")
        if self.palette is not None:
            if not 1 <= len(self.palette) <= 4096:
                raise ValueError(f"palette has {len(self.palette)} colors, expected 1 to 4096")
            for index, color in enumerate(self.palette):
                if len(color) != 3 or not all(0 <= part <= 255 for part in color):
                    raise ValueError(f"palette[{index}] is {color}, expected (red, green, blue), each 0 to 255")
        if self.num_classes is not None and self.num_classes < 1:
            raise ValueError(f"num_classes is {self.num_classes}, expected at least 1")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality is {self.quality}, expected 1 to 100")
        if self.format is Format.JPEG and self.layout is Layout.LABELS:
            raise ValueError("format is 'jpeg' for labels, expected 'png': JPEG would change their colors")

    def to_map(self) -> RecipeMap:
        """The choices that differ from the defaults, in types that msgpack and JSON know."""
        chosen: RecipeMap = {"layout": self.layout.value}
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                chosen[field.name] = value.value if isinstance(value, Enum) else value
        return chosen

    @classmethod
    def from_map(cls, chosen: object) -> Recipe:
        """Read what :meth:`to_map` wrote; unknown names are ignored (a newer minor version may add some).

        Raises:
            MalformedHeader: a value of the wrong type or one that the constructor refuses.
        """
        if not isinstance(chosen, dict):
            raise MalformedHeader(f"recipe is {type(chosen).__name__}, expected a map")
        try:
            values: dict[str, object] = {"layout": Layout(chosen["layout"])}
        except (KeyError, ValueError):
            raise MalformedHeader(f"recipe.layout is {chosen.get('layout')!r}, expected one of "
                                  f"{[layout.value for layout in Layout]}") from None  # fmt: skip
        for name, read in _READERS.items():
            if chosen.get(name) is not None:
                try:
                    values[name] = read(chosen[name])
                except (TypeError, ValueError) as error:
                    raise MalformedHeader(f"recipe.{name} is {chosen[name]!r}: {error}") from None
        try:
            return cls(**values)  # type: ignore[arg-type]  # each value came from its field's reader
        except ValueError as error:
            raise MalformedHeader(f"recipe: {error}") from None


def _check_dataformats(layout: Layout, dataformats: str) -> None:
    if layout is Layout.IMAGE:
        expected = {"HW", "CHW"}
    elif layout is Layout.MOSAIC:
        expected = {"NCHW", "NHW"}
    else:
        if dataformats:
            raise ValueError(f"dataformats is {dataformats!r}, expected none for layout {layout.value!r}")
        return
    if "".join(sorted(dataformats)) not in {"".join(sorted(name)) for name in expected}:
        raise ValueError(f"dataformats is {dataformats!r}, expected an order of the letters of "
                         f"{' or '.join(sorted(expected))}")  # fmt: skip


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"expected an integer, got {type(value).__name__}")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number, got {type(value).__name__}")
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a string, got {type(value).__name__}")
    return value


def _format(value: object) -> Format:
    name = _text(value)
    try:
        return Format(name)
    except ValueError:
        raise ValueError(f"expected one of {[format_.value for format_ in Format]}") from None


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"expected true or false, got {type(value).__name__}")
    return value


def _items(value: object) -> list[object]:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"expected a list, got {type(value).__name__}")
    return list(value)


def _numbers(value: object) -> tuple[float, ...]:
    return tuple(_number(item) for item in _items(value))


def _pair(value: object) -> tuple[float, float]:
    low, high = _numbers(value)
    return low, high


def _colors(value: object) -> tuple[tuple[int, int, int], ...]:
    colors = []
    for item in _items(value):
        red, green, blue = (_integer(part) for part in _items(item))
        colors.append((red, green, blue))
    return tuple(colors)


_READERS = {
    "dataformats": _text,
    "nrow": _integer,
    "padding": _integer,
    "normalize": _flag,
    "value_range": _pair,
    "scale_each": _flag,
    "pad_value": _number,
    "mean": _numbers,
    "std": _numbers,
    "palette": _colors,
    "num_classes": _integer,
    "ignore_index": _integer,
    "source": _text,
    "format": _format,
    "quality": _integer,
}
