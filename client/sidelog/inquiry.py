"""Which daemons this user runs on this machine, and what each of them answers when it is asked how things stand."""

from __future__ import annotations

import os
import socket as posix_socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import zmq

from sidelog_shared import replies, requests
from sidelog_shared.errors import ProtocolError
from sidelog_shared.frames import unpack
from sidelog_shared.limits import MAX_FRAME_BYTES
from sidelog_shared.locks import is_held_by_someone
from sidelog_shared.registry import registered
from sidelog_shared.rendezvous import Ready, Rendezvous, runtime_folder
from sidelog_shared.report import DaemonReport

ANSWER_S = 2.0
"""A daemon answers within milliseconds; one that has not after so long does not answer."""


@dataclass(frozen=True, slots=True)
class Found:
    """A daemon that is to be asked.

    Attributes:
        endpoint: where it listens.
        local: whether it is this user's local daemon.
        ready: what it says of itself in its file; None where it has none.
    """

    endpoint: str
    local: bool = False
    ready: Ready | None = None

    @property
    def process(self) -> str:
        """``runs``, ``stopped`` (by SIGSTOP, say), ``gone``, or ``unknown``: what became of its process."""
        if self.ready is None or self.ready.host != posix_socket.gethostname():
            return "unknown"
        try:
            stat = Path(f"/proc/{self.ready.pid}/stat").read_text()
        except OSError:
            return _by_signal(self.ready.pid)
        state = stat.rpartition(")")[2].split()[0]
        return {"T": "stopped", "t": "stopped", "Z": "gone", "X": "gone"}.get(state, "runs")


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of asking one daemon.

    Attributes:
        daemon: who was asked.
        process: what became of its process, see :attr:`Found.process`.
        report: what it said; None where it did not answer.
        why: why there is none.
    """

    daemon: Found
    process: str
    report: DaemonReport | None = None
    why: str = ""

    def to_map(self) -> dict[str, object]:
        """For ``sidelog status --json``; docs/guide.md says what is in it."""
        return {
            "endpoint": self.daemon.endpoint,
            "local": self.daemon.local,
            "answers": self.report is not None,
            "why": self.why,
            "process": self.process,
            "ready": None if self.daemon.ready is None else asdict(self.daemon.ready),
            "report": None if self.report is None else self.report.to_map(),
        }


def find_daemons() -> list[Found]:
    """This user's daemons on this machine: the local one first.

    Raises:
        ConfigError: the runtime folder cannot be used.
        WriterError: it is on a file system without locks.
        OSError: an entry in it cannot be looked at.
    """
    if not runtime_folder().exists():
        return []
    rendezvous = Rendezvous()
    found = []
    if is_held_by_someone(rendezvous.lock_file):
        # On its way down it has no ready file any more, and answers all the same.
        found.append(Found(rendezvous.endpoint, local=True, ready=rendezvous.read_ready()))
    found += [Found(ready.endpoint, ready=ready) for ready in registered(rendezvous.folder)]
    return found


def ask(daemons: Iterable[Found], *, deadline_s: float = ANSWER_S) -> list[Answer]:
    """Ask all of them at once; returns after ``deadline_s`` at the latest."""
    daemons = list(daemons)
    told = _ask_endpoints([one.endpoint for one in daemons], deadline_s)
    answers = []
    for one in daemons:
        said = told.get(one.endpoint, f"does not answer within {deadline_s:g} s")
        if isinstance(said, DaemonReport):
            answers.append(Answer(one, "runs", said))
        else:
            answers.append(Answer(one, one.process, None, said))
    return answers


def _ask_endpoints(endpoints: list[str], deadline_s: float) -> Mapping[str, DaemonReport | str]:
    """What each of them said, or what is wrong with it; nothing of those that are silent."""
    told: dict[str, DaemonReport | str] = {}
    sockets: dict[zmq.Socket[bytes], str] = {}
    deadline = time.monotonic() + deadline_s
    with zmq.Context() as context:
        try:
            poller = zmq.Poller()
            for endpoint in dict.fromkeys(endpoints):
                socket = context.socket(zmq.DEALER)
                sockets[socket] = endpoint
                socket.setsockopt(zmq.LINGER, 0)
                socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
                socket.setsockopt(zmq.IPV6, int(endpoint.startswith("tcp://[")))
                try:
                    socket.connect(endpoint)
                    socket.send_multipart(requests.Inquire().frames(0), zmq.NOBLOCK)
                except zmq.ZMQError as error:
                    told[endpoint] = f"cannot be asked: {error.strerror}"
                    continue
                poller.register(socket, zmq.POLLIN)
            while len(told) < len(sockets) and (left := deadline - time.monotonic()) > 0:
                for socket, _ in poller.poll(max(1, round(left * 1000))):
                    said = _understand(socket.recv_multipart())
                    if said is not None:
                        told[sockets[socket]] = said
                        poller.unregister(socket)
        finally:
            for socket in sockets:
                socket.close(linger=0)
    return told


def _understand(frames: list[bytes]) -> DaemonReport | str | None:
    try:
        reply = replies.read_reply(unpack(frames, max_bytes=MAX_FRAME_BYTES))
    except ProtocolError as error:
        return f"cannot be understood: {error}"
    match reply:
        case replies.Report():
            return reply.report
        case replies.Reset():
            # What a daemon says to a message of somebody without a session: this one does not know the question.
            return "is of protocol 1.0, which cannot tell how things stand"
        case replies.Refused():
            return f"refuses to tell: {reply.text}"
        case _:
            return None


def _by_signal(pid: int) -> str:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except (PermissionError, OverflowError):
        return "unknown"
    return "runs"
