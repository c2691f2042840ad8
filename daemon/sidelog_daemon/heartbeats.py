"""Heartbeats of the leases that keep other daemons out of run directories without ``flock``. The writer thread's."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from sidelog_daemon.sink import RunDirectory
from sidelog_shared.leases import HEARTBEAT_S, STALE_S

log = logging.getLogger(__name__)

MAX_TOLD = 1024
"""So many workers are remembered as told."""


class Heartbeats:
    """When the next heartbeat is due, and who was told that there are leases.

    Attributes:
        due_at: by the monotonic clock; None while no directory is held by a lease.
        failed: heartbeats that could not be written, by why.
    """

    def __init__(self) -> None:
        self.due_at: float | None = None
        self.failed: Counter[str] = Counter()
        self._told: dict[str, None] = {}
        self._logged = False

    def opened(self, directory: RunDirectory, worker: str, now: float) -> str:
        """Take note of a directory that is open; returns what its worker should read, once, or an empty string."""
        if not directory.is_leased:
            return ""
        if self.due_at is None:
            self.due_at = now + HEARTBEAT_S
        text = (
            f"{directory.path} is on a file system without locks (flock): a lease file keeps other daemons out of its "
            f"runs. One on another machine takes over a run whose daemon was silent for {STALE_S:.0f} s"
        )
        if not self._logged:
            self._logged = True
            log.warning("%s", text)
        if worker in self._told or len(self._told) >= MAX_TOLD:
            return ""
        self._told[worker] = None
        return text

    def beat(self, directories: Iterable[RunDirectory], now: float) -> None:
        """Touch every lease, if it is time."""
        if self.due_at is None or now < self.due_at:
            return
        leased = [directory for directory in directories if directory.is_leased]
        for directory in leased:
            try:
                directory.heartbeat()
            except OSError as error:
                why = error.strerror or str(error)
                if why not in self.failed:
                    log.warning("the lease of %s cannot be touched: %s", directory.path, why)
                self.failed[why] += 1
        self.due_at = now + HEARTBEAT_S if leased else None
