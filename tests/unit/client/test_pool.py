"""Buffers for snapshots: bounded, warm, and never with two owners."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from sidelog.pool import Slot, SlotPool, size_class
from sidelog_shared.limits import MIB


def acquire(pool: SlotPool, nbytes: int) -> Slot:
    slot = pool.acquire(nbytes)
    assert slot is not None
    return slot


@given(st.integers(1, 1 << 34))
def test_a_size_class_wastes_at_most_a_fifth(nbytes: int) -> None:
    size = size_class(nbytes)
    assert size >= nbytes
    assert size == 4096 or size < nbytes * 1.25
    assert size_class(size) == size


def test_a_buffer_is_used_again_for_its_class() -> None:
    pool = SlotPool(MIB)
    slot = acquire(pool, 5000)
    assert len(slot.array) == 5120
    assert slot.array.ctypes.data == slot.address
    pool.release(slot)
    assert acquire(pool, 5100) is slot
    assert acquire(pool, 5100) is not slot


def test_the_budget_holds_whoever_uses_it() -> None:
    pool = SlotPool(8192)
    first, second = acquire(pool, 4096), acquire(pool, 1)
    assert pool.acquire(1) is None
    assert pool.used_bytes == 8192
    pool.release(first)
    pool.release(second)
    assert acquire(pool, 8192) is not None  # both are given up for it
    assert pool.acquire(8193) is None


def test_free_buffers_of_other_sizes_make_room() -> None:
    pool = SlotPool(16384)
    small = [acquire(pool, 4096) for _ in range(4)]
    for slot in small:
        pool.release(slot)
    large = acquire(pool, 12288)
    assert acquire(pool, 4096) in small
    assert pool.acquire(4096) is None
    pool.release(large)
    assert pool.used_bytes == 4096


def test_a_discarded_buffer_is_not_used_again_and_its_budget_is() -> None:
    pool = SlotPool(4096)
    slot = acquire(pool, 10)
    pool.discard(slot)
    assert pool.used_bytes == 0
    assert acquire(pool, 10) is not slot


def test_what_cannot_be_had_costs_nobody_his_warm_buffer() -> None:
    pool = SlotPool(16384)
    slot = acquire(pool, 4096)
    acquire(pool, 4096)
    pool.release(slot)
    assert pool.acquire(MIB) is pool.acquire(14000) is None
    assert acquire(pool, 4096) is slot


@pytest.mark.parametrize("nbytes", [4097, MIB])
def test_what_is_larger_than_the_budget_is_never_there(nbytes: int) -> None:
    pool = SlotPool(4096)
    assert pool.acquire(nbytes) is None
    assert pool.used_bytes == 0


class PoolMachine(RuleBasedStateMachine):
    """Whatever is taken and given back: the budget holds, and no byte has two owners."""

    slots = Bundle("slots")

    def __init__(self) -> None:
        super().__init__()
        self.budget = 64 * 1024
        self.pool = SlotPool(self.budget)
        self.owned: dict[int, tuple[Slot, int]] = {}
        self.held: list[tuple[Slot, int]] = []  # given up while somebody may still read them
        self.mark = 0

    @rule(target=slots, nbytes=st.integers(1, 40 * 1024))
    def acquire(self, nbytes: int) -> int:
        slot = self.pool.acquire(nbytes)
        if slot is None:
            assert self.pool.used_bytes + size_class(nbytes) > self.budget
            return 0
        assert len(slot.array) >= nbytes
        self.mark += 1
        slot.array.view(np.uint32)[:] = self.mark
        self.owned[self.mark] = (slot, self.mark)
        return self.mark

    @rule(mark=consumes(slots))
    def release(self, mark: int) -> None:
        if mark:
            self.pool.release(self.owned.pop(mark)[0])

    @rule(mark=consumes(slots))
    def discard(self, mark: int) -> None:
        if mark:
            self.held.append(self.owned.pop(mark))
            self.pool.discard(self.held[-1][0])

    @invariant()
    def everybody_has_his_own(self) -> None:
        for slot, mark in [*self.owned.values(), *self.held]:
            assert (slot.array.view(np.uint32) == mark).all()

    @invariant()
    def the_budget_holds(self) -> None:
        used = sum(len(slot.array) for slot, _ in self.owned.values())
        assert self.pool.used_bytes == used <= self.budget
        free = sum(len(slot.array) for slots in self.pool._free.values() for slot in slots)
        assert used + free <= self.budget


TestPoolMachine = PoolMachine.TestCase


def test_threads_never_share_a_buffer() -> None:
    pool = SlotPool(8 * 4096)
    shared = []

    def work(number: int) -> None:
        for _ in range(300):
            slot = pool.acquire(4096)
            if slot is not None:
                slot.array[:] = number
                if (slot.array != number).any():
                    shared.append(number)
                pool.release(slot)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not shared
    assert pool.used_bytes == 0
