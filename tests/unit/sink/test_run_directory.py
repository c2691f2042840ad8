from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sink_files import (
    NOTE,
    NOW,
    Clock,
    Disk,
    event_files,
    events,
    scalar,
    scalars,
    send,
    starts,
    steps,
)

from descriptors import kept_open_below
from fast_reader import fast_scalars
from sidelog_daemon.sink import CommitError, RunDirectory
from sidelog_daemon.sink.event_file import framed
from sidelog_daemon.sink.summaries import file_version_event, scalar_event, session_start_event, text_event
from sidelog_daemon.tensorboardx import event_pb2
from sidelog_shared.errors import RunBusy, WriterError
from sidelog_shared.locks import is_held_by_someone
from sidelog_shared.records import Lane, RunMarks

_opened: list[RunDirectory] = []


@pytest.fixture(autouse=True)
def _let_go() -> Iterator[None]:
    """Many tests end while a directory is open, as a killed daemon would leave it."""
    yield
    while _opened:
        _opened.pop().abandon()


def open_run(path: Path, clock: Clock | None = None, **options: object) -> RunDirectory:
    run = RunDirectory.open(path, owner_note=NOTE, clock=clock or Clock(), **options)  # type: ignore[arg-type]
    _opened.append(run)
    return run


def test_both_readers_show_each_record_once_and_no_marker(tmp_path: Path) -> None:
    path = tmp_path / "run"
    run = open_run(path)
    send(run, range(1, 41))
    run.commit()
    send(run, range(41, 61))
    run.abandon()  # as SIGKILL: the open group is gone
    run = open_run(path)
    send(run, range(1, 81))
    run.commit()
    send(run, [1, 2, 3], worker="w2", lane="heavy")
    run.close()
    expected = {
        "w1/light": [(n, float(n)) for n in range(1, 81)],
        "w2/heavy": [(n, float(n)) for n in (1, 2, 3)],
    }
    assert scalars(path) == expected
    assert fast_scalars(path, expected) == expected


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_exactly_once_through_any_number_of_crashes(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("run")
    for _ in range(data.draw(st.integers(1, 4), "lives")):
        run = open_run(path, max_file_bytes=data.draw(st.sampled_from([400, 1 << 30]), "max_file_bytes"))
        settled = run.written("w1").light
        upto = data.draw(st.integers(settled, 30), "upto")
        for seq in range(data.draw(st.integers(1, settled + 1), "resent from"), upto + 1):
            assert send(run, [seq]) == (seq > settled)
            if data.draw(st.booleans(), "commit"):
                run.commit()
        run.abandon()
        if run.file is not None:
            torn = framed([scalar(settled + 1)])[: data.draw(st.integers(0, 40), "torn")]
            with run.file.open("ab") as file:
                file.write(torn)
    run = open_run(path)
    send(run, range(1, 31))
    run.close()
    assert steps(path) == list(range(1, 31))


def test_a_run_in_which_nothing_was_logged_has_no_event_file(tmp_path: Path) -> None:
    run = open_run(tmp_path / "a" / "b")
    run.commit()
    run.forget("w1")
    run.close()
    assert event_files(tmp_path / "a" / "b") == []


@pytest.mark.parametrize(("wall_time", "expected"), [(None, NOW), (NOW - 9, NOW - 9)])
def test_a_run_that_is_begun_has_one_with_the_time_of_that(
    tmp_path: Path, wall_time: float | None, expected: float
) -> None:
    clock = Clock()
    run = open_run(tmp_path, clock)
    run.begin(wall_time)
    clock.now += 5
    run.commit()
    (path,) = event_files(tmp_path)
    assert starts(tmp_path) == [path.name]
    assert [event.wall_time for event in events(path)[:2]] == [expected, expected]
    run.begin()
    run.commit()
    send(run, range(1, 4))
    run.close()
    assert event_files(tmp_path) == [path]
    assert steps(tmp_path) == [1, 2, 3]


def test_a_run_that_has_an_event_file_is_not_begun_again(tmp_path: Path) -> None:
    (tmp_path / "events.out.tfevents.1.somebody").write_bytes(framed([file_version_event(1.0)]))
    run = open_run(tmp_path)
    run.begin()
    run.commit()
    run.close()
    assert [path.name for path in event_files(tmp_path)] == ["events.out.tfevents.1.somebody"]


def test_no_event_file_is_seen_before_its_first_group_is(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    send(run, range(1, 4))
    assert run.pending_bytes == 3 * len(framed([scalar(1, "w1/light")]))
    assert event_files(tmp_path) == []
    run.commit()
    assert run.pending_bytes == 0
    assert steps(tmp_path) == [1, 2, 3]
    run.close()


def test_a_group_with_its_marker_is_one_write_and_nothing_is_none(tmp_path: Path) -> None:
    disk = Disk()
    run = open_run(tmp_path, write=disk)
    send(run, range(1, 100))
    run.commit()
    run.append_framed("w1", "light", 101, framed([scalar(100), scalar(101)]))
    run.note("tag")
    run.commit()
    run.commit()
    send(run, range(1, 100))
    run.commit()
    run.close()
    assert len(disk.writes) == 2
    assert sum(disk.writes) == event_files(tmp_path)[0].stat().st_size


def test_only_the_first_file_of_a_directory_starts_a_session(tmp_path: Path) -> None:
    for group in (range(1, 4), range(4, 7), range(7, 9)):
        run = open_run(tmp_path)
        send(run, group)
        run.close()
    files = event_files(tmp_path)
    assert len(files) == 3
    assert [events(file)[0].file_version for file in files] == ["brain.Event:2"] * 3
    assert starts(tmp_path) == [files[0].name]
    assert steps(tmp_path) == list(range(1, 9))


def test_a_purge_is_a_record_like_any_other(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    send(run, range(1, 11))
    run.commit()
    for _ in range(2):
        run.append("w1", "light", 11, [session_start_event(6, NOW)])
        run.commit()
    run.append("w1", "light", 12, [scalar(6, "w1/light")])
    run.close()
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 6]
    assert len(starts(tmp_path)) == 2


def test_files_go_on_in_order_when_the_clock_goes_back(tmp_path: Path) -> None:
    clock = Clock()
    names = []
    for life in range(4):
        run = open_run(tmp_path, clock)
        send(run, [life + 1])
        run.close()
        assert run.file is not None
        names.append(run.file.name)
        clock.now -= 1000
    assert names == sorted(names)
    assert steps(tmp_path) == [1, 2, 3, 4]


def test_a_file_that_is_full_is_followed_by_another(tmp_path: Path) -> None:
    run = open_run(tmp_path, max_file_bytes=1000)
    for seq in range(1, 41):
        send(run, [seq])
        run.commit()
    run.close()
    files = event_files(tmp_path)
    assert len(files) > 3
    assert all(1000 <= file.stat().st_size < 1400 for file in files[:-1])
    assert len(starts(tmp_path)) == 1
    assert steps(tmp_path) == list(range(1, 41))
    assert open_run(tmp_path).written("w1") == RunMarks(light=40)


def test_what_stands_is_told_per_worker_and_lane(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    send(run, [2, 5])
    send(run, [3], lane="heavy")
    send(run, [1, 2, 9], lane="picture")
    assert run.written("w1") == RunMarks()  # in memory only: must not be acknowledged
    run.commit()
    expected = RunMarks(light=5, heavy=3, picture=((1, 2), (9, 9)))
    assert run.written("w1") == expected
    assert run.written("w2") == RunMarks()
    run.close()
    again = open_run(tmp_path)
    assert again.written("w1") == expected
    assert [again.append("w1", "picture", seq, []) for seq in (1, 3, 9, 8)] == [False, True, False, True]
    again.close()


def test_lanes_by_name_or_by_enum(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    assert run.append("w1", Lane.PICTURE, 1, [scalar(1)])
    assert not run.append("w1", "picture", 1, [scalar(1)])
    with pytest.raises(ValueError, match="lane is 'medium', expected"):
        run.append("w1", "medium", 1, [])
    run.close()


def test_one_record_of_many_events_is_whole_or_absent(tmp_path: Path) -> None:
    def breaks():  # type: ignore[no-untyped-def]
        yield scalar(1, "w1/light")
        raise RuntimeError("rendering failed")

    run = open_run(tmp_path)
    with pytest.raises(RuntimeError):
        run.append("w1", "light", 1, breaks())
    assert run.pending_bytes == 0
    message = event_pb2.Event.FromString(scalar(2, "w1/light"))
    assert run.append("w1", "light", 1, [scalar(1, "w1/light"), message])
    run.close()
    assert steps(tmp_path) == [1, 2]


def test_many_at_once_stand_as_each_by_itself_would(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.append_framed("w1", "light", 5, framed(scalar(seq, "w1/light") for seq in range(1, 6)))
    assert run.append("w1", "light", 5, [scalar(5, "w1/light")]) is False
    run.append_framed("w1", "light", 8, framed(scalar(seq, "w1/light") for seq in (6, 8)))
    run.close()
    assert steps(tmp_path) == [1, 2, 3, 4, 5, 6, 8]
    assert open_run(tmp_path).written("w1") == RunMarks(light=8)


def test_a_record_without_events_is_not_asked_for_again(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    assert run.append("w1", "heavy", 1, [])
    run.close()
    assert open_run(tmp_path).written("w1") == RunMarks(heavy=1)


def test_what_belongs_to_a_tag_is_written_once_ever(tmp_path: Path) -> None:
    for life in range(3):
        run = open_run(tmp_path)
        first = run.note("layer1", [text_event("layer1", "how it was made", 0, NOW)])
        assert first == (life == 0)
        assert not run.note("layer1", [text_event("layer1", "again", 0, NOW)])
        run.close()
    (path,) = event_files(tmp_path)
    tags = [event.summary.value[0].tag for event in events(path) if event.HasField("summary")]
    assert tags == ["layer1/text_summary"]


def test_a_note_whose_group_died_is_new_again(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    assert run.note("layer1")
    run.abandon()
    assert open_run(tmp_path).note("layer1")


def test_a_worker_that_said_goodbye_leaves_the_table(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    send(run, [1, 2], worker="w1")
    send(run, [1], worker="w2")
    run.commit()
    run.forget("w1")
    run.close()
    again = open_run(tmp_path)
    assert (again.written("w1"), again.written("w2")) == (RunMarks(), RunMarks(light=1))
    again.close()
    (path,) = event_files(tmp_path)
    assert json.loads(events(path)[-1].session_log.msg)["gone"] == ["w1"]


def test_steps_that_are_counted_here_go_on_after_a_crash(tmp_path: Path) -> None:
    for life in range(3):
        run = open_run(tmp_path)
        for seq in range(1, 5 * (life + 1) + 1):
            if run.has("w1", "light", seq):
                continue
            assert run.next_step("scalars", "loss") == seq - 1
            run.append("w1", "light", seq, [scalar_event("loss", float(seq), seq - 1, NOW)])
            if seq % 5 in (0, 3):
                run.commit()
        assert run.next_step("scalars", "loss") == 5 * (life + 1)  # for a record that dies with its group
        run.abandon()
    assert steps(tmp_path, "loss") == list(range(15))
    assert open_run(tmp_path).next_step("text", "loss") == 0


def test_what_is_known_of_many_numbers_is_told_before_their_events_are_made(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    send(run, [2, 4])
    run.commit()
    send(run, [5])
    batches = ([], [1, 2], [4, 5, 6], [7])
    assert [run.count_known("w1", "light", np.array(seqs, np.int64)) for seqs in batches] == [0, 2, 2, 0]
    assert [run.has("w1", "light", seq) for seq in (1, 5, 6)] == [True, True, False]


def test_a_second_daemon_is_told_who_writes_the_run(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    with pytest.raises(RunBusy, match=r"another daemon at ipc:///run/a\.sock") as caught:
        RunDirectory.open(tmp_path, owner_note=b"{}")
    assert caught.value.owner_endpoint == "ipc:///run/a.sock"
    with pytest.raises(RunBusy, match="written by another daemon, expected") as caught:
        open_run(tmp_path)  # one that listens at the same place now: who goes there finds the wrong one
    assert caught.value.owner_endpoint == ""
    run.close()
    second = RunDirectory.open(tmp_path, owner_note=b"not json")
    with pytest.raises(RunBusy, match="written by another daemon, expected") as caught:
        open_run(tmp_path)
    assert caught.value.owner_endpoint == ""
    second.close()


def test_a_busy_directory_is_not_touched(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    send(run, [1])
    run.commit()
    assert run.file is not None
    with run.file.open("ab") as file:
        file.write(b"half a group")
    content = run.file.read_bytes()
    with pytest.raises(RunBusy):
        open_run(tmp_path)
    assert run.file.read_bytes() == content
    run.abandon()


def test_a_path_that_cannot_be_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(WriterError, match=r"cannot be opened: got .*, expected a directory"):
            open_run(path)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_directory_that_may_not_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*arguments: object, **options: object) -> int:
        raise OSError(number, os.strerror(number), str(tmp_path / ".sidelog.lock"))

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        with pytest.raises(WriterError, match=os.strerror(number)):
            open_run(tmp_path)
    open_run(tmp_path).close()


@pytest.mark.parametrize("room", [0, 1, 30, 150])
def test_a_run_on_a_full_disk_waits_and_goes_on_in_a_new_file(tmp_path: Path, room: int) -> None:
    disk = Disk()
    path = tmp_path / "run"
    run = open_run(path, write=disk)
    send(run, range(1, 6))
    run.commit()
    before = event_files(path)[0].read_bytes()
    for upto in (10, 15, 20):
        disk.room = room
        send(run, range(6, upto + 1))
        with pytest.raises(CommitError) as caught:
            run.commit()
        assert caught.value.errno == errno.ENOSPC
        assert isinstance(caught.value, WriterError)
        assert [file.read_bytes() for file in event_files(path)] == [before]
        assert run.written("w1") == RunMarks(light=5)
        assert run.pending_bytes > 0
    disk.room = None
    run.commit()
    assert run.written("w1") == RunMarks(light=20)
    send(run, range(21, 26))
    run.close()
    assert event_files(path)[0].read_bytes() == before
    assert len(event_files(path)) == 2
    expected = {"w1/light": [(n, float(n)) for n in range(1, 26)]}
    assert scalars(path) == expected
    assert fast_scalars(path, expected) == expected


def test_a_daemon_that_dies_on_a_full_disk_leaves_all_to_be_sent_again(tmp_path: Path) -> None:
    disk = Disk()
    run = open_run(tmp_path, write=disk)
    send(run, range(1, 6))
    run.commit()
    send(run, range(6, 11))
    disk.room = 20
    with pytest.raises(CommitError):
        run.close()
    run.abandon()
    run.abandon()
    again = open_run(tmp_path)
    assert send(again, range(1, 11)) == 5
    again.close()
    assert steps(tmp_path) == list(range(1, 11))


def test_a_close_that_failed_may_be_tried_again(tmp_path: Path) -> None:
    disk = Disk(room=0)
    run = open_run(tmp_path, write=disk)
    send(run, [1])
    with pytest.raises(CommitError):
        run.close()
    disk.room = None
    run.close()
    assert steps(tmp_path) == [1]


class TestRemoved:
    """By somebody else, while it is open."""

    def test_a_directory_is_made_again_with_what_comes_after(self, tmp_path: Path) -> None:
        path = tmp_path / "parent" / "run"
        run = open_run(path)
        send(run, [1, 2])
        run.commit()
        old = event_files(path)[0].name
        shutil.rmtree(path.parent)
        assert run.is_removed
        send(run, [3, 4])
        run.commit()
        assert run.removal_found
        assert not run.is_removed
        assert send(run, range(1, 6)) == 1  # the first two were written once, and are gone
        run.close()
        expected = {"w1/light": [(n, float(n)) for n in (3, 4, 5)]}
        assert scalars(path) == expected
        assert fast_scalars(path, expected) == expected
        (new,) = event_files(path)
        assert new.name > old
        assert starts(path) == [new.name]
        assert kept_open_below(tmp_path) == []

    def test_a_daemon_that_comes_later_knows_what_stood_in_it(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        run = open_run(path)
        send(run, [1, 2])
        assert run.next_step("scalars", "loss") == 0
        run.commit()
        shutil.rmtree(path)
        send(run, [3])
        run.commit()
        run.abandon()
        again = open_run(path)
        assert again.written("w1") == RunMarks(light=3)
        assert again.next_step("scalars", "loss") == 1

    def test_its_lock_is_taken_anew(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        run = open_run(path)
        shutil.rmtree(path)
        send(run, [1])
        run.commit()
        with pytest.raises(RunBusy, match=r"ipc:///run/a.sock"):
            RunDirectory.open(path, owner_note=b"{}")
        run.close()
        assert not is_held_by_someone(path / ".sidelog.lock")

    def test_and_made_again_by_another_daemon_it_is_waited_for(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        run = open_run(path)
        send(run, [1])
        run.commit()
        shutil.rmtree(path)
        other = open_run(path)
        send(other, [7], worker="w2")
        other.commit()
        send(run, [2, 3])
        for _ in range(2):
            with pytest.raises(RunBusy):
                run.commit()
        other.close()
        run.close()
        assert scalars(path) == {"w2/light": [(7, 7.0)], "w1/light": [(2, 2.0), (3, 3.0)]}
        assert len(starts(path)) == 1
        assert open_run(path).written("w2") == RunMarks(light=7)

    def test_and_made_again_by_hand_it_has_a_lock_again(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        run = open_run(path)
        send(run, [1])
        run.commit()
        shutil.rmtree(path)
        path.mkdir()
        send(run, [2])
        run.commit()
        assert run.removal_found
        assert is_held_by_someone(path / ".sidelog.lock")
        assert steps(path) == [2]

    def test_what_cannot_be_made_again_is_kept(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        run = open_run(path)
        send(run, [1])
        run.commit()
        shutil.rmtree(path)
        path.write_text("a file in the way")
        send(run, [2])
        with pytest.raises(WriterError, match=r"run directory .*/run cannot be opened: got File exists"):
            run.commit()
        path.unlink()
        run.commit()
        assert steps(path) == [2]
        assert run.removal_found

    def test_a_full_disk_loses_nothing_of_the_group(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        disk = Disk()
        run = open_run(path, write=disk)
        send(run, [1])
        run.commit()
        shutil.rmtree(path)
        send(run, [2, 3])
        disk.room = 20
        for _ in range(2):
            with pytest.raises(CommitError):
                run.commit()
        disk.room = None
        run.commit()
        assert steps(path) == [2, 3]

    def test_a_directory_that_was_moved_keeps_what_it_has(self, tmp_path: Path) -> None:
        path, moved = tmp_path / "run", tmp_path / "moved"
        run = open_run(path)
        send(run, [1])
        run.commit()
        path.rename(moved)
        send(run, [2])
        run.commit()
        assert (steps(moved), steps(path)) == ([1], [2])
        assert not is_held_by_someone(moved / ".sidelog.lock")

    def test_an_event_file_alone_is_followed_by_a_new_one(self, tmp_path: Path) -> None:
        run = open_run(tmp_path)
        send(run, [1])
        run.commit()
        old = event_files(tmp_path)[0]
        old.unlink()
        send(run, [2])
        run.commit()
        assert run.removal_found
        (new,) = event_files(tmp_path)
        assert new.name > old.name
        assert steps(tmp_path) == [2]
        assert starts(tmp_path) == [new.name]
        assert is_held_by_someone(tmp_path / ".sidelog.lock")

    def test_a_lock_alone_costs_nothing_that_is_told(self, tmp_path: Path) -> None:
        run = open_run(tmp_path)
        send(run, [1])
        run.commit()
        (tmp_path / ".sidelog.lock").unlink()
        send(run, [2])
        run.commit()
        assert is_held_by_someone(tmp_path / ".sidelog.lock")
        assert not run.removal_found
        assert steps(tmp_path) == [1, 2]

    def test_it_stays_away_when_there_is_nothing_to_write(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        run = open_run(path)
        send(run, [1])
        run.commit()
        shutil.rmtree(path)
        run.commit()
        run.forget("w1")
        run.close()
        assert not path.exists()

    def test_whoever_opens_it_anew_finds_it_listed(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        run = open_run(path)
        run.begin(NOW)
        run.commit()
        shutil.rmtree(path)
        run.begin(NOW + 5)
        run.commit()
        assert len(starts(path)) == 1

    @pytest.mark.parametrize("what", ["directory", "event file"])
    def test_what_was_noted_in_it_is_new(self, tmp_path: Path, what: str) -> None:
        path = tmp_path / "run"
        first = open_run(path)
        assert first.note("of before")
        first.close()
        run = open_run(path)
        assert run.note("tag", [text_event("tag", "how", 0, NOW)])
        run.commit()
        if what == "directory":
            shutil.rmtree(path)
        else:
            event_files(path)[-1].unlink()
        assert run.note("tag", [text_event("tag", "how", 0, NOW)])
        assert not run.note("tag")
        assert run.note("of before") is (what == "directory")
        run.commit()
        assert run.removal_found
        assert not run.note("tag")


def test_close_is_idempotent_and_lets_go(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    send(run, [1])
    run.close()
    run.close()
    run.abandon()
    assert not is_held_by_someone(tmp_path / ".sidelog.lock")
    assert kept_open_below(tmp_path) == []
    with pytest.raises(WriterError, match="closed, expected an open one"):
        run.commit()


def test_other_writers_files_come_first_and_stay(tmp_path: Path) -> None:
    theirs = tmp_path / f"events.out.tfevents.{int(NOW) + 500}.theirs"
    theirs.write_bytes(framed([file_version_event(NOW), scalar(1, "w1/light"), scalar(2, "w1/light")]))
    content = theirs.read_bytes()
    run = open_run(tmp_path)
    send(run, [3, 4])
    run.close()
    assert run.file is not None
    assert run.file.name > theirs.name
    assert theirs.read_bytes() == content
    assert steps(tmp_path) == [1, 2, 3, 4]
