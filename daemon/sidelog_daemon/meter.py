"""Rates of counters that only grow. They are looked at now and then: a record that is counted costs nothing here."""

from __future__ import annotations

from collections import deque

WINDOW_S = 10.0
"""Over so long a time rates are taken."""
_EVERY_S = 1.0
"""Looks that come sooner after each other change nothing."""


class Meter:
    """How fast some counters grow.

    Args:
        now: when they begin; all of them at 0.
        count: how many there are.
    """

    def __init__(self, now: float, count: int) -> None:
        self._looks: deque[tuple[float, tuple[int, ...]]] = deque([(now, (0,) * count)])

    def look(self, now: float, *totals: int) -> None:
        """Take note of how far the counters have come."""
        looks = self._looks
        if now - looks[-1][0] < _EVERY_S:
            return
        looks.append((now, totals))
        # What is measured against is the newest look that is as old as the window.
        while len(looks) > 1 and now - looks[1][0] >= WINDOW_S:
            looks.popleft()

    def rates(self, now: float, *totals: int) -> tuple[float, ...]:
        """Each counter's growth per second over the last seconds; over the first second of all, its growth so far."""
        since, before = next(
            (look for look in reversed(self._looks) if now - look[0] >= WINDOW_S),
            self._looks[0],
        )
        elapsed_s = max(now - since, 1.0)
        return tuple((total - old) / elapsed_s for total, old in zip(totals, before, strict=True))
