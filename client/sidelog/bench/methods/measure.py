"""The measurement: for each row the two loggers take turns, call by call, in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, redirect_stdout
from dataclasses import asdict, dataclass, field

from sidelog.bench.calls import busy_pace
from sidelog.bench.figures import Figure, Measurement
from sidelog.bench.methods.rows import Peer, Row, make_rows
from sidelog.bench.methods.sides import OurSide, PeerSide, Side
from sidelog.bench.pairs import Ratio, percentile, ratio_of_medians
from sidelog.bench.sandbox import Sandbox

WARM_UP_ROUNDS = 2
"""One in each order; not counted: a first call opens runs and imports modules, in either logger."""

Pair = tuple[Side, Side]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found for one row.

    Attributes:
        row: what was called.
        sidelog_us: each of our calls.
        theirs_us: each of the peer's.
        ratio: of their medians.
        objections: why it does not count; empty when it does.
    """

    row: Row
    sidelog_us: list[float]
    theirs_us: list[float]
    ratio: Ratio
    objections: tuple[str, ...]

    @property
    def is_slower(self) -> bool:
        """Ours costs more, and not by chance."""
        return self.ratio.low > 1

    def figures(self) -> list[Figure]:
        """For the report: the median must not be above the peer's, unless the row excuses it."""
        figures = []
        for which in (50, 99):
            theirs = percentile(self.theirs_us, which)
            goal = theirs if which == 50 and not self.row.excuse else None
            figures.append(Figure("methods", f"{self.row.label}, p{which}", "us", percentile(self.sidelog_us, which),
                                  inline=theirs, goal=goal, objections=self.objections))  # fmt: skip
        return figures

    def to_map(self) -> dict[str, object]:
        """For JSON."""
        return {
            "method": self.row.method, "label": self.row.label, "peer": self.row.peer,
            "note": self.row.note, "excuse": self.row.excuse, "objections": self.objections,
            "ratio": asdict(self.ratio), "sidelog_us": self.sidelog_us, "theirs_us": self.theirs_us,
        }  # fmt: skip


@dataclass(slots=True)
class MethodsMeasurement(Measurement):
    """What was found for all rows.

    Attributes:
        rounds: calls of each row and logger.
        pause_s: between two calls.
        comparisons: one per row.
        skipped: rows that were left out, and why.
    """

    rounds: int = 0
    pause_s: float = 0.0
    comparisons: list[Comparison] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def add(self, comparison: Comparison) -> None:
        self.comparisons.append(comparison)
        self.figures += comparison.figures()


def measure_methods(
    sandbox: Sandbox,
    *,
    rounds: int,
    pause_s: float,
    methods: Sequence[str] = (),
    seed: int = 0,
    progress: Callable[[str], None] = lambda _: None,
) -> MethodsMeasurement:
    """Time each method's call in the caller, beside the peer's.

    Between two calls the thread launches tiny operations, as a training does, while the loggers' own threads work:
    whatever they take from the caller afterwards is not in the figures, of either.

    Args:
        sandbox: where.
        rounds: calls of each row and logger.
        pause_s: between two calls.
        methods: only these; empty means all.
        seed: of all values.
        progress: told what is going on.
    """
    found = MethodsMeasurement(
        "methods",
        f"one call of each method in the caller, beside tensorboardX's, {rounds:,} of each, {pause_s * 1e3:g} ms apart",
        rounds=rounds,
        pause_s=pause_s,
    )
    pause = busy_pace()
    with ExitStack() as stack:
        # tensorboardX's add_onnx_graph prints every node.
        stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w"))))
        pairs = _pairs(sandbox)
        for side in (side for pair in pairs.values() for side in pair):
            stack.callback(side.close)
        scratch = sandbox.run_folder("methods/scratch")
        scratch.mkdir(parents=True, exist_ok=True)
        for row in make_rows(scratch, seed=seed):
            if methods and row.method not in methods:
                continue
            if row.missing:
                found.skipped.append(f"{row.label}: needs {row.missing}")
                continue
            progress(f"methods: {row.label}")
            if row.alone:
                for side in (side for pair in pairs.values() for side in pair):
                    side.close()
            ours_us, theirs_us = _take_turns(row, pairs[row.peer], rounds, lambda: pause(pause_s))
            for side in pairs[row.peer]:
                side.settle()
            objections = tuple(pairs[row.peer][0].trouble())
            found.add(Comparison(row, ours_us, theirs_us, ratio_of_medians(ours_us, theirs_us), objections))
    found.raw = {
        "rounds": rounds, "pause_s": pause_s, "skipped": found.skipped,
        "rows": [comparison.to_map() for comparison in found.comparisons],
    }  # fmt: skip
    return found


def _pairs(sandbox: Sandbox) -> dict[Peer, Pair]:
    """A pair of loggers for each peer. Nothing is opened yet."""
    import tensorboardX
    from torch.utils import tensorboard

    import sidelog

    def ours(folder: str) -> sidelog.SummaryWriter:
        return sidelog.SummaryWriter(folder, rank=None)

    def ours_for_all(folder: str) -> sidelog.GlobalSummaryWriter:
        return sidelog.GlobalSummaryWriter(folder, rank=None)

    where = sandbox.run_folder("methods")
    return {
        "tensorboardX": (
            OurSide(where / "sidelog", ours),
            PeerSide(where / "tensorboardX", tensorboardX.SummaryWriter),
        ),
        "torch": (OurSide(where / "sidelog-torch", ours), PeerSide(where / "torch", tensorboard.SummaryWriter)),
        "global": (
            OurSide(where / "sidelog-global", ours_for_all),
            PeerSide(where / "tensorboardX-global", tensorboardX.GlobalSummaryWriter),
        ),
    }


def _take_turns(row: Row, pair: Pair, rounds: int, pause: Callable[[], None]) -> tuple[list[float], list[float]]:
    """Microseconds in each call, of ours and of the peer's; who begins alternates."""
    found: tuple[list[float], list[float]] = ([], [])
    for step in range(WARM_UP_ROUNDS + rounds):
        for which in (0, 1) if step % 2 == 0 else (1, 0):
            side = pair[which]
            call = (row.prepare if which == 0 or row.theirs is None else row.theirs)(side, step)
            pause()
            begun = time.perf_counter_ns()
            call()
            taken_us = (time.perf_counter_ns() - begun) / 1e3
            if step >= WARM_UP_ROUNDS:
                found[which].append(taken_us)
            side.put_away()
    return found
