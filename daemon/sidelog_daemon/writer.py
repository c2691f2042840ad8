"""The writer thread: the only one that touches event files. Events go into groups, groups to disk, acks back.

A group is written when the thread has been idle for a moment, half a second after its first event, when it grows
large, or when a client asks (``commits``); nothing is reported as settled before it stands in a file.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sidelog_daemon.actions import (
    CloseRun,
    Commit,
    Noted,
    OpenRun,
    Outcome,
    Rejected,
    RunClosed,
    RunOpened,
    RunPaused,
    RunRefused,
    Settled,
    WriteRecord,
    WriteScalars,
)
from sidelog_daemon.commits import Commits
from sidelog_daemon.handover import Handover
from sidelog_daemon.heartbeats import Heartbeats
from sidelog_daemon.held_run import HeldRun
from sidelog_daemon.kinds import Content, make_content
from sidelog_daemon.memory import HANDOVER_BYTES
from sidelog_daemon.missing_note import MISSING_TAG, missing_key, missing_table
from sidelog_daemon.render.annotate import as_table
from sidelog_daemon.report import RunStatus
from sidelog_daemon.roster import Roster
from sidelog_daemon.scalar_rows import as_ranges, counted_steps, framed_rows
from sidelog_daemon.sink import RunDirectory, summaries
from sidelog_daemon.sink.step_order import StepBack, told
from sidelog_daemon.stalls import StallWatch
from sidelog_shared.errors import RunBusy, SidelogError, WriterError
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import STEP_NEXT
from sidelog_shared.records import End, Lane, Record, Refusal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WriteRendered:
    """From a renderer: a record and what it became."""

    worker: str
    record: Record
    content: Content


@dataclass(frozen=True, slots=True)
class _Stop:
    pass


Command = OpenRun | CloseRun | WriteScalars | WriteRecord | WriteRendered | Commit | _Stop


class EventWriter:
    """Owns every run directory of the daemon.

    Args:
        owner_note: who holds a run directory, for those who find it locked (JSON).
        max_directories: so many are open at once at most; each holds two files open.
        report: takes outcomes; called on the writer thread.
        roster: what log lines call workers.

    Attributes:
        stalls: whether the thread waits for a file system.
        failure: what ended the thread before its time.
    """

    def __init__(
        self,
        *,
        owner_note: bytes,
        report: Callable[[Outcome], None],
        max_directories: int = 10_000,
        roster: Roster | None = None,
    ) -> None:
        self._owner_note = owner_note
        self._max_directories = max_directories
        self._report = report
        self._roster = roster or Roster()
        self._commands: queue.SimpleQueue[Command] = queue.SimpleQueue()
        # One for each lane that is rendered: nothing waits across lanes.
        self._handovers = {lane: Handover(HANDOVER_BYTES) for lane in (Lane.HEAVY, Lane.PICTURE)}
        self._runs: dict[Path, HeldRun] = {}
        self._handles: dict[tuple[str, int], HeldRun] = {}
        self.stalls = StallWatch()
        self._commits = Commits(self._runs, report, self._roster, self.stalls)
        self._thread = threading.Thread(target=self._main, name="sidelog-writer", daemon=True)
        self._heartbeats = Heartbeats()
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def held_bytes(self) -> int:
        """Finished content that is not on disk; may be asked by any thread."""
        return sum(one.held_bytes for one in self._handovers.values()) + self._commits.pending_bytes

    def submit(self, command: Command) -> None:
        """Queue a command. Only a renderer may wait in here, while much is finished and not taken."""
        if isinstance(command, WriteRendered):
            self._handovers[command.record.lane].enter(command.content.nbytes)
        self._commands.put(command)

    def stop(self, deadline_s: float) -> bool:
        """Write what is left, close every run and end the thread.

        Returns:
            Whether everything was written and closed within the deadline.
        """
        self._commands.put(_Stop())
        self._let_all_in()
        self._thread.join(deadline_s)
        return not (self._thread.is_alive() or self._commits.unwritten or self.failure is not None)

    def _let_all_in(self) -> None:
        """Nothing is written any more: no renderer waits for it."""
        for handover in self._handovers.values():
            handover.close()

    def statuses(self) -> list[RunStatus]:
        """Every open run directory, and one that is being opened for too long.

        May be called by any thread: each field is read in one operation.
        """
        statuses = [
            RunStatus(
                path=str(run.path),
                users=tuple({worker for worker, _ in tuple(run.users)}),
                written=run.written_in_all,
                pending_bytes=run.pending_bytes,
                error=run.error,
                failing_since=run.failing_since,
            )
            for run in list(self._runs.values())
        ]
        stall = self.stalls.stall(time.monotonic())
        if stall is None:
            return statuses
        path = str(stall.path)
        waiting = next((one for one in statuses if one.path == path), RunStatus(path, (), 0, 0))
        others = [one for one in statuses if one is not waiting]
        return [replace(waiting, error=stall.text, failing_since=stall.since), *others]

    # The thread

    def _main(self) -> None:
        try:
            while True:
                try:
                    command = self._commands.get(timeout=self._wait_s(time.monotonic()))
                except queue.Empty:
                    pass
                else:
                    if isinstance(command, _Stop):
                        break
                    self._execute(command)
                now = time.monotonic()
                self._heartbeats.beat((run.directory for run in self._runs.values()), now)
                self._commits.commit_due(now)
            while self._runs:
                self._commits.close(next(iter(self._runs.values())))
        except BaseException as error:
            self.failure = error
            log.exception("the writer thread failed")
        finally:
            self._let_all_in()

    def _wait_s(self, now: float) -> float | None:
        due = self._commits.waits_s(now)
        beat_at = self._heartbeats.due_at
        if beat_at is not None:
            due.append(beat_at - now)
        return max(0.0, min(due)) if due else None

    def _execute(self, command: Command) -> None:
        match command:
            case OpenRun():
                self._open(command)
            case CloseRun():
                self._leave(command)
            case WriteScalars():
                self._write_scalars(command)
            case WriteRecord():
                self._write_record(command)
            case WriteRendered():
                try:
                    self._append(command.worker, command.record, command.content)
                finally:
                    self._handovers[command.record.lane].leave(command.content.nbytes)
            case Commit():
                self._commits.commit_all(time.monotonic())

    def _open(self, command: OpenRun) -> None:
        handle = (command.worker, command.run)
        try:
            run = self._run_at(command.path)
        except RunBusy as error:
            self._report(RunRefused(*handle, Refusal.RUN_BUSY, str(error), error.owner_endpoint))
            return
        except WriterError as error:
            self._report(RunRefused(*handle, Refusal.RUN_UNWRITABLE, str(error)))
            return
        if run.paused and handle not in self._handles:
            self._report(RunRefused(*handle, Refusal.RUN_UNWRITABLE, run.error))
            return
        run.closers = [closer for closer in run.closers if (closer.worker, closer.run) != handle]  # it is back
        run.users.add(handle)
        self._handles[handle] = run
        if run.paused:
            self._report(RunPaused(*handle, run.error))
            return
        run.directory.begin(command.wall_time)
        if run.since is None:
            run.since = run.touched = time.monotonic()
        told = self._heartbeats.opened(run.directory, command.worker, time.monotonic())
        if told:
            self._report(Noted(command.worker, told))
        self._report(RunOpened(*handle, run.directory.written(command.worker)))

    def _run_at(self, given: str | Path) -> HeldRun:
        """The open run of a directory; opened if it is not, by whatever name.

        Raises:
            RunBusy, WriterError: see :meth:`RunDirectory.open`; also when too many are open.
        """
        with self.stalls.touching(Path(given)):
            path = Path(os.path.realpath(given))
            run = self._runs.get(path)
            if run is None:
                if len(self._runs) >= self._max_directories:
                    raise WriterError(
                        f"run directory {path} cannot be opened: this daemon has {len(self._runs):,} open, expected at "
                        f"most {self._max_directories:,}, for the system's limit of open files (ulimit -n)"
                    )
                run = self._runs[path] = HeldRun(RunDirectory.open(path, owner_note=self._owner_note), path)
            return run

    def _leave(self, command: CloseRun) -> None:
        run = self._handles.pop((command.worker, command.run), None)
        if run is None:
            self._report(RunClosed(command.worker, command.run))
            return
        if command.missing:
            self._note_missing(run, command)
        run.users.discard((command.worker, command.run))
        run.closers.append(command)
        self._commits.commit(run, time.monotonic())

    def _write_scalars(self, command: WriteScalars) -> None:
        columns = command.columns
        # By directory, not by the worker's number: it may have opened one directory twice, under two names, and there
        # the records must stand in the order of their numbers.
        of_series = [self._handles.get((command.worker, one.run)) for one in columns.series]
        places = {run: place for place, run in enumerate(dict.fromkeys(of_series))}
        runs = list(places)
        place_of_series = np.array([places[run] for run in of_series])
        for low, high in command.rows:
            whole = np.arange(low, high + 1)
            row_places = place_of_series[columns.index[whole]] if len(runs) > 1 else None
            for place, run in enumerate(runs):
                rows = whole if row_places is None else whole[row_places == place]
                if not len(rows):
                    continue
                seqs = columns.first_seq + rows
                if run is None:
                    self._report(Settled(command.worker, Lane.LIGHT, tuple(as_ranges(seqs)), End.REJECTED))
                    continue
                known = run.directory.count_known(command.worker, Lane.LIGHT.value, seqs)
                fresh = rows[known:]
                records = framed_rows(columns, fresh, counted_steps(run.directory, columns, fresh))
                if len(fresh):
                    run.directory.append_framed(command.worker, Lane.LIGHT.value, int(seqs[-1]), records)
                order = run.directory.steps
                news = order.see_scalars(columns.series, columns.index[fresh], columns.steps[fresh])
                self._tell_of_steps(run, command.worker, news)
                self._hold(run, command.worker, Lane.LIGHT, as_ranges(seqs))

    def _write_record(self, command: WriteRecord) -> None:
        try:
            content = make_content(command.record)
        except (SidelogError, ValueError) as error:
            self._report(Rejected(command.worker, command.record, str(error)))
        except Exception as error:
            # As in a renderer: it ends that record and nothing else.
            where = self._roster.place(command.worker, command.record.run)
            log.exception("%s: making %s failed", where, command.record.place)
            self._report(Rejected(command.worker, command.record, f"{type(error).__name__}: {error}"))
        else:
            self._append(command.worker, command.record, content)

    def _append(self, worker: str, record: Record, content: Content) -> None:
        run = self._handles.get((worker, record.run))
        if run is None:
            self._report(Rejected(worker, record, f"run {record.run} is not open any more"))
            return
        directory, lane = run.directory, record.lane.value
        if not directory.has(worker, lane, record.seq):
            events = content.events
            if record.step == STEP_NEXT:
                step = directory.next_step(record.kind.name.lower(), record.tag)
                events = tuple(summaries.with_step(event, step) for event in events)
            directory.append(worker, lane, record.seq, events, content.projector)
            self._tell_of_steps(run, worker, directory.steps.see(record))
        self._hold(run, worker, record.lane, [(record.seq, record.seq)])
        if content.recipe:
            self._note(run, worker, record, content.recipe)

    def _note(self, run: HeldRun, worker: str, record: Record, recipe: Mapping[str, object]) -> None:
        """Write how a tag's pictures are made, once per tag, into the sub-run ``sidelog``."""
        try:
            self._note_in(self._notes_of(run), record.tag, _recipe_events(record, recipe))
        except WriterError as error:
            if worker not in run.told_of_notes:
                run.told_of_notes.add(worker)
                text = f"how its pictures are made is not written: {error}"
                self._report(Noted(worker, text, run=record.run))

    def _note_missing(self, run: HeldRun, command: CloseRun) -> None:
        """Write what of a worker's pictures the run does not hold, once per close, into the sub-run ``sidelog``."""
        try:
            notes = self._notes_of(run)
            step = notes.directory.next_step("text", MISSING_TAG)
            event = summaries.text_event(MISSING_TAG, missing_table(command), step, time.time())
            self._note_in(notes, missing_key(command), [event])
        except WriterError as error:
            log.error("%s: which of its pictures %s has not is not written: %s", command.label, run.path, error)

    def _notes_of(self, run: HeldRun) -> HeldRun:
        """The sub-run ``sidelog`` of a run.

        Raises:
            RunBusy, WriterError: it cannot be opened.
        """
        if run.notes is None:
            run.notes = self._run_at(run.path / "sidelog")
            run.notes.notes_of.add(run)
        return run.notes

    def _note_in(self, notes: HeldRun, key: str, events: Iterable[bytes]) -> None:
        if notes.directory.note(key, events) and notes.since is None:
            notes.since = notes.touched = time.monotonic()

    def _tell_of_steps(self, run: HeldRun, worker: str, news: list[StepBack]) -> None:
        if news:
            self._report(Noted(worker, told(news, str(run.path))))

    def _hold(self, run: HeldRun, worker: str, lane: Lane, ranges: list[tuple[int, int]]) -> None:
        held = run.unsettled.setdefault((worker, lane), IntervalSet())
        for first, last in ranges:
            held.add(first, last)
        run.touched = time.monotonic()
        if run.since is None:
            run.since = run.touched


def _recipe_events(record: Record, recipe: Mapping[str, object]) -> Iterator[bytes]:
    """The event of a tag's recipe, made when it is asked for: of all but a tag's first picture nobody does."""
    yield summaries.text_event(record.tag, as_table(recipe), 0, record.wall_time)
