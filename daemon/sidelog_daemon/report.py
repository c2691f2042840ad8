"""What the daemon tells who asks it: a :class:`DaemonReport`, from its sessions and from what its threads publish.

Built by the receiver thread, of what it has. Nothing waits for it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sidelog_daemon.roster import Roster
from sidelog_daemon.session import RunState, Session
from sidelog_shared import replies
from sidelog_shared.client_view import Backlog
from sidelog_shared.frames import MINOR, MessageKind, pack_prefix
from sidelog_shared.records import Buffer, End
from sidelog_shared.report import DaemonReport, RunReport, WorkerReport

SILENT_S = 3.0
"""A worker says something every second at least: after so long it is silent."""
FRESH_S = 0.1
"""So long a report is given to others too who ask: making one takes time from the workers."""


@dataclass(frozen=True, slots=True)
class RunStatus:
    """What the writer thread publishes of a run directory.

    Attributes:
        path: where it is.
        users: ids of the workers that have it open.
        written: records that were written into it.
        pending_bytes: its open group.
        error: why it cannot be written; empty where it can.
        failing_since: since when, by the monotonic clock; None where it can.
    """

    path: str
    users: tuple[str, ...]
    written: int
    pending_bytes: int
    error: str = ""
    failing_since: float | None = None


class Reporter:
    """Makes reports.

    Args:
        instance: which start of which daemon this is.
        logdir: folder for runs that are given by name.
        version: of the package.
        roster: what workers are called.
        started_at: when the daemon started, by the clock that ``report`` is given.
        budget_bytes: what may wait for the renderers.
        run_statuses: what the writer publishes.
        rendering: what waits for a renderer, by worker.
    """

    def __init__(
        self,
        *,
        instance: str,
        logdir: str,
        version: str = "",
        roster: Roster,
        started_at: float = 0.0,
        budget_bytes: int = 0,
        run_statuses: Callable[[], Iterable[RunStatus]] = tuple,
        rendering: Callable[[], Mapping[str, Backlog]] = dict,
    ) -> None:
        self._instance = instance
        self._logdir = logdir
        self._version = version
        self._roster = roster
        self._started_at = started_at
        self._budget_bytes = budget_bytes
        self._run_statuses = run_statuses
        self._rendering = rendering
        self._answer: list[Buffer] | None = None
        self._made_at = 0.0

    def answer(
        self, sessions: Iterable[Session], faults: Counter[str], *, draining: bool, now: float, epoch: int
    ) -> list[Buffer]:
        """REPORT, which says how things stand; those who ask at the same time hear the same.

        Args:
            sessions: of all workers.
            faults: messages that were not taken, by why.
            draining: whether the daemon was told to stop.
            now: by the same clock as the sessions' times.
            epoch: of the question.
        """
        if self._answer is None or now - self._made_at >= FRESH_S:
            report = self._report(sessions, faults, draining=draining, now=now)
            self._made_at = now
            _, *self._answer = replies.Report(report).frames(epoch)
        return [pack_prefix(MessageKind.REPORT, epoch), *self._answer]

    def _report(self, sessions: Iterable[Session], faults: Counter[str], *, draining: bool, now: float) -> DaemonReport:
        rendering = self._rendering()
        workers = [self._worker(session, rendering, now) for session in sessions]
        runs = [self._run(status, now) for status in self._run_statuses()]
        return DaemonReport(
            instance=self._instance,
            pid=os.getpid(),
            version=self._version,
            minor=MINOR,
            logdir=self._logdir,
            state="draining" if draining else "serving",
            uptime_s=now - self._started_at,
            render=sum(rendering.values(), Backlog()),
            budget_bytes=self._budget_bytes,
            faults=dict(faults),
            workers=workers,
            worker_count=len(workers),
            runs=runs,
            run_count=len(runs),
        )

    def _worker(self, session: Session, rendering: Mapping[str, Backlog], now: float) -> WorkerReport:
        totals = (session.received_records, session.received_bytes)
        records_per_s, bytes_per_s = session.meter.rates(now, *totals)
        ends: Counter[End] = Counter()
        for state in session.lanes.values():
            ends.update(state.ends)
        worker = session.worker
        return WorkerReport(
            worker=worker,
            state=_state(session, now),
            known_s=now - session.known_since,
            heard_s=now - session.heard_at,
            runs=[self._roster.path(worker.id, run) for run, state in session.runs.items() if state is RunState.OPEN],
            received_records=session.received_records,
            received_bytes=session.received_bytes,
            records_per_s=records_per_s,
            bytes_per_s=bytes_per_s,
            ends=ends,
            unsettled=session.unsettled,
            render=rendering.get(worker.id, Backlog()),
            dropped_tags=session.dropped_tags,
            refused=[(self._roster.path(worker.id, run), why) for run, why in session.refusals.items()],
            faults=dict(session.faults),
            last_error=session.last_trouble,
            last_error_s=now - session.troubled_at if session.last_trouble else None,
            client=session.view,
            client_s=now - session.viewed_at if session.view is not None else None,
        )

    def _run(self, status: RunStatus, now: float) -> RunReport:
        return RunReport(
            path=status.path,
            workers=[self._roster.label(worker) for worker in status.users],
            written=status.written,
            pending_bytes=status.pending_bytes,
            error=status.error,
            failing_s=None if status.failing_since is None else now - status.failing_since,
        )


def _state(session: Session, now: float) -> str:
    if not session.alive:
        return "gone"
    if session.leaving:
        return "leaving"
    return "silent" if now - session.heard_at > SILENT_S else "live"
