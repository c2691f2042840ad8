"""Last step: pixels to PNG, by OpenCV with no parameters.

Its defaults are run-length matching (``Z_RLE``, level 1) and one fixed filter (SUB), and scripts/bench_encode.py
found none faster at this size: docs/decisions/0001-png-encoder.md. Naming one of them would turn another off: told
a strategy or a level, OpenCV tries all five filters on each line.
"""

from __future__ import annotations

import cv2

from sidelog_daemon.render.channels import Pixels
from sidelog_shared.errors import SnapshotError

cv2.setNumThreads(1)  # the sidecar never competes with the data loaders for cores

_HEADER_BYTES = 8 + 25
"""The signature and the IHDR chunk (PNG specification, 5.2 and 11.2.1): other chunks may follow from here."""


def encode_png(pixels: Pixels, chunks: bytes = b"") -> bytes:
    """A PNG of ``pixels``, with ``chunks`` behind its header.

    Args:
        pixels: uint8 ``[height, width, C]``, C-contiguous: 1 grey; 3 blue, green, red; 4 those and alpha.
        chunks: complete PNG chunks, such as :func:`~sidelog_daemon.render.annotate.text_chunk`'s.

    Raises:
        SnapshotError: OpenCV or libpng cannot encode it.
    """
    try:
        done, encoded = cv2.imencode(".png", pixels)
    except cv2.error:
        done = False
    if not done:
        raise SnapshotError(f"pixels are {pixels.dtype} {list(pixels.shape)}, expected uint8 [height, width, 1 or 3 or "
                            f"4], at most 1,000,000 on a side (libpng's limit)")  # fmt: skip
    stream = encoded.data
    return b"".join((stream[:_HEADER_BYTES], chunks, stream[_HEADER_BYTES:]))
