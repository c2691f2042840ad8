"""Seventh step: how the picture was made, in words that stay with it: a text chunk of the PNG."""

from __future__ import annotations

import json
import struct
import zlib

from sidelog_shared.recipe import Recipe

KEYWORD = "sidelog"
"""Key of the text chunk: ``PIL.Image.open(file).text["sidelog"]`` is the description as JSON."""


def describe(recipe: Recipe, facts: dict[str, object]) -> dict[str, object]:
    """The choices that differ from the defaults, then ``facts``, in JSON's own types (lists, no tuples)."""
    return {name: _as_lists(value) for name, value in {**recipe.to_map(), **facts}.items()}


def text_chunk(description: dict[str, object]) -> bytes:
    """``description`` as a PNG ``tEXt`` chunk, to stand between IHDR and the pixels.

    Source: PNG specification, 5.3 (chunk layout) and 11.3.3.2 (tEXt: keyword, NUL, Latin-1 text). The JSON is
    compact and ASCII.

    Raises:
        ValueError: a number that JSON does not have (NaN, infinity).
    """
    text = json.dumps(description, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    body = b"tEXt" + KEYWORD.encode() + b"\0" + text.encode()
    return struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))


def _as_lists(value: object) -> object:
    return [_as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value
