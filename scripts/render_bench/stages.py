"""Where the time goes: the same calls with a stopwatch around each stage, in both pipelines.

A stage is some functions; what runs in a function is charged to the innermost stage around it. The stopwatches cost
something themselves, so the sums are a little above the end-to-end figures.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from render_bench.arms import SIDELOG, TENSORBOARDX, run_block
from render_bench.cases import Case

LAYOUT, NORMALIZE, TILE, COLOR, COUNT = "layout", "normalize", "tile", "color", "count"
ENCODE, PROTOBUF, CRC, WRITE, REST = "encode", "protobuf", "CRC", "write", "the rest"
STAGES = (LAYOUT, NORMALIZE, TILE, COLOR, COUNT, ENCODE, PROTOBUF, CRC, WRITE, REST)
_CALLS = 12
Stage = tuple[Any, str, str]


@dataclass(frozen=True, slots=True)
class Profile:
    """What each stage of a case takes.

    Attributes:
        case: what was logged.
        cpu_ms: by arm and stage, per call; the best of all rounds.
    """

    case: Case
    cpu_ms: dict[str, dict[str, float]]

    def to_map(self) -> dict[str, object]:
        """For JSON."""
        return {"case": self.case.name, "cpu_ms": self.cpu_ms}


def profile(cases: Sequence[Case], *, rounds: int, progress: Callable[[str], None]) -> list[Profile]:
    """The stages of tensorboardX's pipeline and of ours.

    Args:
        cases: what is logged.
        rounds: blocks of each arm; the one that took least counts.
        progress: told what is going on.
    """
    found = []
    for case in cases:
        progress(f"stages: {case.name}")
        found.append(Profile(case, {arm: _best(arm, case, rounds) for arm in (TENSORBOARDX, SIDELOG)}))
    return found


def _best(arm: str, case: Case, rounds: int) -> dict[str, float]:
    runs = [_once(arm, case) for _ in range(rounds)]
    return min(runs, key=lambda stages: sum(stages.values()))


def _once(arm: str, case: Case) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="sidelog-bench-") as folder:
        run_block(arm, case, 1, Path(folder) / "warm")
        with _stopwatches(_stages_of(arm)) as spent_s:
            whole = run_block(arm, case, _CALLS, Path(folder) / "timed")
    stages = {stage: 1e3 * spent_s[stage] / _CALLS for stage in STAGES if stage in spent_s}
    return {**stages, REST: max(0.0, 1e3 * whole.cpu_s - sum(stages.values()))}


@contextmanager
def _stopwatches(stages: Sequence[Stage]) -> Iterator[Counter[str]]:
    """CPU seconds of each stage, all threads together, while this is open."""
    spent_s: Counter[str] = Counter()
    stack = threading.local()

    def around(call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def timed(*arguments: Any, **options: Any) -> Any:
            outer = getattr(stack, "inner_s", None)
            stack.inner_s = 0.0
            begun = time.thread_time()
            try:
                return call(*arguments, **options)
            finally:
                taken_s = time.thread_time() - begun
                spent_s[stage] += taken_s - stack.inner_s
                stack.inner_s = None if outer is None else outer + taken_s

        return timed

    with ExitStack() as patches:
        for owner, name, stage in stages:
            patches.enter_context(mock.patch.object(owner, name, around(getattr(owner, name), stage)))
        yield spent_s


def _stages_of(arm: str) -> list[Stage]:
    if arm == TENSORBOARDX:
        import PIL.Image
        from tensorboardX import event_file_writer, record_writer, summary, writer

        from render_bench import cases

        return [
            (cases, "make_grid", NORMALIZE),  # and tiles and colors: it is one function
            (summary, "convert_to_HWC", LAYOUT),
            (summary, "make_np", LAYOUT),
            (PIL.Image.Image, "save", ENCODE),
            (summary, "make_histogram", COUNT),
            (summary, "image", COLOR),
            (summary, "histogram", PROTOBUF),
            (writer.FileWriter, "add_event", PROTOBUF),  # into the queue of its thread, which pickles it
            (record_writer, "masked_crc32c", CRC),
            (event_file_writer.EventsWriter, "write_event", WRITE),
        ]
    from sidelog_daemon.render import channels, color, encode, histogram, layout, normalize, tally, thin
    from sidelog_daemon.render.tile import Grid
    from sidelog_daemon.sink import RunDirectory, summaries
    from sidelog_daemon.tensorboardx import record_writer as ours

    return [
        (layout, "arrange", LAYOUT),
        (thin, "thin", LAYOUT),
        (normalize, "tile_ranges", NORMALIZE),
        (normalize, "normalize", NORMALIZE),
        (Grid, "canvas", TILE),
        (Grid, "place", TILE),
        (channels, "to_8_bits", COLOR),
        (channels, "interleave", COLOR),
        (color, "index_labels", COLOR),
        (color, "occurring", COLOR),
        (color.Paint, "pixels", COLOR),
        (tally, "count", COUNT),
        (histogram, "_moments", COUNT),
        (encode, "encode", ENCODE),
        (summaries, "image_event", PROTOBUF),
        (summaries, "histogram_event", PROTOBUF),
        (ours, "masked_crc32c", CRC),
        (RunDirectory, "append", WRITE),
        (RunDirectory, "close", WRITE),
    ]
