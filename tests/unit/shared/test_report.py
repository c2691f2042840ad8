"""What fits into a view and into a report, and what is left out when not all does."""

from __future__ import annotations

import pytest

from sidelog_shared import replies, requests
from sidelog_shared.client_view import MAX_TAGS, Backlog, ClientView
from sidelog_shared.errors import MalformedHeader
from sidelog_shared.frames import MessageKind, pack, unpack
from sidelog_shared.limits import MAX_HEADER_BYTES, MIB
from sidelog_shared.records import Lane, Worker
from sidelog_shared.report import DaemonReport, RunReport, WorkerReport

LONG = "t" * 1000


def report_of(workers: list[WorkerReport], runs: list[RunReport]) -> DaemonReport:
    frames = replies.Report(
        DaemonReport(
            "instance", 1, "0.1.0", 1, "/runs", workers=workers, worker_count=len(workers), runs=runs,
            run_count=len(runs),
        )
    ).frames(0)  # fmt: skip
    assert sum(map(len, frames)) < 1.5 * MIB
    reply = replies.read_reply(unpack(frames, max_bytes=4 * MIB))
    assert isinstance(reply, replies.Report)
    return reply.report


def worker(number: int, *, waiting_bytes: int = 0, error: str = "") -> WorkerReport:
    lanes = dict.fromkeys(Lane, Backlog()) | {Lane.PICTURE: Backlog(1, waiting_bytes)}
    return WorkerReport(
        Worker(f"{number:016x}", "node7", number), "live", last_error=error, client=ClientView(lanes=lanes),
        dropped_tags={f"{LONG}{tag}"[-1000:]: tag for tag in range(40)},
    )  # fmt: skip


def test_a_view_tells_the_tags_with_the_most_and_fits_into_a_header() -> None:
    tags = {f"{number}{LONG}": number for number in range(100)}
    frames = requests.Heartbeat(ClientView(dropped=4950, dropped_tags=tags, lost=tags)).frames(1)
    assert len(frames[1]) < MAX_HEADER_BYTES
    heartbeat = requests.read_request(unpack(frames, max_bytes=MIB), max_record_bytes=MIB)
    assert isinstance(heartbeat, requests.Heartbeat)
    assert heartbeat.view is not None
    assert heartbeat.view.dropped == 4950
    assert list(heartbeat.view.dropped_tags.values()) == list(range(99, 87, -1))  # 12 KiB of them
    few = {str(number): number for number in range(100)}
    assert list(ClientView(dropped_tags=few).to_map()["dropped_tags"].values()) == list(range(99, 99 - MAX_TAGS, -1))  # type: ignore[attr-defined]


def test_of_many_workers_those_with_the_most_queued_are_told() -> None:
    workers = [worker(number, waiting_bytes=number, error="e" * 5000) for number in range(1, 1000)]
    told = report_of(workers, [])
    assert 20 < len(told.workers) < 999
    assert told.worker_count == 999
    assert [one.worker.pid for one in told.workers] == list(range(999, 999 - len(told.workers), -1))
    assert {len(one.last_error) for one in told.workers} == {500}


def test_of_many_runs_those_that_fail_are_told_first() -> None:
    runs = [RunReport(f"/runs/{number:05}/{LONG}", pending_bytes=number) for number in range(5000)]
    runs[17] = RunReport("/runs/full", error="No space left on device", failing_s=3.0)
    told = report_of([], runs)
    assert told.runs[0] == RunReport("/runs/full", (), 0, 0, "No space left on device", 3.0)
    assert told.runs[1].pending_bytes == 4999
    assert told.run_count == 5000 > len(told.runs)


def test_a_path_that_is_no_text_is_told_all_the_same() -> None:
    told = report_of([], [RunReport("/runs/\udcff")])
    assert [run.path for run in told.runs] == ["/runs/?"]


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (7, "HEARTBEAT.view is 7, expected a map"),
        ({"lanes": {}}, "HEARTBEAT.view.lanes.light is None, expected a map"),
        (ClientView().to_map() | {"dropped": -1}, "HEARTBEAT.view.dropped is -1, expected an integer in 0.."),
        (ClientView().to_map() | {"lost": {"why": "x"}}, r"HEARTBEAT.view.lost is \{'why': 'x'\}, expected a map of"),
        (ClientView().to_map() | {"lag_s": float("nan")}, "HEARTBEAT.view.lag_s is nan, expected a finite number"),
    ],
)
def test_a_view_that_lies_is_refused(view: object, message: str) -> None:
    with pytest.raises(MalformedHeader, match=message):
        requests.read_request(
            unpack(pack(MessageKind.HEARTBEAT, 1, {"view": view}), max_bytes=MIB), max_record_bytes=MIB
        )
