"""How long the oldest record that has not settled has waited. Looked at now and then: a record costs nothing."""

from __future__ import annotations

from collections import deque

_EVERY_S = 0.2
"""Looks that come sooner after each other change nothing; so exact the lag is."""
_MAX_MARKS = 512
"""Marks beyond it are thinned out: after minutes without a daemon, seconds do not matter."""

Counts = tuple[int, ...]


class Lag:
    """Remembers how many records had been called at which time.

    Attributes:
        looked_at: when the last look was.
    """

    def __init__(self) -> None:
        self._marks: deque[tuple[float, Counts]] = deque()
        self.looked_at = float("-inf")

    def is_due(self, now: float) -> bool:
        return now - self.looked_at >= _EVERY_S

    def look(self, now: float, *, called: Counts, settled: Counts) -> float:
        """Take note of how far each lane has come; returns the lag in seconds.

        Args:
            now: by a clock that is never set back.
            called: number of the newest record that was called, by lane.
            settled: number through which all have settled, by lane.
        """
        self.looked_at = now
        marks = self._marks
        if not marks or marks[-1][1] != called:
            if len(marks) >= _MAX_MARKS:
                self._marks = marks = deque(list(marks)[::2])
            marks.append((now, called))
        # What was called before a mark has settled once each lane has come so far.
        while marks and all(done >= target for done, target in zip(settled, marks[0][1], strict=True)):
            marks.popleft()
        return now - marks[0][0] if marks else 0.0
