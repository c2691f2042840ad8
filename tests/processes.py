"""Real processes for the tests: daemons, training scripts, and waiting for what they do."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from sidelog_shared.locks import is_held_by_someone
from sidelog_shared.rendezvous import Ready, Rendezvous

DEADLINE_S = 30.0
"""Far above what anything takes on a loaded machine: whoever meets it is stuck."""
_POLL_S = 0.01
_FOREIGN = ("SIDELOG_", "RANK", "WORLD_SIZE", "LOCAL_RANK", "SLURM_", "OMPI_", "PMI_")
_T = TypeVar("_T")


def wait_until(predicate: Callable[[], _T], deadline_s: float = DEADLINE_S, *, what: str = "") -> _T:
    """Poll ``predicate`` until what it returns is true; returns that.

    Raises:
        AssertionError: it is not by the deadline.
    """
    deadline = time.monotonic() + deadline_s
    while not (found := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what or predicate!r}")
        time.sleep(_POLL_S)
    return found


def foreign_variables() -> list[str]:
    """Variables of this shell that would make a writer part of a job, or tell it which daemon to use."""
    return [name for name in os.environ if name.startswith(_FOREIGN)]


def is_gone(pid: int) -> bool:
    """Whether a process has ended; a zombie that its parent has not fetched has."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True
    return stat.rpartition(")")[2].split()[0] in "ZX"


class DaemonProcess:
    """``sidelog daemon`` with given arguments, ready once this is made.

    Args:
        log: where its log lines go.
        through: a command that becomes what its arguments say, such as a shell that sets limits.

    Attributes:
        endpoint: where it listens.
        pid: its process.
    """

    def __init__(self, *arguments: str, log: Path, through: Sequence[str] = ()) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*through, sys.executable, "-m", "sidelog_daemon", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.pid = self._process.pid
        try:
            words = self._first_line()
            found = re.fullmatch(r"sidelog daemon \S+ is ready: (?P<endpoint>\S+)  logdir (?P<logdir>.*)\n", words)
            assert found, f"the daemon said {words!r}; its log: {self.log}"
        except BaseException:
            self.kill()
            raise
        self.endpoint = found["endpoint"]

    def _first_line(self) -> str:
        assert self._process.stdout is not None
        fd, words, deadline = self._process.stdout.fileno(), b"", time.monotonic() + DEADLINE_S
        while not words.endswith(b"\n") and select.select([fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            piece = os.read(fd, 4096)
            if not piece:
                break
            words += piece
        return words.decode()

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        """Its exit code."""
        code = self._process.wait(deadline_s)
        self._close()
        return code

    def stop(self, deadline_s: float = DEADLINE_S) -> int:
        """SIGTERM; returns its exit code. Idempotent."""
        if self.runs:
            self.signal(signal.SIGTERM)
        return self.wait(deadline_s)

    def kill(self) -> None:
        if self.runs:
            self._process.kill()
        self.wait()

    def _close(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()


def local_daemon() -> Ready | None:
    """The daemon that was started by itself in ``SIDELOG_RUNTIME_DIR``, if it is up."""
    rendezvous = Rendezvous()
    ready = rendezvous.read_ready()
    return ready if ready is not None and is_held_by_someone(rendezvous.lock_file) else None


def stop_local_daemon() -> None:
    """SIGTERM for the local daemon, if there is one, or one on its way up; returns once it is gone."""
    rendezvous = Rendezvous()
    told: set[int] = set()

    def is_down() -> bool:
        if not is_held_by_someone(rendezvous.lock_file):
            return True
        ready = rendezvous.read_ready()
        if ready is not None and ready.pid not in told:
            told.add(ready.pid)
            os.kill(ready.pid, signal.SIGTERM)
        return False

    wait_until(is_down, what=f"the local daemon goes; its log: {rendezvous.log_file}")
    for pid in told:
        wait_until(lambda pid=pid: is_gone(pid), what=f"process {pid} ends")


def start_script(code: str, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """A training script in a process of its own; its output is read by ``communicate``."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )


def finish(process: subprocess.Popen[str], deadline_s: float = DEADLINE_S) -> tuple[int, str, str]:
    """Wait for a script: exit code, standard output, standard error."""
    try:
        out, err = process.communicate(timeout=deadline_s)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"the script hangs; it said: {out}{err}") from None
    return process.returncode, out, err


def run_script(code: str, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run a training script; returns its standard output.

    Raises:
        AssertionError: it failed; carries what it said.
    """
    status, out, err = finish(start_script(code, *arguments, env=env))
    assert status == 0, f"the script ended with {status}: {out}{err}"
    return out
