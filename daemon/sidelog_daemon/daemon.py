"""The life of a daemon: find its place, bind, say that it is ready, serve, drain, let go."""

from __future__ import annotations

import json
import logging
import os
import resource
import secrets
import signal
import socket as posix_socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from enum import IntEnum
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import FrameType

import zmq

from sidelog_daemon.complaints import counted
from sidelog_daemon.config import DaemonConfig
from sidelog_daemon.kinds.scratch import scratch_bytes
from sidelog_daemon.memory import WORKER_MESSAGES, Memory
from sidelog_daemon.receiver import Outcomes, Receiver
from sidelog_daemon.reception import Reception
from sidelog_daemon.render_queue import RenderQueue
from sidelog_daemon.renderer import Renderer
from sidelog_daemon.report import Reporter
from sidelog_daemon.roster import Roster
from sidelog_daemon.tensorboard import TensorBoard
from sidelog_daemon.writer import EventWriter
from sidelog_shared.client_view import Backlog
from sidelog_shared.errors import ConfigError, SidelogError, TransportError
from sidelog_shared.limits import MAX_FRAME_BYTES, Limits
from sidelog_shared.locks import FileLock
from sidelog_shared.records import Worker
from sidelog_shared.registry import Registration
from sidelog_shared.rendezvous import Ready, Rendezvous
from sidelog_shared.wakeup import Wakeup

log = logging.getLogger(__name__)


_OTHER_FILES = 128
"""Open files that are no run's: sockets, pipes, modules, and a new event file beside the old one."""


class Exit(IntEnum):
    """Exit codes of the daemon."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    MISSING_EXTRA = 3
    ALREADY_RUNNING = 4
    ENDPOINT_IN_USE = 5
    UNSETTLED = 6
    STOPPED_AT_ONCE = 7


class AlreadyRunning(TransportError):
    """This user's local daemon is up already."""


class EndpointInUse(TransportError):
    """Somebody else listens on the endpoint."""


