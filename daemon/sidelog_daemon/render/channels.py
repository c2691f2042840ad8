"""Fourth step: planes of numbers become pixels of 8 bits with their channels side by side."""

from __future__ import annotations

import cv2
import numpy as np

from sidelog_daemon.render.png import Pixels
from sidelog_daemon.render.tensors import Array, Floats, to_float32


def to_8_bits(values: Floats, out: Floats, *, clamp: bool = True) -> Pixels:
    """``(values * 255 + 0.5).clamp(0, 255)``, truncated: ``torchvision.utils.save_image``'s rounding.

    Args:
        values: ``[n, C, h, w]``; 0..1 becomes 0..255.
        out: scratch of the shape of ``values``; may be ``values`` itself.
        clamp: False where ``values`` are known to lie in 0..1, or one rounding step above 1: truncation
            then gives the same pixels.

    Returns:
        uint8 of the same shape.
    """
    np.multiply(values, np.float32(255), out=out)
    np.add(out, np.float32(0.5), out=out)
    if clamp:
        np.clip(out, np.float32(0), np.float32(255), out=out)
    return out.astype(np.uint8)


def to_pixels(values: Array) -> tuple[Pixels, int]:
    """Numbers of any kind and shape as pixels of the same shape.

    uint8 are pixels; of everything else 0..1 becomes black to white, in float32, rounded and clamped.

    Returns:
        The pixels, and how many numbers are NaN: they become 0.
    """
    if values.dtype == np.uint8:
        return values.view(np.uint8), 0
    scratch = np.empty(values.shape, np.float32)
    with np.errstate(all="ignore"):  # overflow is clamped
        numbers = to_float32(values, scratch)
        wrong = np.isnan(numbers)
        nans = int(np.count_nonzero(wrong))
        if nans:
            numbers = np.where(wrong, np.float32(0), numbers)
        return to_8_bits(numbers, scratch), nans


def interleave(planes: Pixels) -> Pixels:
    """``[n, C, h, w]`` as ``[n, h, w, C]``.

    Args:
        planes: C is 1, 3 or 4; any strides.

    Returns:
        A C-contiguous array (of one channel: a view where ``planes`` is contiguous).
    """
    count, channels, height, width = planes.shape
    if channels == 1:
        return np.ascontiguousarray(planes).reshape(count, height, width, 1)
    pixels = np.empty((count, height, width, channels), np.uint8)
    by_channel = np.ascontiguousarray(planes.transpose(1, 0, 2, 3)).reshape(channels, count * height, width)
    cv2.merge(list(by_channel), dst=pixels.reshape(count * height, width, channels))
    return pixels
