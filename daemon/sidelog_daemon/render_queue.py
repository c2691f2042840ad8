"""What waits for a renderer: bounded in bytes, fair between workers, in order within a tag.

Policy when full: a picture that has a newer one of its run and tag behind it is superseded, and goes before any that is
the newest of its own. Of the workers that have a superseded one, that which holds the most bytes gives: the oldest of
the tag that has just come, else of its tags in turn. Where nobody has one, the worker that holds the most bytes gives
the newest picture that has waited longest. Records of the heavy lane are never dropped: what bounds them is how much
of it a client has under way.

No step looks at more than the workers: at ten times what a renderer can do, most that comes makes something go.
"""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from sidelog_shared.client_view import Backlog
from sidelog_shared.records import Lane, Record

MAX_ITEMS = 8192
"""Bounds what ten-byte pictures can take in bookkeeping; far above what a renderer lets wait otherwise."""

Series = tuple[str, int, str]
"""Worker, run and tag."""
_HEAVY = -1
"""In place of a run: a worker's whole heavy lane is one series."""


@dataclass(frozen=True, slots=True)
class Job:
    """One record to render.

    Attributes:
        worker: id of the worker that logged it.
        record: what it logged.
    """

    worker: str
    record: Record

    @property
    def series(self) -> Series:
        """What is rendered one after the other: pictures of one run and tag, and a worker's whole heavy lane."""
        if self.record.lane is Lane.HEAVY:
            return self.worker, _HEAVY, ""
        return self.worker, self.record.run, self.record.tag

    @property
    def may_be_dropped(self) -> bool:
        return self.record.lane is Lane.PICTURE


@dataclass(slots=True)
class _Line:
    """What one worker has in here.

    Attributes:
        waiting: its jobs by series, each in the order of the calls; the series whose newest has waited longest first.
        ready: the series of which none is being rendered, in the order of their turns.
        superseded: the series of which more than one picture waits, in the order in which they give.
        items: jobs that wait.
        nbytes: of its records, those being rendered included.
    """

    waiting: OrderedDict[Series, deque[Job]] = field(default_factory=OrderedDict)
    ready: OrderedDict[Series, None] = field(default_factory=OrderedDict)
    superseded: OrderedDict[Series, None] = field(default_factory=OrderedDict)
    items: int = 0
    nbytes: int = 0

    @property
    def longest_waiting(self) -> Series | None:
        """Of the series of pictures that whose newest has waited longest; at most one other is passed over."""
        return next((series for series in self.waiting if series[1] != _HEAVY), None)


