"""How long somebody waits for a daemon for which somebody has waited in vain.

A training with several writers, or one that flushes at each step, would else wait for the same daemon again and again.
"""

from __future__ import annotations

from collections.abc import Callable

IN_VAIN_S = 0.5
"""So long somebody waits where another has just waited in vain, and nothing has settled since."""


class Patience:
    """That of everybody who waits for one connection.

    Args:
        settled: says of how many records it is known what became of them.
    """

    def __init__(self, settled: Callable[[], int]) -> None:
        self._settled = settled
        self._waited_s = 0.0
        self._settled_then = 0

    @property
    def is_in_vain(self) -> bool:
        """Whether somebody has waited until a deadline, and nothing has settled since."""
        return self._waited_s > 0 and self._settled_then == self._settled()

    def of(self, timeout_s: float) -> float:
        """How long somebody should wait who would wait for so long."""
        return min(timeout_s, IN_VAIN_S) if self.is_in_vain and timeout_s <= self._waited_s else timeout_s

    def was_in_vain(self, timeout_s: float) -> None:
        """Somebody waited for so long, or would have, and it was hopeless."""
        self._waited_s = max(self._waited_s if self.is_in_vain else 0.0, timeout_s)
        self._settled_then = self._settled()
