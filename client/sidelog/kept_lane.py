"""The records of a reliable lane from the call until they have settled: in memory; in the spool where no daemon takes
them in time, or memory runs short; apart (``held_entries``) while their run is refused, so that others go past them.

No socket, no clock; the spool is its only file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping

from sidelog.entry_spool import EntrySpool
from sidelog.held_entries import HeldEntries
from sidelog.kept_records import Entry, Message, Span, groups_for_spool, split_by_run, without
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

    # The spool

    def spill(self, before: float, *, at_most_bytes: int, epoch: int) -> int:
        """Put what was called before a moment, and has not settled, into the spool; the oldest first.

        Also what a daemon has taken: it may die with it, and this process too.

        Args:
            before: monotonic seconds.
            at_most_bytes: about so much at once.
            epoch: the current one.

        Returns:
            How many records were put there.
        """
        self._spool.tend(epoch)
        self._miss_damaged()
        if not self._spool.takes:
            return 0
        self._separate(before)
        entries, count, room = self._spilled(self._entries, before, at_most_bytes, epoch)
        if entries is not self._entries:
            self._entries = entries
            self._line_up()
        for run in self._held.runs:
            spilled, room = self._spill_held(run, before, room, epoch)
            count += spilled
        self._miss_damaged()
        return count

    def _miss_damaged(self) -> None:
        """What was in the spool, and is not there any more because somebody has cut the file, is lost."""
        if self._spool.is_newly_damaged() or self._is_damaged:
            self._give_up_damaged()

    def _give_up_damaged(self, *, at_last: bool = False) -> None:
        known = self.pending
        self._entries, gone = self._spool.without_damaged(self._entries, at_last=at_last)
        left = self._entries[:]
        for entry in gone:
            self._window.remove(entry)
        for run in self._held.runs:
            kept, gone_too = self._spool.without_damaged(self._held.entries_of(run), at_last=at_last)
            self._held.replace(run, kept)
            left += kept
            gone += gone_too
        for entry in gone:
            self._forget(entry)
        self._is_damaged = self._spool.has_damaged(left)
        self._line_up()
        self._count()
        if lost := known - self.pending:
            self.damaged += lost
            self._say(f"{lost:,} records are lost: they stood in the spool, which is cut or damaged there")

    def _spill_held(self, run: int, before: float, room_bytes: int, epoch: int) -> tuple[int, int]:
        """As :meth:`_spilled`, of a run that is refused: all of it once it is time for the oldest. It may go on for
        hours, and a place for every few records would be too many."""
        held = self._held.entries_of(run)
        begin = len(held)
        while begin and held[begin - 1].message is not None:
            begin -= 1
        is_short = 2 * self._held.nbytes > self._held_limit_bytes
        if begin == len(held) or not (is_short or held[begin].made_at <= before):
            return 0, room_bytes
        waiting = held[begin:]
        entries, count, room_bytes = self._spilled(waiting, float("inf"), room_bytes, epoch)
        if entries is not waiting:
            self._held.replace(run, held[:begin] + entries)
        return count, room_bytes

    def _spilled(
        self, entries: list[Entry], before: float, room_bytes: int, epoch: int
    ) -> tuple[list[Entry], int, int]:
        """Put what is old of some entries into the spool.

        Returns:
            The entries afterwards, the same list where none was put there; how many records were; what is left of
            the room.
        """
        moved: dict[Entry, Entry | None] = {}
        count = 0
        for group in groups_for_spool(entries, before):
            if room_bytes <= 0:
                break
            whole = self._spool.put(group, epoch)
            if whole is None or whole.place is None:
                break
            moved |= dict.fromkeys(group)
            moved[group[0]] = whole
            is_held = self._held.has(group[0])
            for entry in group:
                self._free(entry)
                count += self._unsettled(entry)
                if not is_held:
                    self._window.remove(entry)
            if not is_held:
                self._window.add(whole)
            room_bytes -= whole.place.nbytes
        if moved:
            now_kept = [moved.get(entry, entry) for entry in entries]
            entries = [entry for entry in now_kept if entry is not None]
        return entries, count, room_bytes

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take over what another process left in its spool."""
        self._entries.extend(sorted(entries, key=lambda entry: entry.first))
        self._last = max((entry.last for entry in self._entries), default=0)
        self._line_up()
        self._count()

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

    def _separate(self, before: float) -> None:
        """What goes into the spool is of one run each: one that is refused later takes no other out of it again."""
        entries, self._entries = self._entries, []
        for entry in entries:
            is_mixed = entry.message is not None and len(entry.spans) > 1 and entry.made_at <= before
            self._entries.extend(self._parts(entry) if is_mixed else [entry])
        if self._entries != entries:
            self._line_up()

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

    def _give_up_all(self) -> None:
        is_there = self._spool.is_there_at_last()
        self._give_up_damaged(at_last=True)
        spooled = self.spooled
        self.lost += self.pending - spooled
        if is_there or not spooled:
            self.left_in_spool = spooled
        else:
            self.damaged += spooled
            self._say(f"{spooled:,} records are lost: they stood in a spool that was moved or removed, see above")
        for run in list(self._held.runs):
            self._entries += self._held.let_go(run)
        for entry in self._entries:
            if entry.message is not None:
                self._free(entry)
        self._entries.clear()
        self._unsent.clear()
        self._count()

    def _line_up(self) -> None:
        self._unsent = deque(entry for entry in self._entries if not entry.sent)

    def _count(self) -> None:
        self._pending = sum(map(self._unsettled, self._entries))

    def _unsettled(self, entry: Entry) -> int:
        return entry.count_unsettled(self._settled)
