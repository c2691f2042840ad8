"""Runs that workers ask for: opened, refused, paused while they cannot be written, closed. No I/O."""

from __future__ import annotations

import logging
from pathlib import Path

from sidelog_daemon.actions import Action, OpenRun, RunClosed, RunOpened, RunPaused, RunRefused, Send
from sidelog_daemon.complaints import Complaints
from sidelog_daemon.roster import Roster
from sidelog_daemon.session import RunState, Session
from sidelog_shared import replies, requests
from sidelog_shared.names import check_run_name
from sidelog_shared.records import Refusal

log = logging.getLogger(__name__)


class Admission:
    """The runs of every worker.

    Args:
        logdir: folder for runs that are given by name.
        absolute_paths: whether a run may be an absolute path.
        roster: what log lines call workers and runs; this keeps its runs.
        complaints: logs why runs are refused.
    """

    def __init__(self, *, logdir: Path, absolute_paths: bool, roster: Roster, complaints: Complaints) -> None:
        self._logdir = logdir
        self._absolute_paths = absolute_paths
        self._roster = roster
        self._complaints = complaints

    # Asked for by a client

    def open(self, session: Session, request: requests.OpenRun) -> list[Action]:
        try:
            path = self._resolve(request.path)
        except ValueError as error:
            self._roster.open_run(session.worker.id, request.run, request.path)
            return [self.refuse(session, request.run, Refusal.RUN_NAME, str(error))]
        # A run that is already open is opened again: the answer tells a new epoch what stands in it. It stays open
        # meanwhile: a client that asked twice may have had its first answer, and sends.
        if session.runs.get(request.run) is not RunState.OPEN:
            session.runs[request.run] = RunState.OPENING
        self._roster.open_run(session.worker.id, request.run, path)
        return [OpenRun(session.worker.id, request.run, path, request.wall_time)]

    def _resolve(self, path: str) -> str:
        if path.startswith("/"):
            if not self._absolute_paths:
                raise ValueError(f"run name is {path!r}, expected a path relative to this daemon's --logdir "
                                 f"{self._logdir}")  # fmt: skip
            if "\0" in path:
                raise ValueError(f"run path is {path!r}, expected none with a NUL character")
            return path
        return str(self._logdir / check_run_name(path))

    def close(self, session: Session, run: int) -> list[Action]:
        if session.runs.get(run) is not RunState.OPEN:
            return []
        return [session.close_of(run, forget=False)]

    def refuse(self, session: Session, run: int, code: Refusal, text: str, endpoint: str = "") -> Send:
        if session.refusals.get(run) != text:  # it is asked for again every second
            session.refusals[run] = text
            self._complaints.complain(session, text)
        return Send(session.peer, replies.Refused(code, text, run, endpoint).frames(session.epoch))

    # Answered by the writer

    def opened(self, session: Session, outcome: RunOpened) -> list[Action]:
        if session.runs.get(outcome.run) is RunState.CLOSING:
            return []  # it was closed meanwhile
        if outcome.run not in session.told_open:
            session.told_open.add(outcome.run)
            path = self._roster.path(session.worker.id, outcome.run)
            log.info("%s: %s is open", session.worker.label, path)
        session.runs[outcome.run] = RunState.OPEN
        session.refusals.pop(outcome.run, None)
        if session.leaving:
            return []
        return [Send(session.peer, replies.Opened(outcome.run, outcome.marks).frames(session.epoch))]

    def refused(self, session: Session, outcome: RunRefused) -> list[Action]:
        session.runs.pop(outcome.run, None)
        return [self.refuse(session, outcome.run, outcome.code, outcome.text, outcome.endpoint)]

    def paused(self, session: Session, outcome: RunPaused) -> list[Action]:
        """Have the client keep what is logged into an open run; what is under way, and what came, is still taken."""
        if session.runs.get(outcome.run) is RunState.CLOSING:
            return []
        session.runs[outcome.run] = RunState.OPEN
        session.refusals[outcome.run] = outcome.text  # the writer has logged it
        if session.leaving:
            return []
        refused = replies.Refused(Refusal.RUN_UNWRITABLE, outcome.text, outcome.run)
        return [Send(session.peer, refused.frames(session.epoch))]

    def closed(self, session: Session, outcome: RunClosed) -> list[Action]:
        path = self._roster.path(session.worker.id, outcome.run)
        log.info("%s: %s is closed, %s records written", session.worker.label, path, f"{outcome.written:,}")
        session.told_open.discard(outcome.run)
        if session.runs.pop(outcome.run, None) is RunState.CLOSING:
            self._roster.close_run(session.worker.id, outcome.run)
        return []
