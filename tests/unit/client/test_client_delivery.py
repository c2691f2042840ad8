"""A worker's delivery against the daemon's own reception, message by message."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from delivery_rig import HEAVY_BYTES, Memory, Rig, ends

from sidelog import light_lane
from sidelog.light_lane import LightLane
from sidelog.phase import Phase
from sidelog.statistics import DAMAGED, NOT_IN_TIME, NOT_KNOWN, RUN_REFUSED, Statistics
from sidelog_daemon.session import Session
from sidelog_shared import replies, requests
from sidelog_shared.errors import TransportError, VersionMismatch, WriterError
from sidelog_shared.frames import MessageKind, unpack
from sidelog_shared.limits import MIB, PART_BYTES
from sidelog_shared.missing import PRESSURE, Missing
from sidelog_shared.records import Lane, Refusal


@pytest.fixture
def rig() -> Rig:
    """A worker with one open run."""
    rig = Rig()
    rig.open_run()
    rig.exchange()
    assert rig.delivery.phase is Phase.LIVE
    return rig


def kinds(rig: Rig) -> list[MessageKind]:
    """Kinds of the messages under way to the daemon."""
    return [MessageKind(unpack(frames, max_bytes=4 * MIB).kind) for frames in rig.requests]


class TestGreeting:
    def test_hello_then_runs_then_records(self) -> None:
        rig = Rig()
        rig.open_run()
        rig.scalar(1)
        rig.look()
        assert kinds(rig) == [MessageKind.HELLO]
        rig.deliver()
        rig.answer()
        assert rig.delivery.phase is Phase.OPENING
        rig.look()
        assert kinds(rig) == [MessageKind.OPEN_RUN]  # the record waits until the run is open
        rig.deliver()
        rig.daemon.write()
        rig.answer()
        assert rig.delivery.phase is Phase.LIVE
        rig.look()
        assert kinds(rig) == [MessageKind.SCALARS]

    def test_hello_is_said_again_and_answered_once(self) -> None:
        rig = Rig()
        rig.look()
        rig.delivery.say_hello()
        rig.look()
        assert kinds(rig) == [MessageKind.HELLO, MessageKind.HELLO]
        rig.exchange()
        assert rig.delivery.phase is Phase.LIVE

    def test_a_run_that_is_added_later_is_opened_before_its_records(self, rig: Rig) -> None:
        rig.open_run("/runs/b")
        rig.scalar(1, run=2)
        rig.look()
        assert kinds(rig) == [MessageKind.OPEN_RUN]
        rig.settle()
        assert rig.written("/runs/b") == ["loss 1"]

    def test_replies_of_an_older_epoch_are_not_heard(self, rig: Rig) -> None:
        rig.connect()
        old = replies.Draining().frames(rig.delivery.epoch - 1)
        rig.delivery.feed([bytes(frame) for frame in old])
        assert rig.delivery.phase is Phase.GREETING

    def test_reset_before_welcome_is_ignored_and_after_it_heard(self, rig: Rig) -> None:
        rig.connect()
        reset = [bytes(frame) for frame in replies.Reset().frames(rig.delivery.epoch)]
        rig.delivery.feed(reset)
        assert rig.delivery.phase is Phase.GREETING
        rig.exchange()
        rig.delivery.feed(reset)
        assert rig.delivery.phase is Phase.AWAY

    def test_a_heartbeat_is_answered(self, rig: Rig) -> None:
        rig.delivery.heartbeat()
        rig.look()
        rig.deliver()
        assert len(rig.daemon.replies) == 1

    def test_nonsense_is_told_and_does_no_harm(self, rig: Rig) -> None:
        rig.delivery.feed([b"hello"])
        rig.delivery.feed([])
        assert rig.said == [
            "the daemon sent a message that breaks the protocol: frame 0 is 5 bytes, expected 12",
            "the daemon sent a message that breaks the protocol: frame 0 is 0 bytes, expected 12",
        ]
        assert rig.delivery.phase is Phase.LIVE

    def test_a_reply_that_a_newer_daemon_may_have_added_is_ignored(self, rig: Rig) -> None:
        frames = [bytes(frame) for frame in replies.Reset().frames(rig.delivery.epoch)]
        rig.delivery.feed([frames[0][:6] + bytes([99]) + frames[0][7:], frames[1]])
        assert rig.delivery.phase is Phase.LIVE
        assert not rig.said

    def test_another_major_version_fails_everybody_who_waits(self, rig: Rig) -> None:
        rig.scalar(1)
        waiting = rig.flush()
        rig.look()
        text = "this daemon: message is of protocol 1.0, expected 2.x"
        rig.delivery.feed([bytes(frame) for frame in replies.Refused(Refusal.VERSION, text).frames(0)])
        assert isinstance(rig.delivery.failure, VersionMismatch)
        assert rig.delivery.problem_of([]) is rig.delivery.failure
        assert rig.said == [text]
        assert waiting.error is rig.delivery.failure


class TestLightRecords:
    def test_they_are_written_in_the_order_of_the_calls(self, rig: Rig) -> None:
        for step in range(5):
            rig.scalar(step)
            rig.text(f"note {step}")
        rig.settle()
        assert rig.written() == [f"{what} {step}" for step in range(5) for what in ("loss", "note")]
        assert rig.statistics.written == 10

    def test_what_was_not_settled_is_sent_again_over_a_new_connection(self, rig: Rig) -> None:
        for step in range(4):
            rig.scalar(step)
            rig.look()
        rig.deliver(2)
        rig.connect()  # two arrived and were not written; two are lost
        rig.settle()
        assert rig.written() == ["loss 0", "loss 1", "loss 2", "loss 3"]
        assert rig.statistics.written == 4

    def test_what_is_settled_is_forgotten_and_not_sent_again(self, rig: Rig) -> None:
        rig.scalar(1)
        rig.settle()
        rig.connect()
        rig.exchange()
        rig.scalar(2)
        rig.look()
        sent = requests.Scalars.read(unpack(rig.requests[-1], max_bytes=MIB))
        assert (sent.columns.first_seq, len(sent.columns)) == (2, 1)

    def test_a_new_daemon_writes_what_the_dead_one_had_not(self, rig: Rig) -> None:
        rig.scalar(1)
        rig.settle()
        rig.scalar(2)
        rig.exchange()
        rig.daemon.commit()  # written, and nobody heard of it
        rig.scalar(3)
        rig.exchange(1)
        rig.new_daemon()
        rig.settle()
        assert rig.written() == ["loss 1", "loss 2", "loss 3"]
        assert rig.statistics.written == 3

    def test_a_long_text_goes_in_parts_and_a_scalar_comes_between(self, rig: Rig) -> None:
        rig.text(payload=bytes(3 * PART_BYTES - 1))
        rig.look()
        assert kinds(rig) == [MessageKind.RECORD, *[MessageKind.PART] * 3]
        rig.settle()
        assert rig.written() == ["note"]

    def test_many_series_are_spread_over_messages_whose_headers_fit(self, rig: Rig) -> None:
        for step in range(300):
            rig.scalar(step, tag=f"{step:1000d}")
        rig.look()
        assert len(rig.requests) > 4
        rig.settle()
        assert rig.statistics.written == 300

    def test_what_is_under_way_at_once_is_bounded(self, rig: Rig) -> None:
        for _ in range(20):
            rig.text(payload=bytes(MIB))
        rig.look()
        assert 7 <= sum(kind is MessageKind.RECORD for kind in kinds(rig)) <= 8
        rig.settle()
        assert rig.statistics.written == 20


class TestPictures:
    def test_received_frees_the_memory_and_settled_forgets(self, rig: Rig) -> None:
        memory = rig.picture()
        rig.look()
        assert memory.end == ""
        rig.deliver()
        rig.daemon.tick()
        rig.answer()
        assert memory.end == "released"
        assert rig.statistics.pending == 1
        rig.settle()
        assert rig.statistics.written == 1

    def test_they_are_sent_once(self, rig: Rig) -> None:
        memory = rig.picture()
        rig.look()
        rig.connect()
        rig.exchange()
        assert memory.end == "discarded"  # the old socket may still read it
        assert rig.statistics.lost == 1
        rig.settle()
        assert rig.written(lane=Lane.PICTURE) == []

    def test_what_arrived_before_the_connection_broke_is_not_lost(self, rig: Rig) -> None:
        first, second = rig.picture("first"), rig.picture("second")
        rig.look()
        rig.deliver(1)
        rig.connect()
        rig.exchange()
        assert ends([first, second]) == ["released", "discarded"]
        rig.settle()
        assert rig.written(lane=Lane.PICTURE) == ["first"]
        assert (rig.statistics.written, rig.statistics.lost) == (1, 1)

    def test_a_welcome_that_is_lost_takes_nothing_with_it(self, rig: Rig) -> None:
        rig.picture("first")
        rig.picture("second")
        rig.look()
        rig.deliver(1)
        rig.connect()
        rig.look()
        rig.deliver()  # the daemon heard HELLO; its WELCOME is lost
        rig.connect()
        rig.settle()
        assert rig.written(lane=Lane.PICTURE) == ["first"]
        assert (rig.statistics.written, rig.statistics.lost) == (1, 1)

    def test_the_marks_of_a_run_say_what_a_dead_daemon_had_written(self, rig: Rig) -> None:
        for tag in ("written", "rendered", "waiting"):
            rig.picture(tag)
        rig.exchange()
        rig.daemon.render(0)
        rig.daemon.commit()
        rig.daemon.render(0)
        rig.new_daemon()
        rig.settle()
        assert rig.written(lane=Lane.PICTURE) == ["written"]
        assert (rig.statistics.written, rig.statistics.lost) == (1, 2)

    def test_a_new_daemon_that_is_lost_before_it_told_the_marks_is_asked_again(self, rig: Rig) -> None:
        rig.picture("written")
        rig.exchange()
        rig.daemon.render(0)
        rig.daemon.commit()
        rig.new_daemon()
        rig.look()
        rig.deliver()
        rig.answer()  # WELCOME
        rig.delivery.heartbeat()
        rig.look()
        rig.deliver()
        rig.daemon.tick()
        rig.answer()  # STATE, before OPENED
        rig.connect()
        rig.settle()
        assert (rig.statistics.written, rig.statistics.lost) == (1, 0)

    def test_what_became_of_those_in_a_run_that_the_new_daemon_refuses_shows_when_it_opens(self, rig: Rig) -> None:
        rig.picture("written")
        rig.exchange()
        rig.daemon.render(0)
        rig.daemon.commit()  # and its STATE is not heard
        rig.picture("went down")
        rig.look()
        rig.new_daemon()
        rig.disk.busy.add("/runs/a")
        rig.exchange()
        assert (rig.statistics.written, rig.statistics.lost, rig.statistics.pending) == (0, 0, 2)
        assert rig.delivery.is_stuck
        rig.disk.busy.clear()
        rig.pass_time(2.0)
        rig.exchange()
        assert (rig.statistics.written, rig.statistics.lost, rig.statistics.pending) == (1, 1, 0)

    def test_of_those_in_a_run_that_never_opens_again_nobody_knows(self, rig: Rig) -> None:
        rig.picture()
        rig.exchange()
        rig.new_daemon()
        rig.disk.busy.add("/runs/a")
        rig.exchange()
        rig.delivery.abandon(TransportError("the deadline has passed"))
        assert rig.statistics.lost_causes == {NOT_KNOWN: 1}

    def test_a_large_one_goes_in_parts_after_every_light_record(self, rig: Rig) -> None:
        rig.picture(nbytes=2 * PART_BYTES)
        rig.look(2)
        assert kinds(rig) == [MessageKind.RECORD, MessageKind.PART]
        rig.scalar(1)
        rig.look(2)
        assert kinds(rig) == [MessageKind.RECORD, MessageKind.PART, MessageKind.SCALARS, MessageKind.PART]
        rig.settle()
        assert rig.statistics.written == 2

    def test_the_rest_of_one_is_not_sent_over_a_new_connection(self, rig: Rig) -> None:
        rig.picture(nbytes=3 * PART_BYTES)
        rig.look(2)
        rig.connect()
        rig.exchange()
        assert not rig.requests
        assert sum(rig.daemon.reception.faults.values()) == 0

    def test_one_that_the_daemon_does_not_take_is_counted_and_told(self, rig: Rig) -> None:
        memory = rig.picture("huge", nbytes=4 * MIB + 1)
        rig.settle()
        assert memory.end == "released"
        assert rig.statistics.lost == 1
        assert rig.said == ["'huge' is 4,194,305 bytes, the daemon takes 4,194,304: not logged"]

    def test_drops_and_rejections_are_counted_and_told(self, rig: Rig) -> None:
        for _ in range(3):
            rig.picture("map")
        rig.exchange()
        rig.daemon.render(0, "dropped")
        rig.daemon.render(0, "rejected")
        rig.settle()
        statistics = rig.statistics
        assert (statistics.written, statistics.dropped, statistics.rejected) == (1, 1, 1)
        assert statistics.dropped_tags == {"map": 1}
        assert rig.said == ["picture 'map' at step 0: cannot be drawn"]

    def test_no_more_are_under_way_than_a_run_directory_remembers(self, rig: Rig) -> None:
        for _ in range(900):
            rig.picture()
        rig.exchange()
        for _ in range(900):
            rig.picture()
        rig.exchange()
        assert len(rig.daemon.renders) == 1024
        rig.settle()
        assert rig.statistics.written == 1800


class TestRefusedRuns:
    def test_it_is_told_once_with_the_reason(self, rig: Rig) -> None:
        run = rig.open_run("/busy")
        rig.exchange()
        rig.pass_time(2)
        rig.exchange()
        assert rig.said == [
            "nothing of this run is written for now, it is kept and tried again: /busy is busy; "
            "SIDELOG_ENDPOINT=ipc:///other logs there"
        ]
        problem = rig.delivery.problem_of([run])
        assert isinstance(problem, WriterError)
        assert str(problem) == "/busy is busy"
        assert rig.delivery.problem_of(rig.runs[:1]) is None

    def test_its_records_are_kept_and_those_of_the_others_written(self, rig: Rig) -> None:
        rig.open_run("/busy")
        rig.exchange()
        memory = rig.picture(run=2)
        rig.scalar(1, run=2)
        rig.clip("kept", run=2)
        rig.scalar(2, run=1)
        rig.clip("written", run=1)
        rig.settle()
        statistics = rig.statistics
        assert (statistics.written, statistics.pending, statistics.rejected, statistics.lost) == (2, 2, 0, 1)
        assert statistics.lost_causes == {RUN_REFUSED: 1}
        assert memory.end == "released"
        assert rig.delivery.is_stuck

    def test_scalars_of_one_batch_go_their_own_ways(self, rig: Rig) -> None:
        rig.open_run("/busy")
        for value in range(1, 9):
            rig.scalar(value, run=1 + value % 2)  # batched before anybody knows that the run is refused
        rig.settle()
        assert rig.written() == [f"loss {value}" for value in (2, 4, 6, 8)]
        rig.disk.busy.clear()
        rig.pass_time(2)
        rig.settle()
        assert rig.written("/busy") == [f"loss {value}" for value in (1, 3, 5, 7)]
        assert rig.statistics == Statistics(written=8)

    def test_it_is_asked_for_again_every_second_and_all_is_written_once_it_opens(self, rig: Rig) -> None:
        run = rig.open_run("/busy")
        rig.exchange()
        rig.scalar(1, run=2)
        rig.clip("clip", run=2)
        rig.settle()
        rig.disk.busy.clear()
        rig.settle()
        assert rig.written("/busy") == []
        rig.pass_time(1)
        rig.settle()
        assert rig.written("/busy") == ["loss 1"]
        assert rig.written("/busy", Lane.HEAVY) == ["clip"]
        assert run.refused == ""
        assert rig.said[-1] == "/busy is written again, with what was kept for it meanwhile"
        assert rig.statistics == Statistics(written=2)

    def test_who_waits_for_another_run_does_not_wait_for_it(self, rig: Rig) -> None:
        rig.open_run("/busy")
        rig.exchange()
        rig.scalar(1, run=2)
        rig.clip(run=2)
        rig.scalar(2, run=1)
        of_others, of_its_own = (rig.flush(everything=True, runs=frozenset([run])) for run in (1, 2))
        rig.settle()
        assert of_others.done.is_set()
        assert of_its_own.done.is_set()  # and then it is told why
        assert rig.statistics.pending == 2

    def test_its_end_waits_until_it_is_written(self, rig: Rig) -> None:
        run = rig.open_run("/busy")
        rig.exchange()
        rig.scalar(1, run=2)
        rig.end_run(run)
        rig.settle()
        rig.disk.busy.clear()
        rig.pass_time(2)
        rig.settle()
        assert rig.written("/busy") == ["loss 1"]
        assert 2 not in rig.daemon.open_runs

    def test_a_name_that_is_refused_is_not_asked_for_again(self, rig: Rig) -> None:
        rig.open_run("../outside")
        rig.scalar(1, run=2)
        rig.settle()
        rig.pass_time(2)
        rig.look()
        assert kinds(rig) == []
        assert (rig.statistics.rejected, rig.statistics.pending) == (1, 0)


class TestDraining:
    def test_nothing_but_flush_is_sent_any_more(self, rig: Rig) -> None:
        rig.daemon.carry_out(rig.daemon.reception.drain())
        rig.answer()
        assert rig.delivery.phase is Phase.DRAINING
        rig.scalar(1)
        rig.picture()
        rig.look()
        assert kinds(rig) == [MessageKind.FLUSH]
        rig.deliver()
        assert rig.daemon.reception.drained

    def test_what_it_has_is_learned_and_the_rest_goes_to_the_next(self, rig: Rig) -> None:
        rig.scalar(1)
        rig.exchange()
        rig.daemon.carry_out(rig.daemon.reception.drain())
        rig.answer()
        rig.scalar(2)
        rig.exchange()
        rig.daemon.finish()
        rig.daemon.carry_out(rig.daemon.reception.farewell())
        rig.answer()
        assert rig.delivery.phase is Phase.AWAY
        rig.new_daemon()
        rig.settle()
        assert rig.written() == ["loss 1", "loss 2"]
        assert rig.statistics.written == 2

    def test_a_daemon_that_drains_takes_no_new_connection(self, rig: Rig) -> None:
        rig.daemon.carry_out(rig.daemon.reception.drain())
        rig.connect()
        rig.look()
        rig.deliver()
        rig.answer()
        assert rig.delivery.phase is Phase.AWAY

    def test_the_rest_of_a_picture_that_had_begun_is_not_sent(self, rig: Rig) -> None:
        memory = rig.picture(nbytes=3 * PART_BYTES)
        rig.look(2)
        rig.deliver()
        rig.daemon.carry_out(rig.daemon.reception.drain())
        rig.answer()
        rig.look()
        assert kinds(rig) == [MessageKind.FLUSH]
        rig.deliver()
        rig.new_daemon()
        rig.settle()
        assert memory.end == "discarded"
        assert rig.statistics.lost == 1


class TestFlush:
    def test_it_waits_for_the_light_records_before_it(self, rig: Rig) -> None:
        rig.scalar(1)
        rig.picture()
        request = rig.flush()
        rig.look()
        rig.deliver()
        rig.daemon.write(1)
        rig.answer()
        assert not request.done.is_set()
        rig.exchange()  # FLUSH makes the daemon write at once
        assert request.done.is_set()
        assert request.error is None
        assert rig.statistics.pending == 1  # the picture

    def test_with_pictures_it_waits_for_those_too(self, rig: Rig) -> None:
        rig.picture()
        request = rig.flush(everything=True)
        rig.exchange()
        assert not request.done.is_set()
        rig.daemon.render(0)
        rig.daemon.commit()
        rig.picture()  # after it
        rig.exchange()
        assert request.done.is_set()

    def test_whoever_waits_for_pictures_asks_again_when_they_are_sent(self, rig: Rig) -> None:
        rig.settle()
        rig.picture()
        rig.clip()
        rig.flush(everything=True)
        rig.look()
        assert [kind.name for kind in kinds(rig)] == ["FLUSH", "RECORD", "RECORD", "FLUSH"]
        rig.deliver()
        rig.scalar(1)
        rig.picture()
        rig.flush()
        rig.look()
        assert [kind.name for kind in kinds(rig)] == ["SCALARS", "FLUSH", "RECORD"]

    def test_pictures_that_are_dropped_before_they_are_sent_are_not_waited_for(self, rig: Rig) -> None:
        rig.connect()  # nothing is sent for now
        for _ in range(3):
            rig.picture("map")
        request = rig.flush(everything=True)
        rig.look()
        for _ in range(3):
            rig.outbox.make_room(1, "map")
        rig.exchange()
        assert request.done.is_set()

    def test_pictures_that_are_lost_are_not_waited_for(self, rig: Rig) -> None:
        rig.picture()
        request = rig.flush(everything=True)
        rig.look()
        rig.connect()
        rig.exchange()
        assert request.done.is_set()

    def test_nothing_to_wait_for(self, rig: Rig) -> None:
        request = rig.flush(everything=True)
        rig.look()
        assert request.done.is_set()

    def test_it_asks_the_daemon_once(self, rig: Rig) -> None:
        rig.scalar(1)
        rig.flush()
        rig.look()
        rig.look()
        assert kinds(rig) == [MessageKind.SCALARS, MessageKind.FLUSH]

    def test_it_is_answered_by_the_next_daemon(self, rig: Rig) -> None:
        rig.scalar(1)
        request = rig.flush()
        rig.look()
        rig.new_daemon()
        rig.settle()
        assert request.done.is_set()
        assert request.error is None


def test_the_memory_of_a_picture_is_gone_once_the_daemon_has_it(rig: Rig) -> None:
    """Not only given back: a lazy grid's memory lives as long as somebody holds it."""
    gone = weakref.ref(rig.picture())
    rig.memories.clear()
    rig.exchange()
    rig.look()
    gc.collect()
    assert rig.statistics.pending == 1  # it is still being rendered
    assert [record.tag for record in rig.daemon.renders] == ["map"]
    assert gone() is None


