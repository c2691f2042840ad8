"""Entries of runs that are refused for now, run by run, out of the way of what flows. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from sidelog.kept_records import Entry, Span
from sidelog_shared.intervals import IntervalSet


class HeldEntries:
    """See the module. A run may wait for hours, and each of its records leaves a hole in the numbers of its lane: what
    is done for records that flow must not take longer for it.

    Args:
        settled: the numbers that have settled; the lane keeps it.
    """

    def __init__(self, settled: IntervalSet) -> None:
        self._settled = settled
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

    def __contains__(self, run: int) -> bool:
        return run in self._runs

    def entries_of(self, run: int) -> list[Entry]:
        """The entries of a run, by their numbers."""
        return self._runs[run]

    def owns(self, entry: Entry) -> bool:
        """Whether all of an entry belongs to one run that is held."""
        return len(entry.spans) == 1 and next(iter(entry.spans)) in self._runs

    def hold(self, run: int) -> None:
        self._runs.setdefault(run, [])

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
            if gone:
                self._runs[run] = [entry for entry in entries if entry in self._counts]
                done += gone
        return done

    def is_settled(self, target: int, runs: Iterable[int] | None) -> bool:
        """Whether no number up to ``target`` is left of these runs, or of all."""
        which = self._runs.keys() if runs is None else self._runs.keys() & runs
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
