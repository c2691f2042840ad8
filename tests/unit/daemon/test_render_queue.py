"""What waits for the renderer: who goes when it is full, whose turn it is, and what stays in order."""

from __future__ import annotations

import threading
from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st
from receptions import picture

from sidelog_daemon import render_queue
from sidelog_daemon.render_queue import Job, RenderQueue
from sidelog_shared.client_view import Backlog
from sidelog_shared.records import Lane


def job(
    seq: int, worker: str = "w", *, tag: str = "map", size: int = 10, lane: Lane = Lane.PICTURE, run: int = 1
) -> Job:
    return Job(worker, picture(seq, tag=tag, size=size, lane=lane, run=run))


def seqs(jobs: list[Job]) -> list[int]:
    return [one.record.seq for one in jobs]


def waiting(queue: RenderQueue) -> int:
    return sum(backlog.records for backlog in queue.held().values())


def take_now(queue: RenderQueue) -> Job | None:
    """As ``get``, but for the waiting: None where nothing can be rendered now."""
    with queue._condition:
        return queue._take()


def take(queue: RenderQueue) -> Job:
    taken = queue.get()
    assert taken is not None
    return taken


def take_all(queue: RenderQueue) -> list[Job]:
    taken = []
    while waiting(queue):
        taken.append(take(queue))
        queue.done(taken[-1])
    return taken


class TestWhenFull:
    def test_the_oldest_picture_of_the_same_tag_goes(self) -> None:
        queue = RenderQueue(30)
        for one in (job(1, tag="a"), job(2, tag="b"), job(3, tag="b")):
            assert queue.put(one) == []
        assert seqs(queue.put(job(4, tag="b"))) == [2]
        assert seqs(take_all(queue)) == [1, 3, 4]

    def test_a_tag_of_another_run_is_another_tag(self) -> None:
        queue = RenderQueue(20)
        queue.put(job(1, run=1))
        queue.put(job(2, run=2))
        assert seqs(queue.put(job(3, run=2))) == [2]

    def test_else_the_oldest_of_the_worker_that_holds_the_most(self) -> None:
        queue = RenderQueue(50)
        queue.put(job(1, "modest", tag="a"))
        for seq in (2, 3, 4, 5):
            queue.put(job(seq, "greedy", tag=f"b{seq}"))
        dropped = queue.put(job(6, "modest", tag="c"))
        assert [(one.worker, one.record.seq) for one in dropped] == [("greedy", 2)]

    def test_what_has_a_newer_one_goes_before_the_only_one_of_its_tag(self) -> None:
        queue = RenderQueue(40)
        queue.put(job(1, "greedy", tag="a", size=20))
        queue.put(job(2, "modest", tag="b"))
        queue.put(job(3, "modest", tag="b"))
        assert seqs(queue.put(job(4, "greedy", tag="c"))) == [2]

    def test_the_tags_of_a_worker_give_in_turn(self) -> None:
        queue = RenderQueue(60)
        for seq, tag in enumerate("ababab", 1):
            queue.put(job(seq, tag=tag))
        assert [seqs(queue.put(job(seq, tag=f"new {seq}"))) for seq in (7, 8, 9, 10)] == [[1], [2], [3], [4]]
        assert seqs(queue.put(job(11, tag="new 11"))) == [5]  # the newest that has waited longest

    def test_a_flood_leaves_others_what_they_have(self) -> None:
        queue = RenderQueue(100)
        for seq in (1, 2, 3):
            queue.put(job(seq, "modest", tag="a"))
        dropped = [one for seq in range(50) for one in queue.put(job(seq, "flood", tag=f"t{seq % 5}"))]
        assert {one.worker for one in dropped} == {"flood"}
        left = take_all(queue)
        assert [one.record.seq for one in left if one.worker == "modest"] == [1, 2, 3]
        assert {45, 46, 47, 48, 49} <= {one.record.seq for one in left if one.worker == "flood"}

    def test_a_flood_of_ever_new_tags_leaves_them_too(self) -> None:
        queue = RenderQueue(50)
        queue.put(job(1, "modest", tag="a"))
        queue.put(job(2, "modest", tag="b"))
        dropped = [one for seq in range(20) for one in queue.put(job(seq, "flood", tag=f"t{seq}"))]
        assert [(one.worker, one.record.seq) for one in dropped] == [("flood", seq) for seq in range(17)]

    def test_nothing_goes_for_one_that_does_not_fit_all_the_same(self) -> None:
        queue = RenderQueue(30)
        queue.put(job(1, size=20))
        rendering = take(queue)
        queue.put(job(2, tag="b"))
        assert seqs(queue.put(job(3, tag="c", size=11))) == [3]
        queue.done(rendering)
        assert seqs(take_all(queue)) == [2]

    def test_what_is_held_elsewhere_counts(self) -> None:
        elsewhere = 0
        queue = RenderQueue(40, lambda: elsewhere)
        for seq in (1, 2, 3, 4):
            queue.put(job(seq))
        elsewhere = 15
        assert seqs(queue.make_room()) == [1, 2]
        assert queue.make_room() == []
        assert seqs(queue.put(job(5))) == [3]
        elsewhere = 50
        assert seqs(queue.put(job(6))) == [6]
        assert seqs(queue.make_room()) == [4, 5]

    def test_several_go_for_a_large_one(self) -> None:
        queue = RenderQueue(30)
        for seq in (1, 2, 3):
            queue.put(job(seq))
        assert seqs(queue.put(job(4, size=25))) == [1, 2, 3]
        assert queue.held_bytes == 25

    def test_one_that_is_larger_than_the_budget_goes_itself(self) -> None:
        queue = RenderQueue(30)
        assert seqs(queue.put(job(1, size=31))) == [1]
        assert queue.held_bytes == 0

    def test_the_heavy_lane_is_never_dropped(self) -> None:
        queue = RenderQueue(20)
        for seq in (1, 2, 3):
            assert queue.put(job(seq, lane=Lane.HEAVY)) == []
        assert seqs(queue.put(job(4))) == [4]
        assert seqs(take_all(queue)) == [1, 2, 3]

    def test_what_is_being_rendered_counts_until_it_is_done(self) -> None:
        queue = RenderQueue(20)
        queue.put(job(1, size=20))
        rendering = take(queue)
        assert seqs(queue.put(job(2))) == [2]
        queue.done(rendering)
        assert queue.put(job(3)) == []
        assert queue.held_bytes == 10

    def test_items_are_bounded_too(self, monkeypatch) -> None:  # type: ignore[no-untyped-def]
        monkeypatch.setattr(render_queue, "MAX_ITEMS", 2)
        queue = RenderQueue(1000)
        queue.put(job(1))
        queue.put(job(2))
        assert seqs(queue.put(job(3))) == [1]


