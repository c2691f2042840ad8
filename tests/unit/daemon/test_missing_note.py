"""What stands in ``<run>/sidelog`` of pictures that the run does not hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from event_files import read_run
from processes import wait_until
from sidelog_daemon.actions import CloseRun, OpenRun, Outcome, RunClosed
from sidelog_daemon.missing_note import missing_table
from sidelog_daemon.writer import EventWriter
from sidelog_shared.missing import OTHER_TAGS, Missing

W, V = "a" * 16, "b" * 16


def closing(*missing: Missing, worker: str = W, run: int = 1) -> CloseRun:
    return CloseRun(worker, run, forget=False, label="rank 1 (host:4711)", missing=missing)


def with_writer(act: Callable[[EventWriter], int]) -> None:
    """``act`` submits, and says how many runs it closed."""
    outcomes: list[Outcome] = []
    writer = EventWriter(owner_note=b"{}", report=outcomes.append)
    writer.start()
    count = act(writer)
    wait_until(lambda: sum(isinstance(one, RunClosed) for one in outcomes) == count)
    assert writer.stop(10)


def test_a_table_by_tag_and_cause() -> None:
    table = missing_table(
        closing(Missing(1, "a|b", "too large", 2), Missing(1, OTHER_TAGS, "lost", 1), Missing(1, "map", "lost", 1200))
    )
    assert table.splitlines() == [
        "1,203 pictures or histograms that rank 1 (host:4711) logged are not in this run:",
        "",
        "| tag | not there | why |",
        "|---|---|---|",
        "| map | 1,200 | lost |",
        "| a\\|b | 2 | too large |",
        "| (other tags) | 1 | lost |",
    ]


def test_stands_in_the_run_once_per_close_also_when_a_daemon_died_in_between(tmp_path: Path) -> None:
    command = closing(Missing(1, "map", "lost", 3))

    def close_both(writer: EventWriter) -> int:
        for worker in (W, V):
            writer.submit(OpenRun(worker, 1, str(tmp_path / "run")))
        writer.submit(command)
        writer.submit(closing(Missing(1, "map", "lost", 5), worker=V))
        return 2

    def say_goodbye_again(writer: EventWriter) -> int:
        writer.submit(OpenRun(W, 1, str(tmp_path / "run")))
        writer.submit(command)
        return 1

    with_writer(close_both)
    with_writer(say_goodbye_again)
    texts = read_run(tmp_path / "run" / "sidelog").texts["sidelog/dropped"]
    assert [step for step, _ in texts] == [0, 1]  # rising: an equal step would hide the first
    assert ["| map | 3 | lost |" in text for _, text in texts] == [True, False]
    assert "| map | 5 | lost |" in texts[1][1]


def test_nothing_stands_where_nothing_is_missing(tmp_path: Path) -> None:
    def close(writer: EventWriter) -> int:
        writer.submit(OpenRun(W, 1, str(tmp_path / "run")))
        writer.submit(closing())
        return 1

    with_writer(close)
    assert not (tmp_path / "run" / "sidelog").exists()
