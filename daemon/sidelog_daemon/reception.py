"""The daemon's side of the protocol: messages and outcomes in, actions out. No I/O, no threads, no clock.

One object for all workers; the receiver thread drives it and carries its actions out.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from sidelog_daemon.actions import (
    Action,
    Commit,
    Dropped,
    Noted,
    Outcome,
    Rejected,
    RunClosed,
    RunOpened,
    RunPaused,
    RunRefused,
    Send,
    Settled,
)
from sidelog_daemon.admission import Admission
from sidelog_daemon.complaints import Complaints, counted
from sidelog_daemon.intake import Intake
from sidelog_daemon.report import Reporter
from sidelog_daemon.roster import Roster
from sidelog_daemon.session import RunState, Session
from sidelog_shared import replies, requests
from sidelog_shared.client_view import most
from sidelog_shared.errors import MalformedHeader, ProtocolError, VersionMismatch
from sidelog_shared.frames import Envelope, MessageKind, unpack
from sidelog_shared.limits import Limits
from sidelog_shared.records import Buffer, End, Refusal, Worker

log = logging.getLogger(__name__)

STATE_INTERVAL_S = 0.02
"""A worker hears at most this often what became of its records: each message wakes its sender thread."""
HASTE_S = 0.02
"""While a worker waits for pictures that are being rendered, so long one that is finished may wait for the next."""
DEAD_AFTER_S = 5.0
"""Silence after which a local worker is dead if its process is gone."""
SILENT_AFTER_S = 120.0
"""Silence after which any worker counts as dead; its records are safe all the same (the markers know them)."""


class Reception:
    """All sessions of a daemon.

    Args:
        instance: which start of which daemon this is.
        logdir: folder for runs that are given by name.
        absolute_paths: whether a run may be an absolute path (the endpoint is private to this user).
        limits: what each worker is granted.
        process_is_gone: tells of a worker's process whether it is certainly gone.
        roster: what log lines call workers and runs; this keeps it.
        reporter: makes what is told to who asks; None makes one that knows of the sessions alone.
    """

    def __init__(
        self,
        *,
        instance: str,
        logdir: Path,
        absolute_paths: bool,
        limits: Limits,
        process_is_gone: Callable[[Worker], bool],
        roster: Roster | None = None,
        reporter: Reporter | None = None,
    ) -> None:
        self._instance = instance
        self._logdir = logdir
        self._limits = limits
        self._process_is_gone = process_is_gone
        self._roster = roster or Roster()
        self._reporter = reporter or Reporter(instance=instance, logdir=str(logdir), roster=self._roster)
        self._sessions: dict[str, Session] = {}
        self._peers: dict[bytes, Session] = {}
        self._draining = False
        self._complaints = Complaints(self._roster)
        self._intake = Intake(limits, self._complaints)
        self._admission = Admission(
            logdir=logdir, absolute_paths=absolute_paths, roster=self._roster, complaints=self._complaints
        )

    @property
    def faults(self) -> Counter[str]:
        """Messages that were not taken, by why."""
        return self._complaints.faults

    @property
    def workers(self) -> list[Worker]:
        return [session.worker for session in self._sessions.values()]

    @property
    def begun_bytes(self) -> int:
        """Records in parts that have begun to arrive: what they will take."""
        return sum(session.begun_bytes for session in self._sessions.values())

    @property
    def settled(self) -> bool:
        """Whether everything that arrived, of every worker, has reached its end."""
        return all(session.settled for session in self._sessions.values())

    @property
    def drained(self) -> bool:
        """Whether every living worker has confirmed that it sends nothing more."""
        return all(session.drained for session in self._sessions.values())

    # Messages from clients

    def feed(self, peer: bytes, frames: Sequence[Buffer], now: float) -> list[Action]:
        """Take one message, without ZeroMQ's routing id. Never raises, whatever it holds."""
        try:
            envelope = unpack(frames, max_bytes=self._limits.session_budget_bytes)
        except VersionMismatch as error:
            self.faults[error.code] += 1
            self._complaints.complain(None, f"refused a client: {error}")
            return [Send(peer, replies.Refused(Refusal.VERSION, f"this daemon: {error}").frames(0))]
        except ProtocolError as error:
            self._complaints.fault(self._peers.get(peer), error)
            return []
        session = self._peers.get(peer)
        if envelope.kind not in (MessageKind.HELLO, MessageKind.INQUIRE):
            if session is None or not session.alive:
                # A worker that was given up may be back from a long sleep: its runs are closing, so it begins anew.
                return [Send(peer, replies.Reset().frames(envelope.epoch))]
            if envelope.epoch != session.epoch or session.peer != peer:
                self.faults["old-epoch"] += 1
                return []
        try:
            request = requests.read_request(envelope, max_record_bytes=self._limits.max_record_bytes)
        except ProtocolError as error:
            self._complaints.fault(session, error)
            return [] if session is None else self._reject_unreadable(session, envelope, error)
        if session is not None:
            session.heard_at = now
            session.received_bytes += sum(map(len, frames))
        match request:
            case requests.Hello():
                return self._hello(peer, request, envelope.epoch, now)
            case requests.Inquire():
                return [self._tell(peer, envelope.epoch, now)]
            case _ if session is None:
                return []
            case requests.OpenRun():
                return self._admission.open(session, request)
            case requests.CloseRun():
                session.hear_missing(request.missing)
                return self._admission.close(session, request.run)
            case requests.Scalars():
                return self._intake.scalars(session, request)
            case requests.RecordMessage():
                return self._intake.record(session, request.record)
            case requests.Part():
                return self._intake.part(session, request)
            case requests.Flush():
                session.awaiting_state, session.hastened_at = True, now
                if self._draining:
                    session.drained = True
                    session.give_up_parts()
                session.changed = True
                return [Commit()]
            case requests.Heartbeat():
                if request.view is not None:
                    session.view, session.viewed_at = request.view, now
                return self._state(session, now)
            case requests.Bye():
                session.leaving = True
                session.is_remembered = request.remember
                session.hear_missing(request.missing)
                session.awaiting_state, session.hastened_at = True, now
                return [Commit(), *self._try_leave(session)]

    def _tell(self, peer: bytes, epoch: int, now: float) -> Send:
        """How things stand, for whoever asks."""
        sessions = self._sessions.values()
        return Send(peer, self._reporter.answer(sessions, self.faults, draining=self._draining, now=now, epoch=epoch))

    def _hello(self, peer: bytes, hello: requests.Hello, epoch: int, now: float) -> list[Action]:
        if self._draining:
            text = "this daemon is going down"
            return [Send(peer, replies.Refused(Refusal.DRAINING, text).frames(epoch))]
        features = tuple(name for name in hello.features if name in requests.FEATURES)
        session = self._sessions.get(hello.worker.id)
        known = session is not None
        if session is None:
            session = Session(hello.worker, peer, epoch, now)
            self._sessions[hello.worker.id] = session
            self._roster.add(hello.worker)
            log.info("%s connected (%s)", hello.worker.label, hello.worker.id)
        elif epoch <= session.epoch and peer != session.peer:
            self.faults["old-epoch"] += 1
            return []
        else:
            log.info("%s is back (epoch %d)", hello.worker.label, epoch)
        self._forget_peer(session)
        self._peers[peer] = session
        welcome = replies.Welcome(
            self._instance, known, str(self._logdir), self._limits, session.status(), features
        ).frames(epoch)
        session.connect(peer, epoch, hello, now)
        return [Send(peer, welcome)]

    def _reject_unreadable(self, session: Session, envelope: Envelope, error: ProtocolError) -> list[Action]:
        """Answer what cannot be read, as far as it can be told what it was: nobody waits for it for ever."""
        try:
            if envelope.kind == MessageKind.OPEN_RUN:
                run = requests.read_run(envelope)
                return [self._admission.refuse(session, run, Refusal.RUN_NAME, str(error))]
            lane, first, last = requests.read_position(envelope)
        except MalformedHeader:
            return []
        session.reject(lane, session.lanes[lane].received.missing(first, last), str(error))
        return []

    def _forget_peer(self, session: Session) -> None:
        # A peer may have said HELLO for another worker since.
        if self._peers.get(session.peer) is session:
            del self._peers[session.peer]

    # Outcomes from the other threads

    def apply(self, outcome: Outcome) -> list[Action]:
        """Take a report from the writer or the renderer."""
        session = self._sessions.get(outcome.worker)
        if session is None:
            return []
        actions: list[Action] = []
        match outcome:
            case Settled():
                session.settle(outcome.lane, outcome.ranges, outcome.end)
            case Dropped():
                session.drop(outcome.record)
            case Rejected():
                record = outcome.record
                text = f"{record.kind.name.lower()} {record.place}: {outcome.why}"
                self._complaints.complain(session, text, record.run)
                session.reject(record.lane, [(record.seq, record.seq)], text)
            case Noted():
                if not outcome.logged:
                    label, run = session.worker.label, outcome.run
                    who = label if run is None else self._roster.place(session.worker.id, run)
                    log.warning("%s: %s", who, outcome.text)
                session.note(outcome.text)
            case RunOpened():
                actions = self._admission.opened(session, outcome)
            case RunRefused():
                actions = self._admission.refused(session, outcome)
            case RunPaused():
                actions = self._admission.paused(session, outcome)
            case RunClosed():
                actions = self._admission.closed(session, outcome)
        return [*actions, *(self._try_leave(session) if session.leaving else [])]

    def _try_leave(self, session: Session) -> list[Action]:
        """Let go of a leaving worker's runs once all it sent is settled, and of the worker once they are closed."""
        if not session.settled or RunState.OPENING in session.runs.values():
            return []
        actions: list[Action] = []
        for run, state in list(session.runs.items()):
            if state is RunState.OPEN:
                actions.append(session.close_of(run, forget=session.alive and not session.is_remembered))
        if session.runs:
            return actions
        del self._sessions[session.worker.id]
        self._forget_peer(session)
        self._roster.remove(session.worker.id)
        log.info("%s left: %s; faulty messages: %s", session.worker.label, _ends(session), counted(session.faults))
        if session.alive:
            actions.append(Send(session.peer, replies.Goodbye(session.status()).frames(session.epoch)))
        return actions

    # Time

    def tick(self, now: float) -> list[Action]:
        """Say what is due to be said, and let go of the dead."""
        actions: list[Action] = []
        for session in list(self._sessions.values()):
            silence = now - session.heard_at
            gone = silence > DEAD_AFTER_S and self._process_is_gone(session.worker)
            session.meter.look(now, session.received_records, session.received_bytes)
            if session.alive and (gone or silence > SILENT_AFTER_S):
                log.warning("%s is gone without a goodbye (silent for %.0f s)", session.worker.label, silence)
                session.alive = False
                session.leaving = True
                session.give_up_parts()
                actions.append(Commit())
                actions += self._try_leave(session)
                continue
            if session.awaits_rendering and now - session.hastened_at >= HASTE_S:
                session.hastened_at = now
                actions.append(Commit())
            if session.changed and self._is_due(session, now):
                actions += self._state(session, now)
        return actions

    def next_tick_s(self, now: float) -> float:
        """Seconds until :meth:`tick` has something to do, at most half a second."""
        due = [
            session.stated_at + STATE_INTERVAL_S - now
            for session in self._sessions.values()
            if session.changed and session.alive
        ]
        due += [session.hastened_at + HASTE_S - now for session in self._sessions.values() if session.awaits_rendering]
        return max(0.0, min([0.5, *due]))

    def _is_due(self, session: Session, now: float) -> bool:
        if not session.alive:
            return False
        return session.awaiting_state or now - session.stated_at >= STATE_INTERVAL_S

    def _state(self, session: Session, now: float) -> list[Action]:
        session.changed = False
        session.stated_at = now
        if session.awaiting_state and session.settled:
            session.awaiting_state = False
        state = Send(session.peer, replies.State(session.status()).frames(session.epoch))
        settled = session.tell_settled()
        return [state] if settled is None else [state, Send(session.peer, settled.frames(session.epoch))]

    def not_told(self, peer: bytes) -> None:
        """A message could not be sent: a later one must say again what it said."""
        session = self._peers.get(peer)
        if session is not None:
            session.tell_all()

    # Going down

    def drain(self) -> list[Action]:
        """Take no new worker, and tell the others to send nothing more."""
        self._draining = True
        actions: list[Action] = [Commit()]
        for session in self._sessions.values():
            if not session.alive:
                session.drained = True
                continue
            actions.append(Send(session.peer, replies.Draining().frames(session.epoch)))
        return actions

    def end_intake(self) -> None:
        """Nothing more is waited for: a record of which parts are missing stays with its client."""
        for session in self._sessions.values():
            session.give_up_parts()

    def farewell(self) -> list[Action]:
        """The last word to every worker that is still connected."""
        return [
            Send(session.peer, replies.Goodbye(session.status()).frames(session.epoch))
            for session in self._sessions.values()
            if session.alive
        ]


def _ends(session: Session) -> str:
    totals: Counter[End] = Counter()
    for state in session.lanes.values():
        totals.update(state.ends)
    ends = ", ".join(f"{count:,} {end.value}" for end, count in totals.items()) or "nothing logged"
    if not session.dropped_tags:
        return ends
    return f"{ends}; dropped of {counted(Counter(most(session.dropped_tags, 8)))}"
