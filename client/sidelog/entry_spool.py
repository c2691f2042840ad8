"""Entries of a reliable lane on their way into the spool and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sidelog.kept_records import Entry, entries_in, frames_of, in_one_place, numbers_in, sent_again, split_by_run
from sidelog.spool import DamagedSpool, Spool
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.records import Buffer


class EntrySpool:
    """The spool, in terms of entries.

    Args:
        spool: where records are kept; None keeps none.

    Attributes:
        is_full: it took nothing when it was last asked, or there is none.
    """

    def __init__(self, spool: Spool | None) -> None:
        self._spool = spool
        self.is_full = spool is None or not spool.keeps
        self._known_damages = 0

    @property
    def takes(self) -> bool:
        """Whether it may have room."""
        return self._spool is not None and self._spool.takes

    def tend(self, epoch: int) -> None:
        """See to its file, and mend it where that is needed."""
        if self._spool is not None:
            self._spool.tend(epoch)

    def is_newly_damaged(self) -> bool:
        """Whether, since this was last asked, something was found to be missing in it."""
        damages = 0 if self._spool is None else self._spool.damages
        known, self._known_damages = self._known_damages, damages
        return known != damages

    def is_there_at_last(self) -> bool:
        """Whether its file is where its path says, or could be written there again now."""
        if self._spool is None:
            return False
        self._spool.tend(0, at_last=True)
        return self._spool.is_there

    def put(self, group: Sequence[Entry], epoch: int) -> Entry | None:
        """Put entries in memory, of one run, into one place.

        Returns:
            The entry that stands for them from now on; None where there is no room.
        """
        assert self._spool is not None
        place = self._spool.keep([frames for entry in group for frames in frames_of(entry, epoch)], epoch)
        self.is_full = place is None
        return None if place is None else in_one_place(group, place)

    def take_back(self, entry: Entry) -> list[Entry]:
        """What stands at an entry's place, in memory again, as entries of one run each.

        Raises:
            DamagedSpool: it cannot be read; it stays there.
        """
        messages = self._read(entry)
        parts = [
            part
            for one in entries_in(messages, entry.made_at)
            for part in (split_by_run(one) if len(one.spans) > 1 else [one])
        ]
        for part in parts:
            part.sent = entry.sent
        self.release(entry)
        return parts

    def without_damaged(self, entries: Iterable[Entry], *, at_last: bool = False) -> tuple[list[Entry], list[Entry]]:
        """Have each entry stand for what is whole at its place.

        Args:
            entries: in memory or here.
            at_last: also those that are sent, and may settle all the same until then.

        Returns:
            Those of which something is left; the others.
        """
        kept: list[Entry] = []
        gone: list[Entry] = []
        for entry in entries:
            stays = (entry.sent and not at_last) or self._cut_down(entry)
            (kept if stays else gone).append(entry)
        return kept, gone

    def has_damaged(self, entries: Iterable[Entry]) -> bool:
        """Whether the place of any of these is damaged."""
        return any(entry.place is not None and entry.place.is_damaged for entry in entries)

    def _cut_down(self, entry: Entry) -> bool:
        place = entry.place
        if place is None or not place.is_damaged:
            return True
        place.is_damaged = False
        try:
            numbers = numbers_in(self._read(entry)).ranges()
        except DamagedSpool:
            return False
        if not numbers:
            return False
        entry.numbers, entry.first, entry.last = numbers, numbers[0][0], numbers[-1][1]
        (run,) = entry.spans
        entry.spans = {run: (entry.first, entry.last)}
        return True

    def messages(self, entry: Entry, settled: IntervalSet, epoch: int) -> list[list[Buffer]]:
        """What is to be sent of an entry that is here, without what has settled.

        Raises:
            DamagedSpool: it cannot be read.
        """
        return sent_again(self._read(entry), settled, epoch)

    def release(self, entry: Entry) -> None:
        """An entry is not needed any more."""
        if entry.place is not None and self._spool is not None:
            self._spool.release(entry.place)

    def _read(self, entry: Entry) -> list[list[bytes]]:
        if self._spool is None or entry.place is None:
            raise DamagedSpool("what was kept is nowhere")
        return self._spool.read(entry.place)
