"""A spool that somebody cuts, moves or damages: what is whole is written, and what is said of the rest is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sidelog
from event_files import read_run
from left_spools import TRAIN, assert_stands, messages_in, overwrite, records_in, replay, sounds, spools, the_spool
from processes import DEADLINE_S, DaemonProcess, finish, run_script, start_script, wait_until
from sidelog import Statistics
from sidelog.spool import DRAFT
from sidelog_shared.errors import TransportError
from sidelog_shared.frames import MessageKind

SOON = {"SIDELOG_EXIT_TIMEOUT": "0.5"}
Start = Callable[[], DaemonProcess]

GOES_ON = TRAIN + "log(range(10))\nsys.stdin.readline()\nlog(range(10, 20))\nsys.stdin.readline()"


def started(spool_dir: Path, code: str = GOES_ON) -> tuple[subprocess.Popen[str], Path]:
    """A training whose first thirty records are in its spool."""
    process = start_script(code, env=SOON)
    wait_until(lambda: spools(spool_dir) and records_in(the_spool(spool_dir)) == 30)
    return process, the_spool(spool_dir)


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go on\n")
    process.stdin.flush()


def ended(process: subprocess.Popen[str]) -> tuple[str, int, int]:
    """Have it log the rest, and end: what it said, how many of its 60 records are kept, and how many lost."""
    go_on(process)
    _, _, said = finish(process)
    kept = re.search(r"([\d,]+) of 60 records are not known to be in the event files; they are kept", said)
    lost = re.search(r"([\d,]+) of 60 records are not in the event files", said)
    return said, *(int(one[1]) if one else 0 for one in (kept, lost))  # type: ignore[return-value]


class TestCutWhileItsTrainingRuns:
    def test_to_nothing_it_is_begun_again_and_what_is_gone_is_lost(
        self, start: Start, spool_dir: Path, tmp_path: Path
    ) -> None:
        process, path = started(spool_dir)
        os.truncate(path, 0)
        said, kept, lost = ended(process)
        assert (kept, lost) == (30, 30)
        assert f"the spool {path} was cut to 0 bytes" in said
        assert "30 damaged in the spool, or gone with it" in said
        start()
        status, said = replay(path)
        assert (status, spools(spool_dir)) == (0, []), said
        assert_stands(tmp_path / "run", list(range(10, 20)))

    @pytest.mark.parametrize("part", [0.05, 0.3, 0.5, 0.7, 0.95])
    def test_what_is_whole_is_kept_and_as_much_is_told(
        self, part: float, start: Start, spool_dir: Path, tmp_path: Path
    ) -> None:
        process, path = started(spool_dir)
        os.truncate(path, int(path.stat().st_size * part))
        _, kept, lost = ended(process)
        assert kept + lost == 60
        assert 30 <= kept <= 60
        start()
        status, said = replay(path)
        assert status == 0, said
        assert f"{kept} records stand in the event files" in said
        found = read_run(tmp_path / "run")
        assert len(found.steps("loss")) + len(found.steps("note")) + len(sounds(tmp_path / "run")) == kept

    def test_when_it_is_killed_then_what_it_logged_since_is_there(
        self, start: Start, spool_dir: Path, tmp_path: Path
    ) -> None:
        process, path = started(spool_dir)
        os.truncate(path, 0)
        go_on(process)
        wait_until(lambda: records_in(path) == 30)
        process.kill()
        process.communicate()
        start()
        status, said = replay(path)
        assert status == 0, said
        assert_stands(tmp_path / "run", list(range(10, 20)))

    def test_and_nothing_follows_the_last_words_know_it(self, endpoint: str, spool_dir: Path) -> None:
        process, path = started(spool_dir, TRAIN + "log(range(10))\nsys.stdin.readline()")
        os.truncate(path, 0)
        go_on(process)
        _, _, said = finish(process)
        assert "30 of 30 records are not in the event files: 30 damaged in the spool" in said
        assert "they are kept" not in said
        assert spools(spool_dir) == []

    def test_and_a_daemon_comes_all_else_is_written(
        self, start: Start, endpoint: str, spool_dir: Path, tmp_path: Path
    ) -> None:
        writer = sidelog.SummaryWriter("run")
        for step in range(10):
            writer.add_scalar("loss", step, step)
        wait_until(lambda: spools(spool_dir) and records_in(the_spool(spool_dir)) == 10)
        os.truncate(the_spool(spool_dir), 0)
        for step in range(10, 20):
            writer.add_scalar("loss", step, step)
        start()
        writer.close()
        end = writer.statistics()
        assert (end.written, end.lost) == (10, 10)
        assert read_run(tmp_path / "run").steps("loss") == list(range(10, 20))
        assert spools(spool_dir) == []


class TestMovedWhileItsTrainingRuns:
    def test_it_is_written_again_where_it_is_said_to_be(self, start: Start, spool_dir: Path, tmp_path: Path) -> None:
        process, path = started(spool_dir)
        moved = path.rename(spool_dir / "moved.spool")
        go_on(process)
        wait_until(lambda: records_in(path) == 60)
        status, said = replay(moved)
        assert status == 1  # in the name of a training that lives
        assert "its training still runs" in said
        said, kept, lost = ended(process)
        assert (kept, lost) == (60, 0)
        assert f"the spool {path} was moved: it is written again, nothing of it is lost" in said
        assert f"they are kept: sidelog replay {path}" in said
        start()
        assert replay("--all")[0] == 0  # both
        assert_stands(tmp_path / "run", list(range(20)))

    def test_and_another_file_is_there_now_that_stays_as_it_is(
        self, start: Start, spool_dir: Path, tmp_path: Path
    ) -> None:
        process, path = started(spool_dir)
        path.rename(tmp_path / "moved")
        path.write_text("mine")
        said, kept, lost = ended(process)
        beside = path.with_name(f"{path.stem}.2.spool")
        assert (kept, lost) == (60, 0)
        assert f"they are kept: sidelog replay {beside}" in said
        assert path.read_text() == "mine"
        start()
        assert replay(beside)[0] == 0
        assert_stands(tmp_path / "run", list(range(20)))

    def test_and_it_cannot_be_written_again_that_is_not_called_kept(
        self, endpoint: str, spool_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        writer = sidelog.SummaryWriter("run")
        writer.add_scalar("loss", 1, 1)
        wait_until(lambda: spools(spool_dir) and records_in(the_spool(spool_dir)) == 1)
        path = the_spool(spool_dir)
        path.with_name(f"{path.name}{DRAFT}").mkdir()  # stands for a disk that is full
        path.rename(tmp_path / "moved")
        with pytest.raises(TransportError):
            writer.close(timeout_s=0.1)
        end = writer.statistics()
        assert (end.spooled, end.lost) == (0, 1)
        assert "1 records are lost: they stood in a spool that was moved or removed" in caplog.text
        assert "they are kept" not in caplog.text

    def test_and_all_of_it_is_written_another_file_there_stays(
        self, start: Start, endpoint: str, spool_dir: Path, tmp_path: Path
    ) -> None:
        writer = sidelog.SummaryWriter("run")
        writer.add_scalar("loss", 1, 1)
        wait_until(lambda: spools(spool_dir) and records_in(the_spool(spool_dir)) == 1)
        path = the_spool(spool_dir)
        path.rename(tmp_path / "moved")
        path.write_text("mine")
        start()
        writer.close()
        assert writer.statistics() == Statistics(written=1)
        assert path.read_text() == "mine"
        assert spools(spool_dir) == [path]


class TestDamaged:
    def leave_spool(self, code: str = "log(range(20))") -> None:
        run_script(TRAIN + code + "\ntry: writer.close(timeout_s=0.1)\nexcept sidelog.SidelogError: pass")

    @pytest.mark.parametrize("what", ["the file's header", "HELLO", "OPEN_RUN", "all three"])
    def test_at_its_beginning_all_records_are_written(
        self, what: str, start: Start, spool_dir: Path, tmp_path: Path
    ) -> None:
        self.leave_spool()
        path = the_spool(spool_dir)
        hello, run = messages_in(path, MessageKind.HELLO)[0], messages_in(path, MessageKind.OPEN_RUN)[0]
        begin, end = {
            "the file's header": (0, hello.offset),
            "HELLO": (hello.offset + 12, hello.offset + 52),
            "OPEN_RUN": (run.end - 20, run.end),
            "all three": (0, run.end),
        }[what]
        overwrite(path, begin, end)
        start()
        status, said = replay("--all")
        assert status == 4
        assert "60 records stand in the event files" in said
        assert "are damaged, what stood in them alone is lost; all else is written" in said
        assert_stands(tmp_path / "run", list(range(20)))

    def test_so_that_nothing_says_whose_it_is_it_is_set_aside_and_recommended_to_nobody(
        self, start: Start, spool_dir: Path, caplog: pytest.LogCaptureFixture, runtime_dir: Path
    ) -> None:
        self.leave_spool()
        path = the_spool(spool_dir)
        for hello in messages_in(path, MessageKind.HELLO):
            overwrite(path, hello.offset, hello.end)
        content = path.read_bytes()
        command = [sys.executable, "-m", "sidelog.cli", "status"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
        assert str(path) in shown.stdout
        assert "nothing in it can be replayed" in shown.stdout
        assert "sidelog replay" not in shown.stdout
        start()
        with sidelog.SummaryWriter("other") as writer:
            writer.add_scalar("loss", 1, 1)
        assert "earlier processes" not in caplog.text
        status, said = replay(path)
        assert status == 2
        assert "does not say whose records it holds" in said
        assert f"the file is {path}.damaged now" in said
        path.write_bytes(b"out of a backup")
        assert f"the file is {path}.2.damaged now" in replay(path)[1]
        assert Path(f"{path}.damaged").read_bytes() == content
        assert replay("--all") == (0, "sidelog replay: there is no spool\n")

    def test_a_file_that_is_none_keeps_its_name(self, spool_dir: Path, tmp_path: Path) -> None:
        (tmp_path / "notes.spool").write_text("mine")
        assert replay(tmp_path / "notes.spool")[0] == 2
        assert (tmp_path / "notes.spool").read_text() == "mine"

    def test_so_that_nothing_says_where_a_run_is_its_records_are_kept_and_counted(
        self, start: Start, spool_dir: Path, tmp_path: Path
    ) -> None:
        self.leave_spool(
            'other = sidelog.SummaryWriter("other")\nlog(range(20))\n'
            'for step in range(5): other.add_scalar("loss", step, step)'
        )
        path = the_spool(spool_dir)
        opened = [one for one in messages_in(path, MessageKind.OPEN_RUN) if b"other" in one.frames[1]]
        overwrite(path, opened[0].offset, opened[0].end)
        content = path.read_bytes()
        for one in opened[1:]:
            overwrite(path, one.offset, one.end)
        sidecar = start()
        for _ in range(2):
            status, said = replay(path)
            assert status == 1
            assert "60 records stand in the event files" in said
            assert "5 records of run 2 are not written: what said where it belongs is damaged" in said
            assert "all else" not in said
            assert "not open" not in said
            assert f"{path} is kept" in said
        assert_stands(tmp_path / "run", list(range(20)))
        path.write_bytes(content)  # somebody has repaired it
        assert replay(path)[0] == 4
        assert sidecar.stop() == 0
        assert read_run(tmp_path / "other").steps("loss") == list(range(5))
