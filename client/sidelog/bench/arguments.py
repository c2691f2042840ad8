"""What the command lines of the benches have in common: kinds of arguments, and the line that shows how far it is."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence


def some_of(names: Sequence[str]) -> Callable[[str], tuple[str, ...]]:
    """Reads some of several names, with commas between them."""

    def read(text: str) -> tuple[str, ...]:
        chosen = tuple(name.strip() for name in text.split(",") if name.strip())
        unknown = [name for name in chosen if name not in names]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{text!r} names {', '.join(unknown) or 'nothing'}, expected some of "
                                             f"{','.join(names)}")  # fmt: skip
        return chosen

    return read


def count(text: str) -> int:
    """Reads a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a whole number of at least 1")
    return int(text)


def positive(text: str) -> float:
    """Reads a number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r}, expected a number above 0")
    return value


class Progress:
    """How far a bench is. A person sees one line that overwrites itself; a log file gets a line when a part begins."""

    def __init__(self) -> None:
        self._part = ""

    def __call__(self, text: str) -> None:
        """Show how far it is.

        Args:
            text: ``part: how far within it``; empty when all is done.
        """
        part = text.partition(":")[0]
        if sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif part and part != self._part:
            print(f"{time.strftime('%H:%M:%S')} {part}", file=sys.stderr, flush=True)
        self._part = part


show_progress = Progress()
