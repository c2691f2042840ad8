"""Alternating blocks of steps: without logging, with sidelog, with inline tensorboardX, in one process.

Rounds go off, sidelog, inline and back inline, sidelog, off, so that a drift of the machine cancels. What a logger
has left to do after a block is awaited outside the timing, or it would slow the block after it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

import psutil

from sidelog.bench.loggers import ARRIVAL_LIMIT_S, Inline, Logger, Sidelog, wait_for_connection
from sidelog.bench.sandbox import Sandbox, cpu_s
from sidelog.bench.workloads import Workload

OFF, SIDELOG, INLINE = "off", "sidelog", "inline"
ARMS = (OFF, SIDELOG, INLINE)


@dataclass(frozen=True, slots=True)
class Schedule:
    """How much is measured.

    Attributes:
        pairs: rounds that count; each gives one pair of off and sidelog, and one of off and inline.
        block_steps: steps in a block without logging or with sidelog.
        inline_steps: steps in an inline block.
        warmup: rounds before them that do not count.
    """

    pairs: int
    block_steps: int
    inline_steps: int
    warmup: int = 1


@dataclass(slots=True)
class Block:
    """One block.

    Attributes:
        arm: off, sidelog or inline.
        round: from 0; those of the warm-up are negative.
        steps: how many.
        wall_s: from its first step to the end of its last, calls included.
        cpu_s: CPU time of this process in the block, all threads.
        daemon_cpu_s: the daemon's in the block and while it settled.
        calls_ns: time within the logging calls, step by step.
        arrival_s: from the last call until the last record stood in its event file; None if it never did.
        settle_s: from the last call until nothing was under way any more.
    """

    arm: str
    round: int
    steps: int
    wall_s: float = 0.0
    cpu_s: float = 0.0
    daemon_cpu_s: float = 0.0
    calls_ns: list[int] = field(default_factory=list)
    arrival_s: float | None = 0.0
    settle_s: float = 0.0

    @property
    def step_s(self) -> float:
        return self.wall_s / self.steps

    def to_map(self) -> dict[str, object]:
        return asdict(self) | {"step_s": self.step_s}


@dataclass(slots=True)
class Blocks:
    """All blocks of one workload, in the order in which they ran.

    Attributes:
        blocks: those that count.
        objections: why figures made of them do not count; empty when they do.
        written: records that sidelog wrote.
        dropped: pictures that it dropped.
    """

    blocks: list[Block] = field(default_factory=list)
    objections: list[str] = field(default_factory=list)
    written: int = 0
    dropped: int = 0

    def of(self, arm: str) -> list[Block]:
        """One arm's, by round."""
        return sorted((block for block in self.blocks if block.arm == arm), key=lambda block: block.round)


def run_blocks(
    workload: Workload, schedule: Schedule, sandbox: Sandbox, *, progress: Callable[[str], None] = lambda _: None
) -> Blocks:
    """Train in alternating blocks; see the module.

    Raises:
        TransportError: no daemon could be started.
    """
    result = Blocks()
    with ExitStack() as stack:
        sidelog_logger = Sidelog(sandbox.run_folder(f"{workload.name}/sidelog"))
        stack.callback(sidelog_logger.close)
        wait_for_connection(sidelog_logger)
        inline_logger = Inline(sandbox.run_folder(f"{workload.name}/inline"))
        stack.callback(inline_logger.close)
        daemon = sandbox.daemon()
        loggers: dict[str, Logger | None] = {OFF: None, SIDELOG: sidelog_logger, INLINE: inline_logger}
        done: Counter[str] = Counter()
        expected: dict[str, Counter[str]] = {SIDELOG: Counter(), INLINE: Counter()}
        for number in range(-schedule.warmup, schedule.pairs):
            progress(f"{workload.name}: round {number + 1} of {schedule.pairs}")
            for arm in ARMS if number % 2 == 0 else reversed(ARMS):
                block = Block(arm, number, schedule.inline_steps if arm == INLINE else schedule.block_steps)
                _run_block(block, workload, loggers[arm], done[arm], daemon)
                done[arm] += block.steps
                if number >= 0:
                    result.blocks.append(block)
        for arm, counted in expected.items():
            counted.update(workload.per_block(done[arm]))
            _compare(arm, counted, loggers[arm], result.objections)
        result.objections += sidelog_logger.trouble() + _late(result.of(SIDELOG))
        result.written, result.dropped = sidelog_logger.written(), sidelog_logger.dropped()
    return result


def _run_block(block: Block, workload: Workload, logger: Logger | None, first: int, daemon: psutil.Process) -> None:
    now = time.perf_counter_ns
    daemon_s, own_s = cpu_s(daemon), time.process_time()
    begun = now()
    for step in range(first, first + block.steps):
        workload.train(step)
        if logger is not None:
            called = now()
            workload.log(logger, step)
            block.calls_ns.append(now() - called)
    ended = now()
    block.wall_s = (ended - begun) / 1e9
    block.cpu_s = time.process_time() - own_s
    if logger is not None:
        block.arrival_s = logger.settle(_last_steps(workload, first + block.steps))
        block.settle_s = (now() - ended) / 1e9
    block.daemon_cpu_s = cpu_s(daemon) - daemon_s


def _last_steps(workload: Workload, steps: int) -> dict[str, int]:
    """The newest step of each tag after so many steps: the last one that made more records than there were."""
    last: dict[str, int] = {}
    for tag, count in workload.per_block(steps).items():
        step = steps - 1
        while workload.per_block(step).get(tag, 0) == count:
            step -= 1
        last[tag] = step
    return last


def _compare(arm: str, expected: Counter[str], logger: Logger | None, objections: list[str]) -> None:
    """Every record must stand in the event files exactly once."""
    if logger is None:
        return
    logger.tail.poll()
    wrong = {tag: logger.tail.counts[tag] for tag in expected if logger.tail.counts[tag] != expected[tag]}
    for tag, found in list(wrong.items())[:3]:
        objections.append(f"{arm}: {found:,} of {expected[tag]:,} records of {tag!r} are in the event files")


def _late(blocks: list[Block]) -> list[str]:
    late = [block for block in blocks if block.arrival_s is None or block.arrival_s > ARRIVAL_LIMIT_S]
    if not late:
        return []
    worst = max(float("inf") if block.arrival_s is None else block.arrival_s for block in late)
    return [f"the last record of {len(late)} of {len(blocks)} blocks came later than {ARRIVAL_LIMIT_S:g} s "
            f"after its call ({worst:.1f} s)"]  # fmt: skip
