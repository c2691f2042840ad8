"""Records that are kept until they are written: what is sent, what is sent again, and what there is no room for."""

from __future__ import annotations

import pytest
from delivery_rig import HEAVY_BYTES, Rig

from sidelog import heavy_lane
from sidelog.statistics import NOT_IN_TIME, NOT_KNOWN, NOT_TAKEN, Statistics
from sidelog_shared.errors import TransportError
from sidelog_shared.limits import MIB, PART_BYTES
from sidelog_shared.records import Lane


def open_rig() -> Rig:
    rig = Rig()
    rig.open_run()
    rig.exchange()
    return rig


@pytest.fixture
def rig() -> Rig:
    return open_rig()


def clips(rig: Rig) -> list[str]:
    return rig.written(lane=Lane.HEAVY)


def test_they_are_written_in_the_order_of_the_calls(rig: Rig) -> None:
    for index in range(5):
        rig.clip(f"clip {index}", nbytes=PART_BYTES * (index % 2 + 1))
    rig.settle()
    assert clips(rig) == [f"clip {index}" for index in range(5)]
    assert rig.statistics == Statistics(written=5)


def test_what_a_daemon_took_down_with_it_is_sent_to_the_next_one(rig: Rig) -> None:
    rig.clip("written")
    rig.settle()
    rig.clip("encoding")
    rig.clip("in parts", nbytes=3 * PART_BYTES)
    rig.look(3)  # the last one has begun
    rig.deliver()
    rig.new_daemon()
    rig.settle()
    assert clips(rig) == ["written", "encoding", "in parts"]
    assert rig.statistics == Statistics(written=3)


def test_a_daemon_is_not_handed_everything_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy_lane, "WINDOW_BYTES", 2 * MIB)
    rig = open_rig()
    for index in range(4):
        rig.clip(f"clip {index}", nbytes=MIB)
    rig.look()
    rig.deliver()
    assert len(rig.daemon.heavy) == 2
    rig.daemon.encode()
    rig.daemon.commit()
    rig.daemon.tick()
    rig.answer()
    rig.look()
    rig.deliver()
    assert [record.tag for record in rig.daemon.heavy] == ["clip 1", "clip 2"]
    rig.settle()
    assert len(clips(rig)) == 4


def test_one_that_is_larger_than_the_window_is_sent_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy_lane, "WINDOW_BYTES", 1 * MIB)
    rig = open_rig()
    rig.clip("large", nbytes=3 * MIB)
    rig.clip("small")
    rig.look()
    rig.deliver()
    assert [record.tag for record in rig.daemon.heavy] == ["large"]
    rig.settle()
    assert clips(rig) == ["large", "small"]


def test_a_scalar_and_a_picture_go_between_the_parts_of_a_large_one(rig: Rig) -> None:
    rig.clip("large", nbytes=4 * PART_BYTES)
    rig.look(2)
    rig.scalar(1)
    rig.picture()
    rig.look(3)
    rig.deliver()
    rig.daemon.write()
    rig.daemon.commit()
    assert rig.written() == ["loss 1"]
    assert [record.tag for record in rig.daemon.renders] == ["map"]
    assert not rig.daemon.heavy  # parts of it are still to come
    rig.settle()
    assert clips(rig) == ["large"]


def test_what_there_is_no_room_for_is_not_taken_and_counted(rig: Rig) -> None:
    assert rig.clip("a", nbytes=HEAVY_BYTES // 2)
    assert rig.clip("b", nbytes=HEAVY_BYTES // 2)
    assert not rig.clip("no room")
    assert (rig.statistics.pending, rig.statistics.lost) == (2, 1)
    assert rig.statistics.lost_causes == {NOT_TAKEN: 1}
    rig.settle()
    assert rig.clip("c")  # there is room again
    rig.settle()
    assert clips(rig) == ["a", "b", "c"]


def test_only_who_waits_for_everything_waits_for_them(rig: Rig) -> None:
    rig.clip()
    light, everything = rig.flush(), rig.flush(everything=True)
    rig.exchange()
    assert light.done.is_set()
    assert not everything.done.is_set()
    rig.settle()
    assert everything.done.is_set()


def test_what_is_abandoned_is_lost_and_its_memory_is_free(rig: Rig) -> None:
    rig.clip("under way", nbytes=HEAVY_BYTES // 2)
    rig.look()
    rig.clip("waiting", nbytes=HEAVY_BYTES // 2)
    rig.delivery.abandon(TransportError("the connection is closed"))
    # What a daemon has been sent it may write still: nobody was there to hear of it.
    assert rig.statistics == Statistics(lost=2, lost_causes={NOT_IN_TIME: 1, NOT_KNOWN: 1})
    assert rig.outbox.reserve_heavy(HEAVY_BYTES)