class TestTheEnd:
    def test_goodbye_closes_the_runs(self, rig: Rig) -> None:
        rig.scalar(1)
        rig.settle()
        rig.leave()
        assert rig.daemon.reception.workers == []
        assert rig.statistics.written == 1

    def test_a_closed_run_is_closed_in_the_daemon(self, rig: Rig) -> None:
        run = rig.open_run("/runs/b")
        rig.exchange()
        rig.end_run(run)
        rig.look()
        assert kinds(rig) == [MessageKind.CLOSE_RUN]
        rig.settle()
        rig.connect()
        rig.look()
        rig.deliver()
        rig.answer()
        rig.look()
        assert len(kinds(rig)) == 1  # it is not opened again

    def test_abandoning_counts_what_is_left_and_tells_who_waits(self, rig: Rig) -> None:
        rig.scalar(1)
        sent = rig.picture()
        waiting = rig.flush(everything=True)
        rig.look()
        rig.scalar(2)
        unsent = rig.picture()
        late = rig.flush()
        error = TransportError("the connection is closed")
        rig.delivery.abandon(error)
        assert waiting.error is late.error is error
        assert waiting.done.is_set()
        assert late.done.is_set()
        assert ends([sent, unsent]) == ["discarded", "released"]
        statistics = rig.statistics
        assert (statistics.lost, statistics.pending, statistics.logged) == (4, 0, 4)
        # Of what a daemon has been sent nobody knows; the rest is not written for certain.
        assert statistics.lost_causes == {NOT_KNOWN: 2, NOT_IN_TIME: 2}

    def test_which_of_thousands_of_runs_may_be_closed_is_looked_at_once_for_all(self, rig: Rig) -> None:
        """Trials of a search, say: each for itself, they took the training's time."""
        runs = [rig.open_run(f"/runs/trial{number}") for number in range(200)]
        rig.exchange()
        for run in runs:
            rig.scalar(1, run=run.id)
            rig.end_run(run)
        lowest_unsettled = LightLane.lowest_unsettled
        looks = []

        def look(lane: LightLane) -> dict[int, int]:
            looks.append(lane.pending)
            return lowest_unsettled(lane)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(LightLane, "lowest_unsettled", look)
            rig.exchange()
            assert looks[:1] == [200]
            assert len(looks) < 20
        rig.settle()
        assert rig.statistics.written == 200

    def test_a_run_that_ends_is_closed_once_what_was_logged_into_it_has_settled(self, rig: Rig) -> None:
        run = rig.open_run("/runs/b")
        rig.exchange()
        rig.scalar(1, run=run.id)
        rig.picture(run=run.id)
        rig.end_run(run)
        rig.exchange()
        assert MessageKind.CLOSE_RUN not in kinds(rig)
        rig.settle()
        assert rig.written("/runs/b") == ["loss 1"]
        assert (rig.statistics.written, rig.statistics.logged) == (2, 2)

    def test_a_run_that_is_closed_says_what_of_its_pictures_is_missing(self, rig: Rig) -> None:
        run = rig.open_run("/runs/b")
        rig.exchange()
        rig.picture("huge", run=run.id, nbytes=4 * MIB + 1)
        rig.picture("huge", nbytes=4 * MIB + 1)
        rig.outbox.count_drop(run.id, "map")
        rig.outbox.count_drop(run.id, "map")
        rig.end_run(run)
        told: list[tuple[Missing, ...]] = []
        hear_missing = Session.hear_missing
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Session, "hear_missing", lambda self, one: (told.append(one), hear_missing(self, one)))
            rig.settle()
            rig.exchange()  # what was given up was so at the last look
            rig.delivery.leave()
            rig.exchange()
        huge = Missing(run.id, "huge", "larger than the daemon takes", 1)
        assert told == [
            (Missing(run.id, "map", PRESSURE, 2), huge),
            (Missing(1, "huge", "larger than the daemon takes", 1),),
        ]

    def test_a_run_that_ended_before_a_daemon_came_is_opened_and_written_all_the_same(self) -> None:
        rig = Rig()
        run = rig.open_run("/runs/b")
        rig.scalar(1, run=run.id)
        rig.picture(run=run.id)
        rig.end_run(run)
        rig.scalar(2, run=rig.open_run("/runs/b").id)  # the same writer again
        rig.settle()
        assert rig.written("/runs/b") == ["loss 1", "loss 2"]
        assert (rig.statistics.written, rig.statistics.logged) == (3, 3)

    def test_the_records_of_a_run_that_ended_outlive_the_daemon(self, rig: Rig) -> None:
        run = rig.open_run("/runs/b")
        rig.scalar(1, run=run.id)
        rig.end_run(run)
        rig.exchange()
        rig.new_daemon()
        rig.settle()
        assert rig.written("/runs/b") == ["loss 1"]


