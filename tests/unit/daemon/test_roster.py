"""What log lines call workers and runs."""

from __future__ import annotations

from sidelog_daemon.roster import Roster
from sidelog_shared.records import Worker


def test_a_worker_and_its_run_have_names_until_they_are_gone() -> None:
    roster = Roster()
    roster.add(Worker("a" * 16, "node7", 4711, 1, 2))
    roster.open_run("a" * 16, 3, "/runs/exp1")
    assert roster.place("a" * 16, 3) == "rank 1 (node7:4711), /runs/exp1"
    roster.close_run("a" * 16, 3)
    roster.close_run("b" * 16, 3)
    assert roster.place("a" * 16, 3) == "rank 1 (node7:4711), run 3"
    roster.remove("a" * 16)
    assert roster.place("a" * 16, 3) == f"{'a' * 16}, run 3"


def test_a_line_names_a_few_workers() -> None:
    roster = Roster()
    for pid in range(10, 30):
        roster.add(Worker(f"{pid:016}", "node7", pid))
    names = roster.labels(f"{pid:016}" for pid in range(10, 30))
    assert names.startswith("worker (node7:10), worker (node7:11), ")
    assert names.endswith(", worker (node7:17) and 12 others")
    assert roster.labels([f"{10:016}"]) == "worker (node7:10)"
    assert roster.labels([]) == "nobody"
