"""Runs: directories that a worker logs into; opened and closed by callers, told to the daemon by the sender thread."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

MAX_PATHS = 1_000
"""So many different ones are told apart at the end: a search over hyperparameters may have any number."""


@dataclass(slots=True, eq=False)
class RunHandle:
    """A run directory that this worker logs into.

    Attributes:
        id: how records name it.
        path: what OPEN_RUN says: absolute, or relative to the daemon's logdir.
        opened_at: when it was first opened here, seconds since the epoch.
        refused: why the daemon refuses it, as long as it does; empty otherwise.
        is_hopeless: it will always be refused: asking again does not help.
        users: so many writers have it open.
        closings: how often the last of them closed it.
        outages: how often it was refused.
    """

    id: int
    path: str
    opened_at: float = field(default_factory=time.time)
    refused: str = ""
    is_hopeless: bool = False
    users: int = 1
    closings: int = 0
    outages: int = 0


class _End(Protocol):
    """A run was closed by the last who had it open.

    Attributes:
        run: which.
        number: which time.
    """

    run: RunHandle
    number: int


class Runs:
    """The runs of one connection.

    Callers take a lock. The sender thread never waits for it: a signal handler that interrupts a caller just then may
    wait for the sender.

    Attributes:
        by_id: those that were not forgotten. Any thread may add one: go through a copy.
        first_paths: those of the first ``MAX_PATHS``, in their order.
        openings: how often one was opened that was not open.
    """

    def __init__(self) -> None:
        self.by_id: dict[int, RunHandle] = {}
        self.first_paths: dict[str, None] = {}
        self.openings = 0
        self._of_path: dict[str, RunHandle] = {}
        self._new: deque[RunHandle] = deque()
        self._numbers = itertools.count(1)
        self._lock = threading.RLock()

    # Callers

    def open(self, path: str) -> RunHandle:
        """A handle on a run; writers of one path share it.

        Also with one that was closed, until all of it is written: a directory takes the records of one worker in the
        order of their numbers, so none may come before those that still wait.
        """
        with self._lock:
            handle = self._of_path.get(path)
            if handle is None:
                made = RunHandle(next(self._numbers), path, users=0)
                # Before anybody can find it, and log into it: the sender must know of it by then.
                self.by_id[made.id] = made
                self._new.append(made)
                handle = self._of_path.setdefault(path, made)
                self.openings = made.id
                if len(self.first_paths) < MAX_PATHS:
                    self.first_paths[path] = None
            handle.users += 1
            return handle

    def close(self, run: RunHandle) -> bool:
        """Somebody has no use for it any more; returns whether nobody has."""
        with self._lock:
            run.users -= 1
            if run.users:
                return False
            run.closings += 1
            return True

    @property
    def unused(self) -> bool:
        """Whether nobody has any open."""
        return not any(run.users for run in list(self.by_id.values()))

    # The sender thread

    def add(self, run: RunHandle) -> None:
        """One that another process had."""
        self.by_id[run.id] = run

    def take_new(self) -> list[RunHandle]:
        """Those that were opened for the first time since this was asked."""
        taken = []
        while self._new:
            taken.append(self._new.popleft())
        return taken

    def forget(self, take_ends: Callable[[], Iterable[_End]]) -> list[RunHandle]:
        """Forget those that were closed and not opened again since; nothing while a caller opens or closes one.

        Args:
            take_ends: gives, once each, the ends of those whose records have all settled.
        """
        if not self._lock.acquire(blocking=False):
            return []
        try:
            gone = []
            for end in list(take_ends()):
                run = end.run
                # Between this look and the next line comes nobody: no finalizer either, for nothing is made.
                if not run.users and end.number == run.closings:
                    del self.by_id[run.id]
                    if self._of_path.get(run.path) is run:
                        del self._of_path[run.path]
                    gone.append(run)
        finally:
            self._lock.release()
        return gone
