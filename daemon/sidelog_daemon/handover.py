"""What is rendered and on its way to the writer thread: bounded in bytes. Who renders waits for who writes."""

from __future__ import annotations

import threading


class Handover:
    """A gate for finished content; it counts, and the writer's queue carries.

    Who waits is let in in the order of coming: many small contents do not keep a large one out.

    Full: the renderer waits, and pictures pile up in its queue, which knows what to drop. A slow disk thus costs no
    more memory than a slow renderer.

    Args:
        limit_bytes: so much is under way at once, or one content that is larger.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._next_ticket = 0
        self._serving = 0
        self._closed = False
        self._condition = threading.Condition()

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def enter(self, nbytes: int) -> None:
        """Content is finished; waits while there is no room. Called by renderer threads."""
        with self._condition:
            ticket = self._next_ticket
            self._next_ticket += 1
            self._condition.wait_for(lambda: self._closed or (ticket == self._serving and self._has_room(nbytes)))
            self._serving = ticket + 1
            self._held_bytes += nbytes
            self._condition.notify_all()

    def leave(self, nbytes: int) -> None:
        """The writer thread has taken it."""
        with self._condition:
            self._held_bytes -= nbytes
            self._condition.notify_all()

    def _has_room(self, nbytes: int) -> bool:
        return not self._held_bytes or self._held_bytes + nbytes <= self._limit_bytes

    def close(self) -> None:
        """Nobody takes anything any more: nobody waits."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
