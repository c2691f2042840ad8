"""What of a daemon's memory is left for pictures that wait."""

from __future__ import annotations

from sidelog_daemon.memory import PROCESS_BYTES, WORKER_BYTES, Memory
from sidelog_shared.limits import MIB


def test_what_is_held_elsewhere_and_who_is_connected_counts() -> None:
    memory = Memory(1024 * MIB)
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
