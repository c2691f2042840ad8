"""What a connection says at its end."""

from __future__ import annotations

from sidelog.calls import RunEnd
from sidelog.last_words import summary
from sidelog.runs import MAX_PATHS, Runs
from sidelog.statistics import Statistics


def test_runs_are_counted_once_however_often_they_are_opened() -> None:
    runs = Runs()
    for path in 3 * ("/a", "/b", "/c", "/d"):
        run = runs.open(path)
        assert runs.close(run)
        ended = [RunEnd(run, run.closings)]
        assert runs.forget(ended.copy) == [run]
    words = summary(Statistics(written=7), runs, 1.5)
    assert words == "/a, /b, /c and 1 other runs: 7 records written, 0 dropped, 0 spooled, 0 lost, in 1.5 s"


def test_of_very_many_the_first_are_named_and_the_others_counted() -> None:
    runs = Runs()
    for number in range(3 * MAX_PATHS):
        runs.open(f"/trial{number}")
    assert len(runs.first_paths) == MAX_PATHS
    assert summary(Statistics(), runs, 1.0).startswith("/trial0, /trial1, /trial2 and 2,997 other runs: ")
