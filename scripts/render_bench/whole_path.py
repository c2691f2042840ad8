"""The whole way, from the call to the file: CPU time of the training process and of a real daemon together."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch

from render_bench.arms import TENSORBOARDX, peer
from render_bench.cases import MAPS, Case
from render_bench.scalars import TAGS
from sidelog.bench.event_tail import EventTail
from sidelog.bench.loggers import Sidelog, wait_for_connection
from sidelog.bench.pairs import Ratio, percentile, ratio_of_medians
from sidelog.bench.sandbox import Sandbox, cpu_s

PACE_S = 0.03
"""Between two maps: more would be dropped than the daemon renders."""
_SCALAR_STEPS = 400


@dataclass(frozen=True, slots=True)
class WholeCost:
    """What was found for one kind of call.

    Attributes:
        name: what was logged.
        inline_us: CPU time of each block of tensorboardX, per call.
        client_us: of the training process with sidelog, all its threads, likewise.
        daemon_us: of the daemon, likewise.
        ratio: inline over both of ours together.
    """

    name: str
    inline_us: list[float]
    client_us: list[float]
    daemon_us: list[float]
    ratio: Ratio

    def to_map(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)

    def medians_us(self) -> tuple[float, float, float]:
        """Of inline, client and daemon."""
        inline, client, daemon = (percentile(one, 50) for one in (self.inline_us, self.client_us, self.daemon_us))
        return inline, client, daemon


def measure_whole_path(case: Case, *, rounds: int, calls: int, progress: Callable[[str], None]) -> list[WholeCost]:
    """A feature map and scalars, through a daemon of its own, beside inline tensorboardX.

    Args:
        case: the map.
        rounds: blocks of each.
        calls: maps of a block.
        progress: told what is going on.

    Raises:
        RuntimeError: not everything was written.
    """
    assert case.group == MAPS
    values = torch.from_numpy(case.values)[:, 0]

    def add_maps(logger: Any, inline: bool, first: int) -> int:
        for step in range(first, first + calls):
            if inline:
                case.inline(logger, "map", step)
            else:
                logger.add_feature_map("map", values, step)
                time.sleep(PACE_S)
        return calls

    def add_scalars(logger: Any, inline: bool, first: int) -> int:
        for step in range(first, first + _SCALAR_STEPS):
            for number in range(TAGS):
                logger.add_scalar(f"train/metric{number}", 0.1 * number, step)
        return _SCALAR_STEPS * TAGS

    kinds = {case.name: add_maps, f"a scalar, {TAGS} tags in each step": add_scalars}
    return [_measure(name, add, rounds, progress) for name, add in kinds.items()]


def _measure(
    name: str, add: Callable[[Any, bool, int], int], rounds: int, progress: Callable[[str], None]
) -> WholeCost:
    inline_us, client_us, daemon_us = [], [], []
    with Sandbox() as sandbox, ExitStack() as stack:
        ours = Sidelog(sandbox.run_folder("runs/sidelog"))
        stack.callback(ours.close)
        daemon = sandbox.daemon()
        wait_for_connection(ours)
        expected = 1
        for turn in range(rounds + 1):  # the first is not counted: it opens runs and imports modules
            progress(f"whole path: {name}, round {turn} of {rounds}")
            before_s, own_s = cpu_s(daemon), time.process_time()
            count = add(ours.writer, False, turn * 1_000)
            ours.writer.flush(pictures=True, timeout_s=60.0)
            client_us.append(1e6 * (time.process_time() - own_s) / count)
            daemon_us.append(1e6 * (cpu_s(daemon) - before_s) / count)
            expected += count
            folder = sandbox.run_folder(f"runs/inline{turn}")
            theirs = peer(TENSORBOARDX, folder)
            own_s = time.process_time()
            add(theirs, True, 0)
            theirs.close()
            inline_us.append(1e6 * (time.process_time() - own_s) / count)
        tail = EventTail(sandbox.run_folder("runs/sidelog"))
        tail.poll()
        if sum(tail.counts.values()) != expected:
            raise RuntimeError(f"{sum(tail.counts.values()):,} of {expected:,} records are in the event file: "
                               f"{ours.trouble()}")  # fmt: skip
    both_us = [one + other for one, other in zip(client_us, daemon_us, strict=True)]
    ratio = ratio_of_medians(inline_us[1:], both_us[1:])
    return WholeCost(name, inline_us[1:], client_us[1:], daemon_us[1:], ratio)
