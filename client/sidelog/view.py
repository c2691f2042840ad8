"""How things stand in the client: what waits, how old the oldest of it is, what was dropped or lost. For the daemon,
which shows it to who asks. Used by the sender thread.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from sidelog.heavy_lane import HeavyLane
from sidelog.lag import Lag
from sidelog.light_lane import LightLane
from sidelog.outbox import Outbox
from sidelog.picture_lane import PictureLane
from sidelog.spool import Spool
from sidelog_shared.client_view import Backlog, ClientView, most
from sidelog_shared.records import Lane

VIEW_S = 1.0
"""How often a daemon is told how things stand here."""
CALL_BYTES = 200
"""About what a call takes that waits in the outbox, a scalar's as well as the fields of another's."""


class Viewer:
    """Looks at the outbox and the lanes.

    Args:
        outbox: what was called.
        light: the lanes.
        heavy: likewise.
        pictures: likewise.
        spool: where records are kept that no daemon takes.
        lost: what was lost, by cause.
    """

    def __init__(
        self,
        outbox: Outbox,
        light: LightLane,
        heavy: HeavyLane,
        pictures: PictureLane,
        spool: Spool | None,
        lost: Callable[[], Mapping[str, int]],
    ) -> None:
        self._outbox = outbox
        self._light = light
        self._heavy = heavy
        self._pictures = pictures
        self._spool = spool
        self._lost = lost
        self._lag = Lag()
        self._told: ClientView | None = None
        self._told_at = float("-inf")

    def forget(self) -> None:
        """A new connection: who hears what is told has been told nothing."""
        self._told = None

    def is_due(self, now: float) -> bool:
        """Whether it is time to tell; also keeps the lag exact, if it is asked often."""
        if self._lag.is_due(now):
            self._look_at_lag(now)
        return now - self._told_at >= VIEW_S

    def news(self, now: float) -> ClientView | None:
        """How things stand, if that is not what was told last."""
        before, view = self._told, self.view(now)
        return view if view != before else None

    def view(self, now: float) -> ClientView:
        """How things stand; it counts as told."""
        outbox, pictures = self._outbox, self._pictures
        dropped = outbox.drops()
        waiting = outbox.light_count
        self._told_at = now
        self._told = ClientView(
            lanes={
                Lane.LIGHT: Backlog(waiting + self._light.pending, waiting * CALL_BYTES + self._light.memory_bytes),
                Lane.HEAVY: Backlog(outbox.heavy_count + self._heavy.pending, outbox.heavy_bytes),
                Lane.PICTURE: Backlog(
                    outbox.picture_count + pictures.under_way, outbox.picture_bytes + pictures.held_bytes
                ),
            },
            spool=Backlog(self._light.spooled + self._heavy.spooled, 0 if self._spool is None else self._spool.nbytes),
            dropped=sum(dropped.values()),
            dropped_tags=most(dropped),
            lost=dict(self._lost()),
            lag_s=self._look_at_lag(now),
        )
        return self._told

    def _look_at_lag(self, now: float) -> float:
        outbox, light, heavy = self._outbox, self._light, self._heavy
        oldest = self._pictures.first_unsettled_ordinal(None)
        return self._lag.look(
            now,
            called=(light.last + outbox.light_count, heavy.last + outbox.heavy_count, outbox.pictures_called),
            settled=(
                light.first_unsettled - 1,
                heavy.first_unsettled - 1,
                sys.maxsize if oldest is None else oldest - 1,  # ordinals of those that were dropped are used again
            ),
        )
