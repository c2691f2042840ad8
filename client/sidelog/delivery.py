"""The client's side of the protocol: phases of a connection, runs, and who waits for what. No I/O, no threads.

The sender thread drives it: it opens a connection (``connected``), feeds replies (``feed``), hands over what was
called (``collect``), and sends what ``peek`` gives until there is nothing or the socket takes no more.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable
from enum import Enum

from sidelog.calls import Fence, FlushRequest, RunEnd
from sidelog.heavy_lane import HeavyLane
from sidelog.light_lane import LightLane
from sidelog.outbox import Outbox
from sidelog.picture_lane import PictureLane
from sidelog.runs import RunHandle
from sidelog.statistics import LATE, NOT_IN_TIME, NOT_TAKEN, WITH_DAEMON, Statistics, Totals
from sidelog.view import Viewer
from sidelog_shared import replies, requests
from sidelog_shared.errors import ProtocolError, SidelogError, VersionMismatch, WriterError
from sidelog_shared.frames import unpack
from sidelog_shared.limits import MIB
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


_OTHER = {Lane.HEAVY: Lane.PICTURE, Lane.PICTURE: Lane.HEAVY}
_CONNECTED = (Phase.OPENING, Phase.LIVE, Phase.DRAINING, Phase.LEAVING)


class Delivery:
    """One worker's connection to one daemon, over all its epochs. Not thread-safe.

    Args:
        worker: who this is.
        outbox: what was called.
        say: tells the user something (once per text).

    Attributes:
        phase: where the connection stands.
        epoch: how many connections there were.
        failure: why no connection will work, where that is known.
        last_trouble: what the daemon said last for the user to read.
    """

    def __init__(self, worker: Worker, outbox: Outbox, *, say: Callable[[str], None]) -> None:
        self._worker = worker
        self._outbox = outbox
        self._say = say
        self.phase = Phase.AWAY
        self.epoch = 0
        self.failure: SidelogError | None = None
        self.last_trouble = ""
        self._totals = Totals()
        self._light = LightLane(outbox)
        self._heavy = HeavyLane(outbox)
        self._pictures = PictureLane(outbox, self._totals, say)
        self._runs: dict[int, RunHandle] = {}
        self._unanswered: set[int] = set()
        self._instance = ""
        self._heard_troubles = 0
        # What is to be sent, in order: protocol and light lane first, then in turn, message by message, the heavy
        # record and the picture that have begun.
        self._urgent: deque[list[Buffer]] = deque()
        self._begun: dict[Lane, deque[list[Buffer]]] = {Lane.HEAVY: deque(), Lane.PICTURE: deque()}
        self._turn = Lane.PICTURE
        self._flushes: list[FlushRequest] = []
        self._ends: list[RunEnd] = []
        self._viewer = Viewer(outbox, self._light, self._heavy, self._pictures, self._lost)

    # Runs

    def add_run(self, run: RunHandle) -> None:
        self._runs[run.id] = run
        if self.phase in (Phase.LIVE, Phase.OPENING):
            self._open(run)

    def _close_runs(self) -> None:
        """Let the daemon let go of the runs that ended and whose records have all settled."""
        if self.phase is not Phase.LIVE:
            return
        for end in [end for end in self._ends if self._is_settled(end, everything=True)]:
            self._ends.remove(end)
            del self._runs[end.run.id]
            if not end.run.refused:
                self._urgent.append(requests.CloseRun(end.run.id).frames(self.epoch))

    def _open(self, run: RunHandle) -> None:
        if not run.refused:
            self._unanswered.add(run.id)
            self._urgent.append(requests.OpenRun(run.id, run.path, run.opened_at).frames(self.epoch))

    def problem_of(self, runs: Iterable[RunHandle]) -> SidelogError | None:
        """Why records of these runs are not written, if they are not."""
        if self.failure is not None:
            return self.failure
        return next((WriterError(run.refused) for run in runs if run.refused), None)

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
            Lane.LIGHT: self._light.settled_through + 1,
            Lane.HEAVY: self._heavy.settled_through + 1,
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
        self._urgent.append(requests.Bye().frames(self.epoch))

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
        if opened.run in self._unanswered:
            self._unanswered.discard(opened.run)
            self._pictures.resolve(opened.run, opened.marks)
            self._enter_live()

    def _refused(self, refused: replies.Refused) -> None:
        if refused.code is Refusal.VERSION:
            self._fail(VersionMismatch(refused.text))
        elif refused.code is Refusal.DRAINING:
            self.disconnected()
        elif refused.run in self._unanswered:
            self._unanswered.discard(refused.run)
            run = self._runs.get(refused.run)
            if run is not None:
                run.refused = refused.text
            self._say(f"nothing of this run is written: {refused.text}")
            self._enter_live()

    def _fail(self, failure: SidelogError) -> None:
        self.failure = failure
        self._say(str(failure))
        self.fail_flushes(failure)

    def _enter_live(self) -> None:
        if self.phase is Phase.OPENING and not self._unanswered:
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

    # What was called, and what to send

    def collect(self) -> None:
        """Take what was called out of the outbox, as far as memory allows."""
        while (fence := self._light.collect()) is not None:
            self._keep(fence)
        self._heavy.collect()
        self._pass_fences()

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
        for request in [one for one in self._flushes if self._is_settled(one, everything=one.everything)]:
            self._flushes.remove(request)
            request.done.set()
        self._close_runs()

    def _is_settled(self, fence: Fence, *, everything: bool) -> bool:
        """Whether the light records before it are, or everything is."""
        if self._light.settled_through < fence.light_target:
            return False
        if not everything:
            return True
        unsettled = self._pictures.first_unsettled_ordinal
        pictures_are = unsettled is None or unsettled > fence.picture_target
        return pictures_are and self._heavy.settled_through >= fence.heavy_target

    def fail_flushes(self, error: SidelogError) -> None:
        """Answer those who wait: it cannot be done."""
        for request in self._flushes:
            request.fail(error)
        self._flushes.clear()

    def abandon(self, error: SidelogError) -> None:
        """The connection ends: what is left is lost, its memory is free, and who waits is told."""
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
            dropped_tags=dict(self._totals.dropped_tags + dropped_here),
            lost_causes=dict(lost),
        )
