"""The rows of docs/differences.md, and which test proves which."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
proofs: dict[str, list[str]] = {}
"""Tests by the first cell of their row."""

_Test = TypeVar("_Test", bound=Callable[..., None])


def row(title: str) -> Callable[[_Test], _Test]:
    """Say which row a test proves, by its first cell."""

    def register(test: _Test) -> _Test:
        proofs.setdefault(title, []).append(f"{test.__module__}.{test.__qualname__}")
        return test

    return register


def titles() -> list[str]:
    """The first cell of every row of every table, but of their heads."""
    lines = PAGE.read_text().splitlines()
    rows = [line for line in lines if line.startswith("|") and not re.match(r"\|[ -]+\|", line)]
    heads = {lines[index - 1] for index, line in enumerate(lines) if re.match(r"\|-", line)}
    # A bar within a cell would be "\|": none has one.
    return [line.split("|")[1].strip() for line in rows if line not in heads]
