"""Renderer threads: tensors in, finished content out to the writer. They never touch a socket or a file.

A daemon has two renderers, each with a queue of its own: for the picture lane and for the heavy one, so that neither
waits for the other.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sidelog_daemon.actions import Noted, Outcome, Rejected, Render
from sidelog_daemon.config import MAX_PIXELS
from sidelog_daemon.kinds import make_content
from sidelog_daemon.render_queue import Job, RenderQueue
from sidelog_daemon.roster import Roster
from sidelog_daemon.writer import WriteRendered
from sidelog_shared.client_view import Backlog
from sidelog_shared.errors import SidelogError

log = logging.getLogger(__name__)

MAX_WARNED = 10_000
"""So many tags are known to have been warned of; then all are forgotten, and warned of once more."""


class Renderer:
    """Renders on ``threads`` threads, one record in flight per series (see :class:`Job`).

    Args:
        queue: where jobs come from; closed by :meth:`stop`.
        name: of its threads.
        threads: how many.
        max_pixels: of one picture, see :class:`~sidelog_daemon.config.DaemonConfig`.
        write: takes what is finished; the writer's ``submit``, which may wait.
        report: takes what cannot be rendered.
        roster: what log lines call workers and runs.
    """

    def __init__(
        self,
        queue: RenderQueue,
        *,
        name: str,
        threads: int,
        max_pixels: int = MAX_PIXELS,
        write: Callable[[WriteRendered], None],
        report: Callable[[Outcome], None],
        roster: Roster | None = None,
    ) -> None:
        self._queue = queue
        self._max_pixels = max_pixels
        self._write = write
        self._report = report
        self._roster = roster or Roster()
        self._warned: set[tuple[str, str]] = set()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{index}", daemon=True) for index in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, render: Render) -> list[Job]:
        """Queue a record; returns what was dropped to make room."""
        return self._queue.put(Job(render.worker, render.record))

    def make_room(self) -> list[Job]:
        """Take out what has no room any more, for what is held elsewhere; returns that."""
        return self._queue.make_room()

    @property
    def held_bytes(self) -> int:
        return self._queue.held_bytes

    @property
    def scratch_bytes(self) -> int:
        """What drawing takes for the moment, about."""
        return self._queue.scratch_bytes

    def held(self) -> dict[str, Backlog]:
        """What each worker has waiting here, or being rendered."""
        return self._queue.held()

    def stop(self, deadline_s: float) -> None:
        """Stop after the renders in flight, all within the deadline; what waits is not rendered any more."""
        self._queue.close()
        deadline = time.monotonic() + deadline_s
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                self._render(job)
            except (SidelogError, ValueError) as error:
                self._report(Rejected(job.worker, job.record, str(error)))
            except Exception as error:
                # Whatever one record does to the renderer, it ends that record and nothing else.
                where = self._roster.place(job.worker, job.record.run)
                log.exception("%s: rendering %s failed", where, job.record.place)
                self._report(Rejected(job.worker, job.record, f"{type(error).__name__}: {error}"))
            finally:
                self._queue.done(job)

    def _render(self, job: Job) -> None:
        record = job.record
        content = make_content(record, max_pixels=self._max_pixels)
        if content.warning and (job.worker, record.tag) not in self._warned:
            if len(self._warned) >= MAX_WARNED:
                self._warned.clear()
            self._warned.add((job.worker, record.tag))
            self._report(Noted(job.worker, f"{record.place}: {content.warning}", run=record.run))
        self._write(WriteRendered(job.worker, record, content))
