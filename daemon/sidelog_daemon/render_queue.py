"""What waits for a renderer: bounded in bytes, fair between workers, in order within a tag.

Policy when full: the oldest waiting picture of the same worker, run and tag goes first; where there is none, the
oldest picture of the worker that holds the most bytes. Records of the heavy lane are never dropped: what bounds them is
how much of it a client has under way.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass

from sidelog_shared.client_view import Backlog
from sidelog_shared.records import Lane, Record

MAX_ITEMS = 8192
"""Bounds what ten-byte pictures can take in bookkeeping; far above what a renderer lets wait otherwise."""


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
    def series(self) -> tuple[str, int, str]:
        """What is rendered one after the other: pictures of one run and tag, and a worker's whole heavy lane."""
        if self.record.lane is Lane.HEAVY:
            return self.worker, -1, ""
        return self.worker, self.record.run, self.record.tag


class RenderQueue:
    """Put by the receiver thread, taken by the renderer threads.

    Args:
        budget_bytes: bytes of tensors that may be held, those being rendered included.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._budget_bytes = budget_bytes
        self._waiting: OrderedDict[str, deque[Job]] = OrderedDict()
        self._bytes: Counter[str] = Counter()
        self._rendering: set[tuple[str, int, str]] = set()
        self._held_bytes = 0
        self._items = 0
        self._closed = False
        self._condition = threading.Condition()

    @property
    def held_bytes(self) -> int:
        return self._held_bytes

    def held(self) -> dict[str, Backlog]:
        """What each worker has in here: records that wait, and bytes, those being rendered included."""
        with self._condition:
            workers = {**self._bytes, **self._waiting}
            return {one: Backlog(len(self._waiting.get(one, ())), self._bytes[one]) for one in workers}

    def put(self, job: Job) -> list[Job]:
        """Add a job; returns those that were dropped to make room, which may be the job itself."""
        size = job.record.nbytes
        dropped: list[Job] = []
        with self._condition:
            while self._held_bytes + size > self._budget_bytes or self._items >= MAX_ITEMS:
                victim = self._victim(job)
                if victim is None:
                    break
                self._remove(victim)
                dropped.append(victim)
            over = self._held_bytes + size > self._budget_bytes or self._items >= MAX_ITEMS
            if over and job.record.lane is Lane.PICTURE:
                return [*dropped, job]
            self._waiting.setdefault(job.worker, deque()).append(job)
            self._bytes[job.worker] += size
            self._held_bytes += size
            self._items += 1
            self._condition.notify()
        return dropped

    def get(self) -> Job | None:
        """The next job, worker by worker in turn; None once the queue is closed. Waits while there is none."""
        with self._condition:
            while not self._closed:
                job = self._next()
                if job is not None:
                    self._items -= 1
                    self._rendering.add(job.series)
                    return job
                self._condition.wait()
            return None

    def done(self, job: Job) -> None:
        """Say that a job taken by :meth:`get` is rendered and its tensors are free."""
        with self._condition:
            self._rendering.discard(job.series)
            self._release(job)
            self._condition.notify_all()

    def close(self) -> None:
        """Let every :meth:`get` return None."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def _next(self) -> Job | None:
        for worker, jobs in self._waiting.items():
            # One render in flight per series keeps its pictures in the order of the calls. What may overtake
            # is another tag, so a series that was passed over is not looked at again.
            passed: set[tuple[str, int, str]] = set()
            for index, job in enumerate(jobs):
                if job.series in self._rendering or job.series in passed:
                    passed.add(job.series)
                    continue
                del jobs[index]
                self._waiting.move_to_end(worker)
                if not jobs:
                    del self._waiting[worker]
                return job
        return None

    def _victim(self, job: Job) -> Job | None:
        for waiting in self._waiting.get(job.worker, ()):
            if waiting.series == job.series and waiting.record.lane is Lane.PICTURE:
                return waiting
        for worker in sorted(self._waiting, key=lambda one: self._bytes[one], reverse=True):
            for waiting in self._waiting[worker]:
                if waiting.record.lane is Lane.PICTURE:
                    return waiting
        return None

    def _remove(self, job: Job) -> None:
        jobs = self._waiting[job.worker]
        jobs.remove(job)
        if not jobs:
            del self._waiting[job.worker]
        self._items -= 1
        self._release(job)

    def _release(self, job: Job) -> None:
        self._held_bytes -= job.record.nbytes
        self._bytes[job.worker] -= job.record.nbytes
        if not self._bytes[job.worker]:
            del self._bytes[job.worker]  # a job of no bytes may still wait: a Counter answers 0 for it
