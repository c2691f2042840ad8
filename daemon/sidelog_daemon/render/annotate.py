"""Seventh step: how the picture was made, in words that stay with it: a chunk of the PNG, a comment of the JPEG."""

from __future__ import annotations

import json
from collections.abc import Mapping

from sidelog_daemon.render.png import chunk
from sidelog_shared.recipe import Recipe

KEYWORD = "sidelog"
"""Key of the text chunk: ``PIL.Image.open(file).text["sidelog"]`` is the description as JSON."""


def describe(recipe: Recipe, facts: dict[str, object]) -> dict[str, object]:
    """The choices that differ from the defaults, then ``facts``, in JSON's own types (lists, no tuples)."""
    return {name: _as_lists(value) for name, value in {**recipe.to_map(), **facts}.items()}


def in_words(description: dict[str, object]) -> str:
    """``description`` as JSON, compact and ASCII.

    Raises:
        ValueError: a number that JSON does not have (NaN, infinity).
    """
    return json.dumps(description, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def text_chunk(description: dict[str, object]) -> bytes:
    """``description`` as a PNG ``tEXt`` chunk: keyword, NUL, Latin-1 text (PNG specification, 11.3.3.2).

    Raises:
        ValueError: a number that JSON does not have (NaN, infinity).
    """
    return chunk(b"tEXt", KEYWORD.encode() + b"\0" + in_words(description).encode())


def as_table(description: Mapping[str, object]) -> str:
    """``description`` in Markdown, for TensorBoard's text page."""
    rows = [f"| {name} | `{json.dumps(value)}` |" for name, value in description.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _as_lists(value: object) -> object:
    return [_as_lists(item) for item in value] if isinstance(value, (list, tuple)) else value
