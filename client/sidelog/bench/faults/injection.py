"""The faults: how each begins and ends, and what is seen of it meanwhile."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from sidelog.bench.faults import duty_cycle
from sidelog.bench.faults.daemon import GONE, RUNNING, STOPPED, FaultyDaemon
from sidelog.bench.faults.disk import Disk

WELL, DEAD, FROZEN, SLOW, DISK_FULL = "well", "dead", "frozen", "slow", "disk full"
FAULTS = (DEAD, FROZEN, SLOW, DISK_FULL)
RUN_S, STOP_S = 0.02, 0.18
"""The slow daemon runs a tenth of the time."""
_SEEN_DEADLINE_S = 15.0
SUMMARIES = {
    WELL: "the daemon is well",
    DEAD: "the daemon is killed (SIGKILL), and started again when the fault ends",
    FROZEN: "the daemon is stopped (SIGSTOP)",
    SLOW: f"the daemon runs {RUN_S * 1e3:g} ms and is stopped for {STOP_S * 1e3:g} ms, in turns",
    DISK_FULL: "the disk of the event files is full",
}


@dataclass(slots=True)
class Evidence:
    """What was seen while the fault was meant to be there.

    Attributes:
        looks: how often the daemon's process was seen in which state.
        disk_full: how often the disk was seen full.
        disk_told: whether the daemon said that the disk is full.
        spool_bytes: the longest that the spool was.
    """

    looks: Counter[str] = field(default_factory=Counter)
    disk_full: int = 0
    disk_told: bool = False
    spool_bytes: int = 0

    def shows(self, fault: str) -> bool:
        """Whether the fault was there."""
        seen = {state for state, count in self.looks.items() if count}
        if fault == DISK_FULL:
            return seen == {RUNNING} and self.disk_full == self.looks[RUNNING] and self.disk_told
        expected = {WELL: {RUNNING}, DEAD: {GONE}, FROZEN: {STOPPED}, SLOW: {RUNNING, STOPPED}}
        return seen == expected[fault] and not self.disk_full

    def to_map(self) -> dict[str, object]:
        return {
            "looks": dict(self.looks), "disk_full": self.disk_full, "disk_told": self.disk_told,
            "spool_bytes": self.spool_bytes,
        }  # fmt: skip


class Fault:
    """One fault of one daemon.

    Args:
        name: one of ``FAULTS``, or ``WELL`` for none.
        daemon: whose.
        disk: where its event files go.
        spool_folder: where spools are.
    """

    def __init__(self, name: str, daemon: FaultyDaemon, disk: Disk, spool_folder: Path) -> None:
        self.evidence = Evidence()
        self.is_there = False
        self._name = name
        self._daemon = daemon
        self._disk = disk
        self._spool_folder = spool_folder
        self._cycle: subprocess.Popen[bytes] | None = None
        self._log_before = ""
        self._begin, self._end = self._actions()

    def begin(self) -> None:
        """From now on it is there."""
        self._log_before = self._daemon.log
        self.is_there = True
        self._begin()

    def look(self) -> None:
        """Note what is seen of it; outside of anything that is timed."""
        found = self.evidence
        found.looks[self._daemon.state()] += 1
        deadline = time.monotonic() + 5 * (RUN_S + STOP_S)
        while self._name == SLOW and len(found.looks) < 2 and time.monotonic() < deadline:
            time.sleep(RUN_S / 4)
            found.looks[self._daemon.state()] += 1
        if self._name == DISK_FULL:
            self._disk.fill()  # a write that failed half-way has given back what it took
            found.disk_full += self._disk.is_full
        found.disk_told |= "No space left" in self._daemon.log[len(self._log_before) :]
        sizes = [path.stat().st_size for path in self._spool_folder.glob("*.spool")]
        found.spool_bytes = max(found.spool_bytes, sum(sizes))

    def wait_until_seen(self) -> None:
        """Let it last until it had its effect, but not for ever: a daemon on a loaded machine may be late to write."""
        deadline = time.monotonic() + _SEEN_DEADLINE_S
        self.look()
        while not self._had_its_effect() and time.monotonic() < deadline:
            time.sleep(0.05)
            self.look()

    def end(self) -> None:
        """The daemon works again when this returns. Idempotent."""
        if self.is_there:
            self.is_there = False
            self._end()

    def _had_its_effect(self) -> bool:
        kept = self.evidence.spool_bytes > 0 or self._name not in (DEAD, FROZEN)
        return kept and self.evidence.shows(self._name)

    def _actions(self) -> tuple[Callable[[], None], Callable[[], None]]:
        daemon, disk = self._daemon, self._disk
        return {
            WELL: (_nothing, _nothing),
            DEAD: (daemon.kill, daemon.start),
            FROZEN: (daemon.freeze, daemon.thaw),
            SLOW: (self._begin_cycle, self._end_cycle),
            DISK_FULL: (disk.fill, disk.empty),
        }[self._name]

    def _begin_cycle(self) -> None:
        words = [sys.executable, str(Path(duty_cycle.__file__)), str(self._daemon.pid), str(RUN_S), str(STOP_S)]
        self._cycle = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)

    def _end_cycle(self) -> None:
        if self._cycle is not None:
            self._cycle.communicate()  # its stdin ends
            self._cycle = None


def _nothing() -> None:
    """All is well."""
