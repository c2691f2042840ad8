"""What the memory that a daemon may take is spent on, beside the pictures that wait: those get the rest.

A daemon that is told ``--budget-mb`` counts what can grow: tensors that wait, arrive or are rendered, and events that
are not on disk. For what it cannot count something is set aside; and because that is a guess, it looks at its resident
memory, and where that comes near the budget all the same, pictures get less. ``scripts/bench_overload.py`` shows what
becomes of it.
"""

from __future__ import annotations

from collections.abc import Callable

from sidelog_daemon import allocator
from sidelog_shared.limits import MIB, PART_BYTES

PROCESS_BYTES = 192 * MIB
"""Set aside for the process: 60 MiB of it idle; the rest is libraries that are loaded later, and what malloc holds
between allocations, up to 70 MiB with pictures of 0.1 to 3.2 MB. A fixed threshold for mmap would give that back: fresh
pages for each picture, and half as many that arrive."""
WORKER_MESSAGES = 8
"""Messages that ZeroMQ takes of a connection before the receiver does; 64 did not make more arrive, and took 64 MiB."""
WORKER_BYTES = WORKER_MESSAGES * PART_BYTES
"""What they may take: a client sends larger records in parts."""
HANDOVER_BYTES = 32 * MIB
"""Finished content of a lane that waits for the writer thread; several groups of a run."""
LOOK_S = 0.25
NEAR = 15 / 16
"""Of the budget: from here on free pages are given back, and pictures get less."""


class Memory:
    """Sums up what is spent; asked by the receiver thread, picture by picture.

    Args:
        budget_bytes: what the daemon may take.
        resident: says how much this process has; 0 where nobody knows.
        give_back: gives back what is free.
    """

    def __init__(
        self,
        budget_bytes: int,
        *,
        resident: Callable[[], int] = allocator.resident_bytes,
        give_back: Callable[[], None] = allocator.give_back,
    ) -> None:
        self._budget_bytes = budget_bytes
        self._resident = resident
        self._give_back = give_back
        self._holders: list[Callable[[], int]] = []
        self._workers: Callable[[], int] = lambda: 0
        self._excess_bytes = 0
        self._looked_at = float("-inf")

    @property
    def tensor_bytes(self) -> int:
        """What tensors may take while nobody is connected."""
        return self._budget_bytes - min(PROCESS_BYTES, self._budget_bytes // 2)

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
        set_aside = PROCESS_BYTES + self._workers() * WORKER_BYTES + self._excess_bytes
        # Half of a budget is for tensors, however small: such a daemon takes more than it was told.
        return min(set_aside, self._budget_bytes // 2) + sum(holds() for holds in self._holders)

    def look(self, now: float) -> None:
        """See how much the process really has; does nothing more often than every ``LOOK_S``.

        What is too much is added to what is set aside, look by look, and taken off again when there is room.
        """
        if now - self._looked_at < LOOK_S:
            return
        self._looked_at = now
        near = int(NEAR * self._budget_bytes)
        resident = self._resident()
        if resident > near:
            self._give_back()
            resident = self._resident()
        self._excess_bytes = min(max(0, self._excess_bytes + resident - near), self._budget_bytes // 2)