class Daemon:
    """One sidecar process.

    Args:
        config: how it is set up.
        make_logdir: make the log folder, and fail if nothing can be written there. A daemon that a writer started
            leaves that to the first run that is given by name.
        runtime_folder: where writers look for it, as the one that started it knows; as the environment says when None.
    """

    def __init__(self, config: DaemonConfig, *, make_logdir: bool = False, runtime_folder: Path | None = None) -> None:
        self._config = config
        self._runtime_folder = runtime_folder
        self._make_logdir = make_logdir
        self._instance = secrets.token_hex(8)
        self._stops = 0
        self._wakeup = Wakeup()

    def request_stop(self, *_: int | FrameType | None) -> None:
        """Signal handler: drain; asked twice, stop now."""
        self._stops += 1
        self._wakeup.wake()

    def run(self, on_ready: Callable[[Ready], None]) -> Exit:
        """Serve until told to stop; ``on_ready`` is called once clients can connect.

        Raises:
            AlreadyRunning: this user's local daemon is up; the message names it.
            EndpointInUse: somebody else listens there.
            ConfigError: the endpoint, the runtime folder or the log folder cannot be used.
        """
        with ExitStack() as stack:
            stack.callback(self._wakeup.close)
            rendezvous = None if self._config.bind else self._take_place(stack)
            if self._make_logdir:
                _make_writable(self._config.logdir)
            context = zmq.Context()
            stack.callback(context.term)
            socket = context.socket(zmq.ROUTER)
            stack.callback(socket.close)
            endpoint = self._bind(socket, rendezvous)
            if endpoint.startswith("ipc://"):
                stack.callback(_remove, Path(endpoint.removeprefix("ipc://")))
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self.request_stop)
            return self._serve(stack, socket, endpoint, rendezvous, on_ready)

    def _take_place(self, stack: ExitStack) -> Rendezvous:
        rendezvous = Rendezvous(self._runtime_folder)
        lock = FileLock(rendezvous.lock_file)
        # Not at once: who looks whether a daemon lives holds the lock for some microseconds.
        if not lock.acquire(0.25):
            other = rendezvous.read_ready()
            who = f"pid {other.pid}, endpoint {other.endpoint}, logdir {other.logdir}" if other else "not ready yet"
            raise AlreadyRunning(
                f"your local daemon is running already ({who}): writers find it without being told; "
                "for a second one give --bind tcp://127.0.0.1:PORT"
            )
        stack.callback(lock.release)
        return rendezvous

    def _bind(self, socket: zmq.Socket[bytes], rendezvous: Rendezvous | None) -> str:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        socket.setsockopt(zmq.LINGER, 1000)
        socket.setsockopt(zmq.RCVHWM, WORKER_MESSAGES)
        socket.setsockopt(zmq.SNDHWM, 1000)
        endpoint = self._config.bind if rendezvous is None else rendezvous.endpoint
        socket.setsockopt(zmq.IPV6, endpoint.startswith("tcp://["))
        if rendezvous is None and endpoint.startswith("ipc://"):
            # A bind to an ipc path takes it over from whoever listens there, without a word.
            _refuse_live_socket(Path(endpoint.removeprefix("ipc://")))
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            if error.errno == zmq.EADDRINUSE:
                raise EndpointInUse(f"{endpoint} is in use by another program: give --bind another port") from error
            raise ConfigError(f"cannot listen on {endpoint}: {error.strerror}") from error
        return socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def _serve(
        self,
        stack: ExitStack,
        socket: zmq.Socket[bytes],
        endpoint: str,
        rendezvous: Rendezvous | None,
        on_ready: Callable[[Ready], None],
    ) -> Exit:
        config = self._config
        host = posix_socket.gethostname()
        outcomes = Outcomes(self._wakeup)
        roster = Roster()
        owner = {"endpoint": endpoint, "pid": os.getpid(), "host": host}
        writer = EventWriter(
            owner_note=json.dumps(owner).encode(),
            report=outcomes.report,
            max_directories=_room_for_directories(),
            roster=roster,
        )
        memory = Memory(config.budget_bytes)
        scratch = partial(scratch_bytes, max_pixels=config.max_pixels)
        pictures, heavy = (
            Renderer(
                queue,
                name=name,
                threads=threads,
                max_pixels=config.max_pixels,
                write=writer.submit,
                report=outcomes.report,
                roster=roster,
            )
            for queue, name, threads in (
                (RenderQueue(config.budget_bytes, memory.elsewhere, scratch), "sidelog-render", config.render_threads),
                (RenderQueue(config.budget_bytes, scratch=scratch), "sidelog-heavy", 1),
            )
        )
        reception = Reception(
            instance=self._instance,
            logdir=config.logdir,
            absolute_paths=endpoint.startswith("ipc://"),
            limits=Limits(session_budget_bytes=config.budget_bytes, max_record_bytes=config.budget_bytes // 2),
            process_is_gone=_process_is_gone(host),
            roster=roster,
            reporter=Reporter(
                instance=self._instance,
                logdir=str(config.logdir),
                version=version("sidelog"),
                roster=roster,
                started_at=time.monotonic(),
                budget_bytes=memory.tensor_bytes,
                run_statuses=writer.statuses,
                rendering=lambda: _together(pictures.held(), heavy.held()),
            ),
        )
        memory.watch(
            lambda: heavy.held_bytes,
            lambda: heavy.scratch_bytes,
            lambda: reception.begun_bytes,
            lambda: writer.held_bytes,
            workers=lambda: len(reception.workers),
        )
        receiver = Receiver(
            socket,
            reception,
            pictures=pictures,
            heavy=heavy,
            writer=writer,
            outcomes=outcomes,
            wakeup=self._wakeup,
            stop_requested=lambda: self._stops,
            idle_exit_s=config.idle_exit_s,
            memory=memory,
        )
        writer.start()
        pictures.start()
        heavy.start()
        if config.tensorboard_port is not None:
            board = TensorBoard(config.logdir, config.tensorboard_port)
            stack.callback(board.stop)
            board.start()
        ready = Ready(endpoint, os.getpid(), host, self._instance, version("sidelog"), str(config.logdir))
        if rendezvous is not None:
            stack.callback(rendezvous.remove_ready, self._instance)
            rendezvous.write_ready(ready)
        else:
            _register(stack, ready)
        log.info("ready: endpoint %s, pid %d, logdir %s", endpoint, os.getpid(), config.logdir)
        on_ready(ready)
        receiver.run()
        if rendezvous is not None:
            # From here on nobody finds this daemon: who looks for one waits for its lock, and starts the next.
            rendezvous.remove_ready(self._instance)
        return self._shut_down(reception, receiver, [pictures, heavy], writer)

    def _shut_down(
        self, reception: Reception, receiver: Receiver, renderers: list[Renderer], writer: EventWriter
    ) -> Exit:
        if writer.failure is not None:
            log.critical("stopping because the writer failed: %s", writer.failure)
            return Exit.FAILED
        log.info("going down: writing what is queued, for %.0f s at most", self._config.drain_deadline_s)
        deadline = time.monotonic() + self._config.drain_deadline_s
        settled = receiver.drain(self._config.drain_deadline_s)
        at_once = self._stops > 1
        for renderer in renderers:
            renderer.stop(deadline_s=0.5 if at_once else 5.0)
        closed = writer.stop(1.0 if at_once else max(1.0, deadline - time.monotonic()))
        receiver.farewell()
        log.info("faulty messages: %s; answers not sent: %s", counted(reception.faults), counted(receiver.unsent))
        if at_once:
            log.warning("stopped at once, as asked twice")
            return Exit.STOPPED_AT_ONCE
        if not (settled and closed):
            log.error("going down with records unsettled after %.0f s", self._config.drain_deadline_s)
            return Exit.UNSETTLED
        log.info("everything is written")
        return Exit.DONE


def _register(stack: ExitStack, ready: Ready) -> None:
    """Let ``sidelog status`` find a daemon that was given an endpoint; it serves all the same where that cannot be."""
    try:
        stack.callback(Registration(Rendezvous().folder, ready).remove)
    except (SidelogError, OSError) as error:
        log.warning("sidelog status needs --endpoint %s to find this daemon: %s", ready.endpoint, error)


def _together(one: Mapping[str, Backlog], other: Mapping[str, Backlog]) -> dict[str, Backlog]:
    return {worker: one.get(worker, Backlog()) + other.get(worker, Backlog()) for worker in {**one, **other}}


def _room_for_directories() -> int:
    """How many run directories may be open: each holds its lock and an event file."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return sys.maxsize
    return max(1, (soft - _OTHER_FILES) // 2)


def _process_is_gone(host: str) -> Callable[[Worker], bool]:
    def is_gone(worker: Worker) -> bool:
        if worker.host != host:
            return False
        try:
            os.kill(worker.pid, 0)
        except ProcessLookupError:
            return True
        except (PermissionError, OverflowError):
            return False
        return False

    return is_gone


def _make_writable(logdir: Path) -> None:
    reason = ""
    try:
        logdir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = f"{error.strerror} at {error.filename}"
    else:
        if not os.access(logdir, os.W_OK | os.X_OK):
            reason = "no permission to write"
    if reason:
        raise ConfigError(f"logdir is {logdir}, got {reason}, expected a folder that this user may make and write")


def _refuse_live_socket(path: Path) -> None:
    probe = posix_socket.socket(posix_socket.AF_UNIX)
    try:
        probe.connect(str(path))
    except OSError:
        return
    finally:
        probe.close()
    raise EndpointInUse(f"ipc://{path} is in use by another program: give --bind another path")


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)


def configure_logging() -> None:
    """Log lines to standard error, which is the log file when a writer started this daemon."""
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", force=True
    )
