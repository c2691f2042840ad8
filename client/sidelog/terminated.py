"""SIGTERM in processes that multiprocessing started: what was logged before it is settled first, then they die of it.

Leaving ``with Pool()`` sends it milliseconds after the last result, and so does ``Process.terminate()``. Other
processes are left alone: torchrun's and Slurm's workers die of it as if sidelog was not there.

The handler runs in the main thread, between two bytecodes. A main thread that is stuck in C code runs it only once it
is back; until then the process stays, as with every handler of Python's. SIGKILL ends it all the same
(``torch.multiprocessing.spawn`` sends that after 30 s).
"""

from __future__ import annotations

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import NoReturn

SETTLE_S = 3.0
"""Its parent waits for a process that multiprocessing started, and may kill it."""
_GRACE_S = 0.5
"""By so much more than they were given the connections may be late: a lock that is never released, say."""
_LOCKING_S = 0.3
"""So long the main thread may take to leave code that takes locks. A flush, which takes longer, holds none."""
_LOCKING = frozenset({"sidelog", "sidelog_shared", "logging"})
"""Packages whose locks the settling needs, and which the main thread may hold while it is in them."""

_settlers: Callable[[], list[Callable[[float], None]]] = list
_first_at: float | None = None


def is_multiprocessings() -> bool:
    """Whether multiprocessing started this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def settle_before_dying(settlers: Callable[[], list[Callable[[float], None]]]) -> None:
    """Handle SIGTERM from now on, where nobody else does; without effect but in a main thread of multiprocessing's.

    A handler that is there is left alone, and one that is installed later takes this one's place.

    Args:
        settlers: gives what settles one connection each, within so many seconds. Must take no lock.
    """
    global _settlers  # noqa: PLW0603  # a process has one handler
    if (
        is_multiprocessings()
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        and not _is_caught(signal.SIGTERM)
    ):
        _settlers = settlers
        signal.signal(signal.SIGTERM, _on_sigterm)


def _is_caught(number: int) -> bool:
    """Whether C code handles a signal, of which Python does not know.

    torch's does in DataLoader workers: they exit with 0, or the parent's SIGCHLD handler would raise for them
    (``torch/csrc/DataLoader.cpp``). To take its place would break that.
    """
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return False
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
    return bool(int(caught, 16) >> (number - 1) & 1)


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    global _first_at  # noqa: PLW0603
    settlers = _settlers()
    locking = _outermost_locking(frame)
    now = time.monotonic()
    _first_at = now if _first_at is None else _first_at
    if not settlers or locking is None or now - _first_at >= _LOCKING_S:
        _settle_and_die(settlers)

    def leaves(frame: FrameType, event: str, _: object) -> None:
        if event == "return" and frame is locking:
            sys.setprofile(None)
            _settle_and_die(settlers)

    # It may hold locks: it goes on until it has left that code, which a profiler's hook sees.
    try:
        # Not a threading.Thread: its start takes locks, which the main thread may hold as well.
        _thread.start_new_thread(_again, ())
    except RuntimeError:  # no thread can be had: nothing can be waited for
        _settle_and_die(())
    sys.setprofile(leaves)


def _outermost_locking(frame: FrameType | None) -> FrameType | None:
    found = None
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] in _LOCKING:
            found = frame
        frame = frame.f_back
    return found


def _again() -> None:
    """Run the handler once more, where the main thread waits in that code: without effect once it is settling."""
    time.sleep(_LOCKING_S)
    _thread.interrupt_main(signal.SIGTERM)


def _settle_and_die(settlers: Iterable[Callable[[float], None]]) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # from here on another one ends the process at once
    try:
        deadline = time.monotonic() + SETTLE_S + _GRACE_S
        # In threads, so that one which cannot go on costs seconds, never for ever.
        begun = [_begin(settle) for settle in settlers]
        for running in begun:
            running.acquire(timeout=max(0.0, deadline - time.monotonic()))
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        os._exit(128 + signal.SIGTERM)  # not reached, but where SIGTERM is blocked


def _begin(settle: Callable[[float], None]) -> threading.Lock:
    """Run it in a thread; returns a lock that is free once it is done."""
    running = threading.Lock()
    running.acquire()

    def run() -> None:
        try:
            settle(SETTLE_S)
        finally:
            running.release()

    _thread.start_new_thread(run, ())
    return running


def _after_fork_in_child() -> None:
    """The handler is inherited; what the parent had begun is not."""
    global _first_at  # noqa: PLW0603
    _first_at = None


os.register_at_fork(after_in_child=_after_fork_in_child)