class TestTurns:
    def test_go_round_the_workers(self) -> None:
        queue = RenderQueue(1000)
        for seq in (1, 2, 3, 4):
            queue.put(job(seq, "flood", tag=f"t{seq}"))
        queue.put(job(11, "x"))
        queue.put(job(12, "x"))
        queue.put(job(21, "y"))
        assert seqs(take_all(queue)) == [1, 11, 21, 2, 12, 3, 4]

    def test_one_render_in_flight_keeps_a_tag_in_order(self) -> None:
        queue = RenderQueue(1000)
        for seq, tag in ((1, "a"), (2, "a"), (3, "b"), (4, "a")):
            queue.put(job(seq, tag=tag))
        first, other = take(queue), take(queue)
        assert seqs([first, other]) == [1, 3]  # 2 waits for 1, 3 does not
        queue.done(first)
        assert seqs([take(queue)]) == [2]

    def test_the_heavy_lane_is_in_order_over_all_its_tags(self) -> None:
        queue = RenderQueue(1000)
        queue.put(job(1, tag="a", lane=Lane.HEAVY))
        queue.put(job(2, tag="b", lane=Lane.HEAVY))
        queue.put(job(3, tag="b"))
        queue.put(job(1, "other", tag="a", lane=Lane.HEAVY))
        assert [(one.worker, one.record.seq) for one in (take(queue), take(queue), take(queue))] == [
            ("w", 1),
            ("other", 1),
            ("w", 3),
        ]


def test_jobs_of_no_bytes_are_jobs_like_others() -> None:
    queue = RenderQueue(100)
    queue.put(job(1, size=0))
    queue.put(job(2, size=0, tag="b"))
    assert seqs(take_all(queue)) == [1, 2]
    assert queue.held_bytes == 0


