from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidelog_daemon.sink.marker import SIGNATURE, Marker, Marks, MarkTable
from sidelog_daemon.tensorboardx import event_pb2
from sidelog_shared.errors import WriterError
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MAX_PICTURE_RANGES
from sidelog_shared.records import RunMarks

WORKERS = st.sampled_from(["a", "b", "c"])
LANES = st.sampled_from(["light", "heavy", "picture"])
STEPS = st.one_of(
    st.tuples(st.just("mark"), WORKERS, LANES, st.integers(1, 30)),
    st.tuples(st.just("forget"), WORKERS),
    st.tuples(st.just("note"), st.sampled_from(["x", "y/ü", "z"])),
    st.tuples(st.just("next_step"), st.sampled_from(["scalars", "text"]), st.sampled_from(["x", "y/ü"])),
    st.tuples(st.just("commit"), st.booleans()),
)


def apply(table: MarkTable, step: tuple[object, ...]) -> None:
    name, *arguments = step
    act: Callable[..., object] = getattr(table, str(name))
    act(*arguments)


def content_of(marker: Marker) -> tuple[object, ...]:
    workers = {worker: (m.light, m.heavy, tuple(m.picture.ranges())) for worker, m in marker.workers.items()}
    return workers, sorted(marker.noted), marker.next


@given(st.lists(STEPS, max_size=40))
def test_a_table_rebuilt_from_its_markers_is_the_table(steps: list[tuple[object, ...]]) -> None:
    table, rebuilt = MarkTable(), MarkTable()
    for step in [*steps, ("commit", False)]:
        if step[0] != "commit":
            apply(table, step)
            continue
        marker = table.full(at=0) if step[1] else table.changes(at=0, previous=None)
        table.settle()
        assert not table.changed
        read = Marker.from_event(marker.to_event(1.0))
        assert read is not None
        rebuilt.merge(read)
    assert content_of(rebuilt.full(at=0)) == content_of(table.full(at=0))


@given(st.lists(STEPS, max_size=40))
def test_nothing_counts_as_standing_before_its_group_does(steps: list[tuple[object, ...]]) -> None:
    table = MarkTable()
    for worker in ("a", "b", "c"):
        table.mark(worker, "light", 5)
    table.settle()
    for step in steps:
        if step[0] in ("mark", "note"):
            apply(table, step)
    assert [table.written(worker) for worker in ("a", "b", "c", "d")] == [RunMarks(light=5)] * 3 + [RunMarks()]


@given(st.lists(STEPS, max_size=60))
def test_steps_are_counted_from_0_by_kind_and_tag_and_those_of_a_group_die_with_it(
    steps: list[tuple[object, ...]],
) -> None:
    table = MarkTable()
    markers: list[bytes] = []
    standing: dict[tuple[object, ...], int] = {}
    counted: dict[tuple[object, ...], int] = {}
    for name, *arguments in steps:
        if name == "next_step":
            series = tuple(arguments)
            assert table.next_step(*map(str, arguments)) == counted.get(series, 0)
            counted[series] = counted.get(series, 0) + 1
            assert table.changed
            assert not table.only_goodbyes
        elif name == "commit":
            full = bool(arguments[0]) or not markers
            markers.append((table.full(at=0) if full else table.changes(at=0, previous=None)).to_event(1.0))
            table.settle()
            standing = dict(counted)
        elif name == "forget":  # in place of a crash: what stands is read from the markers, the rest is gone
            table = MarkTable()
            for data in markers:
                marker = Marker.from_event(data)
                assert marker is not None
                table.merge(marker)
            counted = dict(standing)


def test_an_ordered_lane_has_all_up_to_its_highest() -> None:
    table = MarkTable()
    table.mark("w", "light", 3)
    table.settle()
    table.mark("w", "light", 7)
    assert [table.has("w", "light", seq) for seq in (1, 3, 7, 8)] == [True, True, True, False]
    assert (table.highest("w", "light"), table.highest("w", "heavy"), table.highest("v", "light")) == (7, 0, 0)


def test_pictures_are_remembered_one_by_one() -> None:
    table = MarkTable()
    for seq in (1, 2, 5):
        table.mark("w", "picture", seq)
    table.settle()
    table.mark("w", "picture", 4)
    assert [seq for seq in range(1, 8) if table.has("w", "picture", seq)] == [1, 2, 4, 5]
    assert table.written("w") == RunMarks(picture=((1, 2), (5, 5)))


