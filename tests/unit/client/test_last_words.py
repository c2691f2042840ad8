"""What a connection says at its end."""

from __future__ import annotations

from sidelog.last_words import MAX_PATHS, summary
from sidelog.statistics import Statistics


def test_runs_are_counted_once_however_often_they_are_opened() -> None:
    words = summary(Statistics(written=7), ["/a", "/b", "/c", "/d"], 100, 1.5)
    assert words == "/a, /b, /c and 1 other runs: 7 records written, 0 dropped, 0 spooled, 0 lost, in 1.5 s"


def test_of_very_many_the_first_are_named_and_the_others_counted() -> None:
    paths = [f"/trial{number}" for number in range(MAX_PATHS)]
    assert summary(Statistics(), paths, 3000, 1.0).startswith("/trial0, /trial1, /trial2 and 2,997 other runs: ")
