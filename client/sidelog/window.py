"""How much of a reliable lane is under way: sent in this epoch, and not settled."""

from __future__ import annotations

from sidelog.kept_records import Entry


class Window:
    """A daemon with a slow disk, or a slow encoder, is not handed everything.

    Args:
        limit_bytes: so much is under way at once, or one entry that is larger.
        limit_entries: so many entries are.
    """

    def __init__(self, *, limit_bytes: int, limit_entries: int) -> None:
        self._limit_bytes = limit_bytes
        self._limit_entries = limit_entries
        self._nbytes = 0
        self._entries = 0

    def part(self, parts: int) -> Window:
        """Another one, with one part in ``parts`` of the room of this one."""
        return Window(limit_bytes=self._limit_bytes // parts, limit_entries=max(1, self._limit_entries // parts))

    def has_room(self, entry: Entry) -> bool:
        """Whether an entry may be sent."""
        if self._entries >= self._limit_entries:
            return False
        return not self._nbytes or self._nbytes + entry.nbytes <= self._limit_bytes

    def add(self, entry: Entry) -> None:
        """An entry counts from now on, if it is sent."""
        if entry.sent:
            self._nbytes += entry.nbytes
            self._entries += 1

    def remove(self, entry: Entry) -> None:
        """It does not any more."""
        if entry.sent:
            self._nbytes -= entry.nbytes
            self._entries -= 1

    def clear(self) -> None:
        """A new epoch: nothing is sent."""
        self._nbytes = self._entries = 0
