"""Entries of a reliable lane on their way into the spool and back."""

from __future__ import annotations

from collections.abc import Sequence

from sidelog.kept_records import Entry, entries_in, frames_of, in_one_place, sent_again, split_by_run
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

    @property
    def takes(self) -> bool:
        """Whether it may have room."""
        return self._spool is not None and self._spool.takes

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
