"""The outbox: what was called and not yet sent. Calling threads put, the sender thread takes.

Three queues, each bounded, each with one policy:

* ``light`` (scalars, texts and other small records, reliable): bounded in items and in the bytes of texts and the like.
* ``heavy`` (audio, video, meshes and the like, reliable): bounded in bytes, those that the sender keeps until they have
  settled included. Full, of either, means that the daemon has been away for long, or is slow; the newest call is not
  taken, counted, warned of once, and an error at ``flush()`` and ``close()``.
* ``pictures`` (best effort): bounded in bytes by the snapshot memory. Full: the oldest unsent picture of the same
  run and tag goes; where there is none, the oldest unsent of any tag; where there is none, the new one. Counted.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable

from sidelog.calls import Fence, LightCall, RecordCall, ScalarCall
from sidelog_shared.limits import MIB

MAX_LIGHT_ITEMS = 200_000
"""About 40 MB of waiting calls."""
MAX_LIGHT_BYTES = 64 * MIB
"""Of texts, hyperparameters, layouts and the like that wait."""
STALLED_S = 3.0
"""Pictures that wait for so long, and none is taken, wait for a daemon that is dead or frozen. A start takes less."""
MAX_PICTURES = 1024
"""Waiting pictures; however small they are."""


class Outbox:
    """See the module.

    Args:
        wake: wakes the sender; called only when its next look would come too late.
        pressure_bytes: when about so many bytes of pictures wait, the sender's next look would come too late.
        heavy_bytes: bytes of heavy records that may be held.

    Attributes:
        light: the light queue; ``add_scalar`` appends to it directly.
        heavy_budget_bytes: bytes of heavy records that may be held.
        dormant: the sender looks seldom, and must be woken.
        flows: the daemon takes what is sent; else nobody is woken to send more.
        stalled: pictures wait, and for seconds none was taken.
        refused: calls that were not taken because the light or the heavy queue was full.
        late: calls that were not taken because the connection was ending, or had ended.
        dropped: pictures dropped here, by tag.
        dropped_in_runs: the same, by run and tag.
        lock: of everything but the queues themselves; see :mod:`sidelog.reentry`.
    """

    def __init__(self, wake: Callable[[], None], *, pressure_bytes: int, heavy_bytes: int) -> None:
        self.light: deque[LightCall] = deque()
        self.dormant = False
        self.flows = True
        self.stalled = False
        self._moved_at: float | None = None
        self._seen_taken = 0
        self.refused = 0
        self.late = 0
        self.dropped: Counter[str] = Counter()
        self.dropped_in_runs: Counter[tuple[int, str]] = Counter()
        self._wake = wake
        self._pressure_bytes = pressure_bytes
        self._light_bytes = 0
        self._heavy: deque[RecordCall] = deque()
        self.heavy_budget_bytes = heavy_bytes
        self._heavy_held_bytes = 0
        self._heavy_put = 0
        self._pictures: deque[RecordCall] = deque()
        self._taken = 0
        self._fences = 0
        self._ended = False
        self.lock = threading.RLock()
        self._heavy_room = threading.Condition(self.lock)

    # Calling threads

    def put_light(self, call: ScalarCall | RecordCall) -> bool:
        """Queue a call; False when it was not taken because the queue is full."""
        if self._ended or len(self.light) >= MAX_LIGHT_ITEMS or not self._has_room(call):
            self._refuse()
            return False
        self.light.append(call)
        if self.dormant:
            self.dormant = False
            self._wake()
        return True

    def _has_room(self, call: ScalarCall | RecordCall) -> bool:
        if not isinstance(call, RecordCall):
            return True
        nbytes = call.nbytes
        with self.lock:
            # One that is larger than all there may be is taken when nothing else waits.
            if self._light_bytes and self._light_bytes + nbytes > MAX_LIGHT_BYTES:
                return False
            self._light_bytes += nbytes
        return True

    def put_fence(self, fence: Fence) -> None:
        """Queue a fence behind all that this thread has called; there is always room for it."""
        with self.lock:
            fence.heavy_target = self._heavy_put
            fence.picture_target = self._taken + len(self._pictures)
            self._fences += 1
            self.light.append(fence)
        self._wake()

    def reserve_heavy(self, nbytes: int, *, wait_s: float = 0.0) -> bool:
        """Make room for a heavy record; False, and counted, when there is none. ``put_heavy`` must follow.

        Args:
            nbytes: its size.
            wait_s: so long it may wait for room.
        """
        may_wait = bool(wait_s) and nbytes <= self.heavy_budget_bytes
        if may_wait and not self._has_heavy_room(nbytes):
            self._wake()
        with self._heavy_room:
            if may_wait and not self._has_heavy_room(nbytes):
                self._heavy_room.wait_for(lambda: self._ended or self._has_heavy_room(nbytes), wait_s)
            if not self._ended and self._has_heavy_room(nbytes):
                self._heavy_held_bytes += nbytes
                return True
        self._refuse()
        return False

    def _has_heavy_room(self, nbytes: int) -> bool:
        return self._heavy_held_bytes + nbytes <= self.heavy_budget_bytes

    def put_heavy(self, call: RecordCall) -> None:
        """Queue a heavy record for which there is room."""
        with self.lock:
            self._heavy_put += 1
            self._heavy.append(call)
        # A sender that is woken may take the interpreter lock from this thread before it is back in the training.
        if self.dormant or (self.flows and 2 * self._heavy_held_bytes > self.heavy_budget_bytes):
            self.dormant = False
            self._wake()

    def put_picture(self, call: RecordCall) -> None:
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
        if self.dormant or (self.flows and waiting * call.nbytes > self._pressure_bytes):
            self.dormant = False
            self._wake()

    def _refuse(self) -> None:
        with self.lock:
            if self._ended:
                self.late += 1
            else:
                self.refused += 1
        if self._ended:
            self._wake()

    def end(self) -> None:
        """Take nothing more: what is called from now on is counted. What is in here is still taken out."""
        self._ended = True
        self.dormant = True  # so that whoever appends directly asks first

    def is_watched(self, now: float) -> None:
        """The sender looks, now and at once when something comes."""
        self.dormant = self._ended
        if self._moved_at is None or self._taken != self._seen_taken or not self._pictures:
            self._seen_taken, self._moved_at = self._taken, now
        self.stalled = now - self._moved_at > STALLED_S

    def make_room(self, run: int, tag: str) -> bool:
        """Drop the picture whose turn it is, by the policy; False when there is none left to drop."""
        with self.lock:
            victim = self._take_victim(run, tag)
        if victim is None:
            return False
        for snapshot in victim.snapshots:
            snapshot.release()
        return True

    def count_drop(self, run: int, tag: str) -> None:
        """A picture for which there was no memory at all."""
        with self.lock:
            self._count_drop(run, tag)
        if self.dormant or self.flows:
            self._wake()

    def _take_victim(self, run: int, tag: str) -> RecordCall | None:
        waiting = list(self._pictures)  # a copy: other threads append meanwhile
        same = [call for call in waiting if call.tag == tag and call.run == run]
        for call in same[:1] or waiting[:1]:
            try:
                self._pictures.remove(call)
            except ValueError:  # a call that interrupted this one has dropped it
                return self._take_victim(run, tag)
            self._count_drop(call.run, call.tag)
            return call
        return None

    def _count_drop(self, run: int, tag: str) -> None:
        self.dropped[tag] += 1
        self.dropped_in_runs[run, tag] += 1

    # The sender thread

    def drops(self) -> Counter[str]:
        """Pictures dropped here so far, by tag."""
        with self.lock:
            return self.dropped.copy()

    def drops_in_runs(self) -> Counter[tuple[int, str]]:
        """Pictures dropped here so far, by run and tag."""
        with self.lock:
            return self.dropped_in_runs.copy()

    def take_picture(self) -> RecordCall | None:
        """The oldest picture that waits; gets its ordinal."""
        with self.lock:
            if not self._pictures:
                return None
            call = self._pictures.popleft()
            self._taken += 1
            call.ordinal = self._taken
            return call

    def take_heavy(self) -> RecordCall | None:
        """The oldest heavy record that waits; the n-th that is taken is number n of its lane."""
        with self.lock:
            return self._heavy.popleft() if self._heavy else None

    def free_heavy(self, nbytes: int) -> None:
        """Heavy records have settled: there is room again."""
        with self._heavy_room:
            self._heavy_held_bytes -= nbytes
            self._heavy_room.notify_all()

    def go_on_from(self, heavy: int) -> None:
        """So many heavy records were put before, by a process that is gone."""
        self._heavy_put = heavy

    def free_light(self, nbytes: int) -> None:
        """A text or the like was taken off the light queue."""
        with self.lock:
            self._light_bytes -= nbytes

    @property
    def heavy_bytes(self) -> int:
        """Heavy records that have not settled, those that the sender keeps included."""
        return self._heavy_held_bytes

    @property
    def picture_bytes(self) -> int:
        """Snapshots of the pictures that wait."""
        return sum([snapshot.spec.nbytes for call in list(self._pictures) for snapshot in call.snapshots])

    @property
    def pictures_called(self) -> int:
        """The ordinal of the newest picture, if none that waits is dropped."""
        return self._taken + len(self._pictures)

    @property
    def heavy_count(self) -> int:
        return len(self._heavy)

    @property
    def heavy_is_short(self) -> bool:
        """Whether heavy records fill most of what they may hold."""
        return 4 * self._heavy_held_bytes > 3 * self.heavy_budget_bytes

    @property
    def has_records(self) -> bool:
        """Whether records of the light or the heavy lane wait, or fences."""
        return bool(self.light or self._heavy)

    @property
    def has_calls(self) -> bool:
        """Whether anything waits, fences included."""
        return bool(self.light or self._heavy or self._pictures)

    def fence_passed(self) -> None:
        """A fence was taken off the queue."""
        with self.lock:
            self._fences -= 1

    @property
    def light_count(self) -> int:
        """Records that wait in the light queue."""
        with self.lock:
            return max(0, len(self.light) - self._fences)

    def first_waiting_ordinal(self, runs: frozenset[int] | None = None) -> int | None:
        """What the oldest picture that waits, of these runs, will get; None when none does."""
        if runs is None:
            return self._taken + 1 if self._pictures else None
        with self.lock:
            waiting = enumerate(list(self._pictures), start=self._taken + 1)
            return next((ordinal for ordinal, call in waiting if call.run in runs), None)

    def first_waiting_ordinals(self) -> dict[int, int]:
        """The same, run by run."""
        found: dict[int, int] = {}
        with self.lock:
            for ordinal, call in enumerate(list(self._pictures), start=self._taken + 1):
                found.setdefault(call.run, ordinal)
        return found

    @property
    def picture_count(self) -> int:
        return len(self._pictures)
