"""The client's side of the protocol: phases of a connection, runs, and who waits for what. No socket, no threads.

The sender thread drives it: it opens a connection (``connected``), feeds replies (``feed``), hands over what was
called (``collect``), and sends what ``peek`` gives until there is nothing or the socket takes no more.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from enum import Enum

from sidelog.calls import Fence, FlushRequest, RunEnd
from sidelog.heavy_lane import HeavyLane
from sidelog.left_spool import LeftSpool
from sidelog.light_lane import LightLane
from sidelog.outbox import Outbox
from sidelog.picture_lane import PictureLane
from sidelog.runs import RunHandle
from sidelog.spool import Spool
from sidelog.statistics import DAMAGED, LATE, NOT_IN_TIME, NOT_TAKEN, WITH_DAEMON, Statistics, Totals
from sidelog.view import Viewer
from sidelog_shared import replies, requests
from sidelog_shared.errors import ProtocolError, SidelogError, VersionMismatch, WriterError
from sidelog_shared.frames import unpack
from sidelog_shared.limits import MIB
from sidelog_shared.missing import PRESSURE, Missing, listed
from sidelog_shared.records import Buffer, End, Lane, Refusal, Worker


class Phase(Enum):
    """Where a connection stands.

    AWAY      there is none.
    GREETING  HELLO is said.
    OPENING   WELCOME has come; the runs are being opened.
    LIVE      records flow.
    DRAINING  the daemon goes down and takes nothing more; it still says what became of what it has.
    LEAVING   goodbye is said.
    GONE      goodbye is answered.
    """

    AWAY = "away"
    GREETING = "greeting"
    OPENING = "opening"
    LIVE = "live"
    DRAINING = "draining"
    LEAVING = "leaving"
    GONE = "gone"


SPOOL_AFTER_S = 1.5
"""What no daemon has written for so long goes into the spool: a training that is killed loses less than 2 s.

