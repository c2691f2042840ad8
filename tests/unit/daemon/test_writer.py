"""The writer thread with real files: nothing settles before it stands, and one bad folder harms no other."""

from __future__ import annotations

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from receptions import picture, scalars, text

from event_files import read_run
from processes import wait_until
from sidelog_daemon import commits
from sidelog_daemon.actions import (
    CloseRun,
    Commit,
    Noted,
    OpenRun,
    Outcome,
    Rejected,
    RunClosed,
    RunOpened,
    RunPaused,
    RunRefused,
    Settled,
    WriteRecord,
    WriteScalars,
)
from sidelog_daemon.kinds import Content
from sidelog_daemon.roster import Roster
from sidelog_daemon.sink import RunDirectory
from sidelog_daemon.sink.summaries import scalar_event
from sidelog_daemon.writer import EventWriter, WriteRendered
from sidelog_shared.errors import RunBusy
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.records import End, Lane, Refusal, RunMarks, ScalarColumns, Series, Worker

W = "a" * 16
NOTE = b'{"endpoint":"ipc:///tmp/me.sock"}'


class Outcomes:
    """What the writer reports."""

    def __init__(self) -> None:
        self.all: list[Outcome] = []

    def of(self, kind: type[Outcome]) -> list[Outcome]:
        return [outcome for outcome in list(self.all) if isinstance(outcome, kind)]

    def settled(self, worker: str = W, lane: Lane = Lane.LIGHT) -> list[int]:
        return list(
            IntervalSet(
                one
                for outcome in list(self.all)
                if isinstance(outcome, Settled) and (outcome.worker, outcome.lane) == (worker, lane)
                for one in outcome.ranges
            )
        )


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes()


@pytest.fixture
def writer(outcomes: Outcomes) -> Iterator[EventWriter]:
    one = EventWriter(owner_note=NOTE, report=outcomes.all.append)
    one.start()
    yield one
    one.stop(10)
    assert one.failure is None


def write(writer: EventWriter, first: int, count: int, *, run: int = 1, worker: str = W) -> None:
    columns = scalars(first, count, run=run).columns
    writer.submit(WriteScalars(worker, columns, ((0, count - 1),)))


FIVE_A_ROW = "| | |\n|---|---|\n| nrow | `5` |"
"""The text of the recipe ``{"nrow": 5}``."""


def rendered(seq: int, *, tag: str = "map", recipe: dict[str, object] | None = None, worker: str = W) -> WriteRendered:
    event = scalar_event(tag, float(seq), seq, 0.0)
    return WriteRendered(worker, picture(seq, tag=tag), Content((event,), recipe=recipe or {}))