def test_the_totals_of_daemons_that_are_gone_are_kept(rig: Rig) -> None:
    for _ in range(3):
        rig.scalar(1)
        rig.picture("map")
        rig.exchange()
        rig.daemon.render(0, "dropped")
        rig.settle()
        rig.new_daemon()
        rig.exchange()
    statistics = rig.statistics
    assert (statistics.written, statistics.dropped, statistics.logged) == (3, 3, 6)
    assert statistics.dropped_tags == {"map": 3}


def test_a_snapshot_that_is_given_back_twice_would_be_noticed() -> None:
    memory = Memory()
    memory.release()
    with pytest.raises(AssertionError, match="discarded after it was released"):
        memory.discard()


class TestSpool:
    @pytest.fixture
    def kept(self, tmp_path: Path) -> Rig:
        rig = Rig(tmp_path / "spool")
        rig.open_run("/runs/a")
        rig.open_run("/runs/b")
        rig.exchange()
        return rig

    def test_what_no_daemon_takes_in_time_leaves_memory_and_comes_back_from_the_disk(self, kept: Rig) -> None:
        kept.new_daemon()
        for value in range(1, 7):
            kept.scalar(value, run=1 + value % 2)
        for value in range(1, 5):
            kept.clip(f"clip {value}", nbytes=PART_BYTES + 1)
        kept.pass_time(1.0)
        assert not kept.spool_exists
        kept.pass_time(2.0)
        assert kept.spool_exists
        assert kept.outbox.reserve_heavy(HEAVY_BYTES)  # all of it is free
        kept.outbox.free_heavy(HEAVY_BYTES)
        assert kept.statistics.pending == 10
        kept.settle()
        assert kept.written("/runs/a") == ["loss 2", "loss 4", "loss 6"]
        assert kept.written("/runs/b") == ["loss 1", "loss 3", "loss 5"]
        assert kept.written("/runs/a", Lane.HEAVY) == [f"clip {value}" for value in range(1, 5)]
        assert kept.statistics == Statistics(written=10)
        assert not kept.spool_exists

    def test_of_one_place_what_a_dead_daemon_had_settled_is_neither_sent_nor_counted_again(self, kept: Rig) -> None:
        """One run of a batch was committed, the other one was not."""
        kept.new_daemon()
        for value in range(1, 7):
            kept.scalar(value, run=1 + value % 2)
        kept.pass_time(3.0)
        kept.exchange()
        kept.daemon.commit("/runs/a")
        kept.daemon.tick()
        kept.answer()
        assert kept.statistics.written == 3
        kept.new_daemon()
        kept.settle()
        assert kept.written("/runs/b") == ["loss 1", "loss 3", "loss 5"]
        assert kept.statistics == Statistics(written=6)
        assert not kept.spool_exists

    def test_what_a_daemon_has_taken_and_not_written_is_there_too_and_not_sent_twice(self, kept: Rig) -> None:
        kept.scalar(1)
        kept.clip()
        kept.exchange()
        kept.pass_time(2.0)
        assert kept.spool_exists
        kept.look()
        assert kinds(kept) == []
        kept.daemon.finish()
        kept.answer()
        assert kept.statistics == Statistics(written=2)
        assert not kept.spool_exists

    def test_a_run_that_is_refused_is_told_apart_from_others_that_share_its_place(self, kept: Rig) -> None:
        kept.new_daemon()
        kept.disk.busy = {"/runs/b"}
        for value in range(1, 7):
            kept.scalar(value, run=1 + value % 2)
        kept.pass_time(3.0)
        request = kept.flush(runs=frozenset([1]))
        kept.settle()
        assert request.done.is_set()
        assert kept.written("/runs/a") == ["loss 2", "loss 4", "loss 6"]
        kept.disk.busy.clear()
        kept.pass_time(3.0)
        kept.settle()
        assert kept.written("/runs/b") == ["loss 1", "loss 3", "loss 5"]
        assert kept.statistics == Statistics(written=6)
        assert not kept.spool_exists

    def test_what_is_damaged_there_is_lost_and_counted_and_the_rest_goes_on(self, kept: Rig) -> None:
        kept.new_daemon()
        kept.scalar(1, run=1)
        kept.pass_time(3.0)
        kept.scalar(2, run=2)
        kept.pass_time(3.0)
        assert kept.spool is not None
        content = bytearray(kept.spool.path.read_bytes())
        content[content.index(b"loss")] ^= 1
        kept.spool.path.write_bytes(content)
        kept.settle()
        assert (kept.written("/runs/a"), kept.written("/runs/b")) == ([], ["loss 2"])
        assert kept.statistics == Statistics(written=1, lost=1, lost_causes={DAMAGED: 1})
        assert "1 records are lost: bytes" in kept.said[-1]
        assert not kept.spool_exists

    def test_memory_that_runs_short_moves_the_oldest_at_once(self, kept: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(light_lane, "MAX_HELD_BYTES", 10_000)
        kept.new_daemon()
        for value in range(50):
            kept.text(f"note {value}", payload=bytes(400))
        for _ in range(10):
            kept.pass_time(0.0)
        assert kept.spool_exists
        assert not kept.outbox.has_records
        kept.settle()
        assert kept.written("/runs/a") == [f"note {value}" for value in range(50)]

    def test_a_refusal_takes_nothing_out_of_the_spool(self, kept: Rig) -> None:
        """Were it in memory alone, a training that is killed then would lose all that had been safe."""
        kept.new_daemon()
        for value in range(1, 7):
            kept.scalar(value, run=1 + value % 2)
        kept.pass_time(3.0)
        assert kept.spool is not None
        before = kept.spool.path.read_bytes()
        kept.disk.busy = {"/runs/b"}
        kept.exchange()
        assert kept.delivery.phase is Phase.LIVE
        assert kept.spool.path.read_bytes() == before
        kept.settle()
        assert kept.written("/runs/a") == ["loss 2", "loss 4", "loss 6"]
        assert kept.spool_exists

    def test_a_run_is_asked_for_again_once_however_long_the_answer_takes(self, kept: Rig) -> None:
        kept.disk.busy = {"/runs/c"}
        kept.open_run("/runs/c")
        kept.settle()
        for _ in range(5):
            kept.pass_time(2.0)
            kept.look()
        assert kinds(kept).count(MessageKind.OPEN_RUN) == 1
        kept.disk.busy.clear()
        kept.deliver()
        kept.daemon.write()
        kept.answer()
        kept.scalar(1, run=3)
        kept.settle()
        assert kept.written("/runs/c") == ["loss 1"]
