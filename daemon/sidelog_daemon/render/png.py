"""A thin PNG writer: a header, chunks, and lines that are filtered by numpy and deflated by ISA-L.

Source of the format: Portable Network Graphics, third edition (W3C, 2025): 5 (datastream), 9 (filters), 11 (chunks).
Why ISA-L, and which filter: docs/decisions/0011-deflate-by-isa-l.md.
"""

from __future__ import annotations

import struct
from enum import IntEnum

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from sidelog_shared.errors import SnapshotError

Pixels = npt.NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOR_TYPES = {1: 0, 3: 2, 4: 6}
"""Of grey, RGB and RGBA, by channels (11.2.1)."""
PALETTE = 3
MAX_COLORS = 256
MAX_SIDE = 1_000_000
"""What libpng, and so every browser, reads (PNG_USER_WIDTH_MAX, PNG_USER_HEIGHT_MAX)."""
LEVEL = 1
NARROW = 8
"""Tiles of so many pixels and less in width are better not filtered."""
_SLICE_BYTES = 4 * 1024 * 1024
"""Lines that are filtered and deflated at a time. Most pictures are one slice: few calls, between which other threads
ask for the interpreter lock. Of larger ones there is no second copy."""


class Filter(IntEnum):
    """What of each line is deflated (9.2)."""

    NONE = 0
    """The pixels."""
    SUB = 1
    """Their differences to those on the left."""
    UP = 2
    """Their differences to those above."""

    @classmethod
    def of_grid(cls, tiles: int, width: int) -> Filter:
        """That with which a grid of pictures deflates best, by ``scripts/bench_encode.py``.

        Args:
            tiles: how many.
            width: of each, in pixels.
        """
        if tiles == 1:
            return cls.UP
        return cls.NONE if width <= NARROW else cls.SUB


def write_png(
    pixels: Pixels, *, palette: Pixels | None = None, chunks: bytes = b"", line_filter: Filter = Filter.UP
) -> bytes:
    """A PNG of ``pixels``.

    Args:
        pixels: uint8 ``[height, width, C]``, C-contiguous: 1 grey, or an index into the palette; 3 red, green, blue; 4
            those and alpha.
        palette: uint8 ``[n, 3]`` of red, green, blue; n is at most 256, and above every index.
        chunks: complete chunks that stand before the palette, such as ``annotate.text_chunk``'s.
        line_filter: of every line. A palette's indices deflate best with UP, too.

    Raises:
        SnapshotError: pixels that are no picture; says what, got and expected.
    """
    height, width, channels = pixels.shape
    if channels not in COLOR_TYPES or not 1 <= min(height, width) <= max(height, width) <= MAX_SIDE:
        raise SnapshotError(f"pixels are {pixels.dtype} {list(pixels.shape)}, expected uint8 [height, width, 1 or 3 or "
                            f"4], at most {MAX_SIDE:,} on a side (libpng's limit)")  # fmt: skip
    color_type = COLOR_TYPES[channels] if palette is None else PALETTE
    parts = [SIGNATURE, chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, color_type, 0, 0, 0)), chunks]
    if palette is not None:
        parts.append(chunk(b"PLTE", palette.tobytes()))
    parts.append(chunk(b"IDAT", _deflated(pixels.reshape(height, width * channels), channels, line_filter)))
    parts.append(chunk(b"IEND", b""))
    return b"".join(parts)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk: length, kind, body, CRC (5.3)."""
    crc = isal_zlib.crc32(body, isal_zlib.crc32(kind))  # a tenth of what zlib's takes
    return b"".join((struct.pack(">I", len(body)), kind, body, struct.pack(">I", crc)))


def _deflated(lines: Pixels, channels: int, line_filter: Filter) -> bytes:
    height, width = lines.shape
    step = max(1, _SLICE_BYTES // (width + 1))
    filtered = np.empty((min(step, height), width + 1), np.uint8)
    filtered[:, 0] = line_filter
    if height <= step:
        _filter(lines, None, channels, line_filter, filtered[:, 1:])
        return isal_zlib.compress(filtered, LEVEL)
    deflate = isal_zlib.compressobj(LEVEL)
    parts = []
    for top in range(0, height, step):
        part = lines[top : top + step]
        _filter(part, lines[top - 1] if top else None, channels, line_filter, filtered[: len(part), 1:])
        parts.append(deflate.compress(filtered[: len(part)]))
    parts.append(deflate.flush())
    return b"".join(parts)


def _filter(lines: Pixels, above: Pixels | None, channels: int, line_filter: Filter, out: Pixels) -> None:
    """Filter ``lines``, before which ``above`` stands, into ``out``."""
    if line_filter is Filter.UP:
        np.subtract(lines[0], 0 if above is None else above, out=out[0])
        np.subtract(lines[1:], lines[:-1], out=out[1:])
    elif line_filter is Filter.SUB:
        out[:, :channels] = lines[:, :channels]
        np.subtract(lines[:, channels:], lines[:, :-channels], out=out[:, channels:])
    else:
        out[:] = lines
