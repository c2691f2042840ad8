"""The end-to-end figures: the arms take turns, block by block, on one core."""

from __future__ import annotations

import io
import math
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from PIL import Image

from render_bench.arms import ARMS, SIDELOG, TENSORBOARDX, TORCH, as_record, run_block
from render_bench.cases import HISTOGRAMS, Case
from sidelog.bench.pairs import Ratio, percentile, ratio_of_medians
from sidelog_daemon.kinds import make_content
from sidelog_daemon.tensorboardx import event_pb2

SIZE_GOAL = 1.3
"""Bytes of a PNG, times Pillow's level 6 of the same pixels."""
_BLOCK_S = 0.15
"""A block takes about so long, in each arm: what a thread takes to end, or memory to be touched for the first time
after another arm's block, must not matter."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What was found for one case.

    Attributes:
        case: what was logged.
        cpu_ms: by arm, of each block, per call.
        file_bytes: by arm, per call, in the event file.
        ratio: tensorboardX's CPU time over ours.
        over_torch: torch's over ours.
        size_ratio: our PNG over Pillow's level 6 of the same pixels; None for what is no picture.
    """

    case: Case
    cpu_ms: dict[str, list[float]]
    file_bytes: dict[str, float]
    ratio: Ratio
    over_torch: Ratio
    size_ratio: float | None

    @property
    def verdict(self) -> str:
        """Whether the goal was reached; empty where nothing was promised."""
        if self.case.goal is None:
            return ""
        said = "reached" if self.ratio.value >= self.case.goal else "missed"
        sure = self.ratio.low >= self.case.goal if said == "reached" else self.ratio.high < self.case.goal
        return said if sure else f"{said}, within its error"

    def median_ms(self, arm: str) -> float:
        return percentile(self.cpu_ms[arm], 50)

    def to_map(self) -> dict[str, object]:
        """For JSON."""
        return {
            "case": self.case.name, "group": self.case.group, "cpu_ms": self.cpu_ms, "file_bytes": self.file_bytes,
            "ratio": asdict(self.ratio), "over_torch": asdict(self.over_torch), "size_ratio": self.size_ratio,
            "goal": self.case.goal, "aim": self.case.aim, "verdict": self.verdict,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Blocks:
    """What a process found for its case."""

    cpu_ms: dict[str, list[float]]
    file_bytes: dict[str, float]
    size_ratio: float | None


def compare(
    cases: Sequence[Case], *, rounds: int, block_s: float = _BLOCK_S, progress: Callable[[str], None]
) -> list[Comparison]:
    """All cases, each with every arm in each round; who begins alternates.

    Each case has a process of its own: what another case has left of the allocator's memory would be in its figures.

    Args:
        cases: what is logged.
        rounds: blocks of each arm.
        block_s: how long a block takes, about.
        progress: told what is going on.

    Raises:
        RuntimeError: a process did not come to its end.
    """
    found = []
    for case in cases:
        progress(f"{case.group}s: {case.name}")
        blocks = _in_a_process(case, rounds, block_s)
        ratios = [ratio_of_medians(blocks.cpu_ms[peer], blocks.cpu_ms[SIDELOG]) for peer in (TENSORBOARDX, TORCH)]
        found.append(Comparison(case, blocks.cpu_ms, blocks.file_bytes, *ratios, blocks.size_ratio))
    return found


def _in_a_process(case: Case, rounds: int, block_s: float) -> _Blocks:
    context = multiprocessing.get_context("fork")  # a case has functions, which cannot be sent
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=lambda: sender.send(_measure(case, rounds, block_s)), daemon=True)
    process.start()
    sender.close()
    try:
        blocks: _Blocks = receiver.recv()
    except EOFError:
        process.join()
        raise RuntimeError(f"the process for {case.name} ended with code {process.exitcode}, see above") from None
    process.join()
    return blocks


def _measure(case: Case, rounds: int, block_s: float) -> _Blocks:
    cpu_ms: dict[str, list[float]] = {arm: [] for arm in ARMS}
    file_bytes: dict[str, float] = {}
    calls = {}
    with tempfile.TemporaryDirectory(prefix="sidelog-bench-") as name:
        folder = Path(name)
        for arm in ARMS:
            run_block(arm, case, 1, _fresh(folder))  # imports modules
            calls[arm] = max(1, math.ceil(block_s / run_block(arm, case, 1, _fresh(folder)).cpu_s))
        for turn in range(rounds):
            for arm in ARMS if turn % 2 == 0 else reversed(ARMS):
                block = run_block(arm, case, calls[arm], _fresh(folder))
                cpu_ms[arm].append(1e3 * block.cpu_s)
                file_bytes[arm] = block.file_bytes
    return _Blocks(cpu_ms, file_bytes, None if case.group == HISTOGRAMS else _size_ratio(case))


def _fresh(folder: Path) -> Path:
    return Path(tempfile.mkdtemp(dir=folder))


def _size_ratio(case: Case) -> float:
    """Bytes of our PNG over those of Pillow's level 6 with the same pixels; a palette's in RGB, as is logged today."""
    (event,) = make_content(as_record(case, 0)).events
    ours = event_pb2.Event.FromString(event).summary.value[0].image.encoded_image_string
    with Image.open(io.BytesIO(ours)) as picture:
        again = io.BytesIO()
        pixels = picture.convert("RGB") if picture.mode == "P" else picture
        # Without the text chunk: the ratio charges ours for what it tells.
        Image.frombytes(pixels.mode, pixels.size, pixels.tobytes()).save(again, "PNG", compress_level=6)
    return len(ours) / len(again.getvalue())
