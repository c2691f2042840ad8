"""Which rank of which job a process is, and which folder that rank writes."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from sidelog.ranks import Rank, detect, folder_of
from sidelog_shared.errors import ConfigError

LAUNCHERS = {
    "torchrun": ("RANK", "WORLD_SIZE"),
    "Slurm": ("SLURM_PROCID", "SLURM_NTASKS"),
    "Open MPI": ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    "MPICH": ("PMI_RANK", "PMI_SIZE"),
}


@pytest.fixture(autouse=True)
def no_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch.distributed", raising=False)


def distributed(monkeypatch: pytest.MonkeyPatch, *, available: bool = True, rank: int = -1, size: int = -1) -> None:
    """torch.distributed as it looks to who asks; initialized if there is a rank."""
    fake = SimpleNamespace(
        is_available=lambda: available,
        is_initialized=lambda: rank >= 0,
        get_rank=lambda: rank,
        get_world_size=lambda: size,
    )
    monkeypatch.setitem(sys.modules, "torch.distributed", fake)


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_each_launcher_by_its_environment(launcher: str) -> None:
    rank_name, size_name = LAUNCHERS[launcher]
    assert detect({rank_name: "3", size_name: "8"}) == Rank(3, 8)
    assert detect({rank_name: "0", size_name: "8"}) == Rank(0, 8)
    assert detect({rank_name: "0", size_name: "1"}) is None  # a job of one is none
    assert detect({rank_name: "3"}) is None
    assert detect({size_name: "8"}) is None


@pytest.mark.parametrize("launcher", LAUNCHERS)
@pytest.mark.parametrize(
    ("rank", "size"), [("8", "8"), ("-1", "8"), ("0", "0"), ("three", "8"), ("1", ""), ("1.0", "2")]
)
def test_an_environment_that_cannot_be_names_its_variables(launcher: str, rank: str, size: str) -> None:
    rank_name, size_name = LAUNCHERS[launcher]
    message = f"{rank_name} is '{rank}' and {size_name} '{size}', expected integers with 0 <= {rank_name} < {size_name}"
    with pytest.raises(ConfigError, match=message):
        detect({rank_name: rank, size_name: size})


def test_outside_a_job_there_is_none() -> None:
    assert detect({}) is None
    assert detect() is None


def test_torchrun_comes_before_the_scheduler_that_started_it() -> None:
    assert detect({"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "RANK": "5", "WORLD_SIZE": "16"}) == Rank(5, 16)


def test_torch_distributed_comes_first_once_it_is_initialized(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {"RANK": "1", "WORLD_SIZE": "2"}
    distributed(monkeypatch)
    assert detect(environment) == Rank(1, 2)
    distributed(monkeypatch, available=False, rank=9, size=10)
    assert detect(environment) == Rank(1, 2)
    distributed(monkeypatch, rank=5, size=7)
    assert detect(environment) == Rank(5, 7)
    distributed(monkeypatch, rank=0, size=1)
    assert detect(environment) is None


@pytest.mark.parametrize(("rank", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_a_rank_outside_its_world(rank: int, size: int) -> None:
    message = f"rank is {rank} of world size {size}, expected 0 <= rank < world size"
    with pytest.raises(ConfigError, match=message):
        Rank(rank, size)


@pytest.mark.parametrize(
    ("logdir", "rank", "folder"),
    [
        ("runs/exp", None, "runs/exp"),
        ("runs/exp", 0, "runs/exp"),
        ("runs/exp", 3, "runs/exp/rank_3"),
        ("runs/exp/rank_3", 3, "runs/exp/rank_3"),
        ("runs/exp/rank_3/", 3, "runs/exp/rank_3/"),
        ("runs/exp/rank3", 3, "runs/exp/rank3"),
        ("runs/exp/Rank-03", 3, "runs/exp/Rank-03"),
        ("runs/exp_rank3", 3, "runs/exp_rank3"),
        ("runs/rank_3/train", 3, "runs/rank_3/train/rank_3"),
        ("runs/exp/rank_13", 3, "runs/exp/rank_13/rank_3"),
        ("runs/exp/rank_3", 13, "runs/exp/rank_3/rank_13"),
        ("runs/exp/rank_30", 3, "runs/exp/rank_30/rank_3"),
        ("runs/frank3", 3, "runs/frank3/rank_3"),
    ],
)
def test_the_folder_of_a_rank(logdir: str, rank: int | None, folder: str) -> None:
    assert folder_of(logdir, rank) == folder
