"""Fifth step: colors that are not in the numbers: of classes, of what is no number, of what is no class.

Colors are written (red, green, blue) here and laid into pixels in OpenCV's order, (blue, green, red).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sidelog_daemon.render.channels import Pixels
from sidelog_daemon.render.tensors import Array
from sidelog_shared.recipe import Recipe

Color = tuple[int, int, int]

WARNING: Color = (255, 0, 255)
"""Magenta: a NaN, an infinity, or a label that is no class. Not among Pascal VOC's colors."""
IGNORED: Color = (224, 224, 224)
"""Light grey, of ``ignore_index``. Not among Pascal VOC's colors, whose greys are 64, 128 and 192."""
GAP = 255
"""White, between and around the tiles of a label map (class 0 of Pascal VOC is black)."""


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
        table: ``[classes + 2, 3]`` in OpenCV's order: the classes, then the warning, then the ignored class.
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
        table = np.array([*palette[:classes], WARNING, IGNORED], np.uint8)[:, ::-1]
        return cls(np.ascontiguousarray(table), classes, recipe.ignore_index)


def color_labels(labels: Array, colors: LabelColors) -> tuple[Pixels, int]:
    """Paint each label in its color; what is no class in the warning color.

    Args:
        labels: ``[n, h, w]``, integers of any width, or bools.
        colors: see :class:`LabelColors`.

    Returns:
        ``[n, h, w, 3]`` in OpenCV's order, and how many labels are no class (ignored ones not counted).
    """
    integers: npt.NDArray[np.integer] = labels.view(np.uint8) if labels.dtype == np.bool_ else labels  # type: ignore[assignment]
    outside = integers >= colors.classes
    if integers.dtype.kind == "i":
        outside |= integers < 0
    index = integers.astype(np.intp)  # a uint64 may wrap here: it is outside, and overwritten
    bounds = np.iinfo(integers.dtype)
    if colors.ignore_index is not None and bounds.min <= colors.ignore_index <= bounds.max:
        ignored = integers == colors.ignore_index
        outside &= ~ignored
        np.copyto(index, colors.classes + 1, where=ignored)
    out_of_range = int(np.count_nonzero(outside))
    if out_of_range:
        np.copyto(index, colors.classes, where=outside)
    return colors.table.take(index, axis=0), out_of_range


def widen_grey(pixels: Pixels) -> Pixels:
    """``[n, h, w, 1]`` as ``[n, h, w, 3]``, equal in every channel, so that it can hold a color."""
    count, height, width, _ = pixels.shape
    flat = cv2.cvtColor(pixels.reshape(count * height, width), cv2.COLOR_GRAY2BGR)
    return np.asarray(flat, np.uint8).reshape(count, height, width, 3)


def paint_warning(pixels: Pixels, where: npt.NDArray[np.bool_]) -> int:
    """Paint pixels in the warning color, opaque, in place.

    Args:
        pixels: ``[n, h, w, C]``, C is 3 or 4.
        where: ``[n, h, w]``.

    Returns:
        How many were painted.
    """
    pixels[where] = (*WARNING[::-1], 255)[: pixels.shape[-1]]
    return int(np.count_nonzero(where))
