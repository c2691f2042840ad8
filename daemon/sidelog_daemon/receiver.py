"""The receiver: the one thread that owns the daemon's socket. It runs the reception and carries its actions out."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable

import zmq

from sidelog_daemon.actions import Action, Dropped, Noted, Outcome, Render, Send
from sidelog_daemon.memory import Memory
from sidelog_daemon.reception import Reception
from sidelog_daemon.render_queue import Job
from sidelog_daemon.renderer import Renderer
from sidelog_daemon.writer import EventWriter
from sidelog_shared.limits import KIB
from sidelog_shared.records import Buffer, Lane
from sidelog_shared.wakeup import Wakeup

log = logging.getLogger(__name__)

MESSAGES_PER_TURN = 64
"""So many messages are taken before outcomes and timers get their turn."""
SMALL_BYTES = 8 * KIB
"""libzmq 4.3 reads into blocks of so many bytes (``in_batch_size``), and a frame that fits keeps the whole block: a
picture of a hundred bytes would hold 9 kB while it waits, uncounted."""
DRAIN_SILENCE_S = 1.0
"""How long SIGTERM waits for clients to confirm that nothing more is on its way."""


class Outcomes:
    """What the other threads report, on its way to the receiver."""

    def __init__(self, wakeup: Wakeup) -> None:
        self._queue: deque[Outcome] = deque()
        self._wakeup = wakeup

    def report(self, outcome: Outcome) -> None:
        self._queue.append(outcome)
        self._wakeup.wake()

    def take(self) -> Iterable[Outcome]:
        while self._queue:
            yield self._queue.popleft()


class Receiver:
    """Runs until told to drain, or idle for long enough.

    Args:
        socket: a bound ROUTER.
        reception: the protocol's state.
        pictures: takes records of the picture lane.
        heavy: takes records of the heavy lane.
        writer: takes everything that is ready to be written.
        outcomes: what those three report.
        wakeup: wakes this thread.
        stop_requested: how many times somebody asked the daemon to stop (SIGTERM).
        idle_exit_s: drain this long after the last worker is gone; None never.
        memory: looks from time to time at what the process takes; None does not.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        reception: Reception,
        *,
        pictures: Renderer,
        heavy: Renderer,
        writer: EventWriter,
        outcomes: Outcomes,
        wakeup: Wakeup,
        stop_requested: Callable[[], int],
        idle_exit_s: float | None,
        memory: Memory | None = None,
    ) -> None:
        self._socket = socket
        self._reception = reception
        self._pictures = pictures
        self._heavy = heavy
        self._writer = writer
        self._outcomes = outcomes
        self._wakeup = wakeup
        self._stop_requested = stop_requested
        self._idle_exit_s = idle_exit_s
        self._memory = memory
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(wakeup.read_fd, zmq.POLLIN)
        self._idle_since = time.monotonic()
        self.unsent: Counter[str] = Counter()

    def run(self) -> None:
        """Serve until a stop is requested, the daemon is idle for long, or the writer has failed."""
        while not self._stop_requested() and self._writer.failure is None:
            now = self._turn()
            if self._reception.workers:
                self._idle_since = now
            elif self._idle_exit_s is not None and now - self._idle_since >= self._idle_exit_s:
                log.info("no worker for %.0f s: going down", self._idle_exit_s)
                return

    def drain(self, deadline_s: float) -> bool:
        """Stop intake and settle what was received.

        Returns:
            Whether everything was settled before the deadline and before a second request to stop.
        """
        now = time.monotonic()
        deadline = now + deadline_s
        quiet_by = min(deadline, now + DRAIN_SILENCE_S)
        self._execute(self._reception.drain())
        # What clients had under way when they heard of it is still taken; their FLUSH says that it was the last.
        while not self._reception.drained and now < quiet_by:
            now = self._turn()
        self._reception.end_intake()
        while not self._reception.settled and now < deadline and self._stop_requested() < 2:
            if self._writer.failure is not None:
                return False
            now = self._turn()
        return self._reception.settled

    def farewell(self) -> None:
        """Tell every worker what became of its records; the last thing before the socket closes."""
        self._apply_outcomes()
        self._execute(self._reception.farewell())

    def _turn(self) -> float:
        timeout_s = self._reception.next_tick_s(time.monotonic())
        self._poller.poll(max(1, round(timeout_s * 1000)))
        self._wakeup.clear()
        self._receive()
        self._apply_outcomes()
        now = time.monotonic()
        if self._memory is not None:
            self._memory.look(now)
        self._drop(self._pictures.make_room())
        self._execute(self._reception.tick(now))
        self._tell_of_stall(now)
        return now

    def _tell_of_stall(self, now: float) -> None:
        """Say once, to everybody, that the writer waits for a file system."""
        stall = self._writer.stalls.news(now)
        if stall is not None:
            log.error("%s", stall.text)
            for worker in self._reception.workers:
                self._execute(self._reception.apply(Noted(worker.id, stall.text, logged=True)))

    def _receive(self) -> None:
        for _ in range(MESSAGES_PER_TURN):
            try:
                message = self._socket.recv_multipart(zmq.NOBLOCK, copy=False)
            except zmq.Again:
                return
            peer = message[0].bytes
            frames: list[Buffer] = [frame.bytes if len(frame) <= SMALL_BYTES else frame.buffer for frame in message[1:]]
            self._execute(self._reception.feed(peer, frames, time.monotonic()))

    def _apply_outcomes(self) -> None:
        for outcome in self._outcomes.take():
            self._execute(self._reception.apply(outcome))

    def _execute(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Send():
                    self._send(action)
                case Render():
                    renderer = self._heavy if action.record.lane is Lane.HEAVY else self._pictures
                    self._drop(renderer.submit(action))
                case _:
                    self._writer.submit(action)

    def _drop(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._execute(self._reception.apply(Dropped(job.worker, job.record)))

    def _send(self, action: Send) -> None:
        try:
            self._socket.send_multipart([action.peer, *action.frames], zmq.NOBLOCK)
        except zmq.Again:
            self.unsent["slow client"] += 1
            self._reception.not_told(action.peer)
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            # Its connection is gone; on its next one it is told everything again.
            self.unsent["no connection"] += 1
