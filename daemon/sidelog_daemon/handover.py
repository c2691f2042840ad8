"""What is rendered and on its way to the writer thread: bounded in bytes. Who renders waits for who writes."""

from __future__ import annotations

import threading


class Handover:
    """A gate for finished content; it counts, and the writer's queue carries.

    Full: the renderer waits, and pictures pile up in its queue, which knows what to drop. A slow disk thus costs no
    more memory than a slow renderer.

    Args:
        limit_bytes: so much is under way at once, or one content that is larger.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._closed = False
        self._condition = threading.Condition()

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def enter(self, nbytes: int) -> None:
        """Content is finished; waits while there is no room. Called by renderer threads."""
        with self._condition:
            self._condition.wait_for(
                lambda: self._closed or not self._held_bytes or self._held_bytes + nbytes <= self._limit_bytes
            )
            self._held_bytes += nbytes

    def leave(self, nbytes: int) -> None:
        """The writer thread has taken it."""
        with self._condition:
            self._held_bytes -= nbytes
            self._condition.notify_all()

    def close(self) -> None:
        """Nobody takes anything any more: nobody waits."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
