"""What waits to be sent: two bounded queues, one policy each, everything counted."""

from __future__ import annotations

import threading
from collections import Counter

import pytest
from delivery_rig import Memory
from hypothesis import given
from hypothesis import strategies as st

from sidelog import outbox as outbox_module
from sidelog.calls import FlushRequest, RecordCall
from sidelog.outbox import Outbox
from sidelog.snapshot import kept_bytes
from sidelog_shared.records import Kind, Series

LOSS = Series(1, "loss")


class Box(Outbox):
    """An outbox that counts its wake-ups."""

    def __init__(self, pressure_bytes: int = 1 << 40) -> None:
        self.wakes = 0
        super().__init__(self._count, pressure_bytes=pressure_bytes, heavy_bytes=100)

    def _count(self) -> None:
        self.wakes += 1

    def tags(self) -> list[str]:
        """Tags of the pictures, taken in the order in which they are sent."""
        found = []
        while (call := self.take_picture()) is not None:
            found.append(call.tag)
        return found


def picture(tag: str, run: int = 1) -> RecordCall:
    return RecordCall(run, Kind.PICTURE, tag, 0, 0.0, {}, (Memory(),))


def end(call: RecordCall) -> str:
    (memory,) = call.snapshots
    assert isinstance(memory, Memory)
    return memory.end


