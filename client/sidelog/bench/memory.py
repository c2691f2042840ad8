"""Resident memory that the client adds to a training: two processes, one that logs and one that does not."""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from sidelog.bench import training_process
from sidelog.bench.activations import Activations
from sidelog.bench.event_tail import EventTail
from sidelog.bench.figures import Figure, Measurement
from sidelog.bench.loggers import ARRIVAL_LIMIT_S
from sidelog.bench.sandbox import Sandbox
from sidelog_shared.errors import ConfigError

ADDED_GOAL_MB = 150.0
GROWTH_GOAL_MB = 5.0
"""Flat: a leak of one snapshot in a thousand steps would be 4 MB in the second half of 10,000."""
TAGS = ("loss", "layer1", "layer2")
EVENT_BYTES_PER_STEP = 300_000
"""What two maps take in the event file, generously."""


def measure_memory(
    activations: Activations,
    sandbox: Sandbox,
    *,
    steps: int,
    step_ms: float,
    progress: Callable[[str], None] = lambda _: None,
) -> Measurement:
    """A scalar and two maps each step; both trainings at the same time, on the same tensors.

    Args:
        activations: what is logged.
        sandbox: where.
        steps: how many.
        step_ms: their length; the daemon must keep up.
        progress: told what is going on.

    Raises:
        ConfigError: not enough room on the disk for the event files.
    """
    import torch

    needed = steps * EVENT_BYTES_PER_STEP
    if needed > sandbox.free_bytes:
        raise ConfigError(
            f"--memory-steps {steps:,} needs {needed / 1e9:.1f} GB for event files, got "
            f"{sandbox.free_bytes / 1e9:.1f} GB free: give fewer steps, or --logdir on another disk"
        )
    folder = sandbox.run_folder("memory/sidelog")
    folder.parent.mkdir(parents=True, exist_ok=True)
    ring = folder.parent / "ring.pt"
    torch.save((activations.layer1.cpu(), activations.layer2.cpu()), ring)
    progress(f"memory: {steps:,} steps of {step_ms:g} ms in two processes")
    processes = {arm: _start(arm, steps, step_ms, ring, folder) for arm in ("off", "sidelog")}
    try:
        seen = _watch(processes["sidelog"], EventTail(folder), steps)
        said = {arm: _read(process) for arm, process in processes.items()}
    finally:
        for process in processes.values():
            if process.poll() is None:
                process.kill()
            process.communicate()
        ring.unlink()
    said["sidelog"] |= seen
    alone, logging = (_samples_mb(said[arm]) for arm in ("off", "sidelog"))
    that = tuple(objections(said["sidelog"], steps))
    found = Measurement("memory", f"a training in a process of its own, {steps:,} steps of {step_ms:g} ms")
    found.figures = [
        Figure("memory", "resident memory that the client adds, highest", "MB", max(logging) - max(alone),
               goal=ADDED_GOAL_MB, objections=that),
        Figure("memory", "its growth in the second half", "MB", second_half_growth(logging),
               off=second_half_growth(alone), goal=GROWTH_GOAL_MB, objections=that),
    ]  # fmt: skip
    found.raw = {"off": said["off"], "sidelog": said["sidelog"], "steps": steps, "step_ms": step_ms}
    return found


def second_half_growth(samples: Sequence[float]) -> float:
    """What the straight line of least squares through the second half of the samples gains from its end to end."""
    half = np.asarray(samples[len(samples) // 2 :], np.float64)
    if half.size < 2:
        return 0.0
    slope = np.polyfit(np.arange(half.size), half, 1)[0]
    return float(slope * (half.size - 1))


def objections(said: dict[str, object], steps: int) -> list[str]:
    """Why what the logging process found does not count; empty if it does."""
    found = [f"{said[name]:,} records {name}" for name in ("dropped", "lost", "rejected", "pending") if said[name]]
    counts = said["counts"]
    assert isinstance(counts, dict)
    found += [
        f"{counts.get(tag, 0):,} of {steps:,} records of {tag!r} are in the event files"
        for tag in TAGS
        if counts.get(tag, 0) != steps
    ]
    arrival_s = said["arrival_s"]
    if not isinstance(arrival_s, float) or arrival_s > ARRIVAL_LIMIT_S:
        found.append(f"the last record came later than {ARRIVAL_LIMIT_S:g} s after its call")
    return found


def _samples_mb(said: dict[str, object]) -> list[float]:
    samples = said["rss_bytes"]
    assert isinstance(samples, list)
    return [float(value) / 1e6 for value in samples]


def _start(arm: str, steps: int, step_ms: float, ring: Path, folder: Path) -> subprocess.Popen[str]:
    script = str(Path(training_process.__file__))
    words = [sys.executable, script, arm, str(steps), str(step_ms), str(ring), str(folder)]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _watch(process: subprocess.Popen[str], tail: EventTail, steps: int) -> dict[str, object]:
    """Read the event files as they grow, until the last record stands there; then tell the process to go on."""
    assert process.stdin is not None
    assert process.stdout is not None
    last = dict.fromkeys(TAGS, steps - 1)
    while not select.select([process.stdout], [], [], 0.0)[0]:
        tail.wait_for(last, deadline_s=0.2)
    said = process.stdout.readline()
    arrived = tail.wait_for(last, deadline_s=10.0)
    arrival_s = time.time() - json.loads(said)["last_call_at"] if said and arrived is not None else None
    if said:
        process.stdin.write("\n")
        process.stdin.flush()
    return {"arrival_s": arrival_s, "counts": dict(tail.counts)}


def _read(process: subprocess.Popen[str]) -> dict[str, object]:
    said, _ = process.communicate()
    if process.returncode:
        raise ConfigError(f"a training process of the bench ended with code {process.returncode}, see above")
    words: dict[str, object] = json.loads(said.splitlines()[-1])
    return words
