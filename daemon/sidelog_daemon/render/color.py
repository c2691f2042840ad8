"""Fifth step: colors that are not in the numbers: of classes, of what is no number, of what is no class."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sidelog_daemon.render.png import MAX_COLORS, Pixels
from sidelog_daemon.render.tensors import Array
from sidelog_shared.recipe import Recipe

Color = tuple[int, int, int]

WARNING: Color = (255, 0, 255)
"""Magenta: a NaN, an infinity, or a label that is no class. Not among Pascal VOC's colors."""
IGNORED: Color = (224, 224, 224)
"""Light grey, of ``ignore_index``. Not among Pascal VOC's colors, whose greys are 64, 128 and 192."""
GAP: Color = (255, 255, 255)
"""White, between and around the tiles of a label map (class 0 of Pascal VOC is black)."""

Indices = npt.NDArray[np.unsignedinteger]


@functools.cache
def pascal_voc_palette(count: int = 256) -> tuple[Color, ...]:
    """Pascal VOC's color map: the bits of the class, lowest first, dealt to red, green and blue from bit 7 down.

    Source: ``VOClabelcolormap`` / ``PASCALlabelcolormap`` in the VOC2012 development kit
    (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/); torchvision and TensorFlow's DeepLab carry the same.

    Args:
        count: how many classes, from 0; at most 256.
    """
    colors = []
    for label in range(count):
        red, green, blue = (
            sum((label >> (3 * place + channel) & 1) << (7 - place) for place in range(8)) for channel in range(3)
        )
        colors.append((red, green, blue))
    return tuple(colors)


@dataclass(frozen=True, slots=True, eq=False)
class LabelColors:
    """The colors of a label map.

    Attributes:
        table: uint8 ``[classes + 3, 3]``: the classes, then the warning, the ignored class, the gap.
        classes: labels from 0 below this have a color.
        ignore_index: the label drawn in grey, or None.
    """

    table: Pixels
    classes: int
    ignore_index: int | None

    @classmethod
    def of(cls, recipe: Recipe) -> LabelColors:
        """Those that ``recipe`` asks for: its palette or Pascal VOC's, as far as ``num_classes`` allows."""
        palette = pascal_voc_palette() if recipe.palette is None else recipe.palette
        classes = min(len(palette), recipe.num_classes or len(palette))
        return cls(np.array([*palette[:classes], WARNING, IGNORED, GAP], np.uint8), classes, recipe.ignore_index)

    @property
    def gap(self) -> int:
        """The index of the gap."""
        return self.classes + 2

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """What holds every index."""
        return np.dtype(np.uint8 if len(self.table) <= MAX_COLORS else np.uint16)


def index_labels(labels: Array, colors: LabelColors) -> tuple[Indices, int]:
    """Which of the colors each label has; what is no class has the warning's.

    Args:
        labels: ``[n, h, w]``, integers of any width, or bools.
        colors: see :class:`LabelColors`.

    Returns:
        ``[n, h, w]`` of ``colors.dtype``, and how many labels are no class (ignored ones not counted).
    """
    integers: npt.NDArray[np.integer] = labels.view(np.uint8) if labels.dtype == np.bool_ else labels  # type: ignore[assignment]
    if integers.dtype == np.int8:
        integers = integers.astype(np.int16)
    # Read without its sign, a negative label is above all classes: one comparison finds both.
    unsigned: npt.NDArray[np.unsignedinteger] = integers.view(f"u{integers.dtype.itemsize}")
    if colors.classes <= np.iinfo(unsigned.dtype).max:
        unsigned = np.minimum(unsigned, unsigned.dtype.type(colors.classes))
    index: Indices = unsigned.astype(colors.dtype)
    bounds = np.iinfo(integers.dtype)
    if colors.ignore_index is not None and bounds.min <= colors.ignore_index <= bounds.max:
        np.copyto(index, colors.classes + 1, where=integers == colors.ignore_index)
    return index, int(np.count_nonzero(index == colors.classes))


def occurring(index: Indices, count: int) -> npt.NDArray[np.bool_]:
    """Which of ``count`` colors occur; ``[count]``."""
    wide = index.astype(np.uint16, copy=False).reshape(1, -1)
    return np.asarray(cv2.calcHist([wide], [0], None, [count], [0, count])).reshape(-1) > 0


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """What becomes of an index: the place in a palette, or a color.

    Attributes:
        table: uint8 ``[n, channels]``, by index.
        gap: what the canvas is filled with.
        palette: uint8 ``[m, 3]``, m at most 256; None where pixels are colors.
    """

    table: Pixels
    gap: int
    palette: Pixels | None

    @classmethod
    def of_all(cls, colors: LabelColors) -> Paint | None:
        """Places in a palette of all colors; None where one cannot hold them."""
        count = len(colors.table)
        if count > MAX_COLORS:
            return None
        return cls(np.arange(count, dtype=np.uint8)[:, None], colors.gap, colors.table)

    @classmethod
    def of_shown(cls, colors: LabelColors, shown: npt.NDArray[np.bool_]) -> Paint:
        """Places in a palette of the colors that are shown; or colors, where there are too many of them."""
        used = np.flatnonzero(shown)
        if used.size > MAX_COLORS:
            return cls(colors.table, GAP[0], None)  # white is equal in all channels
        places = np.zeros((len(colors.table), 1), np.uint8)
        places[used, 0] = np.arange(used.size)
        return cls(places, int(places[colors.gap, 0]), colors.table[used])

    @property
    def channels(self) -> int:
        """Of a pixel."""
        return int(self.table.shape[1])

    def pixels(self, index: Indices) -> Pixels:
        """``[n, h, w]`` as ``[n, h, w, channels]``."""
        if self.palette is not None and len(self.palette) == len(self.table):  # each is its own place
            return index.view(np.uint8)[..., None]
        return self.table.take(index, axis=0)


def widen_grey(pixels: Pixels) -> Pixels:
    """``[n, h, w, 1]`` as ``[n, h, w, 3]``, equal in every channel, so that it can hold a color."""
    count, height, width, _ = pixels.shape
    flat = cv2.cvtColor(pixels.reshape(count * height, width), cv2.COLOR_GRAY2RGB)
    return np.asarray(flat, np.uint8).reshape(count, height, width, 3)


def paint_warning(pixels: Pixels, where: npt.NDArray[np.bool_]) -> int:
    """Paint pixels in the warning color, opaque, in place.

    Args:
        pixels: ``[n, h, w, C]``, C is 3 or 4.
        where: ``[n, h, w]``.

    Returns:
        How many were painted.
    """
    pixels[where] = (*WARNING, 255)[: pixels.shape[-1]]
    return int(np.count_nonzero(where))
