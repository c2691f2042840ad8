"""The heavy lane: reliable records with large tensors, kept until the daemon says that they are settled."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from sidelog.calls import RecordCall
from sidelog.outbox import Outbox
from sidelog.snapshot import owned
from sidelog_shared import requests
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MIB
from sidelog_shared.records import Buffer, Lane

WINDOW_BYTES = 32 * MIB
"""Sent and not settled at once (or one record that is larger): the daemon holds it while it encodes."""
MAX_UNDER_WAY = 256
"""The same, in records, however small they are."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A record and its number."""

    seq: int
    call: RecordCall

    @property
    def cost(self) -> int:
        return self.call.nbytes


class HeavyLane:
    """Heavy records between the outbox and the event files.

    Args:
        outbox: what was called; it bounds how much is held here.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        # In order of their numbers; the first `_sent` of them were sent in this epoch.
        self._kept: deque[_Kept] = deque()
        self._sent = 0
        self._window_bytes = 0
        self._last = 0
        self._settled = IntervalSet()
        self.lost = 0

    @property
    def pending(self) -> int:
        """Numbered records that have not settled."""
        return sum(kept.seq not in self._settled for kept in self._kept)

    @property
    def last(self) -> int:
        """The highest sequence number given so far."""
        return self._last

    @property
    def settled_through(self) -> int:
        return self._kept[0].seq - 1 if self._kept else self._last

    def collect(self) -> None:
        """Number what was called."""
        while (call := self._outbox.take_heavy()) is not None:
            self._last += 1
            call.snapshots = tuple(map(owned, call.snapshots))
            self._kept.append(_Kept(self._last, call))

    def rewind(self) -> None:
        """A new epoch: everything that has not settled is sent again, and nothing else."""
        for kept in [kept for kept in self._kept if kept.seq in self._settled]:
            self._kept.remove(kept)
            self._free(kept)
        self._sent = 0
        self._window_bytes = 0

    def next_messages(self, epoch: int) -> list[list[Buffer]]:
        """The messages of the next record to send; none when all are sent or too much is under way."""
        if self._sent == len(self._kept) or self._sent >= MAX_UNDER_WAY:
            return []
        kept = self._kept[self._sent]
        if self._window_bytes and self._window_bytes + kept.cost > WINDOW_BYTES:
            return []
        self._sent += 1
        self._window_bytes += kept.cost
        record = kept.call.record(Lane.HEAVY, kept.seq)
        return [requests.RecordMessage(record).frames(epoch), *requests.part_messages(record, epoch)]

    def settle(self, settled: IntervalSet) -> None:
        """Forget what has reached its end.

        Args:
            settled: as the current daemon knows it.
        """
        self._settled = settled
        while self._kept and self._kept[0].seq in settled:
            kept = self._kept.popleft()
            self._free(kept)
            if self._sent:
                self._sent -= 1
                self._window_bytes -= kept.cost

    def abandon(self) -> None:
        """The deadline has passed: what is left is lost."""
        self.collect()
        self.lost += self.pending
        for kept in self._kept:
            self._free(kept)
        self._kept.clear()
        self._sent = 0
        self._window_bytes = 0

    def _free(self, kept: _Kept) -> None:
        # Not released into the pool: a socket that was closed may still read its memory. It never was in the pool.
        self._outbox.free_heavy(kept.cost)
