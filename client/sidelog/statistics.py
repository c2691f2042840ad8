"""What became of records: what a user may ask, and the sums behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from sidelog_shared.records import End
from sidelog_shared.replies import Status

WITH_DAEMON = "went down with a daemon or its connection"
NOT_IN_TIME = "not written when the connection ended"
NOT_KNOWN = "not known to be written when the connection ended"
"""A daemon had them, and may write them still: nobody was there to hear of it."""
NOT_TAKEN = "called while too many waited for a daemon"
LATE = "called when the process was ending"
DAMAGED = "damaged in the spool, or gone with it"
RUN_REFUSED = "of a run that the daemon refused"
NOT_KEPT = "of a run that the daemon refused, and the spool was full"
TOO_LARGE = "larger than the daemon takes"
"""Causes of a loss, as they are told."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """What became of the records of one connection so far.

    Attributes:
        logged: records that calls made: the sum of the following.
        written: records that stand in an event file.
        rejected: records that the daemon could not write.
        dropped: pictures dropped under pressure, here or in the daemon; CUDA tensors of a graph that was being
            captured.
        lost: records that no event file holds for another reason, see ``lost_causes``; and those of which nobody knows.
        spooled: records that no event file may hold yet, kept in the spool when the connection ended.
        pending: records under way.
        dropped_tags: those dropped, by tag.
        lost_causes: those lost, by cause.
    """

    written: int = 0
    rejected: int = 0
    dropped: int = 0
    lost: int = 0
    pending: int = 0
    spooled: int = 0
    dropped_tags: Mapping[str, int] = field(default_factory=dict)
    lost_causes: Mapping[str, int] = field(default_factory=dict)

    @property
    def logged(self) -> int:
        return self.written + self.rejected + self.dropped + self.lost + self.pending + self.spooled


class Totals:
    """Ends as the daemons told them. A new daemon begins at zero, so what earlier ones said is kept apart."""

    def __init__(self) -> None:
        self._earlier: Counter[End] = Counter()
        self._current: Counter[End] = Counter()
        self._earlier_tags: Counter[str] = Counter()
        self._current_tags: Counter[str] = Counter()

    def update(self, status: Status) -> None:
        """Take the newest word of the current daemon."""
        self._current = Counter()
        for state in status.lanes.values():
            self._current.update(state.ends)
        self._current_tags = Counter(status.dropped_tags)

    def fold(self) -> None:
        """From now on another daemon speaks."""
        self._earlier.update(self._current)
        self._earlier_tags.update(self._current_tags)
        self._current, self._current_tags = Counter(), Counter()

    def add(self, end: End, count: int = 1) -> None:
        """Count what a daemon did and could not tell of any more."""
        self._earlier[end] += count

    def __getitem__(self, end: End) -> int:
        return self._earlier[end] + self._current[end]

    @property
    def dropped_tags(self) -> Counter[str]:
        return self._earlier_tags + self._current_tags
