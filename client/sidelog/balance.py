"""What became of everything that was called: the sums over the outbox, the lanes and every daemon that took records."""

from __future__ import annotations

from collections import Counter

from sidelog.heavy_lane import HeavyLane
from sidelog.light_lane import LightLane
from sidelog.outbox import Outbox
from sidelog.picture_lane import PictureLane
from sidelog.statistics import (
    DAMAGED,
    LATE,
    NOT_IN_TIME,
    NOT_KEPT,
    NOT_KNOWN,
    NOT_TAKEN,
    TOO_LARGE,
    WITH_DAEMON,
    Statistics,
    Totals,
)
from sidelog_shared.missing import PRESSURE, Missing, listed
from sidelog_shared.records import End


class Balance:
    """Looks at the outbox, the lanes and what daemons told; each record is in one of them.

    Args:
        outbox: what was called.
        light: the lanes.
        heavy: likewise.
        pictures: likewise.
        totals: what daemons told.
    """

    def __init__(
        self, outbox: Outbox, light: LightLane, heavy: HeavyLane, pictures: PictureLane, totals: Totals
    ) -> None:
        self._outbox = outbox
        self._light = light
        self._heavy = heavy
        self._pictures = pictures
        self._totals = totals

    @property
    def pending(self) -> int:
        """Records that were called and have not settled."""
        waiting = self._outbox.light_count + self._outbox.heavy_count + self._outbox.picture_count
        return waiting + self._light.pending + self._heavy.pending + self._pictures.under_way

    @property
    def drops(self) -> bool:
        """Whether any picture was dropped so far."""
        return bool(self._totals[End.DROPPED] or self._outbox.dropped)

    def lost(self) -> Counter[str]:
        """Records that no event file holds, by cause."""
        lost = self._pictures.lost.copy()
        lost[NOT_IN_TIME] += self._light.lost + self._heavy.lost
        lost[NOT_KNOWN] += self._light.unknown + self._heavy.unknown
        lost[TOO_LARGE] += self._light.too_large
        lost[NOT_KEPT] += self._light.unkept + self._heavy.unkept
        lost[DAMAGED] += self._light.damaged + self._heavy.damaged
        lost[NOT_TAKEN] += self._outbox.refused
        lost[LATE] += self._outbox.late
        lost[WITH_DAEMON] += self._totals[End.LOST]
        return +lost

    def missing_in(self, runs: set[int]) -> tuple[Missing, ...]:
        """What of the pictures of these runs never reached a daemon that lives."""
        counts = {key: count for key, count in self._pictures.lost_in_runs.items() if key[0] in runs}
        dropped = self._outbox.drops_in_runs()
        counts.update({(run, tag, PRESSURE): count for (run, tag), count in dropped.items() if run in runs})
        return listed(counts)

    def statistics(self) -> Statistics:
        dropped_here = self._outbox.drops()
        lost = self.lost()
        return Statistics(
            written=self._totals[End.WRITTEN],
            rejected=self._totals[End.REJECTED],
            dropped=self._totals[End.DROPPED] + sum(dropped_here.values()),
            lost=sum(lost.values()),
            pending=self.pending,
            spooled=self._light.left_in_spool + self._heavy.left_in_spool,
            dropped_tags=dict(self._totals.dropped_tags + dropped_here),
            lost_causes=dict(lost),
        )
