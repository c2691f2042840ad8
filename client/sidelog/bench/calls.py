"""What one call costs its caller: paced as a training makes them, and back to back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from contextlib import ExitStack

import numpy as np

from sidelog.bench.activations import RING, Activations
from sidelog.bench.figures import Figure, Measurement
from sidelog.bench.loggers import Inline, Sidelog, wait_for_connection
from sidelog.bench.pairs import percentile
from sidelog.bench.sandbox import Sandbox

SCALAR_GOAL_US = 3.0
MAP_GOAL_US = 100.0
SCALAR_PACE_S = 0.001
PICTURE_PACE_S = 0.02
"""Slower than the daemon renders, so that no queue fills."""
BURST = 8
"""Maps that a training logs one after the other in a step; the bursts are as far apart as their maps would be."""

Call = Callable[[int], object]
Pace = Callable[[float], None]


def measure_calls(
    activations: Activations, sandbox: Sandbox, *, count: int, progress: Callable[[str], None] = lambda _: None
) -> Measurement:
    """Time single calls with :func:`time.perf_counter_ns`, whose own 0.1 us are included.

    Between two calls the thread launches tiny operations, as a training does, or sleeps. Either way the caches have
    forgotten the code and the buffers of the call; a core that was idle has forgotten more.

    Args:
        activations: what is logged.
        sandbox: where.
        count: calls of each kind; inline pictures a tenth.
        progress: told what is going on.
    """
    found = Measurement("calls", f"one call in the caller, {count:,} of each; pictures {PICTURE_PACE_S * 1e3:g} ms "
                                 f"apart, scalars {SCALAR_PACE_S * 1e3:g} ms or back to back")  # fmt: skip
    busy = busy_pace()
    with ExitStack() as stack:
        ours = Sidelog(sandbox.run_folder("calls/sidelog"))
        stack.callback(ours.close)
        wait_for_connection(ours)
        inline = Inline(sandbox.run_folder("calls/inline"))
        stack.callback(inline.close)

        def add(
            label: str, our_call: Call, inline_call: Call, pace: Pace, pace_s: float, goal: float | None = None
        ) -> None:
            progress(f"calls: {label}")
            ours_us = _time(our_call, count, pace, pace_s)
            ours.writer.flush(pictures=True, timeout_s=60.0)
            inline_us = _time(inline_call, max(10, count // 10) if pace_s == PICTURE_PACE_S else count, pace, pace_s)
            objections = tuple(ours.trouble())
            for which, at_most in ((50, goal), (99, None)):
                found.figures.append(
                    Figure("calls", f"{label}, p{which}", "us", percentile(ours_us, which),
                           inline=percentile(inline_us, which), goal=at_most, objections=objections)
                )  # fmt: skip
            found.raw[label] = {"sidelog_us": ours_us, "inline_us": inline_us, "pace_s": pace_s}

        batches = [activations.layer1, activations.layer1.roll(1, 0)]
        weights = np.random.default_rng(0).standard_normal(10_000).astype(np.float32)
        picture = activations.crops[0].clamp(0, 1).contiguous()
        layer1, layer2 = activations.layer1, activations.layer2
        scalars = (lambda k: ours.scalar("loss", 0.5, k), lambda k: inline.scalar("loss", 0.5, k))
        add("add_scalar", *scalars, busy, SCALAR_PACE_S, SCALAR_GOAL_US)
        add("add_scalar, back to back", *scalars, _no_pace, 0.0, SCALAR_GOAL_US)
        add("add_scalar, after a sleep", *scalars, time.sleep, SCALAR_PACE_S)
        maps = (
            lambda k: ours.feature_map("batch", batches[k % 2], k),
            lambda k: inline.feature_map("batch", batches[k % 2], k),
        )
        add("add_feature_map [16,64,56,56]", *maps, busy, PICTURE_PACE_S, MAP_GOAL_US)
        add(f"add_feature_map [16,64,56,56], {BURST} in a row", *maps, _bursts(busy), PICTURE_PACE_S, MAP_GOAL_US)
        add("add_feature_map [16,64,56,56], after a sleep", *maps, time.sleep, PICTURE_PACE_S)
        add(
            "add_feature_map [64,56,56]",
            lambda k: ours.feature_map("layer1", layer1[k % RING], k),
            lambda k: inline.feature_map("layer1", layer1[k % RING], k),
            busy,
            PICTURE_PACE_S,
        )
        add(
            "add_feature_map [128,28,28]",
            lambda k: ours.feature_map("layer2", layer2[k % RING], k),
            lambda k: inline.feature_map("layer2", layer2[k % RING], k),
            busy,
            PICTURE_PACE_S,
        )
        add(
            "add_image [3,224,224]",
            lambda k: ours.writer.add_image("image", picture, k),
            lambda k: inline.writer.add_image("image", picture, k),
            busy,
            PICTURE_PACE_S,
        )
        add(
            "add_histogram of 10,000",
            lambda k: ours.writer.add_histogram("weights", weights, k),
            lambda k: inline.writer.add_histogram("weights", weights, k),
            busy,
            PICTURE_PACE_S,
        )
    return found


def busy_pace() -> Pace:
    """Tiny operations for as long as is asked: what a training does between two calls."""
    import torch

    weight, bias = torch.ones(64), torch.full((64,), 0.001)

    def launch_until(pace_s: float) -> None:
        until = time.perf_counter_ns() + int(pace_s * 1e9)
        while time.perf_counter_ns() < until:
            weight.mul_(0.999).add_(bias)

    return launch_until


def _bursts(pace: Pace) -> Pace:
    made = itertools.count()

    def wait_before_the_first(pace_s: float) -> None:
        if next(made) % BURST == 0:
            pace(BURST * pace_s)

    return wait_before_the_first


def _no_pace(_pace_s: float) -> None:
    """Back to back."""


def _time(call: Call, count: int, pace: Pace, pace_s: float) -> list[float]:
    """Microseconds in each call."""
    now = time.perf_counter_ns
    taken_us = []
    for number in range(count):
        pace(pace_s)
        begun = now()
        call(number)
        taken_us.append((now() - begun) / 1e3)
    return taken_us
