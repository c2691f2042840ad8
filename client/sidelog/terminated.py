"""SIGTERM in processes that multiprocessing started: what was logged before it is settled first, then they die of it.

Leaving ``with Pool()`` sends it milliseconds after the last result, and so does ``Process.terminate()``. Other
processes are left alone: torchrun's and Slurm's workers die of it as if sidelog was not there.

Not the main thread settles, but one that waits for nothing else. Python's own handlers run in the main thread, between
two bytecodes: while that thread holds a lock of ours, or not at all, when the signal comes just before it waits for a
semaphore (so do the workers of a pool; it hung in one of some 30 pools). What the interpreter does at once, in whatever
thread the signal meets, is to write a byte to a descriptor (``signal.set_wakeup_fd``), and that wakes ours.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

SETTLE_S = 3.0
"""Its parent waits for a process that multiprocessing started, and may kill it."""
_GRACE_S = 0.5
"""By so much more than they were given the connections may be late."""

_pipe: tuple[int, int] | None = None


def is_multiprocessings() -> bool:
    """Whether multiprocessing started this process.

    One that it spawns knows its parent only once it has imported the program; meanwhile it is ``_inheriting``
    (``multiprocessing/spawn.py``), and a writer that is made at the program's top is made then.
    """
    process = sys.modules.get("multiprocessing.process")
    if process is None:
        return False
    return process.parent_process() is not None or getattr(process.current_process(), "_inheriting", False)


def settle_before_dying(settlers: Callable[[], list[Callable[[float], None]]]) -> None:
    """Wait for SIGTERM from now on, where nobody else does; without effect but in a main thread of multiprocessing's.

    A handler that is there is left alone, and one that is installed later takes this one's place.

    Args:
        settlers: gives what settles one connection each, within so many seconds.
    """
    global _pipe  # noqa: PLW0603  # a process has one handler of a signal
    if (
        _pipe is not None
        or not is_multiprocessings()
        or threading.current_thread() is not threading.main_thread()
        or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        or _is_caught(signal.SIGTERM)
    ):
        return
    read, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    if before != -1:  # somebody else's, an event loop's
        signal.set_wakeup_fd(before)
        os.close(read)
        os.close(write)
        return
    _pipe = read, write
    threading.Thread(target=_watch, args=(read, settlers), name="sidelog-sigterm", daemon=True).start()
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


def _on_sigterm(number: int, _: FrameType | None) -> None:
    """Where somebody else has taken the descriptor meanwhile, the waiting thread hears of it here."""
    if _pipe is not None:
        with contextlib.suppress(BlockingIOError):  # it is full: it has been told
            os.write(_pipe[1], bytes([number]))


def _watch(read: int, settlers: Callable[[], list[Callable[[float], None]]]) -> None:
    # Other signals write there too; and the program may have a handler of its own by now.
    while signal.SIGTERM not in os.read(read, 64) or signal.getsignal(signal.SIGTERM) is not _on_sigterm:
        pass
    # From here on a SIGTERM ends the process at once. (signal.signal() is for the main thread alone.)
    ctypes.pythonapi.PyOS_setsig(signal.SIGTERM, None)
    deadline = time.monotonic() + SETTLE_S + _GRACE_S
    try:
        # Each in a thread, so that one which cannot go on costs seconds, never for ever.
        settling = [threading.Thread(target=settle, args=(SETTLE_S,), daemon=True) for settle in settlers()]
        for thread in settling:
            thread.start()
        for thread in settling:
            thread.join(max(0.0, deadline - time.monotonic()))
    finally:  # also where no thread can be had
        os.kill(os.getpid(), signal.SIGTERM)


def _after_fork_in_child() -> None:
    """A child's signals are no longer its parent's: it begins anew when it first logs."""
    global _pipe  # noqa: PLW0603
    if _pipe is None:
        return
    descriptor = signal.set_wakeup_fd(-1)
    if descriptor != _pipe[1]:  # an event loop's, by now
        signal.set_wakeup_fd(descriptor)
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for fd in _pipe:
        os.close(fd)
    _pipe = None


os.register_at_fork(after_in_child=_after_fork_in_child)
