"""The records of a reliable lane from the call until they have settled: in memory; in the spool where no daemon takes
them in time, or memory runs short (``spooled_lane``); apart while their run is refused, so that others go past them
(``held_entries``).

No socket, no clock; the spool is its only file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping

from sidelog.entry_spool import EntrySpool
from sidelog.held_entries import HeldEntries
from sidelog.kept_records import Entry, Message, Span, split_by_run, without
from sidelog.spool import DamagedSpool, Spool
from sidelog.window import Window
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MIB

BACKLOG_PART = 8
"""What a run was kept for hours is sent beside what others log meanwhile: one part in so many of what may be under way,
lest they wait for it."""


class KeptLane:
    """See the module; a subclass sends them.

    Args:
        window: how much may be under way at once.
        held_bytes: so much of runs that are refused is kept in memory where the spool takes no more.
        spool: where records are kept that no daemon takes; None keeps them in memory alone.
        say: tells the user something.

    Attributes:
        lost: records that were given up.
        unknown: likewise, of which a daemon has been sent, so that it may write them.
        unkept: records of runs that are refused, for which there was no room.
        damaged: records that could not be read back from the spool, or are not there any more.
        left_in_spool: those that stand there and nowhere else, once the lane was abandoned.
    """

    def __init__(
        self,
        *,
        window: Window,
        held_bytes: int,
        spool: Spool | None,
        say: Callable[[str], None],
    ) -> None:
        self._window = window
        self._held_limit_bytes = held_bytes
        self._entries: list[Entry] = []  # in the order of their numbers; without those of runs that are refused
        self._unsent: deque[Entry] = deque()  # those to be sent in this epoch
        self._memory_bytes = 0
        self._last = 0
        self._settled = IntervalSet()
        self._pending = 0
        self._held = HeldEntries(self._settled, window.part(BACKLOG_PART))
        self._is_backlogs_turn = False
        self._is_damaged = False
        self._spool = EntrySpool(spool)
        self._say = say
        self.lost = 0
        self.unknown = 0
        self.unkept = 0
        self.damaged = 0
        self.left_in_spool = 0

    @property
    def last(self) -> int:
        """The highest sequence number given so far."""
        return self._last

    @property
    def first_unsettled(self) -> int:
        """The lowest sequence number that has not settled, or the next one."""
        firsts = (self._entries[0].first if self._entries else None, self._held.first)
        return min((first for first in firsts if first is not None), default=self._last + 1)

    @property
    def pending(self) -> int:
        """Numbered records that have not settled."""
        return self._pending + self._held.pending

    @property
    def memory_bytes(self) -> int:
        """What the records in memory take."""
        return self._memory_bytes

    @property
    def spooled(self) -> int:
        """Numbered records that have not settled and stand in the spool."""
        return self._held.spooled + sum(self._unsettled(entry) for entry in self._entries if entry.place is not None)

    def is_settled(self, target: int, runs: frozenset[int] | None, *, held_too: bool) -> bool:
        """Whether the records up to number ``target`` are; of these runs, or of all.

        Args:
            target: a sequence number.
            runs: their ids; None for all.
            held_too: runs that are refused for now count as well.
        """
        for entry in self._entries:
            if entry.first > target:
                break
            for run in entry.spans:
                if (runs is None or run in runs) and (held_too or not self._held.is_refused(run)):
                    for first, last in entry.ranges_of(run):
                        if first <= target and self._settled.missing(first, min(last, target)):
                            return False
        return self._held.is_settled(target, runs, refused_too=held_too)

    def lowest_unsettled(self) -> dict[int, int]:
        """Of each run the lowest number that has not settled; of runs that are refused too."""
        found = self._held.lowest_unsettled()
        for entry in self._entries:
            for run in entry.spans:
                # Of one run in both, what is held is younger or older: it was put in line again, or is catching up.
                lowest = next((span[0] for span in self._missing(entry, run)), None)
                if lowest is not None and lowest < found.get(run, lowest + 1):
                    found[run] = lowest
        return found

    def _missing(self, entry: Entry, run: int) -> Iterator[Span]:
        return (hole for first, last in entry.ranges_of(run) for hole in self._settled.missing(first, last))

    # Runs that are refused for now

    def hold(self, run: int) -> None:
        """Send nothing of a run until it is open; all else goes past it."""
        if not self._held.hold(run):
            return
        entries, self._entries = self._entries, []
        for part in [part for entry in entries for part in self._apart(entry)]:
            if self._held.owns(part):
                self._window.remove(part)
                self._held.put(part)
            else:
                self._entries.append(part)
        self._line_up()
        self._count()

    def let_go(self, run: int) -> None:
        """The run is open: what was kept for it is sent, in turn with what others log meanwhile."""
        self._held.catch_up(run)

    @property
    def is_stuck(self) -> bool:
        """Whether all that is pending belongs to runs that are refused for now."""
        return not (self._entries or self._held.catches_up)

    # Settling

    def _left_of(self, entries: Iterable[Entry]) -> list[Entry]:
        """What has not settled of some entries, unsent."""
        kept: list[Entry] = []
        for entry in entries:
            left = entry.left(self._settled)
            if not left:
                self._forget(entry)
                continue
            parts = [entry] if entry.message is None else without(entry, left)
            self._memory_bytes += sum(part.nbytes for part in parts) - entry.nbytes if entry.message is not None else 0
            kept += parts
        for entry in kept:
            entry.sent = False
        return kept

    def settle(self, settled: IntervalSet) -> None:
        """Forget what has reached its end.

        Args:
            settled: numbers that have, as the current daemon knows it.
        """
        # What an earlier daemon said stays true; this one may not know of it.
        fresh = [span for span in settled.ranges() if self._settled.add(*span)]
        if not fresh:
            return
        kept: list[Entry] = []
        pending, lines_up = 0, False
        for entry in self._entries:
            count = self._unsettled(entry)
            if count:
                pending += count
                kept.append(entry)
                continue
            lines_up |= not entry.sent
            self._window.remove(entry)
            self._forget(entry)
        self._entries, self._pending = kept, pending
        if lines_up:
            self._line_up()
        for entry in self._held.settle(fresh):
            self._forget(entry)

    # Inside

    def _add(self, message: Message, spans: Mapping[int, Span], nbytes: int, made_at: float) -> None:
        """Keep the records that come next; their message has their numbers already."""
        entry = Entry(self._last + 1, max(last for _, last in spans.values()), spans, nbytes, made_at, message)
        self._memory_bytes += nbytes
        self._last = entry.last
        for part in self._apart(entry):
            if not self._held.owns(part):
                self._entries.append(part)
                self._unsent.append(part)
                self._pending += part.last - part.first + 1
            elif self._spool.is_full and self._held.nbytes >= self._held_limit_bytes:
                self._leave_out(part)
            else:
                self._held.put(part)

    def _leave_out(self, entry: Entry) -> None:
        """There is no room for more of a run that is refused; that must not stop the others."""
        self.unkept += entry.last - entry.first + 1
        self._settled.add(entry.first, entry.last)
        self._free(entry)
        self._say(
            "what is logged into a run that is refused is lost and counted: the spool takes no more, and "
            f"{self._held.nbytes / MIB:,.0f} MiB of it wait in memory"
        )

    def _apart(self, entry: Entry) -> list[Entry]:
        """An entry, or several, so that what must wait is not in one with what need not."""
        if len(entry.spans) == 1 or not any(run in self._held for run in entry.spans):
            return [entry]
        if entry.message is not None:
            return self._parts(entry)
        try:
            parts = self._spool.take_back(entry)
        except DamagedSpool:
            return [entry]  # it is told when it is to be sent
        self._window.remove(entry)
        self._memory_bytes += sum(part.nbytes for part in parts)
        return self._unsettled_of(parts)

    def _parts(self, entry: Entry) -> list[Entry]:
        """An entry in memory, as one for each run."""
        parts = split_by_run(entry)
        self._memory_bytes += sum(part.nbytes for part in parts) - entry.nbytes
        self._window.remove(entry)
        return self._unsettled_of(parts)

    def _unsettled_of(self, parts: Iterable[Entry]) -> list[Entry]:
        """What an entry was split into, without those of which all has settled: they are forgotten."""
        kept = []
        for part in parts:
            if self._unsettled(part):
                self._window.add(part)
                kept.append(part)
            else:
                self._forget(part)
        return kept

    def _free(self, entry: Entry) -> None:
        """An entry leaves memory."""
        self._memory_bytes -= entry.nbytes

    def _forget(self, entry: Entry) -> None:
        if entry.message is not None:
            self._free(entry)
        self._spool.release(entry)

    def _line_up(self) -> None:
        self._unsent = deque(entry for entry in self._entries if not entry.sent)

    def _count(self) -> None:
        self._pending = sum(map(self._unsettled, self._entries))

    def _unsettled(self, entry: Entry) -> int:
        return entry.count_unsettled(self._settled)
