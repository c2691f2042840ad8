"""How scalars and texts become messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidelog import light_lane
from sidelog.calls import FlushRequest, LightCall, RecordCall
from sidelog.light_lane import MAX_ROWS, LightLane
from sidelog.outbox import Outbox
from sidelog.snapshot import kept_bytes
from sidelog_shared import requests
from sidelog_shared.frames import unpack
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MAX_HEADER_BYTES, MIB
from sidelog_shared.records import Kind, Series


def text(payload: bytes) -> RecordCall:
    return RecordCall(1, Kind.TEXT, "note", 0, 0.0, {}, (kept_bytes(payload),))


def box(*calls: LightCall) -> Outbox:
    outbox = Outbox(wake=lambda: None, pressure_bytes=MIB, heavy_bytes=MIB)
    outbox.light.extend(calls)
    return outbox


def lane_of(outbox: Outbox) -> LightLane:
    return LightLane(outbox, None, pytest.fail)


def sent(lane: LightLane) -> list[tuple[int, int, str, float | None]]:
    """(number, run, tag, value; None for a text) of everything that can be sent now."""
    found: list[tuple[int, int, str, float | None]] = []
    while messages := lane.next_messages(1):
        for frames in messages:
            envelope = unpack([bytes(frame) for frame in frames], max_bytes=4 * MIB)
            request = requests.read_request(envelope, max_record_bytes=MIB)
            if isinstance(request, requests.Scalars):
                columns = request.columns
                for row in range(len(columns)):
                    series = columns.series[int(columns.index[row])]
                    found.append((columns.first_seq + row, series.run, series.tag, float(columns.values[row])))
            elif isinstance(request, requests.RecordMessage):
                found.append((request.record.seq, request.record.run, request.record.tag, None))
    return found


@given(st.lists(st.sampled_from(["a", "b", "long", "new", "text", "flush"]), max_size=700), st.integers(1, 300))
def test_every_call_is_numbered_and_sent_in_the_order_of_its_run(what: list[str], taken_rows: int) -> None:
    known = {"a": Series(1, "a"), "b": Series(2, "b")}
    calls: list[LightCall] = []
    expected: list[tuple[int, str, float | None]] = []
    flushes: dict[int, int] = {}
    for number, one in enumerate(what):
        if one == "flush":
            calls.append(FlushRequest(everything=False))
            flushes[id(calls[-1])] = len(expected)
        elif one == "text":
            calls.append(text(b"text"))
            expected.append((1, "note", None))
        else:
            series = known.get(one) or Series(1, f"{number:1000d}" if one == "long" else one, "title")
            calls.append((series, 0, 0.0, float(number)))
            expected.append((series.run, series.tag, float(number)))
    lane = lane_of(box(*calls))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(light_lane, "_TAKEN_ROWS", taken_rows)
        while (request := lane.collect(0.0)) is not None:
            assert lane.last == flushes.pop(id(request))  # everything before it, and nothing behind it
    assert not flushes
    assert lane.last == lane.pending == len(expected)
    found = sent(lane)
    assert [seq for seq, *_ in found] == list(range(1, len(expected) + 1))
    for run in (1, 2):  # across runs, nobody sees the order
        assert [(one, tag, value) for _, one, tag, value in found if one == run] == [
            call for call in expected if call[0] == run
        ]
    lane.settle(IntervalSet([(1, max(len(expected), 1))]))
    assert (lane.pending, lane.first_unsettled) == (0, len(expected) + 1)


def test_a_message_has_a_bounded_number_of_rows() -> None:
    series = Series(1, "a")
    lane = lane_of(box(*((series, 0, 0.0, 1.0) for _ in range(MAX_ROWS + 1))))
    lane.collect(0.0)
    messages = [lane.next_messages(1), lane.next_messages(1)]
    assert [len(requests.Scalars.read(unpack(one[0], max_bytes=MIB)).columns) for one in messages] == [MAX_ROWS, 1]


def test_the_longest_series_fit_into_a_header() -> None:
    rows = [(Series(1, f"{number:01024d}", "ä" * 2048, "x" * 4096), 0, 0.0, 1.0) for number in range(50)]
    lane = lane_of(box(*rows))
    lane.collect(0.0)
    count = 0
    while messages := lane.next_messages(1):
        count += 1
        assert len(messages[0][1]) <= MAX_HEADER_BYTES
    assert count > 10


def test_what_is_held_is_bounded_and_the_rest_waits_in_the_outbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_lane, "MAX_HELD_BYTES", 17_500)
    outbox = box(*(text(bytes(1000)) for _ in range(20)))
    lane = lane_of(outbox)
    lane.collect(0.0)
    assert (lane.pending, len(outbox.light)) == (8, 12)
    lane.settle(IntervalSet([(1, 4)]))
    lane.collect(0.0)
    assert (lane.pending, len(outbox.light)) == (8, 8)


def test_of_a_batch_only_what_has_not_settled_is_sent_again() -> None:
    lane = lane_of(box(*((Series(1, "a"), 0, 0.0, float(value)) for value in range(1, 8))))
    lane.collect(0.0)
    assert len(sent(lane)) == 7
    lane.settle(IntervalSet([(1, 2), (4, 5), (7, 7)]))
    assert (lane.pending, lane.first_unsettled) == (2, 1)
    lane.rewind()
    assert sent(lane) == [(3, 1, "a", 3.0), (6, 1, "a", 6.0)]
    assert (lane.pending, lane.first_unsettled) == (2, 3)
    lane.settle(IntervalSet([(1, 6)]))
    assert (lane.pending, lane.first_unsettled) == (0, 8)


def test_what_is_abandoned_is_lost_and_who_waits_in_line_is_returned() -> None:
    flush = FlushRequest(everything=False)
    outbox = box((Series(1, "a"), 0, 0.0, 1.0), flush, text(b""))
    lane = lane_of(outbox)
    assert lane.collect(0.0) is flush
    late = FlushRequest(everything=True)
    outbox.put_fence(late)
    assert lane.abandon() == [late]
    assert (lane.lost, lane.pending, len(outbox.light)) == (2, 0, 0)
