"""A pipe that wakes a thread out of its poll, from other threads and from signal handlers."""

from __future__ import annotations

import contextlib
import os


class Wakeup:
    """Wake-ups do not add up: however many came, one :meth:`clear` takes them all.

    The thread that is woken polls ``read_fd``, clears, and then looks for work; who wakes it puts the work there first.
    """

    def __init__(self) -> None:
        self.read_fd, self._write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)
        os.set_blocking(self._write_fd, False)
        self._closed = False
        self._woken = False

    def wake(self) -> None:
        if self._closed or self._woken:
            return
        self._woken = True
        # A full pipe holds wake-ups enough.
        with contextlib.suppress(BlockingIOError):
            os.write(self._write_fd, b"\0")

    def clear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.read_fd, 4096)) == 4096:
                pass
        # Last: who finds the flag set until here has put its work where the thread looks after this.
        self._woken = False

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            os.close(self.read_fd)
            os.close(self._write_fd)