class TestLight:
    def test_it_is_taken_in_order(self) -> None:
        box = Box()
        scalar, fence = (LOSS, 0, 0.0, 1.0), FlushRequest(everything=False)
        text = RecordCall(1, Kind.TEXT, "a", 0, 0.0, {}, (kept_bytes(b""),))
        assert box.put_light(scalar)
        box.put_fence(fence)
        assert box.put_light(text)
        assert list(box.light) == [scalar, fence, text]
        assert box.light_count == 2  # a fence is no record

    def test_the_newest_is_not_taken_when_it_is_full(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outbox_module, "MAX_LIGHT_ITEMS", 3)
        box = Box()
        taken = [box.put_light((LOSS, step, 0.0, 1.0)) for step in range(5)]
        assert taken == [True, True, True, False, False]
        assert box.refused == 2
        assert [call[1] for call in box.light] == [0, 1, 2]  # type: ignore[index]
        waiting = FlushRequest(everything=False)
        box.put_fence(waiting)  # who waits is always heard
        assert box.light[-1] is waiting
        assert box.wakes == 1

    def test_many_threads_lose_no_count(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(outbox_module, "MAX_LIGHT_ITEMS", 0)
        box = Box()
        threads = [
            threading.Thread(target=lambda: [box.put_light((LOSS, 0, 0.0, 1.0)) for _ in range(500)]) for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert box.refused == 4000


class TestWaking:
    def test_only_a_dormant_sender_is_woken_and_once(self) -> None:
        box = Box()
        box.put_light((LOSS, 0, 0.0, 1.0))
        box.put_picture(picture("a"))
        assert box.wakes == 0
        box.dormant = True
        box.put_light((LOSS, 0, 0.0, 1.0))
        box.put_picture(picture("a"))
        assert (box.wakes, box.dormant) == (1, False)
        box.dormant = True
        box.put_picture(picture("a"))
        assert (box.wakes, box.dormant) == (2, False)

    def test_it_is_woken_while_more_waits_than_its_next_look_should_find(self) -> None:
        one = picture("a").nbytes
        box = Box(pressure_bytes=2 * one)
        for _ in range(5):
            box.put_picture(picture("a"))
        assert box.wakes == 2

    def test_a_heavy_record_wakes_a_dormant_sender_or_one_that_holds_half_of_the_memory(self) -> None:
        box = Box()
        assert box.reserve_heavy(50)
        box.put_heavy(picture("a"))
        assert box.wakes == 0
        box.dormant = True
        box.put_heavy(picture("a"))
        assert (box.wakes, box.dormant) == (1, False)
        assert box.reserve_heavy(1)
        box.put_heavy(picture("a"))
        assert box.wakes == 2

    def test_a_drop_for_want_of_memory_wakes_it(self) -> None:
        box = Box()
        box.count_drop(1, "a")
        assert box.wakes == 1
        assert box.dropped == {"a": 1}


class TestPictures:
    def test_they_are_taken_and_numbered_in_the_order_of_the_calls(self) -> None:
        box = Box()
        calls = [picture(tag) for tag in "abc"]
        for call in calls:
            box.put_picture(call)
        fence = FlushRequest(everything=True)
        box.put_fence(fence)
        assert (fence.picture_target, box.first_waiting_ordinal(), box.picture_count) == (3, 1, 3)
        assert box.tags() == ["a", "b", "c"]
        assert [call.ordinal for call in calls] == [1, 2, 3]
        assert (box.first_waiting_ordinal(), box.picture_count) == (None, 0)

    def test_the_oldest_of_the_same_run_and_tag_makes_room(self) -> None:
        box = Box()
        for tag, run in (("b", 1), ("a", 2), ("a", 1), ("a", 1)):
            box.put_picture(picture(f"{tag}", run))
        assert box.make_room(1, "a")
        taken = [box.take_picture() for _ in range(3)]
        assert [(call.tag, call.run) for call in taken if call is not None] == [("b", 1), ("a", 2), ("a", 1)]
        assert box.dropped == {"a": 1}

    def test_else_the_oldest_of_all(self) -> None:
        box = Box()
        first = picture("b")
        box.put_picture(first)
        box.put_picture(picture("c"))
        assert box.make_room(1, "a")
        assert end(first) == "released"
        assert box.tags() == ["c"]
        assert box.dropped == {"b": 1}

    def test_nobody_is_woken_to_send_more_while_nothing_can_be_sent(self) -> None:
        box = Box(pressure_bytes=0)
        box.put_picture(picture("a"))
        box.put_picture(picture("a"))
        assert box.wakes == 1
        box.flows = False
        box.put_picture(picture("a"))
        box.count_drop(1, "a")
        assert box.wakes == 1
        box.dormant = True
        box.put_picture(picture("a"))
        assert box.wakes == 2

    def test_they_are_stalled_when_none_was_taken_for_seconds(self) -> None:
        box = Box()
        box.is_watched(100.0)
        box.is_watched(200.0)
        assert not box.stalled  # none waits
        box.put_picture(picture("a"))
        box.put_picture(picture("b"))
        for now, stalled in ((200.1, False), (203.0, False), (203.2, True), (300.0, True)):
            box.is_watched(now)
            assert box.stalled == stalled
        assert box.take_picture() is not None
        box.is_watched(300.1)
        assert not box.stalled

    def test_else_there_is_none(self) -> None:
        box = Box()
        assert not box.make_room(1, "a")
        assert not box.dropped

    def test_so_many_wait_and_no_more(self) -> None:
        box = Box()
        calls = [picture("ab"[index % 2]) for index in range(outbox_module.MAX_PICTURES + 3)]
        for call in calls:
            box.put_picture(call)
        assert box.picture_count == outbox_module.MAX_PICTURES
        assert [index for index, call in enumerate(calls) if end(call)] == [0, 1, 2]
        assert box.drops() == {"a": 2, "b": 1}

    def test_what_was_asked_for_is_a_copy(self) -> None:
        box = Box()
        box.count_drop(1, "a")
        drops = box.drops()
        box.count_drop(1, "a")
        assert drops == {"a": 1}

    @given(
        st.lists(st.tuples(st.sampled_from(["put", "put", "room", "take", "drop"]), st.sampled_from("ab")), max_size=60)
    )
    def test_every_picture_is_taken_dropped_or_waits(self, steps: list[tuple[str, str]]) -> None:
        box = Box()
        calls: list[RecordCall] = []
        taken: list[RecordCall] = []
        unborn: Counter[str] = Counter()
        for what, tag in steps:
            if what == "put":
                calls.append(picture(tag))
                box.put_picture(calls[-1])
            elif what == "room":
                waited = box.picture_count
                assert box.make_room(1, tag) == bool(waited)
                assert box.picture_count == max(waited - 1, 0)
            elif what == "take" and (call := box.take_picture()) is not None:
                taken.append(call)
            elif what == "drop":
                box.count_drop(1, tag)
                unborn[tag] += 1
        dropped = [call for call in calls if end(call)]
        assert box.drops() == Counter(call.tag for call in dropped) + unborn
        assert len(taken) + len(dropped) + box.picture_count == len(calls)
        assert [call.ordinal for call in taken] == sorted(call.ordinal for call in taken)
        assert not any(end(call) for call in taken)


def test_many_threads_lose_no_picture() -> None:
    box = Box()
    taken: list[RecordCall] = []
    stop = threading.Event()

    def put(tag: str) -> None:
        for _ in range(300):
            box.put_picture(picture(tag))
            box.make_room(1, tag)

    def take() -> None:
        while not stop.is_set() or box.picture_count:
            call = box.take_picture()
            if call is not None:
                taken.append(call)

    sender = threading.Thread(target=take)
    sender.start()
    threads = [threading.Thread(target=put, args=(tag,)) for tag in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    sender.join()
    assert len(taken) + box.drops().total() == 1200
    assert len({call.ordinal for call in taken}) == len(taken)
    assert not any(end(call) for call in taken)
