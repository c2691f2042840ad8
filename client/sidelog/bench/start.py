"""What a start costs: the writer's constructor where a daemon must be started, and the daemon's way up."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

import sidelog
from sidelog.bench.figures import Figure, Measurement
from sidelog.bench.sandbox import Sandbox

CONSTRUCTOR_GOAL_MS = 50.0
READY_GOAL_S = 1.0


def measure_start(logdir: Path | None, *, times: int, progress: Callable[[str], None] = lambda _: None) -> Measurement:
    """Construct a writer where no daemon runs, several times; imports are done already.

    Args:
        logdir: where event files go and stay; None removes them.
        times: how often.
        progress: told what is going on.
    """
    found = Measurement("start", f"a writer where no daemon runs, {times} times; median")
    constructor_s, ready_s, flushed_s, objections = [], [], [], []
    for number in range(times):
        progress(f"start: {number + 1} of {times}")
        with ExitStack() as stack:
            sandbox = stack.enter_context(Sandbox(logdir))
            folder = sandbox.run_folder(f"start/{number}")
            begun = time.perf_counter()
            writer = sidelog.SummaryWriter(folder, rank=None)
            constructor_s.append(time.perf_counter() - begun)
            stack.callback(writer.close)
            writer.add_scalar("loss", 1.0, 0)
            sandbox.wait_until_ready()
            ready_s.append(time.perf_counter() - begun)
            writer.flush(timeout_s=30.0)
            flushed_s.append(time.perf_counter() - begun)
            if writer.statistics().written != 1:
                objections.append(f"start {number}: the first scalar is not written")
    that = tuple(objections)
    found.figures = [
        Figure("start", "SummaryWriter(...)", "ms", 1e3 * float(np.median(constructor_s)), goal=CONSTRUCTOR_GOAL_MS),
        Figure("start", "daemon ready, since the constructor", "s", float(np.median(ready_s)), goal=READY_GOAL_S),
        Figure("start", "first scalar in its file", "s", float(np.median(flushed_s)), objections=that),
    ]
    found.raw = {"constructor_s": constructor_s, "ready_s": ready_s, "first_flush_s": flushed_s}
    return found
