"""The sender thread: the only one that touches the socket. It wakes rarely and works in batches.

It must never hold the interpreter for long, nor wait for anything while a caller waits for it: every wait here is
a poll with a deadline.
"""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import zmq

from sidelog.delivery import Delivery
from sidelog.outbox import Outbox
from sidelog.phase import Phase
from sidelog.reentry import Flag
from sidelog_shared.errors import MissingExtra, SidelogError, TransportError
from sidelog_shared.frames import is_state
from sidelog_shared.limits import KIB, MAX_FRAME_BYTES
from sidelog_shared.wakeup import Wakeup

TICK_S = 0.05
"""How often it looks while there is work. Each look takes the interpreter lock from the training for a moment."""
DORMANT_S = 1.0
"""How often it looks when nothing was logged for a while; the next call wakes it."""
SHORT_S = 0.01
"""How often it looks when snapshot memory runs short: what the daemon has taken over is free only once it looks."""
URGENT_S = 0.005
HEARTBEAT_S = 0.5
SILENT_S = 2.0
"""A heartbeat unanswered for so long means that the connection is dead."""
PATIENT_S = 10.0
"""The same, where the daemon's lock shows that its process lives: a loaded machine, or a stopped process."""
BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
HOPELESS_S = 0.5
"""How long a closing connection tries all the same."""
PROGRESS_S = 1.0
"""How often somebody who waits for the end is told that it goes on."""
LATE_S = 5.0
"""So much later than its deadline a connection may end: what is left is written into the spool."""
SEND_BUDGET_S = 0.02
"""So long it sends before it looks at replies again."""
ZERO_COPY_BYTES = 64 * KIB
"""Below this a copy is cheaper than ZeroMQ's bookkeeping for a frame that is not copied (about 10 us)."""


