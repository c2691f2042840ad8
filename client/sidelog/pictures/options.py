"""What a caller says beside the picture, in the types of the recipe's fields; each refusal says what and expected."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from sidelog.arrays import as_lists
from sidelog_shared.errors import ConfigError
from sidelog_shared.recipe import Layout, Recipe


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
            chosen["nrow"] = integer("nrow", self.nrow)
        if self.padding is not None:
            chosen["padding"] = integer("padding", self.padding)
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


def denormalization(mean: object, std: object) -> dict[str, object]:
    """``mean`` and ``std``, those that were given, one number per channel; one for all is repeated for each.

    Raises:
        ConfigError: neither ``[C]`` nor ``[C, 1, 1]``.
    """
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


def palette_colors(palette: object, what: str) -> tuple[tuple[int, int, int], ...]:
    """``[n, 3]`` of integers as colors; whether they are in 0..255 is the recipe's to check.

    Raises:
        ConfigError: another shape or type.
    """
    try:
        colors = np.asarray(as_lists(palette))
    except ValueError:
        colors = np.empty(0)
    if colors.ndim != 2 or colors.shape[1] != 3 or colors.dtype.kind not in "iu":
        raise ConfigError(f"{what}: palette is {palette!r:.80}, expected a list of (red, green, blue), each 0 to 255")
    return tuple((int(red), int(green), int(blue)) for red, green, blue in colors)


def letters(dataformats: object, what: str) -> str:
    """What the dimensions mean, in capitals.

    Raises:
        ConfigError: no string.
    """
    if not isinstance(dataformats, str):
        raise ConfigError(f"{what}: dataformats is {dataformats!r}, expected a string such as 'CHW'")
    return dataformats.upper()


def integer(name: str, value: object) -> int:
    """An integer of Python's, numpy's or torch's.

    Raises:
        ConfigError: something else, or one of more than 64 bits.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what it cannot take is told of
    except TypeError:
        raise ConfigError(f"{name} is {value!r:.80}, expected an integer") from None
    if abs(number) >= 2**63:
        raise ConfigError(f"{name} is {number}, expected a 64-bit integer")
    return number


def make_recipe(layout: Layout, options: dict[str, object], what: str) -> Recipe:
    """The recipe of a call.

    Raises:
        ConfigError: options that no picture can be made with.
    """
    try:
        return Recipe(layout, **options)  # type: ignore[arg-type]  # each option has its field's type
    except ValueError as error:
        raise ConfigError(f"{what}: {error}") from None