class FullDisk:
    """Stands for ``os.write`` below one folder; takes nothing while ``full``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.full = False
        self.answers: Callable[[], object] = lambda: None
        self.tried = threading.Event()
        open_directory = RunDirectory.open

        def opened(path: Path, **options: object) -> RunDirectory:
            here = {"write": self} if path == folder else {}
            return open_directory(path, **options, **here)  # type: ignore[arg-type]

        monkeypatch.setattr(RunDirectory, "open", opened)
        monkeypatch.setattr(commits, "RETRY_S", 0.05)

    def __call__(self, fd: int, data: memoryview) -> int:
        self.answers()
        if self.full:
            self.tried.set()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data)


class TestOpening:
    def test_says_what_stands(self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path) -> None:
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        write(writer, 1, 3)
        writer.submit(rendered(4))
        writer.submit(Commit())
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        opened = wait_until(lambda: outcomes.of(RunOpened)[1:])
        assert opened == [RunOpened(W, 1, RunMarks(3, 0, ((4, 4),)))]

    def test_an_open_run_has_an_event_file_before_anything_is_logged(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        wait_until(lambda: list((tmp_path / "a").glob("*tfevents*")))
        writer.submit(CloseRun(W, 1, forget=True))
        wait_until(lambda: outcomes.of(RunClosed))
        writer.submit(OpenRun(W, 2, str(tmp_path / "a")))
        writer.submit(CloseRun(W, 2, forget=True))
        wait_until(lambda: len(outcomes.of(RunClosed)) == 2)
        assert len(list((tmp_path / "a").glob("*tfevents*"))) == 1

    def test_a_folder_that_cannot_be_made_is_refused(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        writer.submit(OpenRun(W, 1, str(tmp_path / "file" / "run")))
        (refused,) = wait_until(lambda: outcomes.of(RunRefused))
        assert isinstance(refused, RunRefused)
        assert refused.code is Refusal.RUN_UNWRITABLE
        assert "got Not a directory" in refused.text

    def test_a_folder_of_another_daemon_is_refused_by_name(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        other = RunDirectory.open(tmp_path / "run", owner_note=b'{"endpoint":"tcp://127.0.0.1:9"}')
        writer.submit(OpenRun(W, 1, str(tmp_path / "run")))
        (refused,) = wait_until(lambda: outcomes.of(RunRefused))
        assert isinstance(refused, RunRefused)
        assert (refused.code, refused.endpoint) == (Refusal.RUN_BUSY, "tcp://127.0.0.1:9")
        assert "is written by another daemon at tcp://127.0.0.1:9, expected no other writer" in refused.text
        other.close()

    def test_two_workers_and_two_names_share_one_folder(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "a")
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        writer.submit(OpenRun("b" * 16, 1, str(tmp_path / "link")))
        write(writer, 1, 2)
        write(writer, 1, 2, worker="b" * 16)
        for worker in (W, "b" * 16):
            writer.submit(CloseRun(worker, 1, forget=True))
        wait_until(lambda: len(outcomes.of(RunClosed)) == 2)
        assert read_run(tmp_path / "a").steps("loss") == [1, 2, 1, 2]
        assert len([name for name in os.listdir(tmp_path / "a") if "tfevents" in name]) == 1

    def test_one_worker_may_have_it_open_under_two_names(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        (tmp_path / "link").symlink_to(tmp_path / "a")
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        writer.submit(OpenRun(W, 2, str(tmp_path / "link")))
        writer.submit(OpenRun(W, 3, str(tmp_path / "b")))
        series = (Series(2, "link"), Series(1, "a"), Series(3, "b"))
        rows = np.arange(30)
        columns = ScalarColumns(1, series, (rows % 3).astype(np.uint32), rows, rows * 1.0, rows * 1.0)
        writer.submit(WriteScalars(W, columns, ((0, 29),)))
        wait_until(lambda: outcomes.settled() == list(range(1, 31)))
        content = read_run(tmp_path / "a")
        assert content.steps("link") == list(range(0, 30, 3))
        assert content.steps("a") == list(range(1, 30, 3))
        assert read_run(tmp_path / "b").steps("b") == list(range(2, 30, 3))

    def test_more_than_the_system_lets_be_open_are_refused_and_those_that_are_go_on(
        self, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        one = EventWriter(owner_note=NOTE, report=outcomes.all.append, max_directories=2)
        one.start()
        for run in (1, 2, 3):
            one.submit(OpenRun(W, run, str(tmp_path / f"run{run}")))
        write(one, 1, 2)
        wait_until(lambda: outcomes.settled() == [1, 2])
        (refused,) = outcomes.of(RunRefused)
        assert isinstance(refused, RunRefused)
        assert (refused.run, refused.code) == (3, Refusal.RUN_UNWRITABLE)
        assert "this daemon has 2 open, expected at most 2, for the system's limit of open files" in refused.text
        one.submit(CloseRun(W, 2, forget=False))
        one.submit(OpenRun(W, 3, str(tmp_path / "run3")))
        wait_until(lambda: len(outcomes.of(RunOpened)) == 3)  # there is room again
        assert one.stop(10)

    @pytest.mark.parametrize("first", ["its own run", "the notes"])
    def test_the_folder_of_a_runs_notes_may_be_a_run_as_well(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, first: str
    ) -> None:
        opened = [OpenRun(W, 1, str(tmp_path / "a")), OpenRun(W, 2, str(tmp_path / "a" / "sidelog"))]
        for command in opened[:1] if first == "the notes" else opened:
            writer.submit(command)
        writer.submit(rendered(1, recipe={"nrow": 5}))
        if first == "the notes":
            writer.submit(opened[1])
        write(writer, 1, 2, run=2)
        wait_until(lambda: outcomes.settled() == [1, 2])
        assert not outcomes.of(RunRefused)
        for run in (1, 2):
            writer.submit(CloseRun(W, run, forget=True))
        wait_until(lambda: len(outcomes.of(RunClosed)) == 2)
        content = read_run(tmp_path / "a" / "sidelog")
        assert content.steps("loss") == [1, 2]
        assert content.texts == {"map": [(0, FIVE_A_ROW)]}


class TestSettling:
    def test_comes_after_the_commit(self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path) -> None:
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        write(writer, 1, 3)
        writer.submit(WriteRecord(W, text(4)))
        writer.submit(rendered(1))
        wait_until(lambda: outcomes.settled() == [1, 2, 3, 4])  # by itself, when idle
        assert outcomes.settled(lane=Lane.PICTURE) == [1]
        content = read_run(tmp_path / "a")
        assert content.steps("loss") == [1, 2, 3]
        assert content.texts == {"note": [(4, "hello")]}

    def test_of_what_comes_again_is_said_again_but_nothing_written_twice(
        self, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        for _ in range(2):  # two daemons, one after the other
            outcomes.all.clear()
            one = EventWriter(owner_note=NOTE, report=outcomes.all.append)
            one.start()
            one.submit(OpenRun(W, 1, str(tmp_path / "a")))
            write(one, 1, 3)
            one.submit(Commit())
            wait_until(lambda: outcomes.settled() == [1, 2, 3])
            assert one.stop(10)
        assert read_run(tmp_path / "a").steps("loss") == [1, 2, 3]

    def test_of_runs_that_are_closed_is_rejection(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        writer.submit(CloseRun(W, 1, forget=False))
        write(writer, 1, 2)
        writer.submit(rendered(1))
        (rejected,) = wait_until(lambda: outcomes.of(Rejected))
        assert isinstance(rejected, Rejected)
        assert rejected.why == "run 1 is not open any more"
        assert outcomes.of(Settled) == [Settled(W, Lane.LIGHT, ((1, 2),), End.REJECTED)]

    def test_of_a_text_that_is_none_is_rejection(self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path) -> None:
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        writer.submit(WriteRecord(W, text(1, b"\xff\xfe")))
        (rejected,) = wait_until(lambda: outcomes.of(Rejected))
        assert isinstance(rejected, Rejected)
        assert rejected.why.startswith("TEXT.text is not UTF-8: ")

    def test_goes_row_by_row_to_the_runs(self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path) -> None:
        for run in (1, 2):
            writer.submit(OpenRun(W, run, str(tmp_path / str(run))))
        columns = scalars(10, 6, runs=[1, 2]).columns
        writer.submit(WriteScalars(W, columns, ((0, 1), (3, 5))))  # row 2 was known
        writer.submit(Commit())
        wait_until(lambda: outcomes.settled() == [10, 11, 13, 14, 15])
        assert read_run(tmp_path / "1").steps("loss") == [10, 14]
        assert read_run(tmp_path / "2").steps("loss") == [11, 13, 15]


class TestFullDisk:
    def test_is_tried_again_while_others_go_on(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = FullDisk(monkeypatch, tmp_path / "bad")
        writer.submit(OpenRun(W, 1, str(tmp_path / "bad")))
        writer.submit(OpenRun(W, 2, str(tmp_path / "good")))
        write(writer, 1, 2)
        writer.submit(Commit())
        wait_until(lambda: outcomes.settled() == [1, 2])
        disk.full = True
        write(writer, 3, 2)
        write(writer, 5, 2, run=2)
        writer.submit(Commit())
        assert disk.tried.wait(10)
        wait_until(lambda: outcomes.settled() == [1, 2, 5, 6])
        write(writer, 7, 1)
        assert read_run(tmp_path / "good").steps("loss") == [5, 6]
        assert read_run(tmp_path / "bad").steps("loss") == [1, 2]
        disk.full = False
        wait_until(lambda: outcomes.settled() == [1, 2, 3, 4, 5, 6, 7])
        assert read_run(tmp_path / "bad").steps("loss") == [1, 2, 3, 4, 7]

    def test_keeps_who_wants_to_leave(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = FullDisk(monkeypatch, tmp_path / "bad")
        disk.full = True
        writer.submit(OpenRun(W, 1, str(tmp_path / "bad")))
        write(writer, 1, 2)
        writer.submit(CloseRun(W, 1, forget=True))
        assert disk.tried.wait(10)
        assert outcomes.of(RunClosed) == []
        disk.full = False
        wait_until(lambda: outcomes.of(RunClosed) == [RunClosed(W, 1)])
        assert outcomes.all.index(Settled(W, Lane.LIGHT, ((1, 2),))) < outcomes.all.index(RunClosed(W, 1))
        assert read_run(tmp_path / "bad").steps("loss") == [1, 2]

    @pytest.mark.parametrize("folder", ["a", "a/sidelog"])
    def test_is_said_once_to_everybody_who_uses_the_run(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
    ) -> None:
        disk = FullDisk(monkeypatch, tmp_path / folder)
        disk.full = True
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        writer.submit(OpenRun("b" * 16, 1, str(tmp_path / "a")))
        for _ in range(2):
            writer.submit(rendered(1, recipe={"nrow": 5}))
            writer.submit(Commit())
            assert disk.tried.wait(10)
            disk.tried.clear()  # the second time it is tried again
        disk.full = False
        wait_until(lambda: outcomes.settled(lane=Lane.PICTURE) == [1])
        notes = outcomes.of(Noted)
        assert [note.worker for note in notes] == [W, "b" * 16]
        text = f"{tmp_path / folder} cannot be written, kept and tried again every second: "
        assert all(isinstance(note, Noted) and note.text.startswith(text) for note in notes)
        assert all(isinstance(note, Noted) and "No space left on device" in note.text for note in notes)

    def test_and_a_worker_that_comes_back_meanwhile_keeps_its_run(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = FullDisk(monkeypatch, tmp_path / "bad")
        disk.full = True
        writer.submit(OpenRun(W, 1, str(tmp_path / "bad")))
        write(writer, 1, 2)
        writer.submit(CloseRun(W, 1, forget=False))
        assert disk.tried.wait(10)
        writer.submit(OpenRun(W, 1, str(tmp_path / "bad")))
        wait_until(lambda: len(outcomes.of(RunOpened)) == 2)
        disk.full = False
        write(writer, 3, 1)
        wait_until(lambda: outcomes.settled() == [1, 2, 3])
        assert outcomes.of(RunClosed) == []

    def test_in_the_end_has_its_users_keep_their_records_until_it_is_over(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = FullDisk(monkeypatch, tmp_path / "bad")
        monkeypatch.setattr(commits, "PAUSE_AFTER_S", 0.1)
        other, third = "b" * 16, "c" * 16
        writer.submit(OpenRun(W, 1, str(tmp_path / "bad")))
        writer.submit(OpenRun(W, 2, str(tmp_path / "good")))
        writer.submit(OpenRun(other, 7, str(tmp_path / "bad")))
        wait_until(lambda: len(outcomes.of(RunOpened)) == 3)
        disk.full = True
        write(writer, 1, 2)
        wait_until(lambda: len(outcomes.of(RunPaused)) == 2)
        (why,) = {one.text for one in outcomes.of(RunPaused) if isinstance(one, RunPaused)}
        assert "No space left on device" in why
        assert outcomes.of(RunPaused) == [RunPaused(W, 1, why), RunPaused(other, 7, why)]
        # Who asks again has it still; who asks for the first time has not.
        writer.submit(OpenRun(W, 1, str(tmp_path / "bad")))
        writer.submit(OpenRun(third, 1, str(tmp_path / "bad")))
        wait_until(lambda: outcomes.of(RunRefused) == [RunRefused(third, 1, Refusal.RUN_UNWRITABLE, why)])
        assert outcomes.of(RunPaused)[2:] == [RunPaused(W, 1, why)]
        write(writer, 3, 1)  # was under way
        disk.full = False
        wait_until(lambda: len(outcomes.of(RunOpened)) == 5)
        assert outcomes.of(RunOpened)[3:] == [RunOpened(W, 1, RunMarks(light=3)), RunOpened(other, 7, RunMarks())]
        assert outcomes.settled() == [1, 2, 3]
        assert read_run(tmp_path / "bad").steps("loss") == [1, 2, 3]

    def test_at_the_end_is_said(self, outcomes: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        disk = FullDisk(monkeypatch, tmp_path / "bad")
        disk.full = True
        one = EventWriter(owner_note=NOTE, report=outcomes.all.append)
        one.start()
        one.submit(OpenRun(W, 1, str(tmp_path / "bad")))
        write(one, 1, 2)
        assert not one.stop(10)
        assert outcomes.settled() == []
        again = RunDirectory.open(tmp_path / "bad", owner_note=b"")  # it was let go of all the same
        again.close()


class TestAFileSystemThatDoesNotAnswer:
    def test_shows_in_the_status_of_the_run_and_is_news_once(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = FullDisk(monkeypatch, tmp_path / "bad")
        answers = threading.Event()
        monkeypatch.setattr("sidelog_daemon.stalls.STALLED_S", 0.1)
        monkeypatch.setattr(disk, "answers", answers.wait)
        writer.submit(OpenRun(W, 1, str(tmp_path / "good")))
        writer.submit(OpenRun(W, 2, str(tmp_path / "bad")))
        write(writer, 1, 2, run=2)
        try:
            stall = wait_until(lambda: writer.stalls.news(time.monotonic()))
            assert stall.path == tmp_path / "bad"
            assert writer.stalls.news(time.monotonic()) is None
            bad, good = writer.statuses()
            assert (bad.path, good.path) == (str(tmp_path / "bad"), str(tmp_path / "good"))
            assert bad.error.startswith(f"the file system of {tmp_path / 'bad'} does not answer")
            assert bad.failing_since == stall.since
            assert (good.error, good.failing_since) == ("", None)
        finally:
            answers.set()
        wait_until(lambda: outcomes.settled() == [1, 2])
        assert writer.stalls.stall(time.monotonic()) is None
        assert {one.error for one in writer.statuses()} == {""}


class TestRemoved:
    """Folders that somebody removes while their runs are open."""

    def test_a_folder_is_made_again_and_its_users_are_told_once(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        for worker in (W, "b" * 16):
            writer.submit(OpenRun(worker, 1, str(tmp_path / "a")))
        writer.submit(OpenRun(W, 2, str(tmp_path / "b")))
        for seq, removed in enumerate([False, True, False, True], start=1):
            if removed:
                shutil.rmtree(tmp_path / "a")
            write(writer, seq, 1)
            writer.submit(Commit())
            wait_until(lambda seq=seq: outcomes.settled() == list(range(1, seq + 1)))
        write(writer, 5, 1, run=2)
        wait_until(lambda: outcomes.settled() == [1, 2, 3, 4, 5])
        assert read_run(tmp_path / "a").steps("loss") == [4]
        assert read_run(tmp_path / "b").steps("loss") == [5]
        notes = outcomes.of(Noted)
        assert [note.worker for note in notes] == [W, "b" * 16] * 2  # two removals
        text = f"{tmp_path / 'a'} or its event file was removed or moved while it was written: it is made again"
        assert all(isinstance(note, Noted) and note.text.startswith(text) for note in notes)

    @pytest.mark.parametrize("first", [1, 2])
    def test_a_run_and_those_below_it_are_one_removal_whichever_comes_first(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, first: int
    ) -> None:
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        writer.submit(OpenRun(W, 2, str(tmp_path / "a" / "losses" / "train")))
        for run in (1, 2):
            write(writer, run, 1, run=run)
        writer.submit(rendered(1, recipe={"nrow": 5}))
        writer.submit(Commit())
        wait_until(lambda: outcomes.settled(lane=Lane.PICTURE) == [1] and outcomes.settled() == [1, 2])
        wait_until(lambda: read_run(tmp_path / "a" / "sidelog").texts)
        shutil.rmtree(tmp_path / "a")
        for seq, run in ((3, first), (4, 3 - first)):
            write(writer, seq, 1, run=run)
            writer.submit(Commit())
            wait_until(lambda seq=seq: seq in outcomes.settled())
        writer.submit(rendered(2, recipe={"nrow": 5}))
        for run in (1, 2):
            writer.submit(CloseRun(W, run, forget=True))
        wait_until(lambda: len(outcomes.of(RunClosed)) == 2)
        assert read_run(tmp_path / "a").steps("loss") == [3 if first == 1 else 4]
        assert read_run(tmp_path / "a").steps("map") == [2]
        assert read_run(tmp_path / "a" / "losses" / "train").steps("loss") == [4 if first == 1 else 3]
        assert read_run(tmp_path / "a" / "sidelog").texts == {"map": [(0, FIVE_A_ROW)]}
        (noted,) = outcomes.of(Noted)
        assert isinstance(noted, Noted)
        assert noted.text.startswith(f"{tmp_path / 'a'} or its event file was removed")

    def test_the_folder_of_notes_alone_has_the_note_of_the_next_picture(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        writer.submit(rendered(1, recipe={"nrow": 5}))
        notes = tmp_path / "a" / "sidelog"
        wait_until(lambda: notes.is_dir() and read_run(notes).texts)
        shutil.rmtree(notes)
        writer.submit(rendered(2, recipe={"nrow": 5}))
        wait_until(lambda: outcomes.of(Noted))
        assert read_run(notes).texts == {"map": [(0, FIVE_A_ROW)]}
        assert len(outcomes.of(Noted)) == 1
        wait_until(lambda: outcomes.settled(lane=Lane.PICTURE) == [1, 2])
        assert read_run(tmp_path / "a").steps("map") == [1, 2]

    def test_a_folder_that_cannot_be_made_again_is_tried_again_while_others_go_on(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(commits, "RETRY_S", 0.05)
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        writer.submit(OpenRun(W, 2, str(tmp_path / "b")))
        write(writer, 1, 1)
        wait_until(lambda: outcomes.settled() == [1])
        shutil.rmtree(tmp_path / "a")
        (tmp_path / "a").write_text("a file in the way")
        write(writer, 2, 1)
        write(writer, 3, 1, run=2)
        wait_until(lambda: outcomes.of(Noted) and outcomes.settled() == [1, 3])
        (tmp_path / "a").unlink()
        wait_until(lambda: outcomes.settled() == [1, 2, 3])
        assert read_run(tmp_path / "a").steps("loss") == [2]
        texts = [note.text for note in outcomes.of(Noted) if isinstance(note, Noted)]
        assert ["kept and tried again" in texts[0], "it is made again" in texts[1]] == [True, True]
        assert len(texts) == 2

    def test_a_run_that_is_closed_with_all_written_stays_away(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        write(writer, 1, 1)
        wait_until(lambda: outcomes.settled() == [1])
        shutil.rmtree(tmp_path / "a")
        writer.submit(CloseRun(W, 1, forget=True))
        wait_until(lambda: outcomes.of(RunClosed))
        assert not (tmp_path / "a").exists()
        assert not outcomes.of(Noted)


class TestRecipes:
    def test_stand_once_per_tag_in_a_sub_run_and_survive_the_daemon(self, tmp_path: Path) -> None:
        for first in (1, 3):
            outcomes = Outcomes()
            one = EventWriter(owner_note=NOTE, report=outcomes.all.append)
            one.start()
            one.submit(OpenRun(W, 1, str(tmp_path / "a")))
            for seq in (first, first + 1):
                one.submit(rendered(seq, recipe={"nrow": 5}))
                one.submit(rendered(seq + 10, tag="other", recipe={"nrow": 6}))
            assert one.stop(10)
        assert read_run(tmp_path / "a" / "sidelog").texts == {
            "map": [(0, FIVE_A_ROW)],
            "other": [(0, FIVE_A_ROW.replace("5", "6"))],
        }
        assert read_run(tmp_path / "a").steps("map") == [1, 2, 3, 4]

    def test_that_cannot_be_noted_cost_no_picture(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "sidelog").write_text("a file in the way")
        writer.submit(OpenRun(W, 1, str(tmp_path / "a")))
        for seq in (1, 2):
            writer.submit(rendered(seq, recipe={"nrow": 5}))
        writer.submit(Commit())
        wait_until(partial(outcomes.settled, lane=Lane.PICTURE))
        assert read_run(tmp_path / "a").steps("map") == [1, 2]
        (noted,) = outcomes.of(Noted)
        assert isinstance(noted, Noted)
        assert noted.text.startswith(f"how its pictures are made is not written: run directory {tmp_path}/a/sidelog ")


class TestLeaving:
    def test_closes_the_folder_after_its_last_user(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        for run in (1, 2):
            writer.submit(OpenRun(W, run, str(tmp_path / "a")))
        writer.submit(CloseRun(W, 1, forget=False))
        wait_until(lambda: outcomes.of(RunClosed))
        with pytest.raises(RunBusy):
            RunDirectory.open(tmp_path / "a", owner_note=b"")
        writer.submit(CloseRun(W, 2, forget=False))
        wait_until(lambda: len(outcomes.of(RunClosed)) == 2)
        RunDirectory.open(tmp_path / "a", owner_note=b"").close()

    def test_forgets_who_said_goodbye_and_remembers_who_did_not(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        for number, worker in enumerate((W, "b" * 16), start=1):
            writer.submit(OpenRun(worker, 1, str(tmp_path / "a")))
            write(writer, 1, 2, worker=worker)
            writer.submit(CloseRun(worker, 1, forget=worker == W))
            wait_until(lambda number=number: len(outcomes.of(RunClosed)) == number)
        directory = RunDirectory.open(tmp_path / "a", owner_note=b"")
        assert directory.written("b" * 16) == RunMarks(light=2)
        directory.close()

    def test_of_a_run_that_never_was_is_answered(self, writer: EventWriter, outcomes: Outcomes) -> None:
        writer.submit(CloseRun(W, 9, forget=False))
        wait_until(lambda: outcomes.of(RunClosed) == [RunClosed(W, 9)])


class TestStatuses:
    def test_tell_of_every_open_run(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disk = FullDisk(monkeypatch, tmp_path / "bad")
        writer.submit(OpenRun(W, 1, str(tmp_path / "bad")))
        writer.submit(OpenRun("b" * 16, 1, str(tmp_path / "good")))
        write(writer, 1, 2)
        write(writer, 1, 3, worker="b" * 16)
        wait_until(lambda: len(outcomes.settled()) == 2 and len(outcomes.settled("b" * 16)) == 3)
        assert [(one.path, one.users, one.written) for one in writer.statuses()] == [
            (str(tmp_path / "bad"), (W,), 2),
            (str(tmp_path / "good"), ("b" * 16,), 3),
        ]
        disk.full = True
        write(writer, 3, 4)
        bad = wait_until(lambda: next((one for one in writer.statuses() if one.failing_since is not None), None))
        assert (bad.path, bad.written) == (str(tmp_path / "bad"), 2)
        assert "No space left on device" in bad.error
        assert wait_until(lambda: writer.statuses()[0].pending_bytes) > 100
        disk.full = False
        wait_until(lambda: len(outcomes.settled()) == 6)
        good = wait_until(lambda: next((one for one in writer.statuses() if one.written == 6), None))
        assert (good.error, good.failing_since, good.pending_bytes) == ("", None, 0)

    def test_end_with_their_run_which_says_how_much_of_each_worker_it_wrote(
        self, writer: EventWriter, outcomes: Outcomes, tmp_path: Path
    ) -> None:
        for worker, count in ((W, 2), ("b" * 16, 5)):
            writer.submit(OpenRun(worker, 1, str(tmp_path / "run")))
            write(writer, 1, count, worker=worker)
            writer.submit(CloseRun(worker, 1, forget=True))
        closed = wait_until(lambda: outcomes.of(RunClosed) if len(outcomes.of(RunClosed)) == 2 else None)
        assert [(one.worker, one.written) for one in closed] == [(W, 2), ("b" * 16, 5)]  # type: ignore[union-attr]
        assert writer.statuses() == []

    def test_and_log_lines_name_who_is_concerned(
        self,
        outcomes: Outcomes,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        disk = FullDisk(monkeypatch, tmp_path / "bad")
        disk.full = True
        roster = Roster()
        roster.add(Worker(W, "node7", 4711, 1, 2))
        one = EventWriter(owner_note=NOTE, report=outcomes.all.append, roster=roster)
        one.start()
        one.submit(OpenRun(W, 1, str(tmp_path / "bad")))
        write(one, 1, 2)
        assert disk.tried.wait(10)
        wait_until(lambda: outcomes.of(Noted))
        disk.full = False
        wait_until(lambda: outcomes.settled() == [1, 2])
        assert one.stop(10)
        assert [line.split(" cannot")[0].split(" can be")[0] for line in caplog.messages] == [
            f"rank 1 (node7:4711): {tmp_path / 'bad'}"
        ] * 2
