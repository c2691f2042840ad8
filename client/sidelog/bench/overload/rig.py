"""Where pictures come too fast: a daemon with a budget, and workers in processes of their own; all gone at the end."""

from __future__ import annotations

import json
import select
import struct
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from sidelog.bench.event_tail import EventTail, Told
from sidelog.bench.faults.daemon import FaultyDaemon
from sidelog.bench.overload import slow_daemon, worker_process
from sidelog.bench.sandbox import Sandbox, environment
from sidelog_shared.errors import SidelogError

_START_DEADLINE_S = 60.0


class Loader:
    """One worker process.

    Args:
        name: of its run.
        seed: of its maps.
        folder: for its counter file.
    """

    def __init__(self, name: str, seed: int, folder: Path) -> None:
        self.name = name
        self._counter = folder / f"{name}.count"
        words = [sys.executable, str(Path(worker_process.__file__)), name, str(seed), str(self._counter)]
        # In a session of its own: Ctrl-C is for the bench, which ends it.
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def steps(self) -> int:
        """How many it has logged so far."""
        if not self._counter.exists():
            return 0
        data = self._counter.read_bytes()
        return int(struct.unpack("<q", data)[0]) if len(data) == 8 else 0

    def tell(self, words: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{words}\n")
        self._process.stdin.flush()

    @property
    def has_said(self) -> bool:
        """Whether a line of it can be read."""
        assert self._process.stdout is not None
        return bool(select.select([self._process.stdout], [], [], 0.0)[0])

    def listen(self) -> str:
        """Its next line.

        Raises:
            SidelogError: it has ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SidelogError(f"worker process {self.name} of the bench has ended, see above")
        return line

    def end(self) -> None:
        """Wait until it is gone, after it was told to go."""
        self._process.communicate()

    def kill(self) -> None:
        """Idempotent."""
        self._process.kill()
        self._process.communicate()


class Rig:
    """A context: within it the daemon runs and the workers are connected.

    Args:
        budget_mb: of the daemon.
        workers: how many.
        render_ms: by so much each picture takes longer to draw.
        told: hears of each value that arrives in an event file.

    Attributes:
        daemon: the daemon.
        loaders: the workers.
        tails: their event files, in the same order.
    """

    def __init__(self, *, budget_mb: int, workers: int, render_ms: float, told: Told | None = None) -> None:
        self._budget_mb = budget_mb
        self._workers = workers
        self._render_ms = render_ms
        self._told = told
        self._stack = ExitStack()
        self.loaders: list[Loader] = []

    def __enter__(self) -> Rig:
        with ExitStack() as stack:
            sandbox = stack.enter_context(Sandbox())
            logdir = sandbox.run_folder("runs")
            logdir.mkdir(parents=True)
            self.daemon = FaultyDaemon(
                logdir, sandbox.run_folder("daemon.log"), Path(slow_daemon.__file__),
                options=("--budget-mb", str(self._budget_mb)),
            )  # fmt: skip
            stack.callback(self.daemon.kill)  # what it has not written when the bench is over is in no figure
            spool = str(sandbox.run_folder("spool"))
            stack.enter_context(environment(
                {"SIDELOG_ENDPOINT": self.daemon.endpoint, "SIDELOG_SPOOL_DIR": spool,
                 slow_daemon.RENDER_MS: str(self._render_ms)}
            ))  # fmt: skip
            self.daemon.start()
            for number in range(self._workers):
                self.loaders.append(Loader(f"worker-{number}", number, sandbox.run_folder("")))
                stack.callback(self.loaders[-1].kill)
            self.tails = [EventTail(logdir / one.name, self._told) for one in self.loaders]
            deadline = time.monotonic() + _START_DEADLINE_S
            while not all(one.has_said for one in self.loaders):
                if time.monotonic() > deadline:
                    raise SidelogError(f"the workers of the bench are not ready after {_START_DEADLINE_S:g} s")
                time.sleep(0.01)
            for one in self.loaders:
                one.listen()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def begin(self, steps_per_s: float, seconds: float) -> None:
        """Let every worker log at this pace."""
        for one in self.loaders:
            one.tell(f"{steps_per_s} {seconds}")

    def goodbye(self) -> None:
        """Let every worker go, in order."""
        for one in self.loaders:
            one.tell("go")
        for one in self.loaders:
            one.end()


def words_of(line: str) -> dict[str, object]:
    """A line of a worker."""
    words: dict[str, object] = json.loads(line)
    return words
