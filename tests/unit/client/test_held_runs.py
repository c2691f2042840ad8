"""A run that is refused, or paused because it cannot be written, beside others of its worker that go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from delivery_rig import Rig

from sidelog import light_lane
from sidelog.left_spool import open_left_spool
from sidelog.statistics import NOT_KEPT, RUN_REFUSED, Statistics
from sidelog_daemon.session import Session
from sidelog_shared.errors import TransportError
from sidelog_shared.limits import MAX_PICTURE_RANGES, MIB
from sidelog_shared.records import Lane
from sidelog_shared.replies import MAX_STATE_RANGES

STEPS = MAX_STATE_RANGES + 100
GOOD, BAD = 1, 2


def rig_with(path: str, spool: Path | None = None) -> Rig:
    """A worker with a good run, and one that is not."""
    rig = Rig(spool)
    rig.open_run("/runs/a")
    rig.open_run(path)
    rig.exchange()
    return rig


def paused_rig(spool: Path | None = None) -> Rig:
    """The second run was open when its disk filled up."""
    rig = rig_with("/runs/b", spool)
    rig.disk.full.add("/runs/b")
    rig.scalar(0, run=BAD)
    rig.settle()
    assert rig.runs[1].refused
    return rig


def log_in_turn(rig: Rig, steps: range) -> None:
    """A training that logs into both, and flushes the good one after each step."""
    for step in steps:
        rig.scalar(step, run=GOOD)
        rig.clip(f"clip {step}", run=GOOD)
        rig.scalar(step, run=BAD)
        rig.clip(f"clip {step}", run=BAD)
        request = rig.flush(everything=True, runs=frozenset([GOOD]))
        rig.settle()
        rig.pass_time(0.1)
        assert request.done.is_set()
        assert request.error is None


def scalars(steps: range) -> list[str]:
    return [f"loss {step}" for step in steps]


def clips(steps: range) -> list[str]:
    return [f"clip {step}" for step in steps]


@pytest.mark.parametrize(
    ("path", "spooled"), [("/busy", True), ("/runs/b", False)], ids=["refused, in the spool", "paused, in memory"]
)
def test_its_holes_stop_no_other_run_however_many(path: str, spooled: bool, tmp_path: Path) -> None:
    spool = tmp_path / "spool" if spooled else None
    rig = rig_with("/busy", spool) if path == "/busy" else paused_rig(spool)
    before = [] if path == "/busy" else ["loss 0"]
    log_in_turn(rig, range(1, STEPS))
    assert rig.written("/runs/a") == scalars(range(1, STEPS))
    assert rig.written("/runs/a", Lane.HEAVY) == clips(range(1, STEPS))
    assert rig.statistics.pending == len(before) + 2 * (STEPS - 1)
    assert rig.spool_exists == spooled
    rig.disk.busy.clear()
    rig.disk.full.clear()
    rig.daemon.commit()
    rig.pass_time(2.0)
    rig.settle()
    assert rig.written(path) == before + scalars(range(1, STEPS))
    assert rig.written(path, Lane.HEAVY) == clips(range(1, STEPS))
    assert rig.statistics == Statistics(written=len(before) + 4 * (STEPS - 1))
    assert not rig.spool_exists


def test_what_of_it_is_in_the_spool_is_replayed_in_order_though_its_numbers_have_holes(tmp_path: Path) -> None:
    rig = rig_with("/busy", tmp_path / "spool")
    log_in_turn(rig, range(100))
    rig.delivery.abandon(TransportError("the deadline has passed"))
    assert (rig.statistics.spooled, rig.statistics.lost) == (200, 0)
    assert rig.spool is not None
    rig.spool.close()
    left = open_left_spool(tmp_path / "spool", say=rig.said.append)
    assert left.count == 200
    assert [run.path for run in left.runs] == ["/busy"]  # the other need not be opened, nor be there at all
    assert len(left.entries[Lane.LIGHT]) < 10  # not one for each hole
    other = Rig(left=left)
    other.disk.busy.clear()
    other.settle()
    left.spool.close()
    assert other.written("/busy") == scalars(range(100))
    assert other.written("/busy", Lane.HEAVY) == clips(range(100))


def test_where_no_spool_is_wanted_its_memory_is_bounded_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_lane, "MAX_HELD_BYTES", 4 * MIB)
    rig = Rig(tmp_path / "spool", budget_bytes=0)
    rig.open_run("/runs/a")
    rig.open_run("/busy")
    rig.exchange()
    for step in range(6):
        rig.text(f"note {step}", run=BAD, payload=bytes(MIB))
        rig.scalar(step, run=GOOD)
        rig.settle()
        rig.pass_time(2.0)
    assert rig.written("/runs/a") == scalars(range(6))
    assert rig.statistics == Statistics(written=6, pending=2, lost=4, lost_causes={NOT_KEPT: 4})


@pytest.mark.parametrize("path", ["/busy", "/runs/b"], ids=["refused", "paused"])
def test_of_a_batch_with_another_run_the_settled_half_is_forgotten(path: str, tmp_path: Path) -> None:
    """The other run is quiet from then on; as time passes nothing more goes into the spool."""
    rig = rig_with("/runs/b", tmp_path / "spool")
    for step in range(100):
        rig.scalar(step, run=GOOD)
        rig.scalar(step, run=BAD)
    rig.look()  # one batch
    rig.deliver()
    rig.daemon.write()
    rig.daemon.commit("/runs/a")
    rig.daemon.tick()
    rig.answer()
    if path == "/busy":
        rig.disk.busy.add("/runs/b")
        rig.new_daemon()
    else:
        rig.disk.full.add("/runs/b")
    rig.settle()
    for _ in range(10):
        rig.pass_time(0.5)
    assert rig.spool is not None
    nbytes = rig.spool.nbytes
    light = rig.delivery._light
    assert 0 < nbytes < 10_000
    assert (light.memory_bytes, light.pending, light.is_stuck) == (0, 100, True)
    for _ in range(10):
        rig.pass_time(0.5)
    assert (rig.spool.nbytes, light.memory_bytes) == (nbytes, 0)
    rig.disk.full.clear()
    rig.disk.busy.clear()
    rig.daemon.commit()
    rig.settle()
    rig.pass_time(2.0)
    rig.settle()
    assert rig.written("/runs/b") == scalars(range(100))
    assert rig.statistics == Statistics(written=200)
    assert not rig.spool_exists


def test_its_records_under_way_leave_room_for_those_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_lane, "WINDOW_BYTES", 20_000)
    rig = rig_with("/runs/b")
    rig.disk.full.add("/runs/b")
    for step in range(200):
        rig.text(f"note {step}", run=BAD, payload=bytes(1000))
        rig.clip(f"clip {step}", run=BAD)
    for step in range(MAX_PICTURE_RANGES):
        rig.picture(f"map {step}", run=BAD)
    rig.exchange()  # the windows are full of them, and nothing settles
    rig.daemon.finish()
    rig.answer()
    rig.scalar(1, run=GOOD)
    rig.clip("clip", run=GOOD)
    rig.picture(run=GOOD)
    request = rig.flush(everything=True, runs=frozenset([GOOD]))
    rig.settle()
    assert request.done.is_set()
    assert rig.written("/runs/a") == ["loss 1"]
    assert rig.written("/runs/a", Lane.HEAVY) == ["clip"]
    assert rig.written("/runs/a", Lane.PICTURE) == ["map"]


def test_when_it_opens_again_what_was_kept_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_lane, "WINDOW_BYTES", 100_000)
    rig = rig_with("/busy")
    for step in range(1000):
        rig.text(f"note {step}", run=BAD, payload=bytes(500))
    rig.settle()
    rig.disk.busy.clear()
    rig.pass_time(2.0)
    step = 0
    while len(rig.written("/busy")) < 1000:
        rig.scalar(step, run=GOOD)
        request = rig.flush(runs=frozenset([GOOD]))
        for _ in range(3):
            rig.exchange(1)
            rig.daemon.finish()
            rig.answer()
        assert request.done.is_set()
        step += 1
    assert step > 5  # it took a while
    assert rig.written("/busy") == [f"note {step}" for step in range(1000)]
    rig.text("note 1000", run=BAD)
    rig.settle()
    assert rig.written("/busy")[1000:] == ["note 1000"]
    assert rig.statistics == Statistics(written=1001 + step)


def test_it_may_be_refused_again_while_it_catches_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_lane, "WINDOW_BYTES", 100_000)
    rig = rig_with("/busy")
    for step in range(300):
        rig.text(f"note {step}", run=BAD, payload=bytes(500))
    rig.settle()
    rig.disk.busy.clear()
    rig.pass_time(2.0)
    rig.exchange()
    assert rig.daemon.open_runs == {GOOD, BAD}
    rig.disk.full.add("/busy")
    rig.daemon.finish()
    rig.exchange()
    assert rig.runs[1].refused == "/busy is full"
    rig.scalar(1, run=GOOD)
    rig.settle()
    assert rig.written("/runs/a") == ["loss 1"]
    rig.disk.full.clear()
    rig.daemon.commit()
    rig.settle()
    assert rig.written("/busy") == [f"note {step}" for step in range(300)]


def test_one_that_is_closed_and_opened_again_meanwhile_keeps_its_order() -> None:
    """A directory remembers the highest number alone: under two ids the younger records could come first."""
    rig = rig_with("/busy")
    for step in range(4):
        rig.scalar(step, run=BAD)
        rig.end_run(rig.runs[1])
        rig.settle()
        rig.pass_time(0.3)
        assert rig.open_run("/busy") is rig.runs[1]
    rig.disk.busy.clear()
    rig.pass_time(2.0)
    rig.settle()
    assert rig.written("/busy") == scalars(range(4))
    rig.end_run(rig.runs[1])
    rig.settle()
    assert rig.daemon.open_runs == {GOOD}
    assert rig.open_run("/busy") is not rig.runs[1]


def test_one_that_is_closed_several_times_meanwhile_is_closed_once() -> None:
    rig = rig_with("/busy")
    for step in range(3):
        rig.scalar(step, run=BAD)
        rig.end_run(rig.runs[1])
        if step < 2:
            rig.open_run("/busy")
    rig.disk.busy.clear()
    rig.pass_time(2.0)
    rig.settle()
    assert rig.written("/busy") == scalars(range(3))
    assert rig.daemon.open_runs == {GOOD}


def test_what_is_logged_after_a_close_in_vain_is_waited_for_at_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_lane, "WINDOW_BYTES", 40_000)
    rig = rig_with("/busy")
    for turn in range(3):
        for step in range(50):
            rig.text(f"note {turn} {step}", run=BAD, payload=bytes(500))
        rig.end_run(rig.runs[1])
        rig.settle()
        if turn < 2:
            rig.open_run("/busy")
    rig.disk.busy.clear()
    rig.pass_time(2.0)
    rig.settle()
    assert rig.written("/busy") == [f"note {turn} {step}" for turn in range(3) for step in range(50)]
    assert rig.statistics == Statistics(written=150)
    assert rig.daemon.open_runs == {GOOD}


def test_one_that_is_opened_and_closed_with_nothing_logged_is_let_go_of() -> None:
    rig = rig_with("/runs/b")
    run = rig.open_run("/runs/c")
    rig.end_run(run)
    rig.settle()
    assert rig.daemon.open_runs == {GOOD, BAD}


def test_what_came_before_it_was_paused_is_not_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = paused_rig()
    rig.scalar(1, run=BAD)
    rig.exchange()
    assert not rig.requests
    rig.disk.full.clear()
    rig.daemon.commit()
    rig.settle()
    assert rig.written("/runs/b") == ["loss 0", "loss 1"]
    assert rig.statistics == Statistics(written=2)
    assert any("written again" in text for text in rig.said)


def test_a_daemon_that_dies_meanwhile_takes_nothing_with_it() -> None:
    rig = paused_rig()
    rig.scalar(1, run=BAD)
    rig.new_daemon()
    rig.exchange()
    rig.disk.full.clear()
    rig.settle()
    assert rig.written("/runs/b") == ["loss 0", "loss 1"]
    assert rig.statistics == Statistics(written=2)


def test_a_new_connection_to_the_same_daemon_finds_it_paused() -> None:
    rig = paused_rig()
    rig.connect()
    rig.scalar(1, run=BAD)
    rig.scalar(1, run=GOOD)
    rig.settle()
    assert rig.written("/runs/a") == ["loss 1"]
    assert rig.runs[1].refused == "/runs/b is full"
    rig.disk.full.clear()
    rig.daemon.commit()
    rig.settle()
    assert rig.written("/runs/b") == ["loss 0", "loss 1"]


def test_one_that_is_closed_with_all_settled_is_let_go_of_by_the_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = paused_rig()
    monkeypatch.setattr(rig.delivery, "ask_again", lambda now: None)
    rig.disk.full.clear()
    rig.daemon.commit()
    rig.deliver()
    rig.daemon.write()
    rig.daemon.replies.clear()  # and that it goes on is not heard
    rig.delivery.heartbeat()
    rig.exchange()
    assert rig.runs[1].refused
    rig.end_run(rig.runs[1])
    rig.settle()
    assert rig.daemon.open_runs == {GOOD}


def test_its_pictures_are_counted_as_lost_and_those_under_way_are_written_in_time() -> None:
    rig = rig_with("/runs/b")
    rig.disk.full.add("/runs/b")
    rig.picture("under way", run=BAD)
    rig.settle()
    assert rig.runs[1].refused
    rig.picture("too late", run=BAD)
    rig.settle()
    assert rig.statistics.lost_causes == {RUN_REFUSED: 1}
    rig.disk.full.clear()
    rig.daemon.commit()
    rig.settle()
    assert rig.written("/runs/b", Lane.PICTURE) == ["under way"]


def test_without_room_in_the_spool_the_newest_of_it_are_lost_and_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_lane, "MAX_HELD_BYTES", 4 * MIB)
    rig = rig_with("/busy")
    for step in range(6):
        rig.text(f"note {step}", run=BAD, payload=bytes(MIB))
        rig.scalar(step, run=GOOD)
        rig.settle()
    assert rig.written("/runs/a") == scalars(range(6))
    assert rig.statistics == Statistics(written=6, pending=2, lost=4, lost_causes={NOT_KEPT: 4})
    assert any("is lost and counted" in text for text in rig.said)
    rig.disk.busy.clear()
    rig.pass_time(2.0)
    rig.settle()
    assert rig.written("/busy") == ["note 0", "note 1"]


def session_of(rig: Rig) -> Session:
    (session,) = rig.daemon.reception._sessions.values()
    return session


def test_what_settled_is_told_once_more_when_it_could_not_be_sent() -> None:
    rig = rig_with("/busy")
    log_in_turn(rig, range(MAX_STATE_RANGES))
    rig.scalar(-1, run=GOOD)
    rig.look()
    rig.deliver()
    rig.daemon.finish()
    rig.daemon.replies.clear()  # the client's queue was full
    rig.daemon.reception.not_told(rig.daemon.peer)
    rig.delivery.heartbeat()
    rig.exchange()
    assert rig.written("/runs/a")[-1] == "loss -1"
    assert rig.statistics.pending == 2 * MAX_STATE_RANGES


def test_a_new_connection_hears_of_all_ranges_of_more_than_one_message_has_room_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sidelog_daemon.session.MAX_SETTLED_RANGES", 30)
    rig = rig_with("/busy")
    log_in_turn(rig, range(STEPS))
    before = rig.statistics
    rig.connect()
    rig.scalar(-1, run=GOOD)
    rig.settle()
    assert session_of(rig).lanes[Lane.LIGHT].settled.range_count > MAX_STATE_RANGES
    assert rig.statistics.written == before.written + 1
    assert rig.written("/runs/a") == [*scalars(range(STEPS)), "loss -1"]
