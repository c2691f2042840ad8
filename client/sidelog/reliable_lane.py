"""What the light and the heavy lane have in common: numbered records that are sent, in the order of their numbers, and
sent again to the next daemon until they have settled."""

from __future__ import annotations

from sidelog.kept_records import Entry, frames_of
from sidelog.spool import DamagedSpool
from sidelog.spooled_lane import SpooledLane
from sidelog_shared.records import Buffer


class ReliableLane(SpooledLane):
    """Sends what is kept; a subclass numbers what was called."""

    def rewind(self) -> None:
        """A new epoch: everything that has not settled is sent again, and nothing else.

        Of one batch, the records of one run may have settled and those of another not. A new daemon would count the
        former a second time.
        """
        self._entries = self._left_of(self._entries)
        for run, entries in [(run, self._held.entries_of(run)) for run in self._held.runs]:
            self._held.replace(run, self._left_of(entries))
        self._line_up()
        self._window.clear()
        self._held.rewind()

    def next_messages(self, epoch: int) -> list[list[Buffer]]:
        """The messages of the next entry to send; none when all are sent or too much is under way."""
        sources = (self._next_in_line, self._next_of_backlog)
        for source in sources[:: -1 if self._is_backlogs_turn else 1]:
            if messages := source(epoch):
                self._is_backlogs_turn = source == self._next_in_line
                return messages
        return []

    def _next_in_line(self, epoch: int) -> list[list[Buffer]]:
        while self._unsent and self._window.has_room(self._unsent[0]):
            entry = self._unsent.popleft()
            try:
                messages = self._messages(entry, epoch)
            except DamagedSpool as error:
                self._entries.remove(entry)
                self._give_up(entry, error)
                continue
            if not messages:  # the daemon had it from an earlier epoch, and has written it
                self._entries.remove(entry)
                self._forget(entry)
                continue
            entry.sent = True
            self._window.add(entry)
            return messages
        return []

    def _next_of_backlog(self, epoch: int) -> list[list[Buffer]]:
        """Of runs that were refused, and are open again."""
        while (entry := self._held.next_to_send()) is not None:
            try:
                messages = self._messages(entry, epoch)
            except DamagedSpool as error:
                self._held.give_up(entry)
                self._give_up(entry, error)
                continue
            if messages:
                self._held.is_sent(entry)
                return messages
            self._held.give_up(entry)
            self._forget(entry)
        caught_up = self._held.take_sent()
        if caught_up:
            for entry in caught_up:
                self._window.add(entry)
            self._entries = sorted([*self._entries, *caught_up], key=lambda entry: entry.first)
            self._count()
        return []

    def _messages(self, entry: Entry, epoch: int) -> list[list[Buffer]]:
        if entry.message is not None:
            return frames_of(entry, epoch)
        return self._spool.messages(entry, self._settled, epoch)

    def _give_up(self, entry: Entry, error: DamagedSpool) -> None:
        """What stands in the spool cannot be read back."""
        count = self._unsettled(entry)
        self.damaged += count
        self._forget(entry)
        self._count()
        self._say(f"{count:,} records are lost: {error}")
