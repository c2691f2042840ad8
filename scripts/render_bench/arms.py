"""Who is compared: the writers of tensorboardX and torch in the loop, and what the daemon does with the same tensors.

A block is some calls into a fresh run directory, until all bytes are on the disk; its cost is the CPU time of the whole
process, so that of the writers' own threads is in it.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from render_bench.cases import Case
from sidelog.bench.event_tail import EventTail
from sidelog_daemon.kinds import make_content
from sidelog_daemon.sink import RunDirectory
from sidelog_shared.records import Lane, Record

TENSORBOARDX, TORCH, SIDELOG = "tensorboardX", "torch", "sidelog"
ARMS = (TENSORBOARDX, TORCH, SIDELOG)
TAG = "bench"
_WORKER = "b" * 16


@dataclass(frozen=True, slots=True)
class Block:
    """What some calls cost.

    Attributes:
        cpu_s: of each call.
        file_bytes: of each call, in the event file.
    """

    cpu_s: float
    file_bytes: float


def run_block(arm: str, case: Case, calls: int, folder: Path) -> Block:
    """Log a case so many times.

    Raises:
        RuntimeError: not all of it stands in the event file.
    """
    finish = _of_daemon(case, folder, calls) if arm == SIDELOG else _inline(arm, case, folder, calls)
    begun = time.process_time()
    finish()
    cpu_s = (time.process_time() - begun) / calls
    tail = EventTail(folder)
    tail.poll()
    if tail.counts != Counter({TAG: calls}):
        raise RuntimeError(f"{arm}: {dict(tail.counts)} is in the event file, expected {calls} of {TAG!r}")
    return Block(cpu_s, sum(file.stat().st_size for file in folder.iterdir()) / calls)


def peer(arm: str, folder: Path) -> Any:
    """A writer of one of the two."""
    if arm == TENSORBOARDX:
        from tensorboardX.writer import SummaryWriter  # the daemon loads the package without its __init__
    else:
        from torch.utils.tensorboard import SummaryWriter
    return SummaryWriter(str(folder))


def as_record(case: Case, step: int, *, tag: str = TAG) -> Record:
    """What the daemon gets for one call."""
    data = memoryview(case.values).cast("B")
    return Record(Lane.PICTURE, step + 1, 1, case.kind, tag, step, 1e9 + step, case.options, (case.spec,), (data,))


def _inline(arm: str, case: Case, folder: Path, calls: int) -> Callable[[], None]:
    writer = peer(arm, folder)

    def log_all() -> None:
        for step in range(calls):
            case.inline(writer, TAG, step)
        writer.close()  # drains the queue of its thread and ends it

    return log_all


def _of_daemon(case: Case, folder: Path, calls: int) -> Callable[[], None]:
    directory = RunDirectory.open(folder, owner_note=b"{}")
    directory.begin()
    directory.commit()  # the file is open before, as the others' is

    def write_all() -> None:
        for step in range(calls):
            record = as_record(case, step)
            directory.append(_WORKER, record.lane.value, record.seq, make_content(record).events)
        directory.close()  # one group, as of what arrives within a second

    return write_all
