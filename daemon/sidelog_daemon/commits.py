"""Groups of events to disk: when a run's is due, what happens when it cannot be written, what follows when it is.

Used by the writer thread only. What could not be written (disk full) stays and is tried again every second; nothing
is reported as settled before it stands in a file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from sidelog_daemon.actions import Noted, Outcome, RunClosed, RunOpened, RunPaused, Settled
from sidelog_daemon.held_run import HeldRun
from sidelog_daemon.roster import Roster
from sidelog_daemon.sink.event_file import CommitError
from sidelog_daemon.stalls import StallWatch
from sidelog_shared.errors import WriterError
from sidelog_shared.limits import MIB

log = logging.getLogger(__name__)

IDLE_S = 0.2
LATEST_S = 0.5
RETRY_S = 1.0
PAUSE_AFTER_S = 1.0
"""Who uses a run that could not be written for so long keeps its records: here they would pile up, and there they would
fill what may be under way, so that its other runs stood still too."""
GROUP_BYTES = 8 * MIB


class Commits:
    """Commits the groups of every open run, and closes runs that nobody uses any more.

    Args:
        runs: the open runs by their directories; those that are closed are taken out.
        report: takes outcomes.
        roster: what log lines call workers.
        stalls: is told what is touched.

    Attributes:
        pending_bytes: of the groups that are open, of all runs.
        unwritten: whether anything was not written when its run was closed.
    """

    def __init__(
        self, runs: dict[Path, HeldRun], report: Callable[[Outcome], None], roster: Roster, stalls: StallWatch
    ) -> None:
        self._runs = runs
        self._report = report
        self._roster = roster
        self._stalls = stalls
        self.pending_bytes = 0
        self.unwritten = False

    def waits_s(self, now: float) -> list[float]:
        """Seconds until each group that is open is due."""
        return [
            max(run.retry_at - now, 0.01) if run.failing else min(run.touched + IDLE_S, run.since + LATEST_S) - now
            for run in self._runs.values()
            if run.since is not None
        ]

    def commit_due(self, now: float) -> None:
        """Write the groups that are old, large, or idle."""
        for run in list(self._runs.values()):
            run.pending_bytes = run.directory.pending_bytes
            late = run.since is not None and (now - run.since >= LATEST_S or now - run.touched >= IDLE_S)
            if (late or run.pending_bytes >= GROUP_BYTES) and not (run.failing and now < run.retry_at):
                self.commit(run, now)
        self.pending_bytes = sum(run.pending_bytes for run in self._runs.values())

    def commit_all(self, now: float) -> None:
        """Write every group that is open; those that could not be written, when their time comes."""
        for run in list(self._runs.values()):
            if run.since is not None and not (run.failing and now < run.retry_at):
                self.commit(run, now)

    def commit(self, run: HeldRun, now: float) -> None:
        """Write the group of a run, and let go of those who leave it."""
        for closer in run.closers:
            if closer.forget:
                run.directory.forget(closer.worker)
        try:
            with self._stalls.touching(run.path):
                run.directory.commit()
        except WriterError as error:
            run.error = str(error)
            self._put_off(run, error, now)
            return
        self._tell_of_removal(run)
        run.since = None
        run.pending_bytes = 0
        for (worker, lane), held in run.unsettled.items():
            run.written[worker] += len(held)
            run.written_in_all += len(held)
            self._report(Settled(worker, lane, tuple(held.ranges())))
        run.unsettled.clear()
        if run.failing:
            self._go_on(run)
        if run.closers:
            self._finish(run)

    def _put_off(self, run: HeldRun, error: WriterError, now: float) -> None:
        """The group of a run could not be written: it is tried again, and in the end its users keep what comes."""
        run.error = str(error)
        if run.failing_since is None:
            run.failing_since = now
            why = error.reason if isinstance(error, CommitError) else error
            text = f"{run.path} cannot be written, kept and tried again every second: {why}"
            log.error("%s: %s", self._roster.labels(run.workers), text)
            for worker in sorted(run.workers):
                self._report(Noted(worker, text, logged=True))
        run.failing = True
        run.retry_at = now + RETRY_S
        run.since = run.since if run.since is not None else now
        if not run.paused and now - run.failing_since >= PAUSE_AFTER_S:
            run.paused = True
            for worker, number in sorted(run.users):
                self._report(RunPaused(worker, number, run.error))

    def _go_on(self, run: HeldRun) -> None:
        """A run can be written again."""
        log.warning("%s: %s can be written again; nothing was lost", self._roster.labels(run.workers), run.path)
        run.failing, run.failing_since, run.error = False, None, ""
        if run.paused:
            run.paused = False
            for worker, number in sorted(run.users):
                self._report(RunOpened(worker, number, run.directory.written(worker)))

    def _tell_of_removal(self, run: HeldRun) -> None:
        """Say once that a folder was removed and made again, whichever of the runs in it is the first to find out."""
        if not run.directory.removal_found:
            return
        if run.told_of_removal:
            run.directory.removal_found = run.told_of_removal = False
            return
        found = [one for one in self._runs.values() if one.directory.removal_found or one.directory.is_removed]
        above = [one for one in found if one.path in (run.path, *run.path.parents)]
        top = min(above, key=lambda one: len(one.path.parts))
        gone = [one for one in found if top.path in (one.path, *one.path.parents)]
        for one in gone:
            one.told_of_removal = not one.directory.removal_found  # it has yet to find out
            one.directory.removal_found = False
        text = (
            f"{top.path} or its event file was removed or moved while it was written: it is made again, with what is "
            f"logged from now on; what stood in it is gone from there"
        )
        concerned = set().union(*(one.workers for one in gone))
        log.warning("%s: %s", self._roster.labels(concerned), text)
        for worker in sorted(concerned):
            self._report(Noted(worker, text, logged=True))

    def _finish(self, run: HeldRun) -> None:
        """Everything of those who leave is on disk: close the directory after the last of them."""
        closers, run.closers = run.closers, []
        if not run.in_use:
            self.close(run)
        for closer in closers:
            still_here = any(worker == closer.worker for worker, _ in run.users)
            written = run.written[closer.worker] if still_here else run.written.pop(closer.worker, 0)
            self._report(RunClosed(closer.worker, closer.run, written))

    def close(self, run: HeldRun) -> None:
        """Let go of a directory. Its last group is on disk, or could not be written until the very end."""
        try:
            with self._stalls.touching(run.path):
                run.directory.close()
        except WriterError as error:
            log.error(
                "%s, %s: what was not settled is not written: %s", self._roster.labels(run.workers), run.path, error
            )
            run.directory.abandon()
            self.unwritten = True
        else:
            self._tell_of_removal(run)
        del self._runs[run.path]
        notes = run.notes
        if notes is not None:
            notes.notes_of.discard(run)
            if not notes.in_use and not notes.closers and notes.path in self._runs:
                self.close(notes)
