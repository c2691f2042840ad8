"""Entries of runs that are refused for now, run by run, out of the way of what flows; and of runs that are open again,
until they have caught up. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable

from sidelog.kept_records import Entry, Span
from sidelog.window import Window
from sidelog_shared.intervals import IntervalSet


class HeldEntries:
    """See the module. A run may wait for hours, and each of its records leaves a hole in the numbers of its lane: what
    is done for records that flow must not take longer for it.

    Args:
        settled: the numbers that have settled; the lane keeps it.
        window: how much of runs that catch up may be under way.
    """

    def __init__(self, settled: IntervalSet, window: Window) -> None:
        self._settled = settled
        self._window = window
        self._catching_up: deque[int] = deque()
        self._runs: dict[int, list[Entry]] = {}
        self._counts: dict[Entry, int] = {}
        self.pending = 0
        self.nbytes = 0
        """In memory; what stands in the spool takes none."""

    @property
    def runs(self) -> list[int]:
        return list(self._runs)

    @property
    def spooled(self) -> int:
        """Records that stand in the spool."""
        return sum(count for entry, count in self._counts.items() if entry.place is not None)

    @property
    def first(self) -> int | None:
        """The lowest number of all; None where there is none."""
        return min((entries[0].first for entries in self._runs.values() if entries), default=None)

    def lowest_unsettled(self) -> dict[int, int]:
        """Of each run the lowest number that has not settled."""
        lowest = ((run, next(iter(entry.left(self._settled)), None)) for run, entries in self._runs.items()
                  for entry in entries[:1])  # fmt: skip
        return {run: hole[0] for run, hole in lowest if hole is not None}

    def __contains__(self, run: int) -> bool:
        return run in self._runs

    def has(self, entry: Entry) -> bool:
        """Whether an entry is here."""
        return entry in self._counts

    def entries_of(self, run: int) -> list[Entry]:
        """The entries of a run, by their numbers."""
        return self._runs[run]

    def owns(self, entry: Entry) -> bool:
        """Whether all of an entry belongs to one run that is held."""
        return len(entry.spans) == 1 and next(iter(entry.spans)) in self._runs

    def is_refused(self, run: int) -> bool:
        return run in self._runs and run not in self._catching_up

    @property
    def catches_up(self) -> bool:
        """Whether any run is open again, and not all that was kept for it is sent."""
        return bool(self._catching_up)

    def hold(self, run: int) -> bool:
        """A run is refused; returns whether entries of it may be elsewhere, that belong here."""
        if run not in self._catching_up:
            self._runs.setdefault(run, [])
            return True
        self._catching_up.remove(run)
        for entry in self._runs[run]:
            self._window.remove(entry)
        return False

    def catch_up(self, run: int) -> None:
        """A run is open again: what is here of it may be sent."""
        if self.is_refused(run):
            self._catching_up.append(run)
            for entry in self._runs[run]:
                self._window.add(entry)

    def take_sent(self) -> list[Entry]:
        """Of runs that have caught up: all of which is sent, and not settled. It is not here any more."""
        sent: list[Entry] = []
        for run in [run for run in self._catching_up if self._next_unsent(run) is None]:
            self._catching_up.remove(run)
            entries = self.let_go(run)
            for entry in entries:
                self._window.remove(entry)
            sent += entries
        return sent

    def next_to_send(self) -> Entry | None:
        """Of the runs that catch up, in turn; nothing when too much is under way. Then it is sent, or given up."""
        if not self._catching_up:
            return None
        self._catching_up.rotate(-1)
        entry = self._next_unsent(self._catching_up[0])
        return entry if entry is not None and self._window.has_room(entry) else None

    def is_sent(self, entry: Entry) -> None:
        entry.sent = True
        self._window.add(entry)

    def rewind(self) -> None:
        """A new epoch: nothing is sent."""
        self._window.clear()

    def put(self, entry: Entry) -> None:
        """Keep an entry of a run that is held; its numbers are above those of the run that are here."""
        (run,) = entry.spans
        self._runs[run].append(entry)
        self._count(entry)

    def let_go(self, run: int) -> list[Entry]:
        """The run is not held any more: its entries."""
        entries = self._runs.pop(run, [])
        for entry in entries:
            self._discount(entry)
        return entries

    def replace(self, run: int, entries: list[Entry]) -> None:
        """These are a run's entries from now on."""
        for entry in self._runs[run]:
            self._discount(entry)
        if run in self._catching_up:
            for entry in self._runs[run]:
                self._window.remove(entry)
            for entry in entries:
                self._window.add(entry)
        self._runs[run] = entries
        for entry in entries:
            self._count(entry)

    def settle(self, fresh: Iterable[Span]) -> list[Entry]:
        """Take note of numbers that have settled just now: a daemon writes what it had before it refused a run.

        Returns:
            The entries of which nothing is left; they are not here any more.
        """
        done: list[Entry] = []
        for run, entries in self._runs.items():
            touched: dict[Entry, None] = {}
            for first, last in fresh:
                index = bisect_left(entries, first, key=lambda entry: entry.last)
                while index < len(entries) and entries[index].first <= last:
                    touched[entries[index]] = None
                    index += 1
            for entry in touched:
                self._discount(entry)
                self._count(entry)
            gone = [entry for entry in touched if not self._counts[entry]]
            for entry in gone:
                self._discount(entry)
                if run in self._catching_up:
                    self._window.remove(entry)
            if gone == entries[: len(gone)]:  # as a rule: a run's are written in order
                del entries[: len(gone)]
            else:
                entries[:] = [entry for entry in entries if entry in self._counts]
            done += gone
        return done

    def give_up(self, entry: Entry) -> None:
        """An entry cannot be read any more, or nothing of it is left."""
        (run,) = entry.spans
        self._runs[run].remove(entry)
        self._discount(entry)

    def _next_unsent(self, run: int) -> Entry | None:
        """The first entry of a run that is not sent: those that are come first."""
        entries = self._runs[run]
        index = bisect_left(entries, True, key=lambda entry: not entry.sent)
        return entries[index] if index < len(entries) else None

    def is_settled(self, target: int, runs: frozenset[int] | None, *, refused_too: bool) -> bool:
        """Whether no number up to ``target`` is left of these runs, or of all."""
        which = [
            run for run in self._runs if (runs is None or run in runs) and (refused_too or run in self._catching_up)
        ]
        return not any(
            self._settled.missing(first, min(last, target))
            for run in which
            for entry in self._runs[run]
            for first, last in entry.ranges
            if first <= target
        )

    def _count(self, entry: Entry) -> None:
        count = entry.count_unsettled(self._settled)
        self._counts[entry] = count
        self.pending += count
        self.nbytes += entry.nbytes if entry.message is not None else 0

    def _discount(self, entry: Entry) -> None:
        self.pending -= self._counts.pop(entry)
        self.nbytes -= entry.nbytes if entry.message is not None else 0
