"""Calls that come in the middle of a call, on the same thread: of signal handlers, finalizers, handlers of ``logging``.

Python runs a signal handler between two bytecodes of whatever the main thread does, and a finalizer wherever the
garbage collector comes by. Both may log. So of every lock that a logging call takes holds: it is one that its thread
may take again (``threading.RLock``), it is held for a few lines that wait for nothing, what it guards makes sense
between any two of them, and no two are held at once. And whoever waits for another thread lends it the locks that the
interrupted code holds: that does not go on before the wait is over.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from _thread import RLock

T = TypeVar("T")

_LOOK_AGAIN_S = 0.001


@contextmanager
def lent(*locks: RLock) -> Iterator[None]:
    """Let other threads have what this one holds of ``locks``, for the time of a ``with`` block in which it waits."""
    # What threading.Condition does with its lock while it waits; here it may be several.
    held = [(lock, lock._release_save()) for lock in locks if lock._is_owned()]  # type: ignore[attr-defined]  # see above
    try:
        yield
    finally:
        for lock, state in reversed(held):
            lock._acquire_restore(state)


class Flag:
    """What ``threading.Event`` is, for one thread that sets it once: that takes no lock, so that it never meets one in
    the hands of a waiter that was interrupted."""

    def __init__(self) -> None:
        self._is_set = False
        self._gate = threading.Lock()
        self._gate.acquire()

    def set(self) -> None:
        """From now on nobody waits."""
        if not self._is_set:
            self._is_set = True
            self._gate.release()

    def is_set(self) -> bool:
        return self._is_set

    def wait(self, timeout_s: float) -> bool:
        """Wait until it is set; returns whether it is."""
        if not self._is_set and self._gate.acquire(timeout=timeout_s):
            self._gate.release()  # the next who waits
        return self._is_set


class Watched(Generic[T]):
    """What one thread changes and others look at, without a lock, so that neither waits for the other.

    The thread enters this while it changes anything. A look counts if nothing was changed meanwhile.

    Args:
        look: makes what others want to see.
        nothing: what they see before anything could be seen.
    """

    def __init__(self, look: Callable[[], T], nothing: T) -> None:
        self._look = look
        self._changes = 0  # odd while something is being changed
        self._changed_by = 0
        self._seen = nothing

    def __enter__(self) -> None:
        self._changed_by = threading.get_ident()
        self._changes += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._changes += 1

    def see(self, patience_s: float) -> T:
        """How things stand.

        Args:
            patience_s: so long it tries to look between two changes. Then it is what could be seen in the middle of
                one, in which a record may be counted twice, or not at all; or what was seen last.
        """
        until = time.monotonic() + patience_s
        while True:
            before = self._changes
            try:
                seen = self._look()
            except RuntimeError:  # something was added to what was just being gone through
                is_whole = False
            else:
                is_whole = before % 2 == 0 and self._changes == before
                if is_whole or self._changed_by == threading.get_ident() or time.monotonic() >= until:
                    self._seen = seen
                    return seen
            if time.monotonic() >= until:
                return self._seen
            time.sleep(_LOOK_AGAIN_S)
