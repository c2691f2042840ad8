"""The memory that rendering adds: the highest of a process that renders one map, over what it held before."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

SHAPE = (2048, 56, 56)
GOAL = 2.5
"""Times the bytes of the map."""


@dataclass(frozen=True, slots=True)
class Peak:
    """What was found.

    Attributes:
        tensor_bytes: of the map.
        added_bytes: by rendering it and making its event, at the highest, in a process that has rendered nothing yet.
    """

    tensor_bytes: int
    added_bytes: int

    @property
    def times(self) -> float:
        return self.added_bytes / self.tensor_bytes

    def to_map(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self) | {"times": self.times, "goal": GOAL}


def measure_peak(*, progress: Callable[[str], None]) -> Peak:
    """In a process of its own, which has nothing of what the bench holds.

    Raises:
        RuntimeError: it cannot be measured here; says why.
    """
    progress("memory: one map")
    said = subprocess.run(
        [sys.executable, "-m", "render_bench.memory"],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if said.returncode:
        raise RuntimeError(f"the process that renders one map ended with code {said.returncode}: {said.stderr[-500:]}")
    return Peak(**json.loads(said.stdout))


def _render_one() -> Peak:
    import numpy as np

    from sidelog_daemon.kinds import make_content
    from sidelog_shared import dtypes
    from sidelog_shared.recipe import Layout, Recipe
    from sidelog_shared.records import BufferSpec, Kind, Lane, Record

    def record(shape: tuple[int, int, int]) -> Record:
        count, height, width = shape
        values = np.random.default_rng(0).standard_normal((count, 1, height, width), dtype=np.float32)
        spec = BufferSpec(dtypes.FLOAT32, values.shape)
        options = {"recipe": Recipe(Layout.GRID, normalize=True).to_map()}
        return Record(Lane.PICTURE, 1, 1, Kind.PICTURE, "map", 0, 1e9, options, (spec,), (values.tobytes(),))

    make_content(record((1, 2, 2)))  # loads what is loaded once
    whole = record(SHAPE)
    before = _reset_highest()
    make_content(whole)
    return Peak(memoryview(whole.buffers[0]).nbytes, _status("VmHWM") - before)


def _reset_highest() -> int:
    """Let the highest resident memory be what it is now, which is returned (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")


if __name__ == "__main__":
    print(json.dumps(asdict(_render_one())))
