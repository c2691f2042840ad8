"""The connections of this process, one per endpoint: who uses them, and what fork and exit mean for them."""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

# Before our exit handler is registered below: pyzmq imports this at the first large frame, and it has one of its own,
# which ends what large frames need. Handlers run in the reverse order, so ours would come too late.
import zmq.utils.garbage  # noqa: F401  # for that handler

from sidelog import terminated
from sidelog.connection import Connection
from sidelog.runs import RunHandle
from sidelog.settings import Settings
from sidelog_shared.rendezvous import Rendezvous

_connections: dict[str, Connection] = {}
_leaving: list[Connection] = []
"""Those that interpreter exit is settling."""
_inherited: list[Connection] = []
_registry_lock = threading.RLock()


def connect(settings: Settings, path: str) -> tuple[Connection, RunHandle]:
    """The process's connection to an endpoint, made if there is none, and a run that is open on it.

    Both at once, so that a connection which somebody is about to use does not look unused to who ends another run.

    Raises:
        ConfigError: the runtime folder of the local daemon cannot be used.
    """
    rendezvous = None if settings.endpoint else Rendezvous()
    key = settings.endpoint or str(rendezvous.folder if rendezvous else "")
    with _registry_lock:
        connection = _connections.get(key)
        if connection is None:
            made = Connection(settings, rendezvous)
            connection = _connections.setdefault(key, made)
            if connection is not made:  # a call that interrupted this one was faster
                made.stop(0.0)
            _settle_at_exit()
        terminated.settle_before_dying(_settlers)
        return connection, connection.open_run(path)


def disconnect(connection: Connection, deadline_s: float) -> None:
    """End a connection that no writer uses any more."""
    with _registry_lock:
        if not connection.unused:
            return
        for key, known in list(_connections.items()):
            if known is connection:
                del _connections[key]
    connection.stop(deadline_s)


@contextmanager
def paused() -> Iterator[None]:
    """Hold every sender thread of this process still, while a CUDA graph is captured.

    A call of another thread can break a capture in CUDA's default capture mode. What is logged in the meantime
    from other threads waits in the outbox.
    """
    with ExitStack() as stack:
        for connection in list(_connections.values()):
            stack.enter_context(connection.paused())
        yield


class _Begun:
    """What multiprocessing is told to remember for :func:`_begin_as_child`."""


_begun = _Begun()


def _settle_at_exit() -> None:
    util = sys.modules.get("multiprocessing.util")
    if util is None or not terminated.is_multiprocessings():
        return
    # atexit does not run in every process that multiprocessing started; its finalizers do.
    util.Finalize(None, _exit, args=(terminated.SETTLE_S,), exitpriority=10)
    # A fork server's child forgets those that were there before its work begins: when it imported the program.
    util.register_after_fork(_begun, _begin_as_child)


def _begin_as_child(_: _Begun) -> None:
    """The work of this process begins; connections that it has were made before."""
    with _registry_lock:
        if _connections:
            _settle_at_exit()
            terminated.settle_before_dying(_settlers)


def _settlers() -> list[Callable[[float], None]]:
    """What settles each connection there is. Takes no lock: that of the registry is held while one is made."""
    return [connection.stop for connection in dict.fromkeys([*_connections.values(), *_leaving])]


def _exit(deadline_s: float | None = None) -> None:
    """Interpreter exit: whoever forgot to close loses nothing, up to the deadline."""
    with _registry_lock:
        left = list(_connections.values())
        _leaving.extend(left)
        _connections.clear()
    begun = time.monotonic()
    deadlines = {one: one.patience_s(one.settings.exit_timeout_s) if deadline_s is None else deadline_s for one in left}
    for connection, seconds in deadlines.items():
        connection.end_by(seconds)  # all at once, so that many take no longer than one
    for connection in left:
        try:
            connection.stop(max(0.0, deadlines[connection] - (time.monotonic() - begun)))
        except KeyboardInterrupt:
            # Nobody wants to wait, for the others neither; and there is nobody left to raise this to.
            for one in left:
                deadlines[one] = 0.0
                one.end_by(0.0)
        _leaving.remove(connection)


def _after_fork_in_child() -> None:
    """The child is a worker of its own: it never touches the parent's socket, memory or locks.

    What it inherited is kept, so that nothing of it is closed by the garbage collector.
    """
    global _registry_lock  # noqa: PLW0603  # the parent's may be held by a thread that does not exist here
    _registry_lock = threading.RLock()
    _inherited.extend([*_connections.values(), *_leaving])
    _connections.clear()
    _leaving.clear()


atexit.register(_exit)
os.register_at_fork(after_in_child=_after_fork_in_child)
