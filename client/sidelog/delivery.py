"""The client's side of the protocol: phases of a connection, and what is sent when. No socket, no threads.

The sender thread drives it: it opens a connection (``connected``), feeds replies (``feed``), hands over what was
called (``collect``), and sends what ``peek`` gives until there is nothing or the socket takes no more.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable

from sidelog.admission import Admission
from sidelog.balance import Balance
from sidelog.fences import Fences
from sidelog.heavy_lane import HeavyLane
from sidelog.left_spool import LeftSpool
from sidelog.light_lane import LightLane
from sidelog.outbox import Outbox
from sidelog.phase import Phase
from sidelog.picture_lane import PictureLane
from sidelog.runs import RunHandle, Runs
from sidelog.spool import Spool
from sidelog.statistics import Statistics, Totals
from sidelog.turns import Turns
from sidelog.view import Viewer
from sidelog_shared import replies, requests
from sidelog_shared.errors import ProtocolError, SidelogError, VersionMismatch, WriterError
from sidelog_shared.frames import unpack
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MIB
from sidelog_shared.records import Buffer, Lane, LaneState, Refusal, Worker

SPOOL_AFTER_S = 1.5
"""What no daemon has written for so long goes into the spool: a training that is killed loses less than 2 s.

A daemon that is well writes within a second.
"""
SPILL_BYTES = 16 * MIB
"""So much at once: a disk may be slow, and callers that open runs wait meanwhile."""
_CONNECTED = (Phase.OPENING, Phase.LIVE, Phase.DRAINING, Phase.LEAVING)


class Delivery:
    """One worker's connection to one daemon, over all its epochs. Not thread-safe.

    Args:
        worker: who this is.
        outbox: what was called.
        runs: where it goes.
        say: tells the user something (once per text).
        spool: where records are kept that no daemon takes; its only file.

    Attributes:
        phase: where the connection stands.
        epoch: how many connections there were.
        failure: why no connection will work, where that is known.
        last_trouble: what the daemon said last for the user to read.
    """

    def __init__(
        self, worker: Worker, outbox: Outbox, runs: Runs, *, say: Callable[[str], None], spool: Spool | None = None
    ) -> None:
        self._worker = worker
        self._outbox = outbox
        self._runs = runs
        self._say = say
        self.phase = Phase.AWAY
        self.epoch = 0
        self.failure: SidelogError | None = None
        self.last_trouble = ""
        self._totals = Totals()
        self._spool = spool
        self._light = LightLane(outbox, spool, say)
        self._heavy = HeavyLane(outbox, spool, say)
        self._pictures = PictureLane(outbox, self._totals, say)
        self._admission = Admission(runs, (self._light, self._heavy, self._pictures), spool, say)
        self._fences = Fences(self._light, self._heavy, self._pictures)
        self._balance = Balance(outbox, self._light, self._heavy, self._pictures, self._totals)
        self._instance = ""
        self._heard_troubles = 0
        # What is to be sent, in order: protocol and light lane first, then in turn heavy records and pictures.
        self._urgent: deque[list[Buffer]] = deque()
        self._turns = Turns(self._heavy, self._pictures)
        self._viewer = Viewer(outbox, self._light, self._heavy, self._pictures, spool, self._balance.lost)

    # Runs

    def _open_new_runs(self) -> bool:
        """Ask the daemon for the runs that callers have opened; returns whether there are any."""
        new = self._admission.take_new()
        if self.phase in (Phase.LIVE, Phase.OPENING):
            for run in new:
                self._open(run)
        return bool(new)

    def _close_runs(self) -> None:
        """Let the daemon let go of the runs that ended and whose records have all settled."""
        if self.phase is not Phase.LIVE:
            return
        # One that was opened again is not among them: what was logged since is waited for at its next end.
        for run in self._runs.forget(self._fences.take_ends):
            self._admission.remove(run)
            # Also of a run that is refused: the daemon may have it open all the same, and only not be able to write it.
            self._urgent.append(requests.CloseRun(run.id, self._balance.missing_in({run.id})).frames(self.epoch))

    def _open(self, run: RunHandle) -> None:
        if self._admission.await_answer(run):
            self._ask_for(run)

    def _ask_for(self, run: RunHandle) -> None:
        self._urgent.append(requests.OpenRun(run.id, run.path, run.opened_at).frames(self.epoch))

    def ask_again(self, now: float) -> None:
        """Ask for the runs that were refused a while ago: another daemon may have let go, a folder may be writable."""
        if self.phase is not Phase.LIVE:
            return
        for run in self._admission.due(now):
            self._ask_for(run)

    def problem_of(self, runs: Iterable[RunHandle]) -> SidelogError | None:
        """Why records of these runs are not written, if they are not."""
        if self.failure is not None:
            return self.failure
        return next((WriterError(run.refused) for run in runs if run.refused), None)

    def restore(self, left: LeftSpool) -> None:
        """Go on in the name of a process that left records in its spool. Before the first connection."""
        self.epoch = int(time.time())  # above every one that it had
        self._admission.restore(left)
        self._light.restore(left.entries[Lane.LIGHT])
        self._heavy.restore(left.entries[Lane.HEAVY])
        self._outbox.go_on_from(self._heavy.last)

    # Connections

    def connected(self) -> None:
        """A new connection: a new epoch begins with HELLO."""
        self.epoch += 1
        self.phase = Phase.GREETING
        self._viewer.forget()
        self._urgent.clear()
        self._turns.give_up()
        self._admission.forget_questions()
        self._light.rewind()
        self._heavy.rewind()
        self.say_hello()

    def say_hello(self) -> None:
        """Say HELLO, or say it again when nobody answered."""
        next_seq = {
            Lane.LIGHT: self._light.first_unsettled,
            Lane.HEAVY: self._heavy.first_unsettled,
            Lane.PICTURE: self._pictures.first_unsettled,
        }
        self._urgent.append(requests.Hello(self._worker, next_seq=next_seq).frames(self.epoch))

    def heartbeat(self, now: float | None = None) -> None:
        """Have the daemon answer; with the time, by a clock that is never set back, say how things stand here too."""
        if self.phase in _CONNECTED:
            view = None if now is None else self._viewer.view(now)
            self._urgent.append(requests.Heartbeat(view).frames(self.epoch))

    def tell_view(self, now: float) -> None:
        """Say how things stand here, once a second at most and if it has changed; a heartbeat says it anyway."""
        if not self._viewer.is_due(now) or self.phase is not Phase.LIVE or self._urgent:
            return
        view = self._viewer.news(now)
        if view is not None:
            self._urgent.append(requests.Heartbeat(view).frames(self.epoch))

    def disconnected(self) -> None:
        self.phase = Phase.AWAY

    def leave(self) -> None:
        """Say goodbye; GOODBYE answers it once every run is closed."""
        self.phase = Phase.LEAVING
        # A copy of the spool may be somewhere, or the file itself come back out of a backup.
        remember = self._spool is not None and self._spool.was_used
        missing = self._balance.missing_in(set(self._runs.by_id))
        self._urgent.append(requests.Bye(missing, remember).frames(self.epoch))

    # Replies

    def feed(self, frames: list[bytes]) -> None:
        """Take one message from the daemon. What breaks the protocol is told to the user, not raised."""
        try:
            envelope = unpack(frames, max_bytes=MIB)
            reply = replies.read_reply(envelope)
        except VersionMismatch as error:
            self._fail(VersionMismatch(f"the daemon speaks another protocol: {error}"))
            return
        except ProtocolError as error:
            self._say(f"the daemon sent a message that breaks the protocol: {error}")
            return
        # A daemon that could not tell the epoch refuses the connection as a whole.
        is_ours = envelope.epoch == self.epoch or (isinstance(reply, replies.Refused) and reply.run is None)
        if reply is not None and is_ours:
            self._apply(reply)

    def _apply(self, reply: replies.Reply) -> None:
        match reply:
            case replies.Welcome():
                self._welcome(reply)
            case replies.Opened():
                self._opened(reply)
            case replies.Refused():
                self._refused(reply)
            case replies.State():
                self._learn(reply.status)
            case replies.Settled():
                self._learn_settled(reply)
            case replies.Reset():
                if self.phase not in (Phase.GREETING, Phase.AWAY):
                    self.disconnected()
            case replies.Draining():
                # FLUSH is the last word of this epoch: the daemon knows then that nothing more is under way.
                self._turns.give_up()
                self._urgent.append(requests.Flush().frames(self.epoch))
                self.phase = Phase.DRAINING
            case replies.Goodbye():
                self._learn(reply.status)
                self.phase = Phase.GONE if self.phase is Phase.LEAVING else Phase.AWAY

    def _welcome(self, welcome: replies.Welcome) -> None:
        if self.phase is not Phase.GREETING:
            return
        self.failure = None
        for lane in (self._light, self._pictures):
            lane.max_record_bytes = welcome.limits.max_record_bytes
        if welcome.known and welcome.instance == self._instance:
            self._learn(welcome.status)
            self._pictures.lose_unreceived(welcome.status.lanes[Lane.PICTURE].received)
        else:
            self._totals.fold()
            # Of a process that goes on in another's name: what that one was told is no news.
            known = max((trouble.serial for trouble in welcome.status.troubles), default=0)
            self._heard_troubles = known if not self._instance else 0
            self._pictures.doubt()
        self._instance = welcome.instance
        self._admission.take_new()
        self.phase = Phase.OPENING
        for run in list(self._runs.by_id.values()):
            self._open(run)
        self._enter_live()

    def _opened(self, opened: replies.Opened) -> None:
        if opened.run not in self._runs.by_id:  # closed with nothing logged: CLOSE_RUN came before it was open
            self._urgent.append(requests.CloseRun(opened.run).frames(self.epoch))
        awaited = self._admission.open(opened.run)
        self._pictures.resolve(opened.run, opened.marks)
        if awaited:
            self._enter_live()

    def _refused(self, refused: replies.Refused) -> None:
        if refused.code is Refusal.VERSION:
            self._fail(VersionMismatch(refused.text))
        elif refused.code is Refusal.DRAINING:
            self.disconnected()
        elif self._admission.refuse(refused):
            self._enter_live()

    def _fail(self, failure: SidelogError) -> None:
        self.failure = failure
        self._say(str(failure))
        self.fail_flushes(failure)

    def _enter_live(self) -> None:
        if self.phase is Phase.OPENING and not self._admission.is_awaited:
            self._pictures.lose_unresolved()
            self.phase = Phase.LIVE

    def _learn(self, status: replies.Status) -> None:
        self._light.settle(status.lanes[Lane.LIGHT].settled)
        self._heavy.settle(status.lanes[Lane.HEAVY].settled)
        self._pictures.apply(status.lanes[Lane.PICTURE])
        self._totals.update(status)
        for trouble in status.troubles:
            if trouble.serial > self._heard_troubles:
                self._heard_troubles = trouble.serial
                self.last_trouble = trouble.text
                self._say(trouble.text)
        self._pass_fences()

    def _learn_settled(self, reply: replies.Settled) -> None:
        settled = {lane: IntervalSet(ranges) for lane, ranges in reply.lanes.items()}
        self._light.settle(settled.get(Lane.LIGHT, IntervalSet()))
        self._heavy.settle(settled.get(Lane.HEAVY, IntervalSet()))
        self._pictures.apply(LaneState(settled=settled.get(Lane.PICTURE, IntervalSet())))
        self._pass_fences()

    # What was called, and what to send

    def collect(self, now: float) -> None:
        """Take what was called out of the outbox, as far as memory allows."""
        while (fence := self._light.collect(now)) is not None:
            self._fences.keep(fence)
        self._heavy.collect(now)
        self._open_new_runs()  # after what was logged into them was taken: no record is here before its run
        self._pass_fences()

    def spill(self, now: float) -> None:
        """Put into the spool what no daemon has written in time, and what memory has no room for."""
        light_before = now if self._light.is_full else now - SPOOL_AFTER_S
        heavy_before = now if self._outbox.heavy_is_short else now - SPOOL_AFTER_S
        self._light.spill(light_before, at_most_bytes=SPILL_BYTES, epoch=self.epoch)
        self._heavy.spill(heavy_before, at_most_bytes=SPILL_BYTES, epoch=self.epoch)

    def peek(self) -> list[Buffer] | None:
        """The next message to send; None when there is nothing to send now. ``sent`` says that it was taken."""
        if self._urgent:
            return self._urgent[0]
        # Records wait while a run is being opened, which is short, so that each run's stay in order.
        if self.phase is not Phase.LIVE or self._admission.is_awaited:
            return None
        self._urgent.extend(self._light.next_messages(self.epoch))
        if not self._urgent and self._fences.ask():
            self._urgent.append(requests.Flush().frames(self.epoch))
        if self._urgent:
            return self._urgent[0]
        message = self._turns.peek(self._runs.by_id, self.epoch)
        if message is not None and not self._open_new_runs():  # it may be a picture of one that was just opened
            return message
        if self._urgent:
            return self._urgent[0]
        if self._fences.ask_again():
            self._urgent.append(requests.Flush().frames(self.epoch))
        return self._urgent[0] if self._urgent else None

    def sent(self) -> None:
        """The message that ``peek`` gave was taken by the socket."""
        if self._urgent:
            self._urgent.popleft()
        else:
            self._turns.sent()

    # Who waits

    def _pass_fences(self) -> None:
        """Do what was to be done once something is settled."""
        self._fences.answer()
        self._close_runs()

    def fail_flushes(self, error: SidelogError) -> None:
        """Answer those who wait: it cannot be done."""
        self._fences.fail(error)

    def abandon(self, error: SidelogError) -> None:
        """The connection ends: what is left goes into the spool or is lost, its memory is free, who waits is told."""
        everything = float("inf")
        while True:
            self.collect(everything)
            spilled = [
                lane.spill(everything, at_most_bytes=sys.maxsize, epoch=self.epoch)
                for lane in (self._light, self._heavy)
            ]
            if not (any(spilled) and self._outbox.has_records):
                break
        for fence in self._light.abandon():
            self._fences.keep(fence)
        self._heavy.abandon()
        self._pictures.abandon()
        self.fail_flushes(error)

    # What became of it

    @property
    def pending(self) -> int:
        """Records that were called and have not settled."""
        return self._balance.pending

    @property
    def busy(self) -> bool:
        """Whether something waits to be sent or to settle."""
        return bool(self._urgent or self.pending)

    @property
    def is_stuck(self) -> bool:
        """Whether all that is left belongs to runs that are refused for now."""
        if self._outbox.has_calls or self._urgent:
            return False
        return self._light.is_stuck and self._heavy.is_stuck and self._pictures.is_stuck

    @property
    def awaited(self) -> bool:
        """Whether a caller waits for something to settle."""
        return self._fences.awaited

    @property
    def drops(self) -> bool:
        """Whether any picture was dropped so far."""
        return self._balance.drops

    def statistics(self) -> Statistics:
        return self._balance.statistics()
