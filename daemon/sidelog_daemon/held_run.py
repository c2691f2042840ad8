"""A run directory that the writer thread holds: who uses it, and what of theirs it has not written yet."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sidelog_daemon.actions import CloseRun
from sidelog_daemon.sink import RunDirectory
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.records import Lane


@dataclass(slots=True, eq=False)
class HeldRun:
    """An open run directory, who uses it, and what stands in its unwritten group.

    Attributes:
        failing: its group cannot be written, and is tried again.
        paused: it has been failing for so long that its users were asked to send no more.
    """

    directory: RunDirectory
    path: Path
    users: set[tuple[str, int]] = field(default_factory=set)
    unsettled: dict[tuple[str, Lane], IntervalSet] = field(default_factory=dict)
    since: float | None = None
    touched: float = 0.0
    failing: bool = False
    paused: bool = False
    retry_at: float = 0.0
    notes: HeldRun | None = None
    notes_of: set[HeldRun] = field(default_factory=set)
    told_of_notes: set[str] = field(default_factory=set)
    told_of_removal: bool = False
    closers: list[CloseRun] = field(default_factory=list)
    written: Counter[str] = field(default_factory=Counter)
    written_in_all: int = 0
    pending_bytes: int = 0
    failing_since: float | None = None
    error: str = ""

    @property
    def in_use(self) -> bool:
        """By a worker, or by the run whose notes it holds; it may be both."""
        return bool(self.users or self.notes_of)

    @property
    def workers(self) -> set[str]:
        """Whom it concerns when it cannot be written."""
        waiting = {closer.worker for closer in self.closers} | {worker for worker, _ in self.unsettled}
        waiting |= {worker for worker, _ in self.users}
        return waiting.union(*(run.workers for run in self.notes_of))
