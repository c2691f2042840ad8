"""Which rank of which job this process is, and which folder that rank writes."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from sidelog_shared.errors import ConfigError

_LAUNCHERS = (
    ("RANK", "WORLD_SIZE"),  # torchrun and torch.distributed's env:// convention
    ("SLURM_PROCID", "SLURM_NTASKS"),  # srun
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),  # Open MPI
    ("PMI_RANK", "PMI_SIZE"),  # MPICH and what descends from it
)


@dataclass(frozen=True, slots=True)
class Rank:
    """A process's place in its job.

    Attributes:
        rank: 0 to ``world_size - 1``.
        world_size: how many processes the job has.
    """

    rank: int
    world_size: int

    def __post_init__(self) -> None:
        if self.world_size < 1 or not 0 <= self.rank < self.world_size:
            raise ConfigError(f"rank is {self.rank} of world size {self.world_size}, expected 0 <= rank < world size")


def detect(environment: Mapping[str, str] = os.environ) -> Rank | None:
    """The rank from ``torch.distributed`` if it is initialized, else from the launcher's environment.

    Returns:
        None outside a job, and in a job of one.
    """
    found = _from_torch() or _from_launcher(environment)
    return None if found is None or found.world_size == 1 else found


def _from_torch() -> Rank | None:
    # Only a process that has imported it can have initialized it; importing it here would cost a second.
    distributed = sys.modules.get("torch.distributed")
    if distributed is None or not distributed.is_available() or not distributed.is_initialized():
        return None
    return Rank(int(distributed.get_rank()), int(distributed.get_world_size()))


def _from_launcher(environment: Mapping[str, str]) -> Rank | None:
    for rank_name, size_name in _LAUNCHERS:
        rank, size = environment.get(rank_name), environment.get(size_name)
        if rank is not None and size is not None:
            try:
                return Rank(int(rank), int(size))
            except ValueError as error:
                raise ConfigError(
                    f"{rank_name} is {rank!r} and {size_name} {size!r}, expected integers with "
                    f"0 <= {rank_name} < {size_name} (or give SummaryWriter(rank=...))"
                ) from error
    return None


def folder_of(logdir: str, rank: int | None) -> str:
    """Where a rank writes: rank 0 the logdir itself, rank k ``<logdir>/rank_k``.

    TensorBoard then overlays the ranks in one chart, and no folder has two writers. A path whose last part
    names the rank already (``runs/exp1/rank_3``, ``rank3``, ``rank-3``) is left alone.
    """
    if not rank:
        return logdir
    last = os.path.basename(os.path.normpath(logdir))
    if re.fullmatch(rf"(.*[^a-z0-9])?rank[_-]?0*{rank}", last, re.IGNORECASE):
        return logdir
    return os.path.join(logdir, f"rank_{rank}")
