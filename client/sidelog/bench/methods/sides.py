"""A logger of the comparison, and its writers: opened when a row needs one, awaited between rows, closed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sidelog
from sidelog.bench.event_tail import EventTail
from sidelog_shared.errors import TransportError

_SETTLE_TIMEOUT_S = 60.0
_IDLE = "bench/idle"


class Side:
    """One logger.

    Args:
        folder: where its runs go.
        make: makes a writer that logs to a folder.
    """

    def __init__(self, folder: Path, make: Callable[[str], Any]) -> None:
        self._folder = folder
        self._make = make
        self._made = 0
        self._writer: Any = None
        self._extra: list[Any] = []
        self._marks = 0

    @property
    def writer(self) -> Any:
        """The writer that most rows log to."""
        if self._writer is None:
            self._made += 1
            self._writer = self._make(str(self.run_folder))
        return self._writer

    @property
    def run_folder(self) -> Path:
        return self._folder / f"run{self._made}"

    def new(self) -> Any:
        """Another writer, in a folder of its own; :meth:`put_away` closes it."""
        self._made += 1
        self._extra.append(self._make(str(self.run_folder)))
        return self._extra[-1]

    def put_away(self) -> None:
        """Close what :meth:`new` made."""
        for writer in self._extra:
            self._close(writer)
        self._extra.clear()

    def close(self) -> None:
        self.put_away()
        if self._writer is not None:
            self._close(self._writer)
            self._writer = None

    def settle(self) -> None:
        """Wait until the logger has nothing left to do."""

    def trouble(self) -> list[str]:
        """What was not written; empty if all was."""
        return []

    def _close(self, writer: Any) -> None:
        writer.close()


class OurSide(Side):
    """sidelog."""

    def __init__(self, folder: Path, make: Callable[[str], Any]) -> None:
        super().__init__(folder, make)
        self._trouble: list[str] = []

    def settle(self) -> None:
        if self._writer is not None:
            self._summary_writer(self._writer).flush(pictures=True, timeout_s=_SETTLE_TIMEOUT_S)

    def trouble(self) -> list[str]:
        told, self._trouble = self._trouble, []
        if self._writer is not None:
            told += _not_written(self._summary_writer(self._writer))
        return told

    def _close(self, writer: Any) -> None:
        writer.close()
        self._trouble += _not_written(self._summary_writer(writer))

    @staticmethod
    def _summary_writer(writer: Any) -> sidelog.SummaryWriter:
        return writer.smw if isinstance(writer, sidelog.GlobalSummaryWriter) else writer


class PeerSide(Side):
    """A writer with a thread of its own behind a queue: idle once what was logged last stands in its file."""

    def settle(self) -> None:
        if self._writer is None:
            return
        writer = getattr(self._writer, "smw", self._writer)
        self._marks += 1
        writer.add_scalar(_IDLE, 0.0, self._marks)
        tail = EventTail(Path(writer.logdir if hasattr(writer, "logdir") else writer.log_dir))
        deadline = time.monotonic() + _SETTLE_TIMEOUT_S
        while time.monotonic() < deadline:
            writer.flush()  # tensorboardX's does not wait for its queue, and its thread flushes every two minutes
            if tail.wait_for({_IDLE: self._marks}, deadline_s=0.02) is not None:
                return
        raise TransportError(f"{type(writer).__module__} has not written what was logged in {_SETTLE_TIMEOUT_S:.0f} s")

    def _close(self, writer: Any) -> None:
        getattr(writer, "smw", writer).close()


def _not_written(writer: sidelog.SummaryWriter) -> list[str]:
    found = writer.statistics()
    if found.written == found.logged:
        return []
    counts = {"dropped": found.dropped, "lost": found.lost, "rejected": found.rejected, "pending": found.pending}
    return [f"{count:,} records {name}" for name, count in counts.items() if count]
