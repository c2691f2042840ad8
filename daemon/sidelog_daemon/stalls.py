"""A file system that does not answer: the writer thread waits for it, and with it every run of the daemon.

The writer says what it is about to touch, other threads look how long that has taken: who waits cannot tell it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

STALLED_S = 3.0
"""A disk that is merely slow answers sooner."""


@dataclass(frozen=True, slots=True)
class Stall:
    """Something that the writer thread has waited for too long.

    Attributes:
        path: the run directory.
        since: by the monotonic clock.
    """

    path: Path
    since: float

    @property
    def text(self) -> str:
        return (
            f"the file system of {self.path} does not answer: nothing is written until it does, of no run; what is "
            "logged is kept by the trainings"
        )


class StallWatch:
    """What the writer thread is touching. One thread enters ``touching``; any may look."""

    def __init__(self) -> None:
        self._touched: Stall | None = None
        self._told: Stall | None = None

    @contextmanager
    def touching(self, path: Path) -> Iterator[None]:
        """Around whatever may wait for a file system; within another it changes nothing."""
        if self._touched is not None:
            yield
            return
        self._touched = Stall(path, time.monotonic())
        try:
            yield
        finally:
            self._touched = None

    def stall(self, now: float) -> Stall | None:
        """What the writer has waited for too long, if it does."""
        touched = self._touched
        return touched if touched is not None and now - touched.since >= STALLED_S else None

    def news(self, now: float) -> Stall | None:
        """The same, once for each. For one thread."""
        stall = self.stall(now)
        if stall is None or stall is self._told:
            return None
        self._told = stall
        return stall
