"""Pairs of writers, on one daemon for all examples of a test."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pair import Pair

import sidelog


@pytest.fixture
def pairs(runtime_dir: Path, tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    """Makes a pair in a folder of its own; the connection stays between two of them."""
    numbers = itertools.count()
    with sidelog.SummaryWriter(tmp_path / "kept open"):
        yield lambda **arguments: Pair(tmp_path / f"pair{next(numbers)}", **arguments)


@pytest.fixture
def pair(pairs: Callable[..., Pair]) -> Any:
    return pairs()
