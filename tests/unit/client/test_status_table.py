"""``sidelog status`` for people, from reports that the test writes."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from sidelog.inquiry import Answer, Found
from sidelog.spool_files import SpoolFile, find_spools
from sidelog.status_table import render, size, span
from sidelog_shared.client_view import Backlog, ClientView
from sidelog_shared.records import End, Lane, Worker
from sidelog_shared.rendezvous import Ready
from sidelog_shared.report import DaemonReport, RunReport, WorkerReport

READY = Ready("ipc:///run/d.sock", 815, "node7", "fedcba9876543210", "0.1.0", "/runs")
LOCAL = Found("ipc:///run/d.sock", local=True, ready=READY)
RANK_0, RANK_1 = Worker("a" * 16, "node7", 100, 0, 2), Worker("b" * 16, "node7", 101, 1, 2)


def report(workers: list[WorkerReport], runs: list[RunReport], **more: object) -> DaemonReport:
    return DaemonReport(
        "fedcba9876543210", 815, "0.1.0", 1, "/runs", uptime_s=7260.0, budget_bytes=1 << 30, workers=workers,
        worker_count=len(workers), runs=runs, run_count=len(runs), **more,  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_daemon_at_work_is_a_table() -> None:
    lanes = {Lane.LIGHT: Backlog(20, 4000), Lane.HEAVY: Backlog(), Lane.PICTURE: Backlog(3, 3 << 20)}
    view = ClientView(lanes, Backlog(7, 2048), 4, {"layer1": 4}, {"called while too many waited for a daemon": 2}, 0.25)
    workers = [
        WorkerReport(
            RANK_0, "live", runs=[f"/runs/{name}" for name in "abcdefg"], records_per_s=1203.4, bytes_per_s=5 << 20,
            ends={End.WRITTEN: 12345, End.DROPPED: 3, End.REJECTED: 1}, render=Backlog(2, 1 << 20),
            dropped_tags={"layer2": 2, "layer1": 1}, faults={"malformed": 1},
            last_error="picture 'x' at step 3: cannot be drawn", last_error_s=12.0, client=view, client_s=0.5,
        ),
        WorkerReport(RANK_1, "silent", refused=[("/runs/busy", "it is written by another daemon")]),
    ]  # fmt: skip
    runs = [
        RunReport("/runs/full", ("rank 0 (node7:100)",), 5, 2048, "No space left on device", 72.0),
        RunReport("/runs/a", ("rank 0 (node7:100)",), 12340, 1024),
    ]
    text = render([Answer(LOCAL, "runs", report(workers, runs, render=Backlog(2, 1 << 20)))], [], nobody="nobody")
    assert (
        text
        == """\
daemon ipc:///run/d.sock  (local)
  pid 815, up 2 h 1 min, sidelog 0.1.0, protocol 1.1, logdir /runs, serving
  waiting for a renderer: 2 records, 1.0 MiB of 1.0 GiB
  FAILS for 1 min: /runs/full (rank 0 (node7:100)): No space left on device
  WORKER              STATE     LAG  RECORDS/S  BYTES/S  WRITTEN    LIGHT  HEAVY  PICTURE   RENDER    SPOOL
  rank 0 (node7:100)  live    0.2 s      1,203  5.0 MiB   12,345  3.9 KiB    0 B  3.0 MiB  1.0 MiB  2.0 KiB
    /runs/a, /runs/b, /runs/c, /runs/d, /runs/e and 2 more
    dropped: 4 in the client, 3 in the daemon; of layer1 5, layer2 2
    lost: called while too many waited for a daemon 2
    rejected: 1
    in its spool: 7 records
    faulty messages: malformed 1
    last error, 12 s ago: picture 'x' at step 3: cannot be drawn
  rank 1 (node7:101)  silent      -          0      0 B        0        -      -        -      0 B        -
    REFUSED /runs/busy: it is written by another daemon
  2 runs open, 12,345 records written, 3.0 KiB not yet on disk
"""
    )


def test_what_does_not_fit_into_a_report_is_counted() -> None:
    one = DaemonReport("i", 815, "0.1.0", 1, "/runs", workers=[WorkerReport(RANK_0, "live")], worker_count=11,
                       runs=[RunReport("/runs/a")], run_count=5)  # fmt: skip
    text = render([Answer(LOCAL, "runs", one)], [], nobody="nobody")
    assert "  and 10 more workers, with less queued\n" in text
    assert "  5 runs open, 0 records written, 0 B not yet on disk (of 1 of them)\n" in text


@pytest.mark.parametrize(
    ("process", "words"),
    [
        ("runs", "its process lives"),
        ("stopped", "its process is stopped (SIGCONT lets it go on)"),
        ("gone", "its process is gone"),
        ("unknown", "whether its process lives is not known"),
    ],
)
def test_a_daemon_that_does_not_answer_is_told_with_its_process(process: str, words: str) -> None:
    answer = Answer(LOCAL, process, None, "does not answer within 2 s")
    assert render([answer], [], nobody="nobody") == (
        f"daemon ipc:///run/d.sock  (local)\n  does not answer within 2 s: pid 815, {words}\n"
    )


def test_nobody_and_a_spool_are_told() -> None:
    spools = [
        SpoolFile(Path("/state/node7-4711-abc.spool"), 2048, 90.0, False),
        SpoolFile(Path("/state/with space.spool"), 10, 1.0, True),
        SpoolFile(Path("/state/cut.spool"), 0, 1.0, False, damaged=True),
    ]
    assert render([], spools, nobody="no daemon") == (
        "no daemon\n\n"
        "spool /state/node7-4711-abc.spool  2.0 KiB, written 2 min ago\n"
        "  to write it: sidelog replay /state/node7-4711-abc.spool\n"
        "spool /state/with space.spool  10 B, written 1 s ago\n"
        "  in use by a living worker\n"
        "spool /state/cut.spool  0 B, written 1 s ago\n"
        "  nothing in it can be replayed: it is damaged\n"
    )


def test_a_spool_is_in_use_while_somebody_holds_it(tmp_path: Path) -> None:
    (tmp_path / "a.spool").write_bytes(b"1234")
    (tmp_path / "b.spool").touch()
    (tmp_path / "notes.txt").touch()
    with (tmp_path / "a.spool").open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        found = {one.path.name: one for one in find_spools([tmp_path, tmp_path / "nowhere"])}
    assert {name: (one.in_use, one.nbytes) for name, one in found.items()} == {
        "a.spool": (True, 4),
        "b.spool": (False, 0),
    }
    assert found["a.spool"].to_map()["command"] is None
    assert found["b.spool"].damaged
    assert found["b.spool"].to_map()["command"] is None


def test_sizes_and_spans_are_short() -> None:
    assert [size(one) for one in (0, 999, 1000, 20_000, 5 << 20, 3 << 30)] == [
        "0 B", "999 B", "1.0 KiB", "20 KiB", "5.0 MiB", "3.0 GiB",
    ]  # fmt: skip
    assert [span(one) for one in (0.4, 59, 90, 7260, 400_000)] == ["0 s", "59 s", "2 min", "2 h 1 min", "5 days"]
