"""What the daemon costs: CPU time for two maps, resident memory, and the size of its PNGs."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from contextlib import ExitStack

import psutil
from PIL import Image

from sidelog.bench.activations import RING, Activations
from sidelog.bench.figures import Figure, Measurement
from sidelog.bench.loggers import ARRIVAL_LIMIT_S, Inline, Logger, Sidelog, wait_for_connection
from sidelog.bench.sandbox import Sandbox, cpu_s

CPU_GOAL_US = 8_000.0
PNG_GOAL = 1.3
IDLE_GOAL_MB, AFTER_GOAL_MB = 100.0, 250.0
PACE_S = 0.02
COMPARED_PICTURES = 64


def measure_daemon(
    activations: Activations, sandbox: Sandbox, *, maps: int, progress: Callable[[str], None] = lambda _: None
) -> Measurement:
    """Two maps and a scalar each step, at a pace that the daemon keeps up with, into a fresh daemon.

    Args:
        activations: what is logged.
        sandbox: where; nothing else may have been logged in it.
        maps: how many in all, two each step.
        progress: told what is going on.
    """
    steps = maps // 2
    found = Measurement("daemon", f"{maps:,} maps in {steps:,} steps {PACE_S * 1e3:g} ms apart, into a fresh daemon")
    with ExitStack() as stack:
        ours = Sidelog(sandbox.run_folder("daemon/sidelog"))
        stack.callback(ours.close)
        daemon = sandbox.daemon()
        idle_mb = _resident_mb(daemon)
        wait_for_connection(ours)
        ours.tail.keep_pictures = COMPARED_PICTURES
        progress(f"daemon: {maps:,} maps")
        before_s, own_s = cpu_s(daemon), time.process_time()
        peak_mb = 0.0
        for step in range(steps):
            time.sleep(PACE_S)
            _log(ours, activations, step)
            peak_mb = max(peak_mb, _resident_mb(daemon)) if step % 10 == 0 else peak_mb
        own_us = 1e6 * (time.process_time() - own_s) / steps
        arrived_s = ours.settle({"loss": steps - 1, "layer1": steps - 1, "layer2": steps - 1})
        daemon_us = 1e6 * (cpu_s(daemon) - before_s) / steps
        after_mb = _resident_mb(daemon)
        objections = ours.trouble()
        if arrived_s is None or arrived_s > ARRIVAL_LIMIT_S:
            objections.append(f"the last record came later than {ARRIVAL_LIMIT_S:g} s after its call")
        if ours.tail.counts["layer1"] + ours.tail.counts["layer2"] != 2 * steps:
            objections.append("not every map is in the event file")
        inline = Inline(sandbox.run_folder("daemon/inline"))
        stack.callback(inline.close)
        progress("daemon: the same maps inline")
        few = max(4, steps // 20)
        inline_s = time.process_time()
        for step in range(few):
            _log(inline, activations, step)
        inline_us = 1e6 * (time.process_time() - inline_s) / few
    ratio = size_ratio(ours.tail.pictures)
    that = tuple(objections)
    found.figures = [
        Figure("daemon", "CPU time of a step (two maps), daemon", "us", daemon_us, inline=inline_us,
               goal=CPU_GOAL_US, objections=that),
        Figure("daemon", "CPU time of a step, client, all its threads", "us", own_us, objections=that),
        Figure("daemon", "PNG size, times Pillow's level 6 in grey", "x", ratio, goal=PNG_GOAL, objections=that),
        Figure("daemon", "resident memory, idle", "MB", idle_mb, goal=IDLE_GOAL_MB),
        Figure("daemon", f"resident memory, after {maps:,} maps", "MB", after_mb, goal=AFTER_GOAL_MB, objections=that),
        Figure("daemon", "resident memory, highest seen", "MB", max(peak_mb, after_mb), objections=that),
    ]  # fmt: skip
    found.raw = {"objections": objections, "arrival_s": arrived_s, "compared_pictures": len(ours.tail.pictures)}
    return found


def size_ratio(pictures: list[bytes]) -> float:
    """Bytes of all PNGs over bytes of the same pixels in grey by Pillow's level 6.

    Raises:
        ValueError: no pictures, or one that is not grey.
    """
    if not pictures:
        raise ValueError("no pictures, expected at least one")
    theirs = 0
    for encoded in pictures:
        with Image.open(io.BytesIO(encoded)) as picture:
            if picture.mode != "L":
                raise ValueError(f"a feature map's PNG has mode {picture.mode}, expected L")
            again = io.BytesIO()
            # Without the text chunk: the ratio charges ours for what it tells.
            Image.frombytes("L", picture.size, picture.tobytes()).save(again, "PNG", compress_level=6)
        theirs += len(again.getvalue())
    return sum(map(len, pictures)) / theirs


def _log(logger: Logger, activations: Activations, step: int) -> None:
    logger.scalar("loss", 1.0 / (1 + step), step)
    logger.feature_map("layer1", activations.layer1[step % RING], step)
    logger.feature_map("layer2", activations.layer2[step % RING], step)


def _resident_mb(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6
