"""One account of memory for everything that waits, and one tensor that is too large for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from quiet_writers import quiet_writer

import sidelog
from sidelog.pool import SlotPool
from sidelog_shared.limits import MIB


def test_grids_that_wait_count_against_the_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=4 * MIB)
    batch = torch.zeros(4, 1, 256, 256)  # 1 MiB
    for step in range(10):
        quiet.writer.add_image("grid", sidelog.make_grid(batch), step)
    assert quiet.connection.pool.used_bytes <= 4 * MIB
    assert quiet.outbox.picture_count == 4
    assert quiet.outbox.drops() == {"grid": 6}
    while (call := quiet.outbox.take_picture()) is not None:
        for snapshot in call.snapshots:
            snapshot.release()
    assert quiet.connection.pool.used_bytes == 0


@pytest.mark.parametrize("value", [torch.zeros(3 * MIB), np.zeros(3 * MIB, np.float32)])
def test_what_is_larger_than_all_memory_makes_no_other_picture_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: object
) -> None:
    quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=4 * MIB)
    quiet.writer.add_image("small", torch.zeros(1, 8, 8), 0)
    quiet.writer.add_histogram("fc1", value, 0)
    assert quiet.outbox.picture_count == 1
    assert quiet.outbox.drops() == {"fc1": 1}
    assert quiet.connection.said == ["'fc1' is 12 MiB and never logged: SIDELOG_ARENA_MB allows 4 MiB"]
    quiet.picture().snapshots[0].release()


def test_charged_memory_makes_room_and_comes_back() -> None:
    pool = SlotPool(MIB)
    slot = pool.acquire(MIB // 2)
    assert slot is not None
    pool.release(slot)
    assert pool.charge(MIB)  # the free buffer went
    assert not pool.charge(1)
    assert pool.acquire(1) is None
    pool.refund(MIB)
    assert pool.used_bytes == 0
    assert pool.acquire(1) is not None


def test_a_grid_gives_its_memory_back_when_nobody_holds_it() -> None:
    from sidelog import grid as grids

    before = grids._memory.used_bytes
    grid = sidelog.make_grid(torch.ones(4, 1, 64, 64))
    assert grids._memory.used_bytes > before
    view = grid.source.tensor[0]  # type: ignore[attr-defined]
    del grid
    assert grids._memory.used_bytes > before
    assert view.eq(1).all()
    del view
    assert grids._memory.used_bytes == before
