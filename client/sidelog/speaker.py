"""What a connection tells its user comes from a thread of its own, made when there is something to tell.

Not from the sender's: handlers of ``logging`` are the program's, and take locks of theirs. One may flush a writer, and
so wait for the sender, or stand still because nobody reads its pipe.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable

MAX_TEXTS = 10_000
"""So many wait at most; the newest go. Who is told so much is not reading."""


class Speaker:
    """Takes texts from any thread, and waits for nobody.

    Args:
        say: tells one.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._texts: deque[str] = deque()
        self._thread: threading.Thread | None = None

    def add(self, text: str) -> None:
        """Have it told soon."""
        if len(self._texts) < MAX_TEXTS:
            self._texts.append(text)

    def speak(self) -> None:
        """See that what was added is being told. For one thread."""
        if not self._texts or (self._thread is not None and self._thread.is_alive()):
            return
        self._thread = threading.Thread(target=self._speak_all, name="sidelog-speaker", daemon=True)
        with contextlib.suppress(RuntimeError):  # the interpreter is ending: who ends the connection tells it
            self._thread.start()

    def finish(self, timeout_s: float) -> None:
        """Tell all that is left, here; and wait, so long, for what is just being told."""
        self._speak_all()
        thread = self._thread
        if thread is not None and thread.ident is not None and thread is not threading.current_thread():
            thread.join(timeout_s)

    def _speak_all(self) -> None:
        while self._texts:
            with contextlib.suppress(IndexError):  # another thread has told it
                self._say(self._texts.popleft())
