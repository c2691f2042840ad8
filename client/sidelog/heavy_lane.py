"""The heavy lane: reliable records with large tensors."""

from __future__ import annotations

from collections.abc import Callable

from sidelog.kept_records import Entry
from sidelog.outbox import Outbox
from sidelog.reliable_lane import ReliableLane
from sidelog.snapshot import owned
from sidelog.spool import Spool
from sidelog.window import Window
from sidelog_shared import requests
from sidelog_shared.limits import MIB
from sidelog_shared.records import Lane

WINDOW_BYTES = 32 * MIB
"""Sent and not settled at once (or one record that is larger): the daemon holds it while it encodes."""
MAX_UNDER_WAY = 256
"""The same, in records, however small they are."""


class HeavyLane(ReliableLane):
    """Heavy records between the outbox and the event files.

    Args:
        outbox: what was called; it bounds how much is held here.
        spool: where records are kept that no daemon takes; None keeps them in memory alone.
        say: tells the user something.
    """

    def __init__(self, outbox: Outbox, spool: Spool | None, say: Callable[[str], None]) -> None:
        super().__init__(
            window=Window(limit_bytes=WINDOW_BYTES, limit_entries=MAX_UNDER_WAY),
            held_bytes=outbox.heavy_budget_bytes // 2,
            spool=spool,
            say=say,
        )
        self._outbox = outbox

    def collect(self, now: float) -> None:
        """Number what was called."""
        while (call := self._outbox.take_heavy()) is not None:
            call.snapshots = tuple(map(owned, call.snapshots))
            seq = self._last + 1
            message = requests.RecordMessage(call.record(Lane.HEAVY, seq))
            self._add(message, {call.run: (seq, seq)}, call.nbytes, now)

    def abandon(self) -> None:
        """The connection ends: what is not in the spool is lost."""
        self._give_up_all()

    def _free(self, entry: Entry) -> None:
        # Not released into the pool: a socket that was closed may still read its memory. It never was in the pool.
        super()._free(entry)
        self._outbox.free_heavy(entry.nbytes)
