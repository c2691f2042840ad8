"""File descriptors that forked children do not keep. Used from any thread.

A child that keeps a parent's lock file open keeps the lock when the parent is killed; one that keeps a pipe open hides
from its reader that the writer has died. ``O_CLOEXEC`` closes a descriptor in a program, not in a forked child: a hook
closes these there.
"""

from __future__ import annotations

import os
import threading

_private: set[int] = set()
# Held while a descriptor is opened and noted, and by a fork: none is forked in between.
_noting = threading.RLock()


def open_private(path: str | os.PathLike[str], flags: int, mode: int = 0o600) -> int:
    """``os.open``; raises what it raises."""
    with _noting:
        fd = os.open(path, flags | os.O_CLOEXEC, mode)
        _private.add(fd)
        return fd


def private_pipe() -> tuple[int, int]:
    """``os.pipe``."""
    with _noting:
        fds = os.pipe()
        _private.update(fds)
        return fds


def close_private(fd: int) -> None:
    """Close a descriptor that this process opened here. In a forked child, where it is closed, do not ask."""
    with _noting:
        _private.discard(fd)
        os.close(fd)


def _after_fork_in_child() -> None:
    global _noting  # noqa: PLW0603  # a lock's owner is a thread, and this one may have another name here
    _noting = threading.RLock()
    for fd in _private:
        os.close(fd)
    _private.clear()


os.register_at_fork(
    before=lambda: _noting.acquire(),  # noqa: PLW0108  # whichever it is then
    after_in_parent=lambda: _noting.release(),  # noqa: PLW0108
    after_in_child=_after_fork_in_child,
)
