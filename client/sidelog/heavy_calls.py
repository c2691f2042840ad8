"""Calls that make heavy records: room is made for what they hold, and it is copied, on the calling thread."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from sidelog.arrays import Array, dtype_of
from sidelog.calls import RecordCall
from sidelog.connection import Connection
from sidelog.snapshot import Snapshot, kept_bytes
from sidelog_shared.limits import MIB

KEEP_WAIT_S = 30.0
"""So long a picture that must not be dropped waits for room. Whoever asked for that prefers it to a hole."""


class HeavyCalls:
    """Puts heavy records into the outbox of a connection.

    Args:
        connection: where they go.
    """

    def __init__(self, connection: Connection) -> None:
        self._outbox = connection.outbox
        self._snapshotter = connection.snapshotter
        self._say = connection.say

    def put(self, call: RecordCall, contents: Sequence[Array | bytes]) -> None:
        """Log a large record that is never dropped; where there is no room it is not taken, and counted.

        Args:
            call: without its snapshots.
            contents: tensors, which are copied, and documents.
        """
        nbytes = sum(len(one) if isinstance(one, bytes) else _nbytes(one) for one in contents)
        tensors = [one for one in contents if not isinstance(one, bytes)]
        copy = self._snapshotter.copy
        self._put(
            call,
            tensors,
            nbytes,
            lambda: tuple(kept_bytes(one) if isinstance(one, bytes) else copy(one) for one in contents),
        )

    def keep(
        self,
        call: RecordCall,
        arrays: Sequence[Array],
        shape: tuple[int, ...],
        others: tuple[Snapshot, ...] = (),
    ) -> None:
        """Log a picture or a histogram that must not be dropped: it waits where there is no room.

        Args:
            call: without its snapshots.
            arrays: what is copied, into one of this shape.
            shape: see ``arrays``.
            others: snapshots that follow it.
        """
        nbytes = math.prod(shape) * dtype_of(arrays[0]).itemsize + sum(one.spec.nbytes for one in others)
        self._put(
            call,
            arrays[:1],
            nbytes,
            lambda: (self._snapshotter.copy_all(arrays, shape), *others),
            wait_s=KEEP_WAIT_S,
        )

    def _put(
        self,
        call: RecordCall,
        tensors: Iterable[Array],
        nbytes: int,
        copies: Callable[[], tuple[Snapshot, ...]],
        *,
        wait_s: float = 0.0,
    ) -> None:
        if any(map(_is_capturing, tensors)):
            self._outbox.count_drop(call.run, call.tag)
            return
        limit = self._outbox.heavy_budget_bytes
        if nbytes > limit:
            size = nbytes / MIB
            self._say(f"{call.tag!r} is {size:.0f} MiB and never logged: SIDELOG_HEAVY_MB allows {limit / MIB:.0f}")
        if not self._outbox.reserve_heavy(nbytes, wait_s=wait_s):
            return
        try:
            call.snapshots = copies()
        except BaseException:  # no memory, or a device that failed
            self._outbox.free_heavy(nbytes)
            raise
        self._outbox.put_heavy(call)


def _nbytes(array: Array) -> int:
    return math.prod(array.shape) * dtype_of(array).itemsize


def _is_capturing(array: Array) -> bool:
    """Whether a CUDA graph is being captured, in which nothing can be copied to the host."""
    if isinstance(array, np.ndarray) or not array.is_cuda:
        return False
    from sidelog.torch_grid import is_capturing

    return is_capturing(array.device)
