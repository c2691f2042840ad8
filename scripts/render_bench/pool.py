"""Rendering on several threads: pictures per second by the wall clock, one thread and two taking turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from render_bench.arms import as_record
from render_bench.cases import Case
from sidelog.bench.pairs import Ratio, percentile, ratio_of_medians
from sidelog_daemon.actions import Render
from sidelog_daemon.render_queue import RenderQueue
from sidelog_daemon.renderer import Renderer

SCALING_GOAL = 1.7
"""Of two threads on two cores."""
TAGS = 16
_WORKER = "b" * 16
_DEADLINE_S = 300.0


@dataclass(frozen=True, slots=True)
class Scaling:
    """What was found for one case.

    Attributes:
        case: what was rendered.
        per_s: pictures per second of each block, by threads.
        ratio: two threads over one.
    """

    case: Case
    per_s: dict[int, list[float]]
    ratio: Ratio

    def median(self, threads: int) -> float:
        return percentile(self.per_s[threads], 50)

    def to_map(self) -> dict[str, object]:
        """For JSON."""
        return {"case": self.case.name, "per_s": self.per_s, "ratio": asdict(self.ratio)}


def measure_scaling(
    cases: Sequence[Case], *, rounds: int, pictures: int, progress: Callable[[str], None]
) -> list[Scaling]:
    """One thread and two of the daemon's renderer, in turns.

    Args:
        cases: what is rendered.
        rounds: blocks of each.
        pictures: of a block.
        progress: told what is going on.
    """
    found = []
    for case in cases:
        per_s: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(rounds):
            progress(f"threads: {case.name}, round {turn + 1} of {rounds}")
            for threads in (1, 2) if turn % 2 == 0 else (2, 1):
                per_s[threads].append(_rate(case, threads, pictures))
        found.append(Scaling(case, per_s, ratio_of_medians(per_s[2], per_s[1])))
    return found


def _rate(case: Case, threads: int, pictures: int) -> float:
    rendered: list[object] = []
    rejected: list[object] = []
    done = threading.Event()

    def take(content: object) -> None:
        rendered.append(content)
        if len(rendered) == pictures:
            done.set()

    queue = RenderQueue(2 * pictures * case.values.nbytes)
    renderer = Renderer(queue, name="bench-render", threads=threads, write=take, report=rejected.append)
    for number in range(pictures):
        # As records of a dozen tags come: one render in flight for each.
        record = as_record(case, number, tag=f"map{number % TAGS}")
        renderer.submit(Render(_WORKER, record))
    begun = time.perf_counter()
    renderer.start()
    in_time = done.wait(_DEADLINE_S)
    taken_s = time.perf_counter() - begun
    renderer.stop(_DEADLINE_S)
    if rejected or not in_time:
        raise RuntimeError(f"{len(rendered)} of {pictures} pictures were rendered: {rejected[:1]}")
    return pictures / taken_s
