"""Children that multiprocessing spawns import the program first: a writer that is made at its top is made before they
are multiprocessing's. What they log is kept all the same: written within three seconds, else in their spool."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from event_files import read_run
from processes import DEADLINE_S

PROGRAM = """
import multiprocessing, os, sys
import sidelog

writer = sidelog.SummaryWriter(f"{sys.argv[1]}/{os.getpid()}")
context = multiprocessing.get_context(sys.argv[2])

def work(number):
    for step in range(20 * number, 20 * number + 20):
        writer.add_scalar(f"loss{number}", step, step)

def in_processes():
    children = [context.Process(target=work, args=(number,)) for number in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()

def in_a_pool():
    with context.Pool(2) as pool:
        pool.map(work, range(2), chunksize=1)

if __name__ == "__main__":
    {"processes": in_processes, "pool": in_a_pool}[sys.argv[3]]()
"""
LOADER = """
import os, sys
import sidelog, torch
from torch.utils.data import DataLoader, Dataset

writer = sidelog.SummaryWriter(f"{sys.argv[1]}/{os.getpid()}")

class Samples(Dataset):
    def __len__(self):
        return 8

    def __getitem__(self, index):
        writer.add_scalar(f"loss{index}", index, index)
        return torch.tensor(float(index))

if __name__ == "__main__":
    loader = DataLoader(Samples(), num_workers=2, multiprocessing_context=sys.argv[2])
    for epoch in range(2):
        assert sum(float(batch) for batch in loader) == 28
"""


def run_program(folder: Path, program: str, *arguments: str) -> dict[str, list[int]]:
    """Run a program, and replay what its children left; returns the steps of each tag, whichever logged them."""
    script = folder / "program.py"
    script.write_text(program)
    runs = folder / "runs"
    done = subprocess.run(
        [sys.executable, str(script), str(runs), *arguments],
        capture_output=True,
        text=True,
        timeout=4 * DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    replay = [sys.executable, "-m", "sidelog.cli", "replay", "--all"]
    subprocess.run(replay, check=True, timeout=DEADLINE_S, capture_output=True)
    steps: dict[str, list[int]] = {}
    for run in map(read_run, runs.iterdir()):
        for tag in run.scalars:
            steps.setdefault(tag, []).extend(run.steps(tag))
    return {tag: sorted(found) for tag, found in steps.items()}


@pytest.mark.parametrize("how", ["processes", "pool"])
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_of_each_kind(method: str, how: str, runtime_dir: Path, tmp_path: Path) -> None:
    assert run_program(tmp_path, PROGRAM, method, how) == {
        "loss0": list(range(20)),
        "loss1": list(range(20, 40)),
    }


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_data_loader_workers(method: str, runtime_dir: Path, tmp_path: Path) -> None:
    assert run_program(tmp_path, LOADER, method) == {f"loss{index}": [index, index] for index in range(8)}
