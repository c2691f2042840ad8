"""The C library's allocator, where it is glibc's; elsewhere nothing of this does anything."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_M_ARENA_MAX = -8
"""malloc.h"""
_STATM = Path("/proc/self/statm")


def use_one_arena() -> None:
    """To be called before there are threads.

    A thread of ZeroMQ allocates what a renderer frees, in an arena of its own. Pictures of many sizes that are dropped
    in any order leave holes there that no other thread fills: 1,030 MiB instead of 980 after ten seconds of overload
    (``scripts/bench_overload.py``). Four threads that mostly hold the interpreter's lock hardly wait for one another.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)


def give_back() -> None:
    """Give free pages back to the system, those between used ones too."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def resident_bytes() -> int:
    """This process's resident memory; 0 where the system does not tell."""
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
