"""What the light and the heavy lane have in common: numbered records that are kept until they have settled.

Kept in memory; in the spool where no daemon takes them in time, or memory runs short. In the order of their numbers
they are sent, and sent again to the next daemon. Records of a run that is refused for now wait; others go past them.

No socket, no clock; the spool is its only file.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from sidelog.kept_records import Entry, Message, Span, entries_in, frames_of, joined, sent_again, split_by_run, without
from sidelog.spool import DamagedSpool, Place, Spool
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.records import Buffer, LaneState


class ReliableLane:
    """See the module; a subclass numbers what was called.

    Args:
        window_bytes: so much is under way at once, or one entry that is larger: a daemon with a slow disk, or a slow
            encoder, is not handed everything.
        window_entries: the same, in entries.
        spool: where records are kept that no daemon takes; None keeps them in memory alone.
        say: tells the user something.

    Attributes:
        lost: records that were given up.
        damaged: records that could not be read back from the spool.
        left_in_spool: those that stand there and nowhere else, once the lane was abandoned.
    """

    def __init__(
        self, *, window_bytes: int, window_entries: int, spool: Spool | None, say: Callable[[str], None]
    ) -> None:
        self._window_limit_bytes = window_bytes
        self._window_limit_entries = window_entries
        self._entries: deque[Entry] = deque()  # in the order of their numbers
        self._unsent: deque[Entry] = deque()  # those to be sent in this epoch
        self._window_bytes = 0
        self._window_entries = 0
        self._held_bytes = 0
        self._last = 0
        self._settled = IntervalSet()
        self._pending = 0
        self._waiting: set[int] = set()
        self._spool = spool
        self._say = say
        self.lost = 0
        self.damaged = 0
        self.left_in_spool = 0

    @property
    def last(self) -> int:
        """The highest sequence number given so far."""
        return self._last

    @property
    def first_unsettled(self) -> int:
        """The lowest sequence number that has not settled, or the next one."""
        return self._entries[0].first if self._entries else self._last + 1

    @property
    def pending(self) -> int:
        """Numbered records that have not settled."""
        return self._pending

    @property
    def held_bytes(self) -> int:
        """What the records in memory take."""
        return self._held_bytes

    @property
    def spooled(self) -> int:
        """Numbered records that have not settled and stand in the spool."""
        return sum(self._unsettled(entry) for entry in self._entries if entry.place is not None)

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
            for run, (first, last) in entry.spans.items():
                concerned = (runs is None or run in runs) and (held_too or run not in self._waiting) and first <= target
                if concerned and self._settled.missing(first, min(last, target)):
                    return False
        return True

    # Runs that are refused for now

    def hold(self, run: int) -> None:
        """Send nothing of a run until it is open; all else goes past it."""
        self._waiting.add(run)
        entries, self._entries = self._entries, deque()
        for entry in entries:
            self._entries.extend(self._apart(entry))
        self._line_up()

    def let_go(self, run: int) -> None:
        """The run is open."""
        self._waiting.discard(run)
        self._line_up()

    @property
    def is_stuck(self) -> bool:
        """Whether all that is pending belongs to runs that are refused for now."""
        return all(entry.spans.keys() <= self._waiting for entry in self._entries)

    # Sending

    def rewind(self) -> None:
        """A new epoch: everything that has not settled is sent again, and nothing else.

        Of one batch, the records of one run may have settled and those of another not. A new daemon would count the
        former a second time.
        """
        entries, self._entries = self._entries, deque()
        for entry in entries:
            left = self._settled.missing(entry.first, entry.last)
            if not left:
                self._forget(entry)
                continue
            parts = [entry] if entry.message is None else without(entry, left)
            self._held_bytes += sum(part.nbytes for part in parts) - entry.nbytes
            self._entries.extend(parts)
        for entry in self._entries:
            entry.sent = False
        self._line_up()
        self._window_bytes = self._window_entries = 0

    def next_messages(self, epoch: int) -> list[list[Buffer]]:
        """The messages of the next entry to send; none when all are sent or too much is under way."""
        while self._unsent and self._window_entries < self._window_limit_entries:
            entry = self._unsent[0]
            if self._window_bytes and self._window_bytes + entry.nbytes > self._window_limit_bytes:
                break
            self._unsent.popleft()
            if entry.spans.keys() & self._waiting:
                continue  # let_go() lines it up again
            try:
                messages = self._messages(entry, epoch)
            except DamagedSpool as error:
                self._give_up(entry, error)
                continue
            entry.sent = True
            self._window_bytes += entry.nbytes
            self._window_entries += 1
            if messages:
                return messages
        return []

    def settle(self, state: LaneState) -> None:
        """Forget what has reached its end.

        Args:
            state: of this lane, as the current daemon knows it.
        """
        # What an earlier daemon said stays true; this one may not know of it.
        for first, last in state.settled.ranges():
            self._settled.add(first, last)
        kept: deque[Entry] = deque()
        pending, unsent = 0, len(self._unsent)
        for entry in self._entries:
            count = self._unsettled(entry)
            if count:
                pending += count
                kept.append(entry)
                continue
            if entry.sent:
                self._window_bytes -= entry.nbytes
                self._window_entries -= 1
            else:
                unsent = -1
            self._forget(entry)
        self._entries, self._pending = kept, pending
        if unsent < 0:
            self._line_up()

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
        if self._spool is None:
            return 0
        self._separate(before)
        count = done_bytes = 0
        moved: dict[Entry, Entry | None] = {}
        for group in self._groups(before):
            place = self._spool.keep([frames for entry in group for frames in frames_of(entry, epoch)], epoch)
            if place is None:
                break
            moved |= dict.fromkeys(group)
            moved[group[0]] = self._moved(group, place)
            count += sum(map(self._unsettled, group))
            done_bytes += place.nbytes
            if done_bytes >= at_most_bytes:
                break
        if moved:
            now_kept = [moved.get(entry, entry) for entry in self._entries]
            self._entries = deque(entry for entry in now_kept if entry is not None)
            self._line_up()
        return count

    def restore(self, entries: Iterable[Entry]) -> None:
        """Take over what another process left in its spool."""
        self._entries.extend(sorted(entries, key=lambda entry: entry.first))
        self._last = max((entry.last for entry in self._entries), default=0)
        self._line_up()
        self._count()

    # Inside

    def _add(self, message: Message, spans: dict[int, Span], nbytes: int, made_at: float) -> None:
        """Keep the records that come next; their message has their numbers already."""
        last = max(last for _, last in spans.values())
        parts = self._apart(Entry(self._last + 1, last, spans, nbytes, made_at, message))
        self._entries.extend(parts)
        self._unsent.extend(parts)
        self._held_bytes += nbytes
        self._pending += last - self._last
        self._last = last

    def _apart(self, entry: Entry) -> list[Entry]:
        """An entry, or several, so that what must wait is not in one with what need not."""
        if len(entry.spans) == 1 or not entry.spans.keys() & self._waiting:
            return [entry]
        if entry.message is not None:
            return self._parts(entry)
        try:
            assert self._spool is not None
            assert entry.place is not None
            loaded = entries_in(self._spool.read(entry.place), entry.made_at)
        except DamagedSpool:
            return [entry]  # it is told when it is to be sent
        self._spool.release(entry.place)
        parts = [part for one in loaded for part in (split_by_run(one) if len(one.spans) > 1 else [one])]
        for part in parts:
            part.sent = entry.sent
        self._held_bytes += sum(part.nbytes for part in parts)
        return parts

    def _separate(self, before: float) -> None:
        """What goes into the spool is of one run each: one that is refused later takes no other out of it again."""
        entries, self._entries = self._entries, deque()
        for entry in entries:
            is_mixed = entry.message is not None and len(entry.spans) > 1 and entry.made_at <= before
            self._entries.extend(self._parts(entry) if is_mixed else [entry])
        if len(self._entries) != len(entries):
            self._line_up()

    def _parts(self, entry: Entry) -> list[Entry]:
        """An entry in memory, as one for each run."""
        parts = split_by_run(entry)
        surplus = sum(part.nbytes for part in parts) - entry.nbytes
        self._held_bytes += surplus
        if entry.sent:
            self._window_bytes += surplus
            self._window_entries += len(parts) - 1
        return parts

    def _groups(self, before: float) -> list[list[Entry]]:
        """What is to be put into the spool, by places."""
        groups: list[list[Entry]] = []
        for entry in self._entries:
            if entry.made_at > before:
                break
            if entry.message is None:
                continue
            if not groups or not joined(groups[-1], entry):
                groups.append([entry])
            else:
                groups[-1].append(entry)
        return groups

    def _moved(self, group: list[Entry], place: Place) -> Entry:
        """One entry for those that stand at a place of the spool now."""
        for entry in group:
            self._free(entry)
        spans: dict[int, Span] = {}
        for entry in group:
            for run, (low, high) in entry.spans.items():
                spans[run] = (spans[run][0] if run in spans else low, high)
        first, last = group[0], group[-1]
        if first.sent:
            self._window_entries -= len(group) - 1
        nbytes = sum(entry.nbytes for entry in group)
        return Entry(first.first, last.last, spans, nbytes, first.made_at, None, place, first.sent)

    def _messages(self, entry: Entry, epoch: int) -> list[list[Buffer]]:
        if entry.message is not None:
            return frames_of(entry, epoch)
        assert self._spool is not None
        assert entry.place is not None
        return sent_again(self._spool.read(entry.place), self._settled, epoch)

    def _free(self, entry: Entry) -> None:
        """An entry leaves memory."""
        self._held_bytes -= entry.nbytes

    def _forget(self, entry: Entry) -> None:
        if entry.message is not None:
            self._free(entry)
        if entry.place is not None and self._spool is not None:
            self._spool.release(entry.place)

    def _give_up(self, entry: Entry, error: DamagedSpool) -> None:
        count = self._unsettled(entry)
        self.damaged += count
        self._entries.remove(entry)
        self._forget(entry)
        self._count()
        self._say(f"{count:,} records are lost: {error}")

    def _give_up_all(self) -> None:
        self.left_in_spool = self.spooled
        self.lost += self.pending - self.left_in_spool
        for entry in self._entries:
            if entry.message is not None:
                self._free(entry)
        self._entries.clear()
        self._unsent.clear()
        self._window_bytes = self._window_entries = 0
        self._count()

    def _line_up(self) -> None:
        self._unsent = deque(entry for entry in self._entries if not entry.sent)

    def _count(self) -> None:
        self._pending = sum(map(self._unsettled, self._entries))

    def _unsettled(self, entry: Entry) -> int:
        return sum(last - first + 1 for first, last in self._settled.missing(entry.first, entry.last))
