"""The daemon's side of the protocol, message by message, without a socket."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from receptions import Client, make_reception, picture, scalars, text

from sidelog_daemon.actions import (
    CloseRun,
    Commit,
    Dropped,
    Noted,
    OpenRun,
    Rejected,
    Render,
    RunClosed,
    RunOpened,
    RunPaused,
    RunRefused,
    Send,
    WriteRecord,
)
from sidelog_daemon.complaints import COMPLAINTS_LOGGED
from sidelog_daemon.reception import DEAD_AFTER_S, SILENT_AFTER_S, Reception
from sidelog_shared import replies, requests
from sidelog_shared.client_view import ClientView
from sidelog_shared.frames import MINOR, MessageKind, pack, unpack
from sidelog_shared.limits import MIB, Limits
from sidelog_shared.missing import PRESSURE_IN_DAEMON, Missing
from sidelog_shared.records import LANES, End, Kind, Lane, Refusal, RunMarks
from sidelog_shared.report import DaemonReport

LOGDIR = Path("/logdir")


@pytest.fixture
def reception() -> Reception:
    return make_reception(LOGDIR)


@pytest.fixture
def client(reception: Reception) -> Client:
    """Connected, with run 1 open."""
    one = Client(reception)
    one.hello()
    one.open()
    one.heard.clear()
    one.asked.clear()
    return one


class TestHello:
    def test_is_answered_by_welcome(self, reception: Reception) -> None:
        (welcome,) = Client(reception).hello()
        assert isinstance(welcome, replies.Welcome)
        assert (welcome.instance, welcome.known, welcome.logdir) == ("d" * 16, False, "/logdir")
        assert (welcome.limits, welcome.features) == (Limits(4 * MIB, 4 * MIB), ("parts",))
        assert welcome.status == replies.Status(dict(welcome.status.lanes))

    def test_takes_the_intersection_of_the_features(self, reception: Reception) -> None:
        client = Client(reception)
        hello = requests.Hello(client.worker, ("shm", "parts", "zstd"), dict.fromkeys(Lane, 1))
        (welcome,) = client.say(hello)
        assert isinstance(welcome, replies.Welcome)
        assert welcome.features == ("parts",)

    def test_that_is_said_twice_is_answered_twice(self, reception: Reception) -> None:
        client = Client(reception)
        client.hello()
        (again,) = client.hello()
        assert isinstance(again, replies.Welcome)
        assert again.known
        assert reception.workers == [client.worker]

    def test_of_a_worker_that_comes_back_says_what_is_known_of_it(self, client: Client) -> None:
        client.say(scalars(1, 5))
        client.send(picture(1))
        client.settle(Lane.LIGHT, 1, 3)
        welcome = client.reconnect(b"peer-2", light=4, picture=2)
        assert welcome.known
        assert welcome.status.lanes[Lane.LIGHT].received.ranges() == [(1, 5)]
        assert welcome.status.lanes[Lane.LIGHT].settled.ranges() == [(1, 3)]
        assert welcome.status.lanes[Lane.PICTURE].received.ranges() == [(1, 1)]

    def test_settles_what_will_never_come_without_counting_it(self, reception: Reception) -> None:
        client = Client(reception)
        client.hello(light=101, picture=7)
        status = client.state()
        assert status.lanes[Lane.LIGHT].settled.ranges() == [(1, 100)]
        assert status.lanes[Lane.PICTURE].settled.ranges() == [(1, 6)]
        assert not any(status.lanes[Lane.LIGHT].ends.values())

    def test_does_not_settle_what_it_holds(self, client: Client) -> None:
        client.send(picture(1))
        client.reconnect(b"peer-2", picture=3)
        assert client.state().lanes[Lane.PICTURE].settled.ranges() == [(2, 2)]
        client.settle(Lane.PICTURE, 1)
        assert client.state().lanes[Lane.PICTURE].ends[End.WRITTEN] == 1

    def test_of_another_major_is_refused_with_both_versions(self, reception: Reception) -> None:
        client = Client(reception)
        hello = requests.Hello(client.worker, next_seq=dict.fromkeys(Lane, 1)).frames(1)
        prefix = bytes(hello[0])
        (refused,) = client.frames([prefix[:4] + b"\x02" + prefix[5:], *hello[1:]])
        assert isinstance(refused, replies.Refused)
        assert (refused.code, refused.run) == (Refusal.VERSION, None)
        assert refused.text == f"this daemon: message is of protocol 2.{MINOR}, expected 1.x"
        assert reception.workers == []
        assert reception.faults["version"] == 1

    def test_for_two_workers_on_one_connection_leaves_each_its_own(self, reception: Reception) -> None:
        first, second = Client(reception), Client(reception, id="b" * 16)
        first.hello()
        second.hello()  # from the same peer
        first.reconnect(b"peer-2")
        second.open()
        second.say(scalars(1, 3))
        assert second.written_seqs()[Lane.LIGHT] == [1, 2, 3]


class TestEpochs:
    def test_a_stranger_is_told_to_begin_anew(self, reception: Reception) -> None:
        for request in (scalars(1, 1), requests.Heartbeat(), requests.OpenRun(1, "/x"), requests.Bye()):
            stranger = Client(reception, epoch=5)
            assert stranger.say(request) == [replies.Reset()]
            assert stranger.asked == []
        (send,) = reception.feed(b"peer", requests.Flush().frames(5), 0.0)
        assert isinstance(send, Send)
        assert unpack(send.frames, max_bytes=MIB).epoch == 5

    def test_messages_of_an_older_epoch_are_discarded(self, client: Client) -> None:
        client.reconnect(b"peer-1")  # the same connection, a new epoch
        assert client.frames(scalars(1, 3).frames(1)) == []
        assert client.written_seqs()[Lane.LIGHT] == []
        assert client.reception.faults["old-epoch"] == 1

    def test_messages_of_an_older_connection_are_strange(self, client: Client) -> None:
        client.reconnect(b"peer-2")
        old = Client(client.reception, peer=b"peer-1", epoch=1)
        assert old.say(scalars(1, 3)) == [replies.Reset()]
        assert old.asked == []

    def test_a_hello_of_an_older_epoch_from_another_connection_is_discarded(self, client: Client) -> None:
        client.reconnect(b"peer-2")
        assert Client(client.reception, peer=b"peer-3", epoch=1).hello() == []
        assert client.state()

    def test_replies_carry_the_newest_epoch(self, client: Client) -> None:
        client.reconnect(b"peer-2")
        (send,) = client.reception.feed(b"peer-2", requests.Heartbeat().frames(2), 0.0)
        assert isinstance(send, Send)
        assert unpack(send.frames, max_bytes=MIB).epoch == 2


class TestRuns:
    @pytest.mark.parametrize(
        ("absolute_paths", "path", "resolved"),
        [(True, "/runs/a", "/runs/a"), (True, "a/b", "/logdir/a/b"), (False, "a", "/logdir/a")],
    )
    def test_are_opened_by_the_writer(self, absolute_paths: bool, path: str, resolved: str) -> None:
        client = Client(make_reception(LOGDIR, absolute_paths=absolute_paths))
        client.hello()
        assert client.say(requests.OpenRun(3, path, 4.0)) == []
        assert client.asked == [OpenRun(client.id, 3, resolved, 4.0)]
        marks = RunMarks(7, 0, ((1, 2), (5, 5)))
        assert client.report(RunOpened(client.id, 3, marks)) == [replies.Opened(3, marks)]

    @pytest.mark.parametrize(
        ("absolute_paths", "path", "message"),
        [
            (False, "/runs/a", "run name is '/runs/a', expected a path relative to this daemon's --logdir /logdir"),
            (False, "../a", "expected no '..' in it: a run stays below the daemon's --logdir"),
            (True, "a/../../b", "expected no '..' in it"),
            (True, "", "run name is '', expected a relative path such as 'exp1'"),
            (True, "/runs/a\0b", "run path is '/runs/a\\x00b', expected none with a NUL character"),
            (True, "x" * 4097, "expected a string of at most 4096 characters"),
        ],
    )
    def test_with_names_that_cannot_be_are_refused(self, absolute_paths: bool, path: str, message: str) -> None:
        client = Client(make_reception(LOGDIR, absolute_paths=absolute_paths))
        client.hello()
        (refused,) = client.say(requests.OpenRun(3, path))
        assert isinstance(refused, replies.Refused)
        assert (refused.code, refused.run) == (Refusal.RUN_NAME, 3)
        assert message in refused.text
        assert client.asked == []

    def test_that_the_writer_refuses_are_refused(self, client: Client) -> None:
        client.say(requests.OpenRun(2, "/runs/b"))
        refusal = RunRefused(client.id, 2, Refusal.RUN_BUSY, "written by another daemon", "tcp://127.0.0.1:5")
        assert client.report(refusal) == [
            replies.Refused(Refusal.RUN_BUSY, "written by another daemon", 2, "tcp://127.0.0.1:5")
        ]
        client.say(scalars(1, 2, run=2))
        assert client.state().lanes[Lane.LIGHT].ends[End.REJECTED] == 2

    def test_that_cannot_be_written_for_now_take_what_is_under_way_until_they_can(self, client: Client) -> None:
        client.say(scalars(1, 1))
        assert client.report(RunPaused(client.id, 1, "disk full")) == [
            replies.Refused(Refusal.RUN_UNWRITABLE, "disk full", 1)
        ]
        client.say(scalars(2, 1))
        assert client.written_seqs()[Lane.LIGHT] == [1, 2]
        assert client.report(RunOpened(client.id, 1, RunMarks(light=2))) == [replies.Opened(1, RunMarks(light=2))]

    @pytest.mark.parametrize("outcome", [RunPaused("a" * 16, 1, "disk full"), RunOpened("a" * 16, 1, RunMarks())])
    def test_that_are_being_closed_are_neither_paused_nor_opened(
        self, client: Client, outcome: RunPaused | RunOpened
    ) -> None:
        client.say(requests.CloseRun(1))
        assert client.report(outcome) == []
        client.report(RunClosed(client.id, 1))
        client.say(scalars(1, 1))
        assert client.state().lanes[Lane.LIGHT].ends[End.REJECTED] == 1

    def test_that_are_closed_take_nothing_more(self, client: Client) -> None:
        client.say(requests.CloseRun(1))
        assert client.wanted(CloseRun) == [CloseRun(client.id, 1, forget=False)]
        client.say(requests.CloseRun(1))  # twice, and one that never was
        client.say(requests.CloseRun(9))
        assert client.asked == []
        client.report(RunClosed(client.id, 1))
        client.send(text(1))
        assert client.state().lanes[Lane.LIGHT].ends[End.REJECTED] == 1
        assert client.wanted(WriteRecord) == []

    def test_records_of_runs_that_are_not_open_are_rejected_and_the_others_written(self, client: Client) -> None:
        client.open(2, "/runs/b")
        client.say(scalars(1, 9, runs=[1, 7, 2]))  # 7 was never opened
        assert client.written_seqs()[Lane.LIGHT] == [1, 3, 4, 6, 7, 9]
        status = client.state()
        assert status.lanes[Lane.LIGHT].settled.ranges() == [(2, 2), (5, 5), (8, 8)]
        assert status.troubles[-1].text == "scalars name run 7, which is not open"
        client.send(picture(1, run=7))
        assert client.state().troubles[-1].text == "map: RECORD.run is 7, which is not open"


class TestRecords:
    def test_go_to_whom_they_concern(self, client: Client) -> None:
        client.say(scalars(1, 4))
        client.send(text(5))
        client.send(picture(1))
        client.send(picture(1, lane=Lane.HEAVY))
        assert [type(action).__name__ for action in client.asked] == ["WriteScalars", "WriteRecord", "Render", "Render"]
        assert client.written_seqs() == {Lane.LIGHT: [1, 2, 3, 4, 5], Lane.HEAVY: [1], Lane.PICTURE: [1]}

    def test_that_come_again_are_skipped(self, client: Client) -> None:
        client.say(scalars(1, 4))
        client.send(text(5))
        client.send(picture(1))
        client.written_seqs()
        client.say(scalars(1, 4))
        client.send(text(5))
        client.send(picture(1))
        assert client.asked == []
        client.say(scalars(3, 5))  # 3 to 5 are known
        assert client.written_seqs()[Lane.LIGHT] == [6, 7]

    def test_that_come_again_are_not_settled_again(self, client: Client) -> None:
        client.send(text(1))
        client.settle(Lane.LIGHT, 1)
        client.say(requests.CloseRun(1))
        client.send(text(1))  # its run is closed by now
        assert client.state().lanes[Lane.LIGHT].ends == {**dict.fromkeys(End, 0), End.WRITTEN: 1}

    def test_of_a_run_that_is_asked_for_twice_are_taken_between_the_answers(self, client: Client) -> None:
        client.say(requests.OpenRun(1, "/runs/a"))  # it is open already
        client.send(text(1))
        assert client.written_seqs()[Lane.LIGHT] == [1]
        assert client.state().lanes[Lane.LIGHT].ends[End.REJECTED] == 0

    def test_of_a_reliable_lane_out_of_order_are_rejected(self, client: Client) -> None:
        client.say(scalars(5, 2))
        client.send(text(3))
        client.say(scalars(1, 2))
        assert client.written_seqs()[Lane.LIGHT] == [5, 6]
        status = client.state()
        assert status.lanes[Lane.LIGHT].settled.ranges() == [(1, 3)]
        assert status.troubles[-1].text == (
            "light record 1 of run 1 comes after 6, expected the records of a run's reliable lane in order"
        )

    def test_of_the_picture_lane_come_in_any_order(self, client: Client) -> None:
        for seq in (3, 1, 2):
            client.send(picture(seq))
        assert client.written_seqs()[Lane.PICTURE] == [3, 1, 2]

    @pytest.mark.parametrize("lane", Lane)
    @pytest.mark.parametrize("kind", Kind)
    def test_go_to_who_makes_them_or_are_in_a_wrong_lane(self, client: Client, kind: Kind, lane: Lane) -> None:
        client.send(dataclasses.replace(text(1), kind=kind, lane=lane))
        if lane in LANES[kind]:
            assert [type(action) for action in client.asked] == [WriteRecord if lane is Lane.LIGHT else Render]
            return
        assert client.asked == []
        expected = {
            ("light",): "'light'",
            ("heavy", "light"): "'heavy' or 'light'",
            ("heavy",): "'heavy'",
            ("heavy", "picture"): "'heavy' or 'picture'",
        }
        names = expected[tuple(sorted(one.value for one in LANES[kind]))]
        assert client.state().troubles[-1].text == (
            f"note: RECORD.lane is {lane.value!r}, expected {names} for kind {kind.name}"
        )

    def test_that_cannot_be_read_are_rejected_and_others_do_not_suffer(self, client: Client) -> None:
        header = {"lane": "picture", "seq": 2, "run": 1, "kind": 200}
        client.frames(pack(MessageKind.RECORD, 1, header))
        client.frames(pack(MessageKind.SCALARS, 1, {"seq": 1, "count": 3, "series": []}, [b""] * 4))
        client.frames(pack(MessageKind.RECORD, 1, {"lane": "light", "seq": "?"}))  # nobody knows which
        client.say(scalars(4, 1))
        status = client.state()
        assert status.lanes[Lane.PICTURE].settled.ranges() == [(2, 2)]
        assert status.lanes[Lane.LIGHT].settled.ranges() == [(1, 3)]
        assert client.written_seqs()[Lane.LIGHT] == [4]
        assert client.reception.faults["malformed"] == 3
        assert status.troubles[0].text.startswith("RECORD.tag is missing, expected ")

    def test_are_settled_as_reported(self, client: Client) -> None:
        for seq in range(1, 5):
            client.send(picture(seq))
        client.settle(Lane.PICTURE, 1)
        client.report(Dropped(client.id, picture(2)))
        client.report(Rejected(client.id, picture(3), "too dark"))
        client.report(Noted(client.id, "3 values are NaN"))
        status = client.state()
        assert status.lanes[Lane.PICTURE].settled.ranges() == [(1, 3)]
        assert status.lanes[Lane.PICTURE].received.ranges() == [(1, 4)]
        assert status.lanes[Lane.PICTURE].ends == {End.WRITTEN: 1, End.REJECTED: 1, End.DROPPED: 1, End.LOST: 0}
        assert status.dropped_tags == {"map": 1}
        assert [trouble.text for trouble in status.troubles] == [
            "picture 'map' at step 3: too dark",
            "3 values are NaN",
        ]

    def test_of_a_stranger_are_nobodys(self, reception: Reception) -> None:
        assert reception.apply(Dropped("x" * 16, picture(2))) == []


class TestParts:
    def big(self, seq: int = 1, size: int = 3 * MIB) -> list[list[object]]:
        record = picture(seq, size=size, storage="parts")
        return [requests.RecordMessage(record).frames(1), *requests.part_messages(record, 1)]  # type: ignore[list-item]

    def test_make_a_record_once_the_last_has_come(self, client: Client) -> None:
        *others, last = self.big()
        for frames in others:
            client.frames(frames)
            client.say(scalars(client.state().lanes[Lane.LIGHT].received.highest + 1, 1))  # others come between
        assert client.wanted(Render) == []
        assert client.state().lanes[Lane.PICTURE].received.ranges() == []
        client.frames(last)
        (render,) = client.wanted(Render)
        assert [bytes(buffer) for buffer in render.record.buffers] == [bytes(3 * MIB)]
        assert client.written_seqs()[Lane.LIGHT] == [1, 2, 3]

    def test_of_several_buffers(self, client: Client) -> None:
        spec = picture(1, storage="parts").specs[0]
        record = dataclasses.replace(picture(1), specs=(spec,) * 3, buffers=(b"abcd", b"efgh", b"ijkl"))
        client.send(record)
        (render,) = client.wanted(Render)
        assert tuple(map(bytes, render.record.buffers)) == (b"abcd", b"efgh", b"ijkl")

    def test_of_two_records_may_be_mixed(self, client: Client) -> None:
        for one, other in zip(self.big(1, 2 * MIB), self.big(2, 2 * MIB), strict=True):
            client.frames(one)
            client.frames(other)
        assert client.written_seqs()[Lane.PICTURE] == [1, 2]

    def test_in_the_wrong_order_reject_the_record(self, client: Client) -> None:
        record, first, second, third = self.big()
        for frames in (record, first, third, second):
            client.frames(frames)
        assert client.wanted(Render) == []
        status = client.state()
        assert status.lanes[Lane.PICTURE].ends[End.REJECTED] == 1
        assert status.troubles[-1].text == (
            "PART is buffer 0 offset 2,097,152, expected buffer 0 offset 1,048,576: parts come in order"
        )
        assert client.reception.settled

    def test_that_are_too_long_reject_the_record(self, client: Client) -> None:
        client.frames(self.big(size=MIB)[0])
        client.say(requests.Part(Lane.PICTURE, 1, 0, 0, bytes(MIB + 1)))
        assert client.state().troubles[-1].text == "PART has 1,048,577 bytes, more than its buffer has left"

    def test_that_cannot_be_read_reject_the_record(self, client: Client) -> None:
        client.frames(self.big()[0])
        client.frames(pack(MessageKind.PART, 1, {"lane": "picture", "seq": 1, "buffer": 0, "offset": 0}))
        assert client.state().lanes[Lane.PICTURE].ends[End.REJECTED] == 1
        assert client.reception.settled

    def test_without_a_record_are_ignored(self, client: Client) -> None:
        client.say(requests.Part(Lane.PICTURE, 8, 0, 0, b"x"))
        assert client.asked == []
        assert client.state().lanes[Lane.PICTURE].received.ranges() == []

    def test_beyond_the_budget_reject_the_record(self, client: Client) -> None:
        client.frames(self.big(1)[0])
        client.frames(self.big(2)[0])
        assert "with 3,145,728 bytes of others begun, limit 4,194,304" in client.state().troubles[-1].text
        assert client.reception.begun_bytes == 3 * MIB

    def test_are_abandoned_with_the_connection(self, client: Client) -> None:
        record, *parts = self.big()
        client.frames(record)
        client.frames(parts[0])
        assert not client.reception.settled
        client.reconnect(b"peer-2", picture=2)
        assert client.reception.settled
        assert client.reception.begun_bytes == 0
        assert client.state().lanes[Lane.PICTURE].settled.ranges() == [(1, 1)]

    def test_of_a_text_that_a_later_record_overtakes_reject_it(self, client: Client) -> None:
        record = text(1, bytes(2 * MIB), storage="parts")
        client.say(requests.RecordMessage(record))
        client.say(scalars(2, 1))
        for frames in requests.part_messages(record, 1):
            client.frames(frames)
        assert client.written_seqs()[Lane.LIGHT] == [2]
        assert client.state().lanes[Lane.LIGHT].ends[End.REJECTED] == 1


class TestState:
    def test_is_said_when_something_changed_but_not_too_often(self, client: Client) -> None:
        assert client.tick(10.0) == []
        client.say(scalars(1, 1))
        (state,) = client.tick(10.0)
        assert isinstance(state, replies.State)
        client.settle(Lane.LIGHT, 1)
        assert client.tick(10.01) == []
        assert 0 < client.reception.next_tick_s(10.01) < 0.02
        (state,) = client.tick(10.021)
        assert isinstance(state, replies.State)
        assert state.status.lanes[Lane.LIGHT].settled.through == 1
        assert client.tick(10.1) == []
        assert client.reception.next_tick_s(10.1) == 0.5

    def test_follows_a_flush_at_once_until_all_is_settled(self, client: Client) -> None:
        client.say(scalars(1, 2))
        client.say(requests.Flush())
        assert client.wanted(Commit) == [Commit()]
        assert len(client.tick(10.0)) == 1
        client.settle(Lane.LIGHT, 1)
        assert len(client.tick(10.0)) == 1
        client.settle(Lane.LIGHT, 2)
        assert len(client.tick(10.0)) == 1
        client.say(scalars(3, 1))
        assert client.tick(10.001) == []  # the flush is over

    def test_what_is_rendered_while_somebody_waits_is_written_soon(self, client: Client) -> None:
        client.send(picture(1))
        client.tick(10.0)
        assert client.wanted(Commit) == []
        client.say(requests.Flush())
        assert client.wanted(Commit) == [Commit()]
        assert 0 < client.reception.next_tick_s(10.0) <= 0.02
        client.tick(10.01)
        assert client.wanted(Commit) == []
        client.tick(10.03)
        assert client.wanted(Commit) == [Commit()]
        client.settle(Lane.PICTURE, 1)
        client.tick(10.06)
        assert client.wanted(Commit) == []
        assert client.reception.next_tick_s(10.1) == 0.5


class TestManyHoles:
    """Every second number is of a run that waits."""

    COUNT = replies.MAX_STATE_RANGES + replies.MAX_SETTLED_RANGES + 10

    @pytest.fixture
    def client(self, reception: Reception) -> Client:
        one = Client(reception)
        one.hello()
        one.open()
        for number in range(1, self.COUNT + 1):
            one.say(scalars(2 * number, 1))
        one.say(requests.Heartbeat())
        one.heard.clear()
        return one

    def settle_all(self, client: Client) -> None:
        for number in range(1, self.COUNT + 1):
            client.settle(Lane.LIGHT, 2 * number)

    def heard(self, client: Client) -> tuple[list[int], list[int]]:
        """What was told: in STATEs, and in SETTLEDs."""
        states = [one for one in client.heard if isinstance(one, replies.State)]
        messages = [one for one in client.heard if isinstance(one, replies.Settled)]
        in_states = {number for one in states for number in one.status.lanes[Lane.LIGHT].settled}
        in_messages = [number for one in messages for first, last in one.lanes[Lane.LIGHT]
                       for number in range(first, last + 1)]  # fmt: skip
        assert all(sum(map(len, one.lanes.values())) <= replies.MAX_SETTLED_RANGES for one in messages)
        return sorted(in_states), in_messages

    def test_are_told_of_beside_the_state_once(self, client: Client) -> None:
        self.settle_all(client)
        for look in range(1, 5):
            client.tick(float(look))
        in_states, in_messages = self.heard(client)
        numbers = [2 * number for number in range(1, self.COUNT + 1)]
        assert in_states == numbers[: replies.MAX_STATE_RANGES]
        assert in_messages == numbers
        client.heard.clear()
        client.say(scalars(2 * self.COUNT + 2, 1))
        client.settle(Lane.LIGHT, 2 * self.COUNT + 2)
        client.tick(6.0)
        assert self.heard(client)[1] == [2 * self.COUNT + 2]

    def test_are_told_of_again_over_a_new_connection_and_when_it_could_not_be_sent(self, client: Client) -> None:
        self.settle_all(client)
        for look in range(1, 5):
            client.tick(float(look))
        for again in (lambda: client.reconnect(b"peer-2"), lambda: client.reception.not_told(client.peer)):
            again()
            client.heard.clear()
            client.say(requests.Heartbeat())
            for _ in range(3):
                client.tick(client.now + 1)
            assert self.heard(client)[1] == [2 * number for number in range(1, self.COUNT + 1)]

    def test_that_are_filled_need_no_more_messages(self, client: Client) -> None:
        self.settle_all(client)
        for number in range(1, self.COUNT + 1):
            client.settle(Lane.LIGHT, 2 * number - 1)
        client.tick(1.0)
        in_states, in_messages = self.heard(client)
        assert in_states == list(range(1, 2 * self.COUNT + 1))
        assert in_messages == []


class TestWhatIsMissing:
    def test_is_told_to_the_writer_when_a_run_is_closed(self, client: Client) -> None:
        for seq in (1, 2, 3):
            client.send(picture(seq))
        client.report(Dropped(client.id, picture(1)))
        client.report(Dropped(client.id, picture(2)))
        client.settle(Lane.PICTURE, 3)
        told = (Missing(1, "map", "too large", 4),)
        client.say(requests.CloseRun(1, told))
        here = Missing(1, "map", PRESSURE_IN_DAEMON, 2)
        assert client.wanted(CloseRun) == [CloseRun(client.id, 1, forget=False, missing=(*told, here))]

    def test_is_told_of_each_run_at_the_end_and_once(self, client: Client) -> None:
        client.say(requests.OpenRun(2, "/runs/b"))
        client.report(RunOpened(client.id, 2, RunMarks()))
        told = (Missing(1, "map", "too large", 4), Missing(2, "act", "too large", 1))
        client.say(requests.CloseRun(2, told[1:]))
        assert client.wanted(CloseRun) == [CloseRun(client.id, 2, forget=False, missing=told[1:])]
        client.report(RunClosed(client.id, 2))
        client.say(requests.Bye(told[:1]))
        assert client.wanted(CloseRun) == [CloseRun(client.id, 1, forget=True, missing=told[:1])]

    def test_of_a_worker_that_died_is_what_was_dropped_here(self, client: Client) -> None:
        client.send(picture(1))
        client.report(Dropped(client.id, picture(1)))
        client.tick(1e6)
        missing = (Missing(1, "map", PRESSURE_IN_DAEMON, 1),)
        assert client.wanted(CloseRun) == [CloseRun(client.id, 1, forget=False, missing=missing)]


class TestGoodbye:
    def test_comes_when_all_is_settled_and_the_runs_are_closed(self, client: Client) -> None:
        client.send(picture(1))
        assert client.say(requests.Bye()) == []
        assert client.wanted(CloseRun) == []  # one picture is still being rendered
        client.settle(Lane.PICTURE, 1)
        assert client.wanted(CloseRun) == [CloseRun(client.id, 1, forget=True)]
        (goodbye,) = client.report(RunClosed(client.id, 1))
        assert isinstance(goodbye, replies.Goodbye)
        assert goodbye.status.lanes[Lane.PICTURE].ends[End.WRITTEN] == 1
        assert client.reception.workers == []
        assert client.say(requests.Heartbeat()) == [replies.Reset()]

    def test_without_runs_comes_at_once(self, reception: Reception) -> None:
        client = Client(reception)
        client.hello()
        (goodbye,) = client.say(requests.Bye())
        assert isinstance(goodbye, replies.Goodbye)

    def test_waits_for_a_run_that_is_being_opened(self, reception: Reception) -> None:
        client = Client(reception)
        client.hello()
        client.say(requests.OpenRun(1, "/a"))
        assert client.say(requests.Bye()) == []
        assert client.report(RunOpened(client.id, 1, RunMarks())) == []
        assert client.wanted(CloseRun) == [CloseRun(client.id, 1, forget=True)]

    def test_comes_after_a_run_that_is_refused(self, reception: Reception) -> None:
        client = Client(reception)
        client.hello()
        client.say(requests.OpenRun(1, "/a"))
        client.say(requests.Bye())
        said = client.report(RunRefused(client.id, 1, Refusal.RUN_UNWRITABLE, "no"))
        assert [type(reply).__name__ for reply in said] == ["Refused", "Goodbye"]

    def test_is_forgotten_when_the_worker_comes_back(self, client: Client) -> None:
        client.send(picture(1))
        client.say(requests.Bye())
        client.reconnect(b"peer-2", picture=2)
        client.settle(Lane.PICTURE, 1)
        assert client.wanted(CloseRun) == []
        assert client.state()


class TestTheDead:
    def gone(self) -> tuple[Client, set[int]]:
        dead: set[int] = set()
        client = Client(make_reception(LOGDIR, process_is_gone=lambda worker: worker.pid in dead))
        client.hello()
        client.open()
        client.asked.clear()
        return client, dead

    def test_are_let_go_when_their_process_is_gone(self) -> None:
        client, dead = self.gone()
        client.say(scalars(1, 1))
        dead.add(4711)
        assert not any(isinstance(reply, replies.Goodbye) for reply in client.tick(DEAD_AFTER_S))
        assert client.reception.workers
        client.tick(DEAD_AFTER_S + 0.1)
        assert client.wanted(CloseRun) == []  # its scalar is not on disk yet
        client.settle(Lane.LIGHT, 1)
        assert client.wanted(CloseRun) == [CloseRun(client.id, 1, forget=False)]  # the markers remember it
        assert client.report(RunClosed(client.id, 1)) == []  # nobody is there to hear it
        assert client.reception.workers == []

    def test_are_let_go_when_they_are_silent_for_long(self) -> None:
        client, _ = self.gone()
        client.tick(SILENT_AFTER_S)
        assert client.wanted(CloseRun) == []
        client.tick(SILENT_AFTER_S + 0.1)
        assert client.wanted(CloseRun) == [CloseRun(client.id, 1, forget=False)]

    def test_leave_no_half_record_behind(self) -> None:
        client, dead = self.gone()
        client.say(requests.RecordMessage(picture(1, size=2 * MIB, storage="parts")))
        dead.add(4711)
        client.tick(DEAD_AFTER_S + 0.1)
        assert len(client.wanted(CloseRun)) == 1

    def test_that_live_begin_anew(self) -> None:
        client, _ = self.gone()
        client.send(picture(1))
        client.tick(SILENT_AFTER_S + 1)
        assert client.reception.next_tick_s(client.now) == 0.5  # it need not look all the time
        assert client.say(scalars(1, 1)) == [replies.Reset()]  # not rejected: it is sent again
        client.reconnect(b"peer-2", picture=2)
        client.open()
        client.say(scalars(1, 1))
        assert client.written_seqs()[Lane.LIGHT] == [1]
        assert isinstance(client.tick(client.now + 1)[0], replies.State)

    def test_do_not_disturb_the_living(self) -> None:
        client, _ = self.gone()
        other = Client(client.reception, id="b" * 16, peer=b"other")
        other.now = SILENT_AFTER_S
        other.hello()
        client.tick(SILENT_AFTER_S + 1)
        client.serve_runs()
        assert client.reception.workers == [other.worker]
        assert other.state()


class TestDraining:
    def test_tells_every_worker_and_takes_no_new_one(self, client: Client) -> None:
        assert client.take(client.reception.drain()) == [replies.Draining()]
        (refused,) = Client(client.reception, id="b" * 16, peer=b"new").hello()
        assert isinstance(refused, replies.Refused)
        assert refused.code is Refusal.DRAINING
        assert refused.text == "this daemon is going down"

    def test_takes_what_was_under_way_until_the_last_word(self, client: Client) -> None:
        client.reception.drain()
        client.say(scalars(1, 2))
        assert not client.reception.drained
        client.say(requests.Flush())
        assert client.reception.drained
        assert not client.reception.settled
        client.settle(Lane.LIGHT, 1, 2)
        assert client.reception.settled

    def test_does_not_wait_for_parts_that_will_not_come(self, client: Client) -> None:
        client.say(requests.RecordMessage(picture(1, size=2 * MIB, storage="parts")))
        client.reception.drain()
        client.say(requests.Flush())
        assert client.reception.settled

    def test_does_not_wait_for_parts_of_a_client_that_is_stuck(self, client: Client) -> None:
        client.say(requests.RecordMessage(picture(1, size=2 * MIB, storage="parts")))
        client.reception.drain()
        assert not client.reception.settled
        client.reception.end_intake()
        assert client.reception.settled

    def test_ends_with_a_farewell(self, client: Client) -> None:
        client.send(picture(1))
        client.settle(Lane.PICTURE, 1)
        (goodbye,) = client.take(client.reception.farewell())
        assert isinstance(goodbye, replies.Goodbye)
        assert goodbye.status.lanes[Lane.PICTURE].settled.through == 1


class TestLog:
    def test_is_not_flooded_by_one_peer(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        stranger = Client(client.reception, peer=b"stranger")
        for one in (client, stranger):
            for _ in range(COMPLAINTS_LOGGED + 30):
                one.frames([b"junk"])
        lines = [record.getMessage() for record in caplog.records]
        for who in (client.worker.label, "strangers"):
            said = [line for line in lines if line.startswith(f"{who}: ")]
            assert len(said) == COMPLAINTS_LOGGED + 1
            assert said[-1] == f"{who}: more of this is counted, and not logged"
        assert sum(client.reception.faults.values()) == 2 * (COMPLAINTS_LOGGED + 30)

    def test_says_what_was_wrong_when_a_worker_leaves(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        client.frames(pack(MessageKind.RECORD, 1, {"lane": "light", "seq": "?"}))
        caplog.set_level("INFO")
        client.say(requests.Bye())
        client.serve_runs()
        assert caplog.messages[-1] == f"{client.worker.label} left: nothing logged; faulty messages: 1 malformed"

    def test_names_the_worker_and_the_run(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        client.open(2, "/runs/exp2")
        client.send(picture(1, run=2))
        client.report(Rejected(client.id, picture(1, run=2), "cannot be drawn"))
        client.send(text(1, run=7))
        client.report(RunRefused(client.id, 3, Refusal.RUN_BUSY, "/runs/exp3 is busy"))
        client.report(Noted(client.id, "'map' at step 1: 3 values are NaN", run=2))
        client.report(Noted(client.id, "the writer has logged this", logged=True))
        client.report(RunClosed(client.id, 2, 12))
        label = client.worker.label
        assert caplog.messages == [
            f"{label}: /runs/exp2 is open",
            f"{label}, /runs/exp2: picture 'map' at step 1: cannot be drawn",
            f"{label}, run 7: 'note' at step 1: RECORD.run is 7, which is not open",
            f"{label}: /runs/exp3 is busy",
            f"{label}, /runs/exp2: 'map' at step 1: 3 values are NaN",
            f"{label}: /runs/exp2 is closed, 12 records written",
        ]

    def test_tells_of_a_refused_run_once(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        for why in ("busy", "busy", "unwritable", "unwritable"):
            client.say(requests.OpenRun(3, "/runs/exp3"))
            client.report(RunRefused(client.id, 3, Refusal.RUN_BUSY, f"/runs/exp3 is {why}"))
        label = client.worker.label
        assert caplog.messages == [f"{label}: /runs/exp3 is busy", f"{label}: /runs/exp3 is unwritable"]
        assert [one.text for one in client.heard if isinstance(one, replies.Refused)][-1] == "/runs/exp3 is unwritable"

    def test_tells_of_an_open_run_once(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        client.reconnect(b"peer-2")
        client.open()
        assert [line for line in caplog.messages if "is open" in line] == []

    def test_says_what_was_dropped_when_a_worker_leaves(self, client: Client, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level("INFO")
        for seq, tag in ((1, "a"), (2, "b"), (3, "b")):
            client.send(picture(seq, tag=tag))
            client.report(Dropped(client.id, picture(seq, tag=tag)))
        client.say(requests.Bye())
        client.serve_runs()
        assert caplog.messages[-1] == (
            f"{client.worker.label} left: 3 dropped; dropped of 2 b, 1 a; faulty messages: none"
        )


class TestInquire:
    @staticmethod
    def ask(reception: Reception, *, peer: bytes = b"somebody", now: float = 0.0) -> DaemonReport:
        frames = [memoryview(frame) for frame in requests.Inquire().frames(9)]
        (send,) = reception.feed(peer, frames, now)
        assert isinstance(send, Send)
        assert send.peer == peer
        envelope = unpack(send.frames, max_bytes=4 * MIB)
        assert envelope.epoch == 9
        reply = replies.read_reply(envelope)
        assert isinstance(reply, replies.Report)
        return reply.report

    def test_is_answered_for_anybody_and_makes_nobody_a_worker(self, reception: Reception) -> None:
        report = self.ask(reception, now=7.0)
        assert (report.instance, report.logdir, report.state) == ("d" * 16, "/logdir", "serving")
        assert (report.minor, report.uptime_s, report.worker_count) == (MINOR, 7.0, 0)
        assert reception.workers == []
        assert not reception.faults

    def test_of_a_worker_itself_leaves_its_session_alone(self, client: Client) -> None:
        assert self.ask(client.reception, peer=client.peer).worker_count == 1
        assert client.state().lanes[Lane.LIGHT].settled.through == 0

    def test_tells_how_a_worker_does(self, client: Client) -> None:
        for seq in (1, 2, 3):
            client.send(picture(seq, tag=f"tag{seq}"))
        client.say(scalars(1, 7))
        client.report(Dropped(client.id, picture(1, tag="tag1")))
        client.report(Rejected(client.id, picture(2, tag="tag2"), "cannot be drawn"))
        client.settle(Lane.LIGHT, 1, 5)
        client.frames(pack(MessageKind.RECORD, 1, {"lane": "light", "seq": "?"}))
        client.open(2, "/runs/exp2")
        client.report(RunRefused(client.id, 3, Refusal.RUN_BUSY, "it is busy"))
        view = ClientView(dropped=4, dropped_tags={"map": 4}, lag_s=1.5)
        client.now = 2.0
        client.say(requests.Heartbeat(view))
        report = self.ask(client.reception, now=4.0)
        (worker,) = report.workers
        assert worker.worker == client.worker
        assert (worker.state, worker.known_s, worker.heard_s, worker.client_s) == ("live", 4.0, 2.0, 2.0)
        assert list(worker.runs) == ["/runs/exp1", "/runs/exp2"]
        assert (worker.received_records, worker.records_per_s) == (10, 2.5)
        assert worker.bytes_per_s == worker.received_bytes / 4 > 100
        assert worker.ends == {End.WRITTEN: 5, End.REJECTED: 1, End.DROPPED: 1, End.LOST: 0}
        assert (worker.unsettled, worker.dropped_tags) == (3, {"tag1": 1})
        assert worker.faults == {"malformed": 1} == report.faults
        assert worker.last_error == "picture 'tag2' at step 2: cannot be drawn"
        assert list(worker.refused) == [("run 3", "it is busy")]
        assert worker.client == view

    def test_forgets_a_refusal_once_the_run_is_open(self, client: Client) -> None:
        client.say(requests.OpenRun(3, "/runs/exp3"))
        client.report(RunRefused(client.id, 3, Refusal.RUN_BUSY, "it is busy"))
        assert list(self.ask(client.reception).workers[0].refused) == [("/runs/exp3", "it is busy")]
        client.open(3, "/runs/exp3")
        assert list(self.ask(client.reception, now=1.0).workers[0].refused) == []

    def test_tells_who_is_silent_who_leaves_and_who_is_gone(self) -> None:
        reception = make_reception(LOGDIR, process_is_gone=lambda worker: worker.id[0] == "b")
        for id_ in ("a", "b", "c"):
            client = Client(reception, id=id_ * 16, peer=id_.encode())
            client.hello()
            client.open(1, f"/runs/{id_}")
            client.send(text(1))
        client.say(requests.Bye())
        reception.tick(DEAD_AFTER_S + 1)
        report = self.ask(reception, now=DEAD_AFTER_S + 1)
        assert {one.worker.id[0]: one.state for one in report.workers} == {"a": "silent", "b": "gone", "c": "leaving"}

    def test_is_answered_with_the_same_report_for_a_moment(self, client: Client) -> None:
        before = self.ask(client.reception, now=1.0)
        client.say(scalars(1, 7))
        assert self.ask(client.reception, now=1.05) == before
        assert self.ask(client.reception, now=1.2).workers[0].received_records == 7

    def test_is_answered_by_a_daemon_that_goes_down(self, client: Client) -> None:
        client.reception.drain()
        assert self.ask(client.reception).state == "draining"
