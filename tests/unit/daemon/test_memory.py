"""What of a daemon's memory is left for pictures that wait."""

from __future__ import annotations

from sidelog_daemon import allocator
from sidelog_daemon.memory import PROCESS_BYTES, WORKER_BYTES, Memory
from sidelog_shared.limits import MIB


def test_what_is_held_elsewhere_and_who_is_connected_counts() -> None:
    memory = Memory(1024 * MIB, resident=lambda: 0)
    assert memory.elsewhere() == PROCESS_BYTES
    assert memory.tensor_bytes == 1024 * MIB - PROCESS_BYTES
    held = {"heavy": 5, "begun": 7}
    memory.watch(*(lambda name=name: held[name] for name in held), workers=lambda: 3)  # type: ignore[misc]
    assert memory.elsewhere() == PROCESS_BYTES + 3 * WORKER_BYTES + 12


def test_half_of_a_small_budget_is_for_tensors() -> None:
    memory = Memory(2 * MIB)
    memory.watch(lambda: 10, workers=lambda: 100)
    assert memory.tensor_bytes == MIB
    assert memory.elsewhere() == MIB + 10


class Process:
    """What it has, used and free."""

    def __init__(self, used: int, free: int = 0) -> None:
        self.used, self.free = used, free

    def resident(self) -> int:
        return self.used + self.free

    def give_back(self) -> None:
        self.free = 0


def memory_of(process: Process, budget: int = 1600) -> Memory:
    return Memory(budget * MIB, resident=process.resident, give_back=process.give_back)


def test_free_pages_are_given_back_near_the_budget() -> None:
    process = Process(1400 * MIB, 100 * MIB)
    memory = memory_of(process)
    memory.look(0.0)
    assert process.free == 100 * MIB  # it is not near yet
    process.used += 1
    memory.look(0.2)
    assert process.free == 100 * MIB  # it has just looked
    memory.look(0.5)
    assert process.free == 0
    assert memory.elsewhere() == PROCESS_BYTES


def test_pictures_get_less_while_the_process_has_more_than_was_thought() -> None:
    process = Process(1510 * MIB)
    memory = memory_of(process)
    memory.look(0.0)
    assert memory.elsewhere() == PROCESS_BYTES + 10 * MIB
    process.used = 1505 * MIB
    memory.look(1.0)
    assert memory.elsewhere() == PROCESS_BYTES + 15 * MIB
    process.used = 1495 * MIB
    memory.look(2.0)
    assert memory.elsewhere() == PROCESS_BYTES + 10 * MIB
    process.used = 900 * MIB
    memory.look(3.0)
    assert memory.elsewhere() == PROCESS_BYTES


def test_however_much_it_has_half_of_the_budget_is_for_tensors() -> None:
    memory = memory_of(Process(80 * MIB), budget=2)
    for now in range(9):
        memory.look(float(now))
    assert memory.elsewhere() == MIB


def test_this_process_has_some() -> None:
    allocator.give_back()
    assert allocator.resident_bytes() > MIB
