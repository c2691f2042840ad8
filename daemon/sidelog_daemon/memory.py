"""What the memory that a daemon may take is spent on, beside the pictures that wait: those get the rest.

A daemon that is told ``--budget-mb`` counts what can grow: tensors that wait, arrive or are rendered, and events that
are not on disk. What it cannot count is set aside. ``scripts/bench_overload.py`` shows what becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable

from sidelog_shared.limits import MIB, PART_BYTES

PROCESS_BYTES = 160 * MIB
"""Set aside for the process: 60 MiB of it idle; the rest is what a render needs for the moment, and what malloc holds
between allocations: at most 70 MiB with budgets of 300 and 1,024 MiB, pictures of 0.2 to 3.2 MB, one to four workers.
Without a fixed threshold for mmap, which would give that back: fresh pages for each picture halve what arrives."""
WORKER_MESSAGES = 8
"""Messages that ZeroMQ takes of a connection before the receiver does; 64 did not make more arrive, and took 64 MiB."""
WORKER_BYTES = WORKER_MESSAGES * PART_BYTES
"""What they may take: a client sends larger records in parts."""
HANDOVER_BYTES = 32 * MIB
"""Finished content that waits for the writer thread; several groups of a run."""


class Memory:
    """Sums up what is spent; asked by the receiver thread, picture by picture.

    Args:
        budget_bytes: what the daemon may take.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._holders: list[Callable[[], int]] = []
        self._workers: Callable[[], int] = lambda: 0

    @property
    def tensor_bytes(self) -> int:
        """What tensors may take while nobody is connected."""
        return self._budget_bytes - self._set_aside(0)

    def watch(self, *holders: Callable[[], int], workers: Callable[[], int]) -> None:
        """Count more.

        Args:
            holders: each says how many bytes it holds now.
            workers: says how many are connected.
        """
        self._holders += holders
        self._workers = workers

    def elsewhere(self) -> int:
        """Bytes of the budget that pictures cannot have."""
        return self._set_aside(self._workers()) + sum(holds() for holds in self._holders)

    def _set_aside(self, workers: int) -> int:
        # Half of a budget is for tensors, however small: such a daemon takes more than it was told.
        return min(PROCESS_BYTES + workers * WORKER_BYTES, self._budget_bytes // 2)
