"""A daemon at an endpoint of its own, to which faults happen. Nobody starts it again but its owner."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from sidelog_shared.errors import DaemonStartError

GONE, STOPPED, RUNNING = "gone", "stopped", "running"
"""What may be seen of its process."""
_READY_DEADLINE_S = 30.0
_END_DEADLINE_S = 20.0


class FaultyDaemon:
    """``sidelog daemon --bind tcp://127.0.0.1:PORT``; the port stays the same from start to start.

    Args:
        logdir: where runs go.
        log_file: where its log lines go.
        program: what runs in its place, with its arguments; None is the daemon itself.
        options: more of its arguments.

    Attributes:
        endpoint: where it listens.
        starts: how often it was started.
    """

    def __init__(
        self, logdir: Path, log_file: Path, program: Path | None = None, *, options: Sequence[str] = ()
    ) -> None:
        self.endpoint = f"tcp://127.0.0.1:{_free_port()}"
        self.starts = 0
        self._log_file = log_file
        self._arguments = ["-m", "sidelog_daemon"] if program is None else [str(program)]
        self._arguments += ["--bind", self.endpoint, "--logdir", str(logdir), *options]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has said so far, over all its starts."""
        return self._log_file.read_text(errors="replace") if self._log_file.exists() else ""

    def start(self) -> None:
        """Start it, and return when it is ready.

        Raises:
            DaemonStartError: it is not, by the deadline.
        """
        with self._log_file.open("ab") as errors:
            # In a session of its own: Ctrl-C is for the bench, which ends it in order.
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            )  # fmt: skip
        self.starts += 1
        words = _first_line(self._process)
        if " is ready: " not in words:
            self.kill()
            raise DaemonStartError(f"the daemon of the bench said {words!r}, expected that it is ready: {self.log}")

    def state(self) -> str:
        """What is seen of its process now."""
        if self._process is None or self._process.poll() is not None:
            return GONE
        try:
            status = psutil.Process(self._process.pid).status()
        except psutil.NoSuchProcess:
            return GONE
        return STOPPED if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP) else RUNNING

    def freeze(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        if self.state() != GONE:
            os.kill(self.pid, signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL; returns once it is gone. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._reap()

    def stop(self) -> None:
        """SIGTERM, or SIGKILL where that does not end it. Idempotent."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_DEADLINE_S)
        self.kill()

    def _reap(self) -> None:
        assert self._process is not None
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _first_line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    fd, words, deadline = process.stdout.fileno(), b"", time.monotonic() + _READY_DEADLINE_S
    while not words.endswith(b"\n") and select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
        piece = os.read(fd, 4096)
        if not piece:
            break
        words += piece
    return words.decode(errors="replace")
