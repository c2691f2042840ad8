"""What an overload shows: rates, counts that must add up, and whether the newest picture is the last in the file."""

from __future__ import annotations

from sidelog.bench.overload.findings import Findings
from sidelog.bench.overload.load import MAPS, SCALARS
from sidelog.bench.overload.tables import render
from sidelog.bench.overload.watch import Sample, Seen, rates
from sidelog_shared.limits import MIB

STEPS = 10


def sample(at_s: float, count: int, *, rss_mib: int = 100) -> Sample:
    return Sample(at_s, rss_mib * MIB, 0, 0, 10 * count, 9 * count, count, count, 8 * count)


def seen() -> Seen:
    """One worker; of each tag 3 pictures were written, 2 dropped by the client and 5 by the daemon."""
    return Seen(
        samples=[sample(at_s, 10 * at_s, rss_mib=900) for at_s in range(11)],
        picture_age_s=[1.0, 2.0, 3.0],
        scalar_age_s=[0.1] * 99 + [0.2],
        steps=[STEPS],
        ends=[{"dropped_tags": dict.fromkeys(MAPS, 7), "lost": 0, "rejected": 0, "pending": 0, "spooled": 0}],
        daemon_drops=dict.fromkeys(MAPS, 5),
        counts=[dict.fromkeys(MAPS, 3) | dict.fromkeys(SCALARS, STEPS)],
        last_steps=[dict.fromkeys(MAPS, STEPS - 1)],
        peak_bytes=950 * MIB,
    )


def findings(of: Seen) -> Findings:
    return Findings(1024, 1, 20.0, 300.0, 45.0, 4.0, of)


def test_a_run_in_which_all_adds_up_counts() -> None:
    found = findings(seen())
    assert found.objections == []
    assert found.newest_in_file == (len(MAPS), len(MAPS))
    assert (found.totals.logged, found.totals.written) == (STEPS * len(MAPS), 3 * len(MAPS))
    assert (found.totals.dropped_by_client, found.totals.dropped_by_daemon) == (2 * len(MAPS), 5 * len(MAPS))
    assert found.rates == {
        "logged": 100.0, "arrived": 90.0, "written": 10.0, "dropped_by_client": 10.0, "dropped_by_daemon": 80.0
    }  # fmt: skip
    assert found.overload == 9.0
    assert {(one.group, one.verdict) for one in found.figures if one.goal} == {
        ("memory", "reached"), ("scalars", "reached")
    }  # fmt: skip


def test_a_picture_that_nobody_counted_is_an_objection() -> None:
    one = seen()
    one.counts[0]["stem"] = 2  # type: ignore[index]
    assert findings(one).objections == [
        "stem: 9 of 10 pictures were written or counted as dropped",
        "all: 119 of 120 pictures were written or counted as dropped",
    ]


def test_an_older_picture_at_the_end_of_the_file_is_an_objection() -> None:
    one = seen()
    one.last_steps[0]["stem"] = STEPS - 2  # type: ignore[index]
    assert findings(one).objections == ["of 1 of 12 tags the last picture in the file is not the last that was logged"]


def test_a_lost_record_and_a_scalar_that_is_missing_are_objections() -> None:
    one = seen()
    one.ends = [{**one.ends[0], "lost": 4}]
    one.counts[0]["loss"] = STEPS - 1  # type: ignore[index]
    found = findings(one)
    assert found.objections == [
        "worker 0: 9 of 10 scalars 'loss' are in the event files",
        "4 records lost",
    ]
    said = render(found, {}, {})
    assert "does not count: 4 records lost" in said
    assert "note: 9.0 pictures came to the daemon for each that it drew, fewer than 10" in said


def test_memory_above_the_bound_and_memory_that_grows_are_missed() -> None:
    one = seen()
    one.samples = [sample(at_s, 10 * at_s, rss_mib=900 + 10 * at_s) for at_s in range(20)]
    one.peak_bytes = 1025 * MIB
    highest, growth = findings(one).figures[:2]
    assert (highest.verdict, growth.verdict) == ("missed", "missed")
    assert round(growth.sidelog) == 90


def test_a_rate_is_taken_over_the_time_given() -> None:
    samples = [sample(at_s / 2, at_s) for at_s in range(9)]
    assert rates(samples, "written", over_s=2.0) == [(1.0, 2.0), (3.0, 2.0)]
    assert rates(samples[:1], "written") == []