class RenderQueue:
    """Put by the receiver thread, taken by the renderer threads.

    Args:
        budget_bytes: bytes of tensors that may be held, those being rendered included.
        elsewhere: bytes of the same budget that are held outside of this queue.
        scratch: bytes that rendering a record takes beside it.
    """

    def __init__(
        self,
        budget_bytes: int,
        elsewhere: Callable[[], int] = lambda: 0,
        scratch: Callable[[Record], int] = lambda _: 0,
    ) -> None:
        self._budget_bytes = budget_bytes
        self._elsewhere = elsewhere
        self._elsewhere_now = 0
        """What the receiver thread, which alone may ask, has heard last."""
        self._scratch = scratch
        self._scratch_bytes = 0
        self._largest_scratch = 0
        """Of what has come since nothing waited: so much is kept free for it."""
        self._lines: dict[str, _Line] = {}
        self._turns: OrderedDict[str, None] = OrderedDict()
        """The workers that have a series that is ready."""
        self._rendering: dict[Series, int] = {}
        """What each that is being rendered takes beside its tensors."""
        self._held_bytes = 0
        self._droppable_bytes = 0
        self._items = 0
        self._closed = False
        self._condition = threading.Condition()

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    @property
    def scratch_bytes(self) -> int:
        """What rendering takes now, beside the tensors; may be asked by any thread."""
        return self._scratch_bytes

    def held(self) -> dict[str, Backlog]:
        """What each worker has in here: records that wait, and bytes, those being rendered included."""
        with self._condition:
            return {worker: Backlog(line.items, line.nbytes) for worker, line in self._lines.items()}

    def put(self, job: Job) -> list[Job]:
        """Add a job; returns those that were dropped to make room, which may be the job itself."""
        with self._condition:
            self._largest_scratch = max(self._largest_scratch if self._items else 0, self._scratch(job.record))
            elsewhere = self._elsewhere_now = self._elsewhere()
            if job.may_be_dropped and self._can_never_fit(job, elsewhere):
                return [job]
            self._add(job)
            dropped = self._drop(elsewhere, job.series)
            self._condition.notify()
        return dropped

    def make_room(self) -> list[Job]:
        """After more is held elsewhere; returns those that were dropped."""
        with self._condition:
            self._elsewhere_now = self._elsewhere()
            return self._drop(self._elsewhere_now, None)

    def get(self) -> Job | None:
        """The next job, worker by worker in turn; None once the queue is closed. Waits while there is none."""
        with self._condition:
            while not self._closed:
                job = self._take()
                if job is not None:
                    return job
                self._condition.wait()
            return None

    def done(self, job: Job) -> None:
        """Say that a job taken by :meth:`get` is rendered and its tensors are free."""
        with self._condition:
            self._scratch_bytes -= self._rendering.pop(job.series)
            if job.series in self._lines[job.worker].waiting:
                self._make_ready(job.worker, job.series)
            self._release(job)
            self._condition.notify_all()  # there may be room for one that waits for another series

    def close(self) -> None:
        """Let every :meth:`get` return None."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    # With the lock

    def _can_never_fit(self, job: Job, elsewhere: int) -> bool:
        """Whether there is no room for it even when everything goes that may."""
        staying = self._held_bytes - self._droppable_bytes + self._scratch_bytes + elsewhere
        return staying + job.record.nbytes > self._budget_bytes

    def _drop(self, elsewhere: int, arrived: Series | None) -> list[Job]:
        """Take out what has to go."""
        dropped: list[Job] = []
        while self._is_over(elsewhere) or self._items > MAX_ITEMS:
            series = self._superseded(arrived) or self._newest()
            if series is None:
                break
            dropped.append(self._pop(series))
            self._release(dropped[-1])
        return dropped

    def _is_over(self, elsewhere: int) -> bool:
        """Whether the budget is passed. What rendering will take is kept free, unless one picture alone waits."""
        room = self._budget_bytes - self._held_bytes - elsewhere
        return room < (max(self._scratch_bytes, self._largest_scratch) if self._items > 1 else self._scratch_bytes)

    def _superseded(self, arrived: Series | None) -> Series | None:
        """The series that gives a picture that has a newer one behind it; None where nobody has one."""
        giving = [(line.nbytes, worker) for worker, line in self._lines.items() if line.superseded]
        if not giving:
            return None
        superseded = self._lines[max(giving)[1]].superseded
        if arrived in superseded:
            return arrived
        series = next(iter(superseded))
        superseded.move_to_end(series)
        return series

    def _newest(self) -> Series | None:
        """The series that gives its only picture; None where no picture waits."""
        giving = [(line.nbytes, worker, line) for worker, line in self._lines.items() if line.longest_waiting]
        return max(giving)[2].longest_waiting if giving else None

    def _add(self, job: Job) -> None:
        series, size = job.series, job.record.nbytes
        line = self._lines.setdefault(job.worker, _Line())
        jobs = line.waiting.setdefault(series, deque())
        jobs.append(job)
        line.waiting.move_to_end(series)
        line.items += 1
        line.nbytes += size
        self._items += 1
        self._held_bytes += size
        if job.may_be_dropped:
            self._droppable_bytes += size
            if len(jobs) > 1:
                line.superseded[series] = None
        if series not in self._rendering:
            self._make_ready(job.worker, series)

    def _take(self) -> Job | None:
        if not self._turns:
            return None
        worker = next(iter(self._turns))
        line = self._lines[worker]
        series = next(iter(line.ready))
        scratch = self._scratch(line.waiting[series][0].record)
        needed = self._held_bytes + self._elsewhere_now + self._scratch_bytes + scratch
        if self._rendering and needed > self._budget_bytes:
            return None  # until another is done
        job = self._pop(series)
        # One render in flight per series keeps its pictures in the order of the calls.
        self._rendering[series] = scratch
        self._scratch_bytes += scratch
        self._end_ready(worker, series)
        if worker in self._turns:
            self._turns.move_to_end(worker)
        return job

    def _pop(self, series: Series) -> Job:
        """The oldest of a series; its bytes stay counted until they are free."""
        worker = series[0]
        line = self._lines[worker]
        jobs = line.waiting[series]
        job = jobs.popleft()
        line.items -= 1
        self._items -= 1
        if job.may_be_dropped:
            self._droppable_bytes -= job.record.nbytes
        if len(jobs) < 2:
            line.superseded.pop(series, None)
        if not jobs:
            del line.waiting[series]
            self._end_ready(worker, series)
        return job

    def _make_ready(self, worker: str, series: Series) -> None:
        self._lines[worker].ready[series] = None
        self._turns[worker] = None

    def _end_ready(self, worker: str, series: Series) -> None:
        ready = self._lines[worker].ready
        ready.pop(series, None)
        if not ready:
            self._turns.pop(worker, None)

    def _release(self, job: Job) -> None:
        """Its tensors are free."""
        line = self._lines[job.worker]
        line.nbytes -= job.record.nbytes
        self._held_bytes -= job.record.nbytes
        if not line.items and all(one[0] != job.worker for one in self._rendering):
            del self._lines[job.worker]
