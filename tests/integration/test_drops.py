"""Pictures that were dropped: the run itself says which, once its worker has let go of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import sidelog
from event_files import read_run
from processes import run_script

SCRIPT = """
import sys
import numpy as np
import sidelog
writer, other = sidelog.SummaryWriter(sys.argv[1]), sidelog.SummaryWriter(sys.argv[2])
writer.add_scalar("loss", 1.0, 1)
for step in range(3):
    writer.add_image("large", np.zeros((3, 2000, 2000), np.uint8), step)
writer.add_image("small", np.zeros((3, 20, 20), np.uint8), 0)
if sys.argv[3] == "close":
    writer.close()
    other.close()
"""


@pytest.mark.parametrize("end", ["close", "exit"])
def test_stand_in_the_run(runtime_dir: Path, tmp_path: Path, end: str) -> None:
    run, other = tmp_path / "run", tmp_path / "other"
    small = {"SIDELOG_ARENA_MB": "1", "SIDELOG_OVERFLOW_MB": "1"}
    run_script(SCRIPT, str(run), str(other), end, env=small)
    ((step, text),) = read_run(run / "sidelog").texts["sidelog/dropped"]
    assert step == 0
    assert "| large | 3 | dropped in the training process |" in text
    assert text.startswith("3 pictures or histograms that worker (")
    assert len(read_run(run).images["small"]) == 1
    assert not (other / "sidelog").exists()


def test_nothing_is_said_where_all_is_there(runtime_dir: Path, tmp_path: Path) -> None:
    with sidelog.SummaryWriter(tmp_path / "run") as writer:
        writer.add_image("small", np.zeros((3, 20, 20), np.uint8), 0)
    assert not (tmp_path / "run" / "sidelog").exists()