class Sender:
    """Runs one connection.

    Args:
        delivery: the protocol's state; driven under ``lock``.
        outbox: what was called.
        changes: entered while ``delivery`` is driven, for those who look at it.
        find_endpoint: gives the daemon's endpoint; may take a second, and may start the daemon; asks what it is
            given, every few hundredths of a second, whether to give up.
        daemon_lives: whether the daemon's process certainly lives, where that can be known.
        patience_s: see :meth:`is_hopeless`.
        memory_is_short: whether snapshots that the daemon has not taken over fill half of their memory.
        say: tells the user something, once per text.
        speak: sees that it is being told.
    """

    def __init__(
        self,
        delivery: Delivery,
        outbox: Outbox,
        *,
        wakeup: Wakeup,
        changes: AbstractContextManager[None],
        find_endpoint: Callable[[Callable[[], bool]], str],
        daemon_lives: Callable[[], bool],
        patience_s: float,
        memory_is_short: Callable[[], bool],
        say: Callable[[str], None],
        speak: Callable[[], None],
    ) -> None:
        self._delivery = delivery
        self._outbox = outbox
        self._wakeup = wakeup
        self._changes = changes
        self._find_endpoint = find_endpoint
        self._daemon_lives = daemon_lives
        self._patience_s = patience_s
        self._memory_is_short = memory_is_short
        self._say = say
        self._speak = speak
        self._endpoint = ""
        self._socket: zmq.Socket[bytes] | None = None
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._cannot_send = False
        self._stop_by: float | None = None
        self._stop_after_s = 0.0
        self._paused = threading.RLock()
        self._tries = 0
        self._was_live = False
        self._hopeless = False
        self._looking = False
        self._asked_since = time.monotonic()
        self._retry_at = 0.0
        self._heard_at = 0.0
        self._pinged_at: float | None = None
        self._greeted_at = 0.0
        self._away_since = time.monotonic()
        self._worked_at = 0.0
        self._ended = Flag()
        self._thread = threading.Thread(target=self._main, name="sidelog-sender", daemon=True)
        self.problem: SidelogError | None = None

    def start(self) -> None:
        self._thread.start()

    @property
    def is_live(self) -> bool:
        """Whether a daemon answers: records flow, or will once it has opened the runs."""
        return self._delivery.phase in (Phase.OPENING, Phase.LIVE)

    def is_hopeless(self, waited_s: float) -> bool:
        """Whether waiting any longer will not help somebody who has waited for so long.

        A daemon that cannot be started or is of another version will not come; one that never answered in
        ``patience_s`` is not there. One that is being started is.
        """
        if self._hopeless or self._delivery.failure is not None:
            return True
        if self._was_live or self._looking:
            return False
        return min(waited_s, time.monotonic() - self._asked_since) > self._patience_s

    def stop(self, deadline_s: float, show_progress: Callable[[float], None]) -> None:
        """Settle what is left until the deadline, say goodbye, end the thread.

        Idempotent; the earliest deadline counts.

        Args:
            deadline_s: seconds from now.
            show_progress: told every second how many have passed.
        """
        self.end_by(deadline_s)
        begun = time.monotonic()
        # Not by join: one that Ctrl-C interrupts makes CPython 3.11 take a living thread for one that has ended.
        while not self._ended.wait(PROGRESS_S) and (waited_s := time.monotonic() - begun) < deadline_s + LATE_S:
            if waited_s < deadline_s:
                show_progress(waited_s)

    def end_by(self, deadline_s: float) -> None:
        """As :meth:`stop`, without waiting for it. After its end, nothing."""
        stop_by = time.monotonic() + deadline_s
        if self._stop_by is None or stop_by < self._stop_by:
            self._stop_after_s, self._stop_by = deadline_s, stop_by
        if not self.has_ended:
            self._wakeup.wake()

    @property
    def has_ended(self) -> bool:
        return self._ended.is_set()

    @property
    def runs_here(self) -> bool:
        """Whether this thread is the sender's."""
        return threading.get_ident() == self._thread.ident

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hold the thread still between two looks."""
        with self._paused:
            yield

    # The thread

    def _main(self) -> None:
        try:
            while self._delivery.phase is not Phase.GONE:
                now = time.monotonic()
                if self._socket is None:
                    self._connect(now)
                self._wait()
                self._work()
                self._check_health(time.monotonic())
                self._speak()
                if self._stop_by is not None and self._is_over(time.monotonic()):
                    break
        except Exception as error:
            # The training must not suffer from a fault of ours; the user must hear of it all the same.
            self._say(f"the sender thread failed: {traceback.format_exc()}")
            self.problem = TransportError(f"the sender thread failed: {type(error).__name__}: {error}")
        finally:
            self._hopeless = True
            self._outbox.end()
            self._disconnect()
            if self._context is not None:
                self._context.term()
            try:
                with self._changes:
                    self._delivery.abandon(self.problem or TransportError("the connection is closed"))
            finally:
                self._ended.set()
                self._speak()

    def _connect(self, now: float) -> None:
        if now < self._retry_at:
            return
        self._retry_at = now + BACKOFF_S[min(self._tries, len(BACKOFF_S) - 1)]
        self._tries += 1
        self._looking = True
        try:
            endpoint = self._find_endpoint(self._gives_up)
            socket = self._open_socket(endpoint)
        except SidelogError as error:
            self._fail(error)
            return
        except (OSError, zmq.ZMQError) as error:
            # Descriptors or memory have run out, a folder is gone: it may be over at the next try.
            self._fail(TransportError(f"no connection to a daemon can be made: {error}"))
            return
        finally:
            self._looking = False
        if not self._endpoint:
            self._asked_since = time.monotonic()
        self._endpoint = endpoint
        self._socket = socket
        self._greeted_at = self._heard_at = now
        self._pinged_at = None
        with self._changes:
            self._delivery.connected()

    def _open_socket(self, endpoint: str) -> zmq.Socket[bytes]:
        if self._context is None:
            self._context = zmq.Context()
        socket = self._context.socket(zmq.DEALER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.SNDHWM, 64)
        socket.setsockopt(zmq.RCVHWM, 256)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        socket.setsockopt(zmq.IPV6, int(endpoint.startswith("tcp://[")))
        try:
            socket.connect(endpoint)
        except zmq.ZMQError:
            socket.close(linger=0)
            raise
        return socket

    def _gives_up(self) -> bool:
        """Whether looking for a daemon has become pointless: the deadline of a closing connection has passed.

        It is asked again and again meanwhile, which may be for many seconds: what is called then is not left lying.
        """
        with self._paused, self._changes:
            self._take_calls()
        self._speak()
        return self._stop_by is not None and time.monotonic() >= self._stop_by

    def _fail(self, error: SidelogError) -> None:
        self.problem = error
        self._say(f"nothing is written for now: {error}")
        if isinstance(error, MissingExtra):
            self._hopeless = True
            self._retry_at = float("inf")  # no retry installs a package
        with self._changes:
            self._delivery.fail_flushes(error)

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.close(linger=0)
            self._socket = None

    def _wait(self) -> None:
        delivery = self._delivery
        settling = delivery.phase not in (Phase.LIVE, Phase.AWAY)
        urgent = delivery.awaited or settling or self._stop_by is not None
        now = time.monotonic()
        if delivery.busy:
            self._worked_at = now
        poller = zmq.Poller()
        poller.register(self._wakeup.read_fd, zmq.POLLIN)
        if urgent:
            # Somebody waits: replies wake us. Otherwise they are read when we look anyway.
            if self._socket is not None:
                # It can be written once the daemon is connected: HELLO waits for that, not for the next look.
                poller.register(self._socket, zmq.POLLIN | (zmq.POLLOUT if self._cannot_send else 0))
            timeout_s = URGENT_S if self._socket is None or delivery.phase is Phase.LIVE else TICK_S
        elif self._memory_is_short():
            timeout_s = SHORT_S
        elif now - self._worked_at < 2 * TICK_S or delivery.phase is Phase.AWAY:
            timeout_s = TICK_S
        else:
            self._outbox.dormant = True
            timeout_s = TICK_S if self._outbox.has_calls else DORMANT_S
        poller.poll(max(1, round(timeout_s * 1000)))
        self._outbox.is_watched(time.monotonic())
        self._wakeup.clear()

    def _work(self) -> None:
        with self._paused, self._changes:
            self._receive()
            self._take_calls()
            self._delivery.ask_again(time.monotonic())
            if self._outbox.refused:
                self._say(
                    "calls are not taken any more, too many wait for a daemon that is away: flush() says how many"
                )
            if self._delivery.drops:
                self._say("pictures or histograms are dropped, more come than are written (statistics().dropped_tags)")
            self._delivery.tell_view(time.monotonic())
            self._send()
            self._outbox.flows = self._delivery.phase is Phase.LIVE and not self._cannot_send

    def _take_calls(self) -> None:
        now = time.monotonic()
        self._delivery.collect(now)
        self._delivery.spill(now)

    def _receive(self) -> None:
        if self._socket is None:
            return
        messages = []
        with contextlib.suppress(zmq.Again):
            while True:
                messages.append(self._socket.recv_multipart(zmq.NOBLOCK))
        if messages:
            self._heard_at = time.monotonic()
            self._pinged_at = None
        for index, message in enumerate(messages):
            # Of STATEs in a row the last says it all: the others are not even decoded.
            if not (is_state(message) and is_state(messages[index + 1] if index + 1 < len(messages) else [])):
                self._delivery.feed(message)

    def _send(self) -> None:
        self._cannot_send = False
        if self._socket is None:
            return
        until = time.monotonic() + SEND_BUDGET_S
        while (frames := self._delivery.peek()) is not None:
            big = any(len(frame) >= ZERO_COPY_BYTES for frame in frames[2:])
            try:
                self._socket.send_multipart(frames, zmq.NOBLOCK, copy=not big)
            except zmq.Again:
                self._cannot_send = True
                return
            self._delivery.sent()
            if time.monotonic() > until:
                self._wakeup.wake()
                return

    def _check_health(self, now: float) -> None:
        phase = self._delivery.phase
        self._was_live |= self.is_live  # a daemon that has thousands of runs to open is there
        if phase is Phase.LIVE:
            self._tries = 0
            self._away_since = now
            self.problem = self._delivery.failure
        if self._socket is None:
            return
        if phase is Phase.AWAY:
            # The daemon said that it goes, or that it does not know us: a new connection finds what there is.
            self._disconnect()
            return
        if phase is Phase.GREETING:
            if now - self._greeted_at > 1.0:
                self._greeted_at = now
                with self._changes:
                    self._delivery.say_hello()
        elif self._pinged_at is None and now - self._heard_at > HEARTBEAT_S:
            self._pinged_at = now
            with self._changes:
                self._delivery.heartbeat(now)
                self._send()
        silent_since = self._heard_at if phase is Phase.GREETING else self._pinged_at
        if silent_since is not None and now - silent_since > SILENT_S:
            if self._daemon_lives() and now - silent_since < PATIENT_S:
                return
            if self._delivery.failure is None:
                self.problem = TransportError(f"no daemon answers at {self._endpoint}")
                what = "what is logged is kept and sent again" if self._was_live else "nothing is written for now"
                self._say(f"{what}: {self.problem}")
            self._disconnect()
            with self._changes:
                self._delivery.disconnected()

    def _is_over(self, now: float) -> bool:
        """Whether the closing connection has nothing left to wait for."""
        assert self._stop_by is not None
        phase = self._delivery.phase
        waited_s = now - (self._stop_by - self._stop_after_s)
        if now >= self._stop_by or (waited_s > HOPELESS_S and self.is_hopeless(waited_s)):
            return True
        if phase is Phase.LIVE and waited_s > HOPELESS_S and self._delivery.busy and self._delivery.is_stuck:
            return True  # all that is left is of runs that are refused: it is kept in the spool
        if phase is Phase.LIVE and not self._delivery.busy:
            with self._changes:
                self._delivery.leave()
                self._send()
        return phase is Phase.GONE or (phase is Phase.AWAY and not self._delivery.busy)
