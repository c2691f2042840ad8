"""Step times before, during and after a fault; blocks with and without logging take turns in each phase.

After a block with logging the daemon has a moment to work, outside of what is timed. During a fault that moment cannot
be until all is settled: what the sender puts into the spool 1.5 s after a call may then fall into a block without
logging, and the slowdown is of what falls into the blocks with it. The step without logging stands beside it, for each
phase: it would rise with the fault.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from sidelog.bench.blocks import OFF, SIDELOG, Block
from sidelog.bench.faults.scene import Outcome, Scene
from sidelog.bench.faults.training import Training, reliable_records
from sidelog.bench.pairs import Estimate, estimate, slowdowns

BEFORE, DURING, AFTER = "before", "during", "after"
PHASES = (BEFORE, DURING, AFTER)
LET_WORK_S = 1.0
"""So long a block's work may go on after it, outside of what is timed."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How much is measured.

    Attributes:
        pairs: pairs of blocks in each phase; more while the fault has not lasted ``fault_s``.
        block_steps: steps of a block.
        fault_s: so long a fault lasts at least.
    """

    pairs: int
    block_steps: int
    fault_s: float


@dataclass(slots=True)
class Series:
    """The steps of one phase, in their order.

    Attributes:
        phase: before, during or after.
        blocks: without logging and with it, in turns.
        begun_s: of each step, since the scene began.
        took_s: of each step.
        arms: of each step.
        from_s: when the phase began.
        to_s: when it ended.
    """

    phase: str
    blocks: list[Block] = field(default_factory=list)
    begun_s: list[float] = field(default_factory=list)
    took_s: list[float] = field(default_factory=list)
    arms: list[str] = field(default_factory=list)
    from_s: float = 0.0
    to_s: float = 0.0

    def step_s(self, arm: str) -> list[float]:
        """Mean step of each block, by pair."""
        return [block.step_s for block in sorted(self.blocks, key=lambda one: one.round) if block.arm == arm]

    def steps_of(self, arm: str) -> list[float]:
        return [took_s for took_s, one in zip(self.took_s, self.arms, strict=True) if one == arm]

    def slowdown(self) -> Estimate:
        """Of the step with logging against the step without, over the pairs."""
        return estimate(slowdowns(self.step_s(OFF), self.step_s(SIDELOG)))


@dataclass(slots=True)
class FaultyTraining:
    """One training, before, during and after one fault."""

    fault: str
    summary: str
    series: list[Series]
    outcome: Outcome


def train_through(
    scene: Scene, training: Training, schedule: Schedule, *, progress: Callable[[str], None] = lambda _: None
) -> FaultyTraining:
    """Train before, during and after the scene's fault."""
    done: Counter[str] = Counter()
    begun = time.perf_counter()
    found = []
    _run_pair(Series("warm-up"), 0, scene, training, schedule, done, begun)
    for phase in PHASES:
        series = Series(phase)
        if phase == DURING:
            scene.fault.begin()
        elif phase == AFTER:
            scene.fault.end()
        series.from_s = time.perf_counter() - begun
        least_s = schedule.fault_s if phase == DURING else 0.0
        pair = 0
        while pair < schedule.pairs or time.perf_counter() - begun - series.from_s < least_s:
            progress(f"training, {scene.name}: {phase}, pair {pair + 1} of {schedule.pairs}")
            _run_pair(series, pair, scene, training, schedule, done, begun)
            pair += 1
        if phase == DURING:
            scene.fault.wait_until_seen()
        series.to_s = time.perf_counter() - begun
        found.append(series)
    progress(f"training, {scene.name}: settles")
    outcome = scene.settle(reliable_records(done[SIDELOG]))
    return FaultyTraining(scene.name, scene.summary, found, outcome)


def _run_pair(
    series: Series, pair: int, scene: Scene, training: Training, schedule: Schedule, done: Counter[str], begun: float
) -> None:
    for arm in (OFF, SIDELOG) if pair % 2 == 0 else (SIDELOG, OFF):
        block = Block(arm, pair, schedule.block_steps)
        _run_block(block, series, scene, training, done[arm], begun)
        done[arm] += block.steps
        series.blocks.append(block)
        if scene.fault.is_there:
            scene.fault.look()
        scene.let_work(LET_WORK_S if arm == SIDELOG else 0.0)


def _run_block(block: Block, series: Series, scene: Scene, training: Training, first: int, begun: float) -> None:
    now, logger, logs = time.perf_counter, scene.logger, block.arm == SIDELOG
    started = last = now()
    for step in range(first, first + block.steps):
        training.train(step)
        if logs:
            called = now()
            training.log(logger, step)
            block.calls_ns.append(int((now() - called) * 1e9))
        ended = now()
        series.begun_s.append(last - begun)
        series.took_s.append(ended - last)
        series.arms.append(block.arm)
        last = ended
    block.wall_s = last - started