A daemon that is well writes within a second.
"""
SPILL_BYTES = 16 * MIB
"""So much at once: a disk may be slow, and callers that open runs wait meanwhile."""
ASK_AGAIN_S = 1.0
"""How often a refused run is asked for again."""
_OTHER = {Lane.HEAVY: Lane.PICTURE, Lane.PICTURE: Lane.HEAVY}
_CONNECTED = (Phase.OPENING, Phase.LIVE, Phase.DRAINING, Phase.LEAVING)


class Delivery:
    """One worker's connection to one daemon, over all its epochs. Not thread-safe.

    Args:
        worker: who this is.
        outbox: what was called.
        say: tells the user something (once per text).
        spool: where records are kept that no daemon takes; its only file.

    Attributes:
        phase: where the connection stands.
        epoch: how many connections there were.
        failure: why no connection will work, where that is known.
        last_trouble: what the daemon said last for the user to read.
    """

    def __init__(
        self, worker: Worker, outbox: Outbox, *, say: Callable[[str], None], spool: Spool | None = None
    ) -> None:
        self._worker = worker
        self._outbox = outbox
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
        self._runs: dict[int, RunHandle] = {}
        self._unanswered: set[int] = set()
        self._refused_until: dict[int, float] = {}
        self._instance = ""
        self._heard_troubles = 0
        # What is to be sent, in order: protocol and light lane first, then in turn, message by message, the heavy
        # record and the picture that have begun.
        self._urgent: deque[list[Buffer]] = deque()
        self._begun: dict[Lane, deque[list[Buffer]]] = {Lane.HEAVY: deque(), Lane.PICTURE: deque()}
        self._turn = Lane.PICTURE
        self._flushes: list[FlushRequest] = []
        self._ends: list[RunEnd] = []
        self._viewer = Viewer(outbox, self._light, self._heavy, self._pictures, spool, self._lost)

    # Runs

    def add_run(self, run: RunHandle) -> None:
        self._runs[run.id] = run
        if self._spool is not None:
            self._spool.declare(run)
        if self.phase in (Phase.LIVE, Phase.OPENING):
            self._open(run)

    def _close_runs(self) -> None:
        """Let the daemon let go of the runs that ended and whose records have all settled."""
        if self.phase is not Phase.LIVE:
            return
        for end in [end for end in self._ends if self._may_close(end)]:
            self._ends.remove(end)
            del self._runs[end.run.id]
            self._refused_until.pop(end.run.id, None)
            if self._spool is not None:
                self._spool.forget(end.run)
            if not end.run.refused:
                self._urgent.append(requests.CloseRun(end.run.id, self._missing_in({end.run.id})).frames(self.epoch))

    def _missing_in(self, runs: set[int]) -> tuple[Missing, ...]:
        """What of the pictures of these runs never reached a daemon that lives."""
        counts = {key: count for key, count in self._pictures.lost_in_runs.items() if key[0] in runs}
        dropped = self._outbox.drops_in_runs()
        counts.update({(run, tag, PRESSURE): count for (run, tag), count in dropped.items() if run in runs})
        return listed(counts)

    def _open(self, run: RunHandle) -> None:
        if not run.is_hopeless:
            self._unanswered.add(run.id)
            self._ask_for(run)

    def _ask_for(self, run: RunHandle) -> None:
        self._urgent.append(requests.OpenRun(run.id, run.path, run.opened_at).frames(self.epoch))

    def ask_again(self, now: float) -> None:
        """Ask for the runs that were refused a while ago: another daemon may have let go, a folder may be writable."""
        if self.phase is not Phase.LIVE:
            return
        for run_id, until in self._refused_until.items():
            if now >= until:
                self._refused_until[run_id] = now + ASK_AGAIN_S
                self._ask_for(self._runs[run_id])

    def problem_of(self, runs: Iterable[RunHandle]) -> SidelogError | None:
        """Why records of these runs are not written, if they are not."""
        if self.failure is not None:
            return self.failure
        return next((WriterError(run.refused) for run in runs if run.refused), None)

    def restore(self, left: LeftSpool) -> None:
        """Go on in the name of a process that left records in its spool. Before the first connection."""
        self.epoch = int(time.time())  # above every one that it had
        for run in left.runs:
            self._runs[run.id] = run
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
        self._give_up_begun()
        self._unanswered.clear()
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
        self._urgent.append(requests.Bye(self._missing_in(set(self._runs))).frames(self.epoch))

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
        if isinstance(reply, replies.Refused):
            self._refused(reply)
        elif reply is not None and envelope.epoch == self.epoch:
            self._apply(reply)

    def _apply(self, reply: replies.Reply) -> None:
        match reply:
            case replies.Welcome():
                self._welcome(reply)
            case replies.Opened():
                self._opened(reply)
            case replies.State():
                self._learn(reply.status)
            case replies.Reset():
                if self.phase not in (Phase.GREETING, Phase.AWAY):
                    self.disconnected()
            case replies.Draining():
                # FLUSH is the last word of this epoch: the daemon knows then that nothing more is under way.
                self._give_up_begun()
                self._urgent.append(requests.Flush().frames(self.epoch))
                self.phase = Phase.DRAINING
            case replies.Goodbye():
                self._learn(reply.status)
                self.phase = Phase.GONE if self.phase is Phase.LEAVING else Phase.AWAY

    def _welcome(self, welcome: replies.Welcome) -> None:
        if self.phase is not Phase.GREETING:
            return
        self.failure = None
        self._pictures.max_record_bytes = welcome.limits.max_record_bytes
        if welcome.known and welcome.instance == self._instance:
            self._learn(welcome.status)
            self._pictures.lose_unreceived(welcome.status.lanes[Lane.PICTURE].received)
        else:
            self._totals.fold()
            self._heard_troubles = 0
            self._pictures.doubt()
        self._instance = welcome.instance
        self.phase = Phase.OPENING
        for run in self._runs.values():
            self._open(run)
        self._enter_live()

    def _opened(self, opened: replies.Opened) -> None:
        run = self._runs.get(opened.run)
        if run is not None and run.refused:
            self._say(f"{run.path} is written again, with what was kept for it meanwhile")
            run.refused = ""
            self._refused_until.pop(run.id, None)
            self._light.let_go(run.id)
            self._heavy.let_go(run.id)
        if opened.run in self._unanswered:
            self._unanswered.discard(opened.run)
            self._pictures.resolve(opened.run, opened.marks)
            self._enter_live()

    def _refused(self, refused: replies.Refused) -> None:
        if refused.code is Refusal.VERSION:
            self._fail(VersionMismatch(refused.text))
        elif refused.code is Refusal.DRAINING:
            self.disconnected()
        elif refused.run in self._unanswered or refused.run in self._refused_until:
            run = self._runs.get(refused.run)
            if run is not None:
                self._put_off(run, refused)
            self._unanswered.discard(refused.run)
            self._enter_live()

    def _put_off(self, run: RunHandle, refused: replies.Refused) -> None:
        """A run is refused: what is logged into it is kept until it is not, where that may be."""
        before, run.refused = run.refused, refused.text
        if refused.code is Refusal.RUN_NAME:
            run.is_hopeless = True
            self._say(f"nothing of this run is written: {refused.text}")
            return
        if not before:
            self._light.hold(run.id)
            self._heavy.hold(run.id)
        self._refused_until.setdefault(run.id, 0.0)
        if refused.text != before:
            there = f"; SIDELOG_ENDPOINT={refused.endpoint} logs there" if refused.endpoint else ""
            self._say(f"nothing of this run is written for now, it is kept and tried again: {refused.text}{there}")

    def _fail(self, failure: SidelogError) -> None:
        self.failure = failure
        self._say(str(failure))
        self.fail_flushes(failure)

    def _enter_live(self) -> None:
        if self.phase is Phase.OPENING and not self._unanswered:
            self._pictures.lose_unresolved()
            self.phase = Phase.LIVE

    def _learn(self, status: replies.Status) -> None:
        self._light.settle(status.lanes[Lane.LIGHT])
        self._heavy.settle(status.lanes[Lane.HEAVY])
        self._pictures.apply(status.lanes[Lane.PICTURE])
        self._totals.update(status)
        for trouble in status.troubles:
            if trouble.serial > self._heard_troubles:
                self._heard_troubles = trouble.serial
                self.last_trouble = trouble.text
                self._say(trouble.text)
        self._pass_fences()

    # What was called, and what to send

    def collect(self, now: float) -> None:
        """Take what was called out of the outbox, as far as memory allows."""
        while (fence := self._light.collect(now)) is not None:
            self._keep(fence)
        self._heavy.collect(now)
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
        if self.phase is not Phase.LIVE or self._unanswered:
            return None
        self._urgent.extend(self._light.next_messages(self.epoch) or self._flush_message())
        if self._urgent:
            return self._urgent[0]
        for lane in (self._turn, _OTHER[self._turn]):
            messages = self._begun[lane]
            if not messages:
                messages.extend(self._begin(lane))
            if messages:
                self._turn = lane
                return messages[0]
        self._urgent.extend(self._second_flush_message())
        return self._urgent[0] if self._urgent else None

    def sent(self) -> None:
        """The message that ``peek`` gave was taken by the socket."""
        if self._urgent:
            self._urgent.popleft()
        else:
            self._begun[self._turn].popleft()
            self._turn = _OTHER[self._turn]

    def _begin(self, lane: Lane) -> list[list[Buffer]]:
        if lane is Lane.HEAVY:
            return self._heavy.next_messages(self.epoch)
        return self._pictures.next_messages(self._runs, self.epoch)

    def _give_up_begun(self) -> None:
        """The rest of what has begun is not sent in this epoch."""
        for messages in self._begun.values():
            messages.clear()

    def _flush_message(self) -> list[list[Buffer]]:
        """The light lane is sent: ask the daemon, once per request, not to wait for more before it writes."""
        unasked = [request for request in self._flushes if not request.asked]
        for request in unasked:
            request.asked = True
        return [requests.Flush().frames(self.epoch)] if unasked else []

    def _second_flush_message(self) -> list[list[Buffer]]:
        """Everything is sent: of those who wait for it, ask that what is rendered is written at once too."""
        unasked = [request for request in self._flushes if request.everything and not request.asked_again]
        for request in unasked:
            request.asked_again = True
        return [requests.Flush().frames(self.epoch)] if unasked else []

    # Who waits

    def _keep(self, fence: Fence) -> None:
        match fence:
            case FlushRequest():
                self._flushes.append(fence)
            case RunEnd():
                self._ends.append(fence)

    def _pass_fences(self) -> None:
        """Do what was to be done once something is settled."""
        for request in [one for one in self._flushes if self._is_answered(one)]:
            self._flushes.remove(request)
            request.done.set()
        self._close_runs()

    def _is_answered(self, request: FlushRequest) -> bool:
        """Whether all that somebody waits for has settled. What is kept for a refused run is not waited for."""
        if not self._light.is_settled(request.light_target, request.runs, held_too=False):
            return False
        if not request.everything:
            return True
        heavy_is = self._heavy.is_settled(request.heavy_target, request.runs, held_too=False)
        return heavy_is and self._pictures_are_settled(request, request.runs)

    def _may_close(self, end: RunEnd) -> bool:
        """Whether everything that was logged into a run has settled."""
        run = frozenset([end.run.id])
        light_is = self._light.is_settled(end.light_target, run, held_too=True)
        heavy_is = self._heavy.is_settled(end.heavy_target, run, held_too=True)
        return light_is and heavy_is and self._pictures_are_settled(end, run)

    def _pictures_are_settled(self, fence: Fence, runs: frozenset[int] | None) -> bool:
        unsettled = self._pictures.first_unsettled_ordinal(runs)
        return unsettled is None or unsettled > fence.picture_target

    def fail_flushes(self, error: SidelogError) -> None:
        """Answer those who wait: it cannot be done."""
        for request in self._flushes:
            request.fail(error)
        self._flushes.clear()

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
            self._keep(fence)
        self._heavy.abandon()
        self._pictures.abandon()
        self.fail_flushes(error)

    # What became of it

    @property
    def pending(self) -> int:
        """Records that were called and have not settled."""
        waiting = self._outbox.light_count + self._outbox.heavy_count + self._outbox.picture_count
        return waiting + self._light.pending + self._heavy.pending + self._pictures.under_way

    @property
    def busy(self) -> bool:
        """Whether something waits to be sent or to settle."""
        return bool(self._urgent or self.pending)

    @property
    def is_stuck(self) -> bool:
        """Whether all that is left belongs to runs that are refused for now."""
        waiting = self._outbox.has_calls or self._pictures.under_way or self._urgent
        return not waiting and self._light.is_stuck and self._heavy.is_stuck

    @property
    def awaited(self) -> bool:
        """Whether a caller waits for something to settle."""
        return bool(self._flushes)

    @property
    def drops(self) -> bool:
        """Whether any picture was dropped so far."""
        return bool(self._totals[End.DROPPED] or self._outbox.dropped)

    def _lost(self) -> Counter[str]:
        lost = self._pictures.lost.copy()
        lost[NOT_IN_TIME] += self._light.lost + self._heavy.lost
        lost[DAMAGED] += self._light.damaged + self._heavy.damaged
        lost[NOT_TAKEN] += self._outbox.refused
        lost[LATE] += self._outbox.late
        lost[WITH_DAEMON] += self._totals[End.LOST]
        return +lost

    def statistics(self) -> Statistics:
        dropped_here = self._outbox.drops()
        lost = self._lost()
        return Statistics(
            written=self._totals[End.WRITTEN],
            rejected=self._totals[End.REJECTED],
            dropped=self._totals[End.DROPPED] + sum(dropped_here.values()),
            lost=sum(lost.values()),
            pending=self.pending,
            spooled=self._light.left_in_spool + self._heavy.left_in_spool,
            dropped_tags=dict(self._totals.dropped_tags + dropped_here),
            lost_causes=dict(lost),
        )
