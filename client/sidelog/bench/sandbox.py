"""A place of its own for one measurement: folders, environment, and a fresh daemon that ends with it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType

import psutil

from sidelog_shared.errors import DaemonStartError
from sidelog_shared.locks import is_held_by_someone
from sidelog_shared.rendezvous import Ready, Rendezvous

_READY_DEADLINE_S = 30.0
_END_DEADLINE_S = 30.0


class Sandbox:
    """Within it, writers of this process and of its children start and find a daemon that nobody else uses.

    Args:
        logdir: where event files go and stay; None puts them into a folder that is removed at the end.
    """

    def __init__(self, logdir: Path | None = None) -> None:
        self._keep = logdir
        self._folder = Path()
        self._environment: dict[str, str] = {}

    def __enter__(self) -> Sandbox:
        self._folder = Path(tempfile.mkdtemp(prefix="sidelog-bench-"))
        # What the user set for their own trainings must not reach the measurement, nor the measurement their daemon.
        self._environment = {name: value for name, value in os.environ.items() if name.startswith("SIDELOG_")}
        for name in self._environment:
            del os.environ[name]
        os.environ["SIDELOG_RUNTIME_DIR"] = str(self._folder)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._end_daemon()
        finally:
            del os.environ["SIDELOG_RUNTIME_DIR"]
            os.environ.update(self._environment)
            shutil.rmtree(self._folder, ignore_errors=True)

    def run_folder(self, name: str) -> Path:
        """A run directory that is not there yet."""
        return (self._keep or self._folder) / name

    @property
    def free_bytes(self) -> int:
        """Room on the disk that the event files go to."""
        folder = self._keep or self._folder
        folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(folder).free

    def wait_until_ready(self) -> Ready:
        """What the daemon says of itself, once it is up.

        Raises:
            DaemonStartError: it is not, by the deadline.
        """
        rendezvous = Rendezvous()
        deadline = time.monotonic() + _READY_DEADLINE_S
        while (ready := rendezvous.read_ready()) is None:
            if time.monotonic() >= deadline:
                raise DaemonStartError(f"no daemon within {_READY_DEADLINE_S:.0f} s; see {rendezvous.log_file}")
            time.sleep(0.001)
        return ready

    def daemon(self) -> psutil.Process:
        return psutil.Process(self.wait_until_ready().pid)

    def _end_daemon(self) -> None:
        """SIGTERM; returns once it is gone. One that is still on its way up is awaited."""
        rendezvous = Rendezvous()
        deadline = time.monotonic() + _END_DEADLINE_S
        process: psutil.Process | None = None
        while is_held_by_someone(rendezvous.lock_file) and time.monotonic() < deadline:
            ready = rendezvous.read_ready()
            if ready is not None and process is None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process = psutil.Process(ready.pid)
                    process.send_signal(signal.SIGTERM)
            time.sleep(0.01)
        if process is not None:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except psutil.TimeoutExpired:
                process.kill()


def cpu_s(process: psutil.Process) -> float:
    """CPU time of a process so far, user and system."""
    times = process.cpu_times()
    return float(times.user + times.system)


@contextlib.contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables that a sandbox has cleared; its own exit brings back what the user had."""
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