def test_the_ranges_of_pictures_are_bounded_and_the_newest_stay() -> None:
    table = MarkTable()
    for seq in range(1, 4 * MAX_PICTURE_RANGES, 2):
        table.mark("w", "picture", seq)
    marker = table.full(at=0)
    assert len(marker.workers["w"].picture.ranges()) == MAX_PICTURE_RANGES
    assert marker.workers["w"].picture.highest == 4 * MAX_PICTURE_RANGES - 1
    table.settle()
    assert len(table.written("w").picture) == MAX_PICTURE_RANGES


def test_a_key_is_new_once() -> None:
    table = MarkTable()
    assert table.note("tag")
    assert not table.note("tag")
    table.settle()
    assert not table.note("tag")


def test_a_worker_that_left_is_out_of_the_table_and_may_come_back() -> None:
    table = MarkTable()
    table.mark("w", "light", 9)
    table.mark("v", "light", 2)
    table.settle()
    table.forget("w")
    assert (table.changed, table.only_goodbyes) == (True, True)
    assert table.written("w") == RunMarks()
    assert table.changes(at=5, previous=1).gone == ("w",)
    table.mark("w", "light", 1)
    other = MarkTable()
    other.merge(table.full(at=0))
    table.settle()
    assert table.written("w") == other.written("w") == RunMarks(light=1)
    assert table.written("v") == other.written("v") == RunMarks(light=2)


def test_forgetting_a_stranger_changes_nothing() -> None:
    table = MarkTable()
    table.forget("nobody")
    assert not table.changed


@pytest.mark.parametrize("lane", ["", "Light", "pictures"])
def test_an_unknown_lane_is_refused(lane: str) -> None:
    with pytest.raises(ValueError, match=r"lane is .*, expected 'light'"):
        MarkTable().mark("w", lane, 1)
    with pytest.raises(ValueError, match=r"lane is .*, expected 'light'"):
        MarkTable().has("w", lane, 1)


def test_the_event_is_compact_and_passed_over_by_tensorboard() -> None:
    marker = Marker(8123, 4410, False, {"w": Marks(71, 3, IntervalSet([(1, 5), (8, 8)]))}, ("v",), ("tag/ü",))
    event = event_pb2.Event.FromString(marker.to_event(12.5))
    assert event.session_log.status == event_pb2.SessionLog.CHECKPOINT
    assert event.wall_time == 12.5
    assert event.session_log.msg == (
        '{"sidelog":1,"at":8123,"prev":4410,"full":false,'
        '"workers":{"w":{"light":71,"heavy":3,"picture":[[1,5],[8,8]]}},"gone":["v"],"noted":["tag/\\u00fc"]}'
    )
    assert event.session_log.msg.encode().startswith(SIGNATURE)
    assert Marker.from_event(marker.to_event(12.5)) == marker


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\xff", event_pb2.Event(file_version="brain.Event:2").SerializeToString(),
     event_pb2.Event(session_log=event_pb2.SessionLog(status=3, msg="saved")).SerializeToString()],
)  # fmt: skip
def test_other_events_are_no_markers(data: bytes) -> None:
    assert Marker.from_event(data) is None


@pytest.mark.parametrize(
    "message",
    ['{"sidelog":2,"at":5,"what":"ever"}', '{"sidelog":1,"at":5}', '{"sidelog":1,"at":5,', '{"sidelog":1,"at":"x"}',
     json.dumps({"sidelog": 1, "at": 1, "full": True, "workers": {"w": 5}}, separators=(",", ":")),
     json.dumps({"sidelog": 1, "at": 1, "full": True, "workers": {"w": {"picture": [[5, 1]]}}}, separators=(",", ":"))],
)  # fmt: skip
def test_a_marker_that_is_not_understood_is_an_error_and_not_an_absent_one(message: str) -> None:
    log = event_pb2.SessionLog(status=event_pb2.SessionLog.CHECKPOINT, msg=message)
    with pytest.raises(WriterError, match="expected"):
        Marker.from_event(event_pb2.Event(session_log=log).SerializeToString())
