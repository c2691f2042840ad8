"""A reliable lane's records in the spool: what goes there and when, what is gone from there, what is left at the end.

No socket, no clock; the spool is its only file.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from sidelog.kept_lane import KeptLane
from sidelog.kept_records import Entry, groups_for_spool


class SpooledLane(KeptLane):
    """Keeps in the spool what no daemon takes; a subclass sends it."""

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
        known, sent = self.pending, self._count_sent()
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
        unknown = sent - self._count_sent()
        self.unknown += unknown
        if lost := known - self.pending - unknown:
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

    def _separate(self, before: float) -> None:
        """What goes into the spool is of one run each: one that is refused later takes no other out of it again."""
        entries, self._entries = self._entries, []
        for entry in entries:
            is_mixed = entry.message is not None and len(entry.spans) > 1 and entry.made_at <= before
            self._entries.extend(self._parts(entry) if is_mixed else [entry])
        if self._entries != entries:
            self._line_up()

    def _give_up_all(self) -> None:
        is_there = self._spool.is_there_at_last()
        self._give_up_damaged(at_last=True)
        spooled, unknown = self.spooled, self._count_sent(in_memory=True)
        self.unknown += unknown
        self.lost += self.pending - spooled - unknown
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

    def _count_sent(self, *, in_memory: bool = False) -> int:
        """Records that a daemon has been sent, and that have not settled; those that are in memory alone, or all."""
        entries = chain(self._entries, *map(self._held.entries_of, self._held.runs))
        return sum(self._unsettled(one) for one in entries if one.sent and not (in_memory and one.place is not None))
