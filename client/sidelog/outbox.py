"""The outbox: what was called and not yet sent. Calling threads put, the sender thread takes.

Two queues, each bounded, each with one policy:

* ``light`` (scalars and texts, reliable): bounded in items. Full means that the daemon has been away for long and
  the sender holds all that it may; the newest call is not taken, counted, warned of once, and an error at
  ``flush()`` and ``close()``.
* ``pictures`` (best effort): bounded in bytes by the snapshot memory. Full: the oldest unsent picture of the same
  run and tag goes; where there is none, the oldest unsent of any tag; where there is none, the new one. Counted.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from sidelog.runs import RunHandle
from sidelog.snapshot import Snapshot
from sidelog_shared.errors import SidelogError
from sidelog_shared.records import Kind, Series

if TYPE_CHECKING:
    from sidelog.cuda_snapshot import PendingScalar

MAX_LIGHT_ITEMS = 200_000
"""About 40 MB of waiting calls."""
MAX_PICTURES = 1024
"""Waiting pictures; however small they are."""

ScalarCall: TypeAlias = "tuple[Series, int, float, float | PendingScalar]"
"""series, step (``limits.STEP_NONE`` for none), wall time, value (which may still be on a device)."""


@dataclass(frozen=True, slots=True)
class TextCall:
    """One ``add_text``; ``payload`` is UTF-8."""

    run: int
    tag: str
    step: int | None
    wall_time: float
    payload: bytes


@dataclass(slots=True, eq=False, kw_only=True)
class Fence:
    """A place in the queue: something is to happen once everything before it is settled.

    Attributes:
        light_target: number of the newest light record before it.
        picture_target: ordinal of the newest picture before it, if none is dropped.
    """

    light_target: int = 0
    picture_target: int = 0


@dataclass(slots=True, eq=False)
class FlushRequest(Fence):
    """A caller waits.

    Attributes:
        pictures: whether pictures count too.
        done: set when it is so, or when it cannot be.
        error: why it cannot be.
        asked: the daemon was asked to write at once.
    """

    pictures: bool
    done: threading.Event = field(default_factory=threading.Event)
    error: SidelogError | None = None
    asked: bool = False

    def fail(self, error: SidelogError) -> None:
        self.error = error
        self.done.set()


@dataclass(slots=True, eq=False)
class RunEnd(Fence):
    """The last writer of a run has closed: the daemon may let go of it."""

    run: RunHandle


LightCall: TypeAlias = "ScalarCall | TextCall | Fence"


@dataclass(slots=True, eq=False)
class PictureCall:
    """One picture or histogram with its snapshots.

    Attributes:
        ordinal: counts the pictures that the sender takes, from 1; 0 while this one waits.
    """

    run: int
    kind: Kind
    tag: str
    step: int | None
    wall_time: float
    options: dict[str, object]
    snapshots: tuple[Snapshot, ...]
    ordinal: int = 0

    @property
    def nbytes(self) -> int:
        return sum([snapshot.spec.nbytes for snapshot in self.snapshots])


class Outbox:
    """See the module.

    Args:
        wake: wakes the sender; called only when its next look would come too late.
        pressure_bytes: when about so many bytes of pictures wait, the sender's next look would come too late.

    Attributes:
        light: the light queue; ``add_scalar`` appends to it directly.
        dormant: the sender looks seldom, and must be woken.
        light_refused: calls that were not taken because the light queue was full, or the connection had ended.
        dropped: pictures dropped here, by tag.
    """

    def __init__(self, wake: Callable[[], None], pressure_bytes: int) -> None:
        self.light: deque[LightCall] = deque()
        self.dormant = False
        self.light_refused = 0
        self.dropped: Counter[str] = Counter()
        self._wake = wake
        self._pressure_bytes = pressure_bytes
        self._pictures: deque[PictureCall] = deque()
        self._taken = 0
        self._fences = 0
        self._ended = False
        self._lock = threading.Lock()

    # Calling threads

    def put_light(self, call: ScalarCall | TextCall) -> bool:
        """Queue a call; False when it was not taken because the queue is full."""
        if self._ended or len(self.light) >= MAX_LIGHT_ITEMS:
            self._refuse()
            return False
        self.light.append(call)
        if self.dormant:
            self.dormant = False
            self._wake()
        return True

    def put_fence(self, fence: Fence) -> None:
        """Queue a fence behind all that this thread has called; there is always room for it."""
        with self._lock:
            fence.picture_target = self._taken + len(self._pictures)
            self._fences += 1
            self.light.append(fence)
        self._wake()

    def put_picture(self, call: PictureCall) -> None:
        """Queue a picture. Takes no lock unless the queue is full."""
        if self._ended:
            for snapshot in call.snapshots:
                snapshot.release()
            self._refuse()
            return
        waiting = len(self._pictures)
        if waiting >= MAX_PICTURES:
            self.make_room(call.run, call.tag)
        self._pictures.append(call)
        if self.dormant or waiting * call.nbytes > self._pressure_bytes:
            self.dormant = False
            self._wake()

    def _refuse(self) -> None:
        with self._lock:
            self.light_refused += 1
        if self._ended:
            self._wake()

    def end(self) -> None:
        """Nobody takes anything out any more: what is called from now on is not taken, and counted."""
        self._ended = True
        self.dormant = True  # so that whoever appends directly asks first

    def make_room(self, run: int, tag: str) -> bool:
        """Drop the picture whose turn it is, by the policy; False when there is none left to drop."""
        with self._lock:
            if not self._pictures:
                return False
            self._drop(self._victim(run, tag))
        return True

    def count_drop(self, tag: str) -> None:
        """A picture for which there was no memory at all."""
        with self._lock:
            self.dropped[tag] += 1
        self._wake()

    def _victim(self, run: int, tag: str) -> PictureCall:
        for call in list(self._pictures):  # a copy: other threads append meanwhile
            if call.tag == tag and call.run == run:
                return call
        return self._pictures[0]

    def _drop(self, call: PictureCall) -> None:
        self._pictures.remove(call)
        self.dropped[call.tag] += 1
        for snapshot in call.snapshots:
            snapshot.release()

    # The sender thread

    def drops(self) -> Counter[str]:
        """Pictures dropped here so far, by tag."""
        with self._lock:
            return self.dropped.copy()

    def take_picture(self) -> PictureCall | None:
        """The oldest picture that waits; gets its ordinal."""
        with self._lock:
            if not self._pictures:
                return None
            call = self._pictures.popleft()
            self._taken += 1
            call.ordinal = self._taken
            return call

    def fence_passed(self) -> None:
        """A fence was taken off the queue."""
        with self._lock:
            self._fences -= 1

    @property
    def light_count(self) -> int:
        """Records that wait in the light queue."""
        with self._lock:
            return max(0, len(self.light) - self._fences)

    @property
    def first_waiting_ordinal(self) -> int | None:
        """What the oldest picture that waits will get; None when none does."""
        return self._taken + 1 if self._pictures else None

    @property
    def picture_count(self) -> int:
        return len(self._pictures)