def test_a_closed_queue_lets_everybody_go() -> None:
    queue = RenderQueue(100)
    got: list[Job | None] = []
    threads = [threading.Thread(target=lambda: got.append(queue.get()), name="sidelog-test") for _ in range(3)]
    for thread in threads:
        thread.start()
    queue.close()
    for thread in threads:
        thread.join(10)
    assert got == [None, None, None]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "get", "done"]),
            st.sampled_from("xyz"),
            st.sampled_from("ab"),
            st.integers(0, 12),
            st.sampled_from([Lane.PICTURE, Lane.PICTURE, Lane.HEAVY]),
        ),
        max_size=80,
    )
)
def test_nothing_is_lost_and_nothing_overtakes(steps: list[tuple[str, str, str, int, Lane]]) -> None:
    budget = 40
    queue = RenderQueue(budget)
    put: list[Job] = []
    dropped: list[Job] = []
    order: dict[object, list[int]] = defaultdict(list)
    rendering: list[Job] = []
    taken = 0

    def get() -> None:
        nonlocal taken
        one = take_now(queue)
        if one is not None:
            assert all(one.series != other.series for other in rendering)
            order[one.series].append(one.record.seq)
            rendering.append(one)
            taken += 1

    for what, worker, tag, size, lane in steps:
        if what == "put":
            put.append(job(len(put) + 1, worker, tag=tag, size=size, lane=lane))
            dropped += queue.put(put[-1])
        elif what == "get":
            get()
        elif rendering:
            queue.done(rendering.pop(size % len(rendering)))
        heavy = sum(one.record.nbytes for one in put if one.record.lane is Lane.HEAVY)
        assert 0 <= queue.held_bytes <= budget + heavy
    while waiting(queue) or rendering:
        get()
        queue.done(rendering.pop())
    assert taken + len(dropped) == len(put)
    assert len(set(map(id, dropped))) == len(dropped)
    assert all(one.record.lane is Lane.PICTURE for one in dropped)
    assert all(numbers == sorted(numbers) for numbers in order.values())
    assert queue.held_bytes == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "put", "get", "done"]),
            st.sampled_from("xyz"),
            st.sampled_from("abc"),
            st.integers(0, 12),
            st.sampled_from([Lane.PICTURE, Lane.PICTURE, Lane.PICTURE, Lane.HEAVY]),
        ),
        max_size=80,
    )
)
def test_the_policy_holds_at_each_drop(steps: list[tuple[str, str, str, int, Lane]]) -> None:
    """Beside a list of what waits, in which every rule is a search."""
    budget = 40
    queue = RenderQueue(budget)
    waits: list[Job] = []
    rendering: list[Job] = []

    def nbytes(worker: str | None = None) -> int:
        held = [one for one in (*waits, *rendering) if worker in (None, one.worker)]
        return sum(one.record.nbytes for one in held)

    def pictures() -> list[Job]:
        return [one for one in waits if one.record.lane is Lane.PICTURE]

    for number, (what, worker, tag, size, lane) in enumerate(steps):
        if what == "get":
            taken = take_now(queue)
            if taken is not None:
                first = next(one for one in waits if one.series == taken.series)
                assert first is taken
                waits.remove(taken)
                rendering.append(taken)
            continue
        if what == "done":
            if rendering:
                queue.done(rendering.pop(size % len(rendering)))
            continue
        new = job(number, worker, tag=tag, size=size, lane=lane)
        dropped = queue.put(new)
        stays = nbytes() - sum(one.record.nbytes for one in pictures())
        if lane is Lane.PICTURE and stays + size > budget:
            assert dropped == [new]
            continue
        waits.append(new)
        for gone in dropped:
            assert nbytes() > budget
            superseded = [one for i, one in enumerate(waits) if one in pictures()
                          and any(other.series == one.series for other in waits[i + 1 :])]  # fmt: skip
            may_go = superseded or pictures()
            assert gone in may_go
            assert nbytes(gone.worker) == max(nbytes(one.worker) for one in may_go)
            if gone.worker == worker and any(one.series == new.series for one in superseded):
                assert gone.series == new.series
            oldest = [one for one in may_go if one.series == gone.series or not superseded]
            assert gone is next(one for one in oldest if one.worker == gone.worker)
            waits.remove(gone)
        assert nbytes() <= budget or not pictures()
        assert {one: backlog.nbytes for one, backlog in queue.held().items()} == {
            one.worker: nbytes(one.worker) for one in (*waits, *rendering)
        }


@given(st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("abc"), st.integers(1, 4)), max_size=80))
def test_the_newest_of_each_tag_is_there_in_the_end(calls: list[tuple[str, str, int]]) -> None:
    """There is room for one of each tag, so only those that have a newer one go."""
    queue = RenderQueue(36)
    newest = {}
    for seq, (worker, tag, size) in enumerate(calls):
        newest[worker, tag] = seq
        queue.put(job(seq, worker, tag=tag, size=size))
        assert queue.held_bytes <= 36
    last = {}
    for one in take_all(queue):
        last[one.worker, one.record.tag] = one.record.seq
    assert last == newest


def test_what_each_worker_holds_is_told() -> None:
    queue = RenderQueue(100, scratch=lambda record: 2 * record.nbytes)
    for one in (job(1, "a"), job(2, "a", tag="other", size=20), job(1, "b", size=0)):
        queue.put(one)
    assert queue.held() == {"a": Backlog(2, 30), "b": Backlog(1, 0)}
    taken = take(queue)
    assert queue.held()["a"] == Backlog(1, 30)  # one is being rendered
    assert queue.scratch_bytes == 20
    queue.done(taken)
    assert queue.scratch_bytes == 0
    take_all(queue)
    assert queue.held() == {}


def test_what_rendering_takes_is_kept_free_and_a_second_render_waits_for_room() -> None:
    queue = RenderQueue(100, scratch=lambda record: 3 * record.nbytes)
    assert queue.put(job(1, tag="a", size=10)) == []
    assert queue.put(job(2, tag="b", size=20)) == []  # 30, and 60 for the larger one's rendering
    assert [one.record.seq for one in queue.put(job(3, tag="c", size=20))] == [1]
    first = take(queue)
    assert take_now(queue) is None  # 40, 60 for this and as much for the next
    queue.done(first)
    second = take_now(queue)
    assert second is not None
    assert second.record.seq == 3
    queue.done(second)
    assert queue.held() == {}


def test_one_alone_is_rendered_whatever_it_takes() -> None:
    queue = RenderQueue(10, scratch=lambda record: 100)
    assert queue.put(job(1, size=10)) == []
    assert take(queue).record.seq == 1
