"""Which processes are workers of their own: forks, DataLoader workers, ranks; and which folder each writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from event_files import read_run
from processes import local_daemon, run_script


def test_a_forked_process_is_a_worker_of_its_own(runtime_dir: Path, tmp_path: Path) -> None:
    code = """
import os, sys, threading, warnings, sidelog
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork beside threads
writer = sidelog.SummaryWriter(sys.argv[1])
other = sidelog.SummaryWriter(sys.argv[2])
for step in range(100):
    writer.add_scalar("parent", step, step)
pid = os.fork()
if pid == 0:
    before = threading.active_count()
    for step in range(100):
        writer.add_scalar("child", step, step)
        other.add_scalar("child", step, step)
    assert (before, threading.active_count()) == (1, 2)
    writer.close()
    other.close()
    os._exit(0)
for step in range(100, 200):
    writer.add_scalar("parent", step, step)
assert os.waitpid(pid, 0)[1] == 0
writer.flush()
writer.close()
other.close()
print(writer.statistics().logged)
"""
    run_script(code, str(tmp_path / "run"), str(tmp_path / "other"))
    run = read_run(tmp_path / "run")
    assert run.steps("parent") == list(range(200))
    assert run.steps("child") == list(range(100))
    assert read_run(tmp_path / "other").steps("child") == list(range(100))
    log = (runtime_dir / "sidelog" / "daemon-1.log").read_text()
    assert log.count(" connected (") == 2


def test_a_child_that_exits_without_closing_loses_nothing(runtime_dir: Path, tmp_path: Path) -> None:
    code = """
import multiprocessing, sys, warnings, sidelog
warnings.simplefilter("ignore", DeprecationWarning)
writer = sidelog.SummaryWriter(sys.argv[1])

def work(name):
    for step in range(100):
        writer.add_scalar(name, step, step)

if __name__ == "__main__":
    writer.add_scalar("parent", 0, 0)
    context = multiprocessing.get_context("fork")
    children = [context.Process(target=work, args=(f"child{i}",)) for i in range(2)]
    for child in children:
        child.start()
    for child in children:
        child.join()
        assert child.exitcode == 0
"""
    run_script(code, str(tmp_path / "run"))
    run = read_run(tmp_path / "run")
    assert run.steps("parent") == [0]
    assert run.steps("child0") == run.steps("child1") == list(range(100))


def test_data_loader_workers_log(runtime_dir: Path, tmp_path: Path) -> None:
    code = """
import sys, warnings, sidelog, torch
from torch.utils.data import DataLoader, Dataset
warnings.simplefilter("ignore", DeprecationWarning)
writer = sidelog.SummaryWriter(sys.argv[1])

class Samples(Dataset):
    def __len__(self):
        return 20

    def __getitem__(self, index):
        writer.add_scalar("sample", index, index)
        writer.add_image("input", torch.full((1, 4, 4), index / 20), index)
        return torch.tensor(float(index))

if __name__ == "__main__":
    total = 0.0
    for step, batch in enumerate(DataLoader(Samples(), batch_size=2, num_workers=2)):
        writer.add_scalar("loss", batch.sum(), step)
        total += float(batch.sum())
    assert total == sum(range(20))
    writer.close()
"""
    run_script(code, str(tmp_path / "run"))
    run = read_run(tmp_path / "run")
    assert run.steps("loss") == list(range(10))
    assert sorted(run.steps("sample")) == list(range(20))
    assert sorted(run.steps("input")) == list(range(20))


LAUNCHERS = {
    "torchrun": {"RANK": "{rank}", "WORLD_SIZE": "4", "LOCAL_RANK": "0"},
    "Slurm": {"SLURM_PROCID": "{rank}", "SLURM_NTASKS": "4"},
    "Open MPI": {"OMPI_COMM_WORLD_RANK": "{rank}", "OMPI_COMM_WORLD_SIZE": "4"},
    "MPICH": {"PMI_RANK": "{rank}", "PMI_SIZE": "4"},
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_each_rank_of_a_job_writes_a_folder_of_its_own(launcher: str, runtime_dir: Path, tmp_path: Path) -> None:
    code = """
import json, os, sys, sidelog
environment = json.loads(sys.argv[2])
folders = []
for rank in (0, 3):
    os.environ.update({name: value.format(rank=rank) for name, value in environment.items()})
    with sidelog.SummaryWriter(sys.argv[1]) as writer:
        writer.add_scalar("loss", rank, 0)
    folders.append(writer.logdir)
with sidelog.SummaryWriter(sys.argv[1] + "/eval_rank3") as writer:
    folders.append(writer.logdir)
with sidelog.SummaryWriter(sys.argv[1] + "/all", rank=None) as writer:
    folders.append(writer.logdir)
with sidelog.SummaryWriter(sys.argv[1] + "/given", rank=7) as writer:
    folders.append(writer.logdir)
print(json.dumps(folders))
"""
    run = tmp_path / "run"
    folders = json.loads(run_script(code, str(run), json.dumps(LAUNCHERS[launcher])))
    assert folders == [
        str(run),
        str(run / "rank_3"),
        str(run / "eval_rank3"),
        str(run / "all"),
        str(run / "given" / "rank_7"),
    ]
    assert read_run(run).scalars == {"loss": [(0, 0.0)]}
    assert read_run(run / "rank_3").scalars == {"loss": [(0, 3.0)]}
    ready = local_daemon()
    assert ready is not None
    assert "rank 3 (" in (runtime_dir / "sidelog" / "daemon-1.log").read_text()
