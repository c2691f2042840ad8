"""One account of memory for everything that waits, and one tensor that is too large for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from quiet_writers import quiet_writer

import sidelog
from sidelog.calls import RecordCall
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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_loop_over_all_parameters_has_room_beside_the_pool(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, dtype: torch.dtype
) -> None:
    quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=MIB, overflow_bytes=8 * MIB)
    size = MIB // dtype.itemsize
    for layer in range(12):
        values = torch.full((size,), layer, dtype=dtype)
        quiet.writer.add_histogram(f"layer{layer}", values, 0)
        values.fill_(99)
    assert quiet.outbox.drops() == {"layer0": 1, "layer1": 1, "layer2": 1}  # the oldest, when both are full
    for layer in range(3, 12):
        call = quiet.outbox.take_picture()
        assert call is not None
        (snapshot,) = call.snapshots
        assert bytes(snapshot.data()) == torch.full((size,), layer, dtype=dtype).view(torch.uint8).numpy().tobytes()
        snapshot.release()
    assert quiet.outbox.take_picture() is None
    for step in range(9):  # all of it came back
        quiet.writer.add_histogram("again", torch.zeros(size, dtype=dtype), step)
    assert quiet.outbox.drops()["again"] == 0


def test_while_no_daemon_takes_any_the_oldest_of_a_tag_gives_its_warm_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=MIB, overflow_bytes=8 * MIB)
    quiet.outbox.stalled = True
    addresses = set()
    for step in range(20):
        values = np.full(MIB // 4, step, np.uint8)
        quiet.writer.add_histogram(f"layer{step % 2}", values, step)
        addresses |= {raw_address(call) for call in quiet.outbox._pictures}
    assert len(addresses) == 4
    assert quiet.outbox.drops() == {"layer0": 8, "layer1": 8}
    while (call := quiet.outbox.take_picture()) is not None:
        assert call.step is not None
        assert bytes(call.snapshots[0].data()) == bytes([call.step]) * (MIB // 4)
        call.snapshots[0].release()


def raw_address(call: RecordCall) -> int:
    return np.frombuffer(call.snapshots[0].data(), np.uint8).ctypes.data


def test_what_is_larger_than_the_pool_goes_beside_it_and_makes_nothing_else_go(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=MIB, overflow_bytes=8 * MIB)
    quiet.writer.add_image("small", torch.zeros(1, 8, 8), 0)
    large = torch.rand(3, 700, 700)
    for step in range(2):  # the second finds no room: the first is still there
        quiet.writer.add_image("large", large, step)
    assert quiet.outbox.drops() == {"large": 1}
    assert quiet.connection.said == []
    small, first = quiet.outbox.take_picture(), quiet.outbox.take_picture()
    assert small is not None
    assert first is not None
    assert (small.tag, first.tag, first.step) == ("small", "large", 0)
    assert bytes(first.snapshots[0].data()) == large.numpy().tobytes()


def test_a_device_that_fails_or_no_memory_leaves_no_charge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=MIB, overflow_bytes=8 * MIB)
    with monkeypatch.context() as patch:
        patch.setattr("sidelog.snapshot.copy_into", lambda *_: (_ for _ in ()).throw(MemoryError("no memory")))
        with pytest.raises(MemoryError):
            quiet.writer.add_histogram("a", np.zeros(7 * MIB, np.uint8), 0)
    quiet.writer.add_histogram("a", np.zeros(7 * MIB, np.uint8), 0)
    assert quiet.outbox.picture_count == 1


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
