"""What alternating blocks say: step time, slowdown with its interval, what the calls explain, what the daemon took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from sidelog.bench.blocks import INLINE, OFF, SIDELOG, Block, Blocks
from sidelog.bench.figures import Figure, Measurement
from sidelog.bench.pairs import Estimate, beyond_calls, estimate, percentile, slowdowns
from sidelog.bench.workloads import Workload


def measure_slowdown(workload: Workload, blocks: Blocks) -> Measurement:
    """Figures of one workload; percentages are of the step without logging."""
    off, ours, inline = (blocks.of(arm) for arm in (OFF, SIDELOG, INLINE))
    objections = tuple(blocks.objections)
    ours_by, inline_by = (estimate(slowdowns(_steps(off), _steps(arm))) for arm in (ours, inline))
    ours_rest, inline_rest = (estimate(_rests(off, arm)) for arm in (ours, inline))
    name = workload.name

    def percent(label: str, ours: Estimate, inline: Estimate, goal: float | None) -> Figure:
        return Figure(name, label, "%", 100 * ours.mean, inline=100 * inline.mean, low=100 * ours.low,
                      high=100 * ours.high, goal=goal, objections=objections)  # fmt: skip

    def plain(label: str, unit: str, ours: float, inline: float | None = None, off: float | None = None) -> Figure:
        return Figure(name, label, unit, ours, inline=inline, off=off, objections=objections)

    ours_us, inline_us = (_calls_us(arm) for arm in (ours, inline))
    arrivals = [block.arrival_s for block in ours if block.arrival_s is not None]
    figures = [
        plain("step", "ms", *(1e3 * float(np.mean(_steps(arm))) for arm in (ours, inline, off))),
        percent("slowdown", ours_by, inline_by, workload.slowdown_goal),
        percent("slowdown beyond the calls' own time", ours_rest, inline_rest, workload.beyond_calls_goal),
        plain("calls of a step, p50", "us", *(percentile(us, 50) for us in (ours_us, inline_us))),
        plain("calls of a step, p99", "us", *(percentile(us, 99) for us in (ours_us, inline_us))),
        plain("CPU time that a step adds here", "us", _cpu_us(ours, off), _cpu_us(inline, off)),
        plain("CPU time of a step in the daemon", "us", _daemon_us(ours)),
    ]
    if arrivals:
        figures.append(plain("last record in its file after", "s", max(arrivals)))
    figures.append(plain("records written", "", blocks.written))
    figures.append(plain("records dropped", "", blocks.dropped))
    raw: dict[str, object] = {
        "slowdown": {SIDELOG: asdict(ours_by), INLINE: asdict(inline_by)},
        "beyond_calls": {SIDELOG: asdict(ours_rest), INLINE: asdict(inline_rest)},
        "slowdown_by_pair": {arm: slowdowns(_steps(off), _steps(blocks.of(arm))) for arm in (SIDELOG, INLINE)},
        "settle_s": {"p50": percentile([b.settle_s for b in ours], 50), "max": max(b.settle_s for b in ours)},
        "blocks": [block.to_map() for block in blocks.blocks],
        "objections": list(objections),
    }
    return Measurement(name, workload.summary, figures, raw)


def _steps(blocks: Sequence[Block]) -> list[float]:
    return [block.step_s for block in blocks]


def _rests(off: Sequence[Block], arm: Sequence[Block]) -> list[float]:
    """Of each pair, the slowdown that the calls do not explain.

    A call's own time is the median over all steps: what delays single calls (the interpreter lock, a page fault,
    memory that is cold for once) counts as the rest, not as the calls' own.
    """
    own_s = float(np.median([ns for block in arm for ns in block.calls_ns])) / 1e9
    pairs = zip(_steps(off), _steps(arm), strict=True)
    return [beyond_calls(before, after, own_s) for before, after in pairs]


def _calls_us(blocks: Sequence[Block]) -> list[float]:
    return [ns / 1e3 for block in blocks for ns in block.calls_ns]


def _cpu_us(blocks: Sequence[Block], off: Sequence[Block]) -> float:
    """CPU time per step beyond that of a step without logging."""
    with_us, without_us = (
        1e6 * sum(block.cpu_s for block in arm) / sum(block.steps for block in arm) for arm in (blocks, off)
    )
    return with_us - without_us


def _daemon_us(blocks: Sequence[Block]) -> float:
    return 1e6 * sum(block.daemon_cpu_s for block in blocks) / sum(block.steps for block in blocks)
