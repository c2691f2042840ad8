"""What a client tells its daemon of itself, and when."""

from __future__ import annotations

from pathlib import Path

from delivery_rig import Rig

from sidelog.phase import Phase
from sidelog.view import VIEW_S
from sidelog_shared.client_view import Backlog, ClientView
from sidelog_shared.frames import MessageKind, unpack
from sidelog_shared.limits import MIB
from sidelog_shared.records import Lane
from sidelog_shared.requests import Heartbeat, read_request


def told(rig: Rig) -> list[ClientView]:
    """The views under way to the daemon."""
    rig.look()
    views = []
    for frames in rig.requests:
        envelope = unpack(frames, max_bytes=4 * MIB)
        if envelope.kind == MessageKind.HEARTBEAT:
            heartbeat = read_request(envelope, max_record_bytes=MIB)
            assert isinstance(heartbeat, Heartbeat)
            if heartbeat.view is not None:
                views.append(heartbeat.view)
    rig.deliver()
    return views


def view_of(rig: Rig, now: float) -> ClientView:
    """What a heartbeat says."""
    rig.deliver()
    rig.delivery.heartbeat(now)
    return told(rig)[-1]


def live_rig() -> Rig:
    rig = Rig()
    rig.open_run()
    rig.exchange()
    assert rig.delivery.phase is Phase.LIVE
    return rig


def test_it_counts_what_waits_here_and_what_is_under_way() -> None:
    rig = live_rig()
    for number in range(3):
        rig.scalar(number)
    rig.clip(nbytes=1000)
    rig.picture(nbytes=50)
    rig.outbox.count_drop(1, "map")
    before = view_of(rig, 0.0)
    assert before.lanes[Lane.LIGHT].records == 3
    assert before.lanes[Lane.LIGHT].nbytes > 0
    assert before.lanes[Lane.HEAVY] == Backlog(1, 1000)
    assert before.lanes[Lane.PICTURE] == Backlog(1, 50)
    assert (before.dropped, before.dropped_tags, before.lost) == (1, {"map": 1}, {})
    rig.exchange()
    assert {lane: one.records for lane, one in view_of(rig, 1.0).lanes.items()} == {
        Lane.LIGHT: 3,
        Lane.HEAVY: 1,
        Lane.PICTURE: 1,
    }
    assert view_of(rig, 1.5).lag_s == 1.5
    rig.settle()
    after = view_of(rig, 2.0)
    assert (after.waiting, after.lag_s) == (Backlog(), 0.0)


def test_it_is_told_once_a_second_while_it_changes() -> None:
    rig = live_rig()
    rig.delivery.tell_view(10.0)
    assert len(told(rig)) == 1
    rig.delivery.tell_view(20.0)
    assert told(rig) == []  # nothing has changed
    rig.outbox.count_drop(1, "map")
    rig.delivery.tell_view(20.0 + VIEW_S)
    assert [view.dropped for view in told(rig)] == [1]
    rig.outbox.count_drop(1, "map")
    rig.delivery.tell_view(20.0 + 1.5 * VIEW_S)
    assert told(rig) == []
    rig.delivery.tell_view(20.0 + 2 * VIEW_S)
    assert [view.dropped for view in told(rig)] == [2]


def test_each_connection_is_told_anew() -> None:
    rig = live_rig()
    rig.delivery.tell_view(10.0)
    assert len(told(rig)) == 1
    rig.new_daemon()
    rig.delivery.tell_view(20.0)
    rig.exchange()
    rig.delivery.tell_view(30.0)
    assert len(told(rig)) == 1


def test_a_socket_that_takes_nothing_is_not_handed_one_after_the_other() -> None:
    rig = live_rig()
    for second in range(100):
        rig.outbox.count_drop(1, "map")
        rig.delivery.tell_view(float(second))
    assert len(told(rig)) == 1


def test_pictures_that_were_dropped_leave_no_lag() -> None:
    rig = live_rig()
    for _ in range(5):
        rig.picture()
    view_of(rig, 0.0)
    rig.outbox.make_room(1, "map")
    rig.outbox.make_room(1, "map")
    rig.settle()
    assert view_of(rig, 5.0).lag_s == 0.0


def test_it_tells_what_is_in_the_spool(tmp_path: Path) -> None:
    rig = Rig(tmp_path / "spool")
    rig.open_run()
    rig.exchange()
    for number in range(3):
        rig.scalar(number)
    rig.look()
    rig.delivery.spill(1e9)  # long after
    view = view_of(rig, 0.0)
    assert rig.spool is not None
    assert (view.spool, view.lanes[Lane.LIGHT].records) == (Backlog(3, rig.spool.nbytes), 3)
    rig.settle()
    assert view_of(rig, 1.0).spool == Backlog()
