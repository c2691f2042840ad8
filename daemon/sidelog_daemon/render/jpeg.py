"""JPEG, for whoever asks for it: smaller than PNG on photographs, and not what was logged to the last bit."""

from __future__ import annotations

import struct

import cv2

from sidelog_daemon.render.png import Pixels
from sidelog_shared.errors import SnapshotError

cv2.setNumThreads(1)  # the sidecar never competes with the data loaders for cores

MAX_SIDE = 65_535
"""Sixteen bits of the frame header (ITU-T T.81, B.2.2)."""
_COMMENT = b"\xff\xfe"
_MAX_COMMENT = 65_533


def write_jpeg(pixels: Pixels, *, quality: int, comment: bytes = b"") -> bytes:
    """A baseline JPEG of ``pixels``, by libjpeg-turbo in OpenCV.

    Args:
        pixels: uint8 ``[height, width, C]``, C-contiguous: 1 grey, 3 red, green, blue.
        quality: 1 to 100, as libjpeg means it.
        comment: stands in a COM segment (T.81, B.2.4.5) behind the JFIF header; what is too long for one is left out.

    Raises:
        SnapshotError: pixels that are no JPEG; says what, got and expected.
    """
    height, width, channels = pixels.shape
    if channels not in (1, 3) or max(height, width) > MAX_SIDE:
        raise SnapshotError(f"pixels are {pixels.dtype} {list(pixels.shape)}, expected uint8 [height, width, 1 or 3], "
                            f"at most {MAX_SIDE:,} on a side, for format='jpeg'")  # fmt: skip
    ordered = pixels if channels == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise SnapshotError(f"pixels of shape {list(pixels.shape)} cannot be encoded as JPEG")
    stream = encoded.tobytes()
    if not comment or len(comment) > _MAX_COMMENT:
        return stream
    header_ends = 4 + int.from_bytes(stream[4:6], "big")  # SOI, then APP0 with its length (JFIF 1.02)
    segment = _COMMENT + struct.pack(">H", len(comment) + 2) + comment
    return b"".join((stream[:header_ends], segment, stream[header_ends:]))
