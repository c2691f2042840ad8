"""A flood of scalars, which are put together by hand, read back in full by both of TensorBoard's readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sidelog
from event_files import read_run
from fast_reader import fast_scalars

TAGS = [f"train/metric {number}" for number in range(30)]
STEPS = 800


def test_both_readers_find_each_of_them(runtime_dir: Path, tmp_path: Path) -> None:
    run = tmp_path / "logs" / "run"
    with sidelog.SummaryWriter(run, rank=None) as writer:
        for step in range(STEPS):
            for number, tag in enumerate(TAGS):
                writer.add_scalar(tag, number + step / STEPS, step * step)
    expected = {
        tag.replace(" ", "_"): [(step * step, float(np.float32(number + step / STEPS))) for step in range(STEPS)]
        for number, tag in enumerate(TAGS)
    }
    assert read_run(run).scalars == expected
    assert fast_scalars(run, expected) == expected
