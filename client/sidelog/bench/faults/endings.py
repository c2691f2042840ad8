"""How long a process takes to end while its daemon is dead or frozen, and what its spool holds then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO

from sidelog.bench.faults import ending_process
from sidelog.bench.faults.scene import Scene
from sidelog.left_spool import left_spools, open_left_spool
from sidelog_shared.errors import TransportError

EXIT, CTRL_C = "exit", "Ctrl-C twice"
RECORDS = 1_000
EXIT_SLACK_S = 0.5
"""Beyond the deadline: the interpreter's own end is in the figure."""
CTRL_C_GOAL_S = 1.0
_DEADLINE_S = 60.0


@dataclass(slots=True)
class Ending:
    """One kind of end, several times.

    Attributes:
        fault: what the daemon had.
        way: by itself, or by Ctrl-C twice.
        goal_s: so long it may take.
        took_s: from the last line of the training, or the second Ctrl-C, until the process was gone.
        spooled: records in the spool afterwards.
        logged: records that were logged while the fault was there.
    """

    fault: str
    way: str
    goal_s: float
    took_s: list[float] = field(default_factory=list)
    spooled: list[int] = field(default_factory=list)
    logged: int = RECORDS

    @property
    def is_within(self) -> bool:
        return max(self.took_s) <= self.goal_s and all(count == self.logged for count in self.spooled)

    def to_map(self) -> dict[str, object]:
        return asdict(self) | {"is_within": self.is_within}


def time_endings(
    scene: Scene, *, times: int, exit_timeout_s: float, progress: Callable[[str], None] = lambda _: None
) -> list[Ending]:
    """End a process by itself and by Ctrl-C twice, ``times`` each.

    Raises:
        TransportError: it did not come as far as to its end, or hangs.
    """
    by_itself = Ending(scene.name, EXIT, exit_timeout_s + EXIT_SLACK_S)
    interrupted = Ending(scene.name, CTRL_C, CTRL_C_GOAL_S)
    for number in range(times):
        for ending in (by_itself, interrupted):
            progress(f"endings, {scene.name}: {ending.way}, {number + 1} of {times}")
            _end_once(scene, ending, f"{ending.way.split()[0]}-{number}", exit_timeout_s)
    return [by_itself, interrupted]


def _end_once(scene: Scene, ending: Ending, run: str, exit_timeout_s: float) -> None:
    end = "exit" if ending.way == EXIT else "wait"
    # Ctrl-C must not end by the deadline what it did not end by itself.
    deadline_s = exit_timeout_s if ending.way == EXIT else _DEADLINE_S
    before = set(left_spools([scene.spool_folder]))
    with ExitStack() as stack:
        process = subprocess.Popen(
            [sys.executable, str(Path(ending_process.__file__)), run, str(RECORDS), end],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env=os.environ | {"SIDELOG_EXIT_TIMEOUT": str(deadline_s)},
        )  # fmt: skip
        stack.callback(_put_down, process)
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None  # noqa: PT018
        _expect(process.stdout, "connected\n", process)
        scene.fault.begin()
        stack.callback(scene.fault.end)
        process.stdin.write("\n")
        process.stdin.flush()
        _expect(process.stdout, "logged\n", process)
        begun = time.perf_counter()
        if ending.way == CTRL_C:
            process.send_signal(signal.SIGINT)
            while "writing the last" not in (line := process.stderr.readline()):
                if not line:
                    raise TransportError("a process that was to wait for its records ended at the first Ctrl-C")
            begun = time.perf_counter()
            process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=2 * _DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise TransportError(f"a process whose daemon is {scene.name} does not end within {2 * _DEADLINE_S:.0f} s, "
                                 f"expected {ending.goal_s:g} s") from None  # fmt: skip
        ending.took_s.append(time.perf_counter() - begun)
        scene.fault.look()
        ending.spooled.append(sum(map(_records_in, set(left_spools([scene.spool_folder])) - before)))


def _records_in(path: Path) -> int:
    left = open_left_spool(path, say=lambda _: None)
    try:
        return left.count
    finally:
        left.spool.close()


def _expect(stream: IO[str], expected: str, process: subprocess.Popen[str]) -> None:
    line = stream.readline()
    if line != expected:
        process.kill()
        _, errors = process.communicate()
        raise TransportError(f"a training of the bench said {line!r}, expected {expected!r}: {errors}")


def _put_down(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()
    process.communicate()
