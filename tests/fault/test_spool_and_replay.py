"""What no daemon takes is kept on disk, and written once, whoever dies."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sidelog
from event_files import read_run
from left_spools import TRAIN, assert_stands, messages_in, replay, sounds, spools, the_spool
from processes import DEADLINE_S, DaemonProcess, finish, run_script, start_script, wait_until
from sidelog import Statistics
from sidelog.delivery import Delivery
from sidelog.left_spool import left_spools, open_left_spool
from sidelog.runs import RunHandle
from sidelog.spool import Spool
from sidelog_shared import recording, requests
from sidelog_shared.errors import TransportError, WriterError
from sidelog_shared.frames import MessageKind
from sidelog_shared.records import ScalarColumns, Series, Worker

WORKER = Worker("0123456789abcdef", "host", 4711)
SOON = {"SIDELOG_EXIT_TIMEOUT": "0.5"}
StartDaemon = Callable[..., DaemonProcess]


class TestNoDaemon:
    def test_what_a_training_logged_is_kept_and_written_later(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        code = "log(range(100))\nwriter.close(timeout_s=0.5)"
        status, _, said = finish(start_script(TRAIN + code))
        assert status == 1  # close() raises: it is in no event file
        path = the_spool(spool_dir)
        assert (
            f"300 of 300 records are not known to be in the event files; they are kept: sidelog replay {path}" in said
        )
        assert replay(path, timeout_s=1)[0] == 1
        assert path.exists()
        sidecar = start()
        status, said = replay(path)
        assert status == 0
        assert "300 records stand in the event files" in said
        assert sidecar.stop() == 0
        assert spools(spool_dir) == []
        assert_stands(tmp_path / "run", list(range(100)))

    def test_flush_and_close_say_where_it_is_kept(
        self, endpoint: str, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        writer = sidelog.SummaryWriter("run")
        writer.add_scalar("loss", 0.25, 1)
        path = wait_until(lambda: spools(spool_dir), what="what nobody takes is spooled")[0]
        why = f"1 records are not written: no daemon answers at {endpoint}"
        where = f"reliable records are kept in {path} (sidelog replay writes what this process does not)"
        for settle in (lambda: writer.flush(timeout_s=0.1), lambda: writer.close(timeout_s=0.1)):
            with pytest.raises(TransportError) as caught:
                settle()
            assert str(caught.value).startswith(why)
            assert str(caught.value).endswith(where)
        start()
        assert replay(path)[0] == 0
        assert read_run(tmp_path / "run").scalars == {"loss": [(1, 0.25)]}

    def test_it_comes_while_the_training_runs(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        writer = sidelog.SummaryWriter("run")
        for step in range(1000):
            writer.add_scalar("loss", step, step)
        wait_until(lambda: spools(spool_dir), what="what nobody takes is spooled")
        for step in range(1000, 2000):
            writer.add_scalar("loss", step, step)
        start()
        writer.close()
        assert writer.statistics() == Statistics(written=2000)
        assert spools(spool_dir) == []
        assert read_run(tmp_path / "run").scalars == {"loss": [(step, float(step)) for step in range(2000)]}

    def test_a_killed_training_has_lost_its_last_two_seconds_at_most(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        code = """
import itertools, time
for step in itertools.count():
    writer.add_scalar("loss", step / 4, step, walltime=time.time())
    if step == 200:
        print("go on", flush=True)
    time.sleep(0.005)
"""
        process = start_script(TRAIN + code)
        assert process.stdout is not None
        assert process.stdout.readline() == "go on\n"
        wait_until(lambda: spools(spool_dir))
        time.sleep(1)  # goes on logging
        killed_at = time.time()
        process.kill()
        process.communicate()
        start()
        status, said = replay(the_spool(spool_dir))
        assert status == 0, said
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        accumulator = EventAccumulator(str(tmp_path / "run"), size_guidance={"scalars": 0})
        accumulator.Reload()
        stands = accumulator.Scalars("loss")
        assert [one.step for one in stands] == list(range(len(stands)))
        assert stands[-1].wall_time > killed_at - 2

    def test_ctrl_c_twice_ends_at_once_with_everything_kept(self, endpoint: str, spool_dir: Path) -> None:
        code = """
try:
    log(range(100))
    print("logged", flush=True)
    import time
    time.sleep(60)
finally:
    print("closing", flush=True)
    writer.close()
"""
        process = start_script(TRAIN + code)
        assert process.stdout is not None
        assert process.stdout.readline() == "logged\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "closing\n"
        assert process.stderr is not None
        # Before close() waits, Ctrl-C would end the program's own last lines instead.
        assert any("(1 of 30 s)" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(signal.SIGINT)
        status, _, said = finish(process)
        assert "(4 of 30 s)" not in said  # who waits is told so each second; a loaded machine takes one
        assert status != 0
        assert f"sidelog replay {the_spool(spool_dir)}" in said
        assert "300 of 300 records" in said

    def test_a_child_that_multiprocessing_started_has_three_seconds_and_then_its_spool(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        script = tmp_path / "script.py"
        script.write_text(
            "import multiprocessing\ndef work():\n"
            + "".join(f"    {line}\n" for line in TRAIN.splitlines())
            + "    log(range(10))\n"
            + 'if __name__ == "__main__":\n    child = multiprocessing.Process(target=work)\n'
            "    child.start()\n    child.join()\n"
        )
        subprocess.run([sys.executable, str(script)], check=True, capture_output=True, timeout=2 * DEADLINE_S)
        start()
        assert replay(the_spool(spool_dir))[0] == 0
        assert_stands(tmp_path / "run", list(range(10)))


def test_exit_waits_for_a_frozen_daemon_as_long_as_it_is_told_and_shows_it(
    start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
) -> None:
    sidecar = start()
    code = """
import os, signal
log(range(10))
writer.flush(pictures=True)
os.kill(int(sys.argv[1]), signal.SIGSTOP)
log(range(10, 20))
"""
    process = start_script(TRAIN + code, str(sidecar.pid), env={"SIDELOG_EXIT_TIMEOUT": "3"})
    status, _, said = finish(process)
    assert status == 0
    assert "writing the last 30 records (1 of 3 s)" in said
    assert "(5 of 3 s)" not in said
    assert f"30 of 60 records are not known to be in the event files; they are kept: sidelog replay {spool_dir}" in said
    sidecar.signal(signal.SIGCONT)
    assert replay("--all")[0] == 0
    assert sidecar.stop() == 0
    assert_stands(tmp_path / "run", list(range(20)))


@pytest.mark.parametrize("how", ["closed", "with an exception", "at exit"])
def test_several_writers_wait_for_a_frozen_daemon_no_longer_than_one(
    how: str, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
) -> None:
    sidecar = start()
    end = {
        "closed": """
for one in writers:
    try: one.close()
    except sidelog.SidelogError: pass
""",
        "with an exception": """
try:
    with writers[0], writers[1], writers[2]:
        raise KeyError("diverged")
except KeyError:
    pass
""",
        "at exit": "",
    }
    code = f"""
import os, signal
writers = [sidelog.SummaryWriter(f"run/{{number}}") for number in range(3)]
for one in writers:
    one.add_scalar("loss", 0, 0)
    one.flush()
os.kill(int(sys.argv[1]), signal.SIGSTOP)
for one in writers:
    one.add_scalar("loss", 1, 1)
{end[how]}
"""
    process = start_script(TRAIN + code, str(sidecar.pid), env={"SIDELOG_EXIT_TIMEOUT": "3"})
    status, _, said = finish(process)
    assert status == 0
    assert said.count("(1 of 3 s)") == 1
    assert "(5 of 3 s)" not in said
    sidecar.signal(signal.SIGCONT)
    assert replay("--all")[0] == 0
    assert [read_run(tmp_path / "run" / str(number)).steps("loss") for number in range(3)] == [[0, 1]] * 3


def test_a_local_daemon_that_hangs_while_it_starts_is_not_waited_for(
    runtime_dir: Path, spool_dir: Path, tmp_path: Path
) -> None:
    package = tmp_path / "path" / "sidelog_daemon"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import time\ntime.sleep(60)\n")
    code = TRAIN.replace('"run"', "sys.argv[1]") + "log(range(5))"
    environment = {"SIDELOG_EXIT_TIMEOUT": "2", "PYTHONPATH": str(package.parent)}
    status, _, said = finish(start_script(code, str(tmp_path / "run"), env=environment))
    assert status == 0
    assert "(4 of 2 s)" not in said
    assert "15 of 15 records are not known to be in the event files; they are kept: sidelog replay" in said
    assert replay("--all")[0] == 0
    assert_stands(tmp_path / "run", list(range(5)))


class TestReplay:
    def leave_spool(self, count: int = 20) -> None:
        run_script(TRAIN + f"log(range({count}))\n"
                   "try: writer.close(timeout_s=0.1)\nexcept sidelog.SidelogError: pass")  # fmt: skip

    def test_is_refused_while_its_training_runs(self, endpoint: str, spool_dir: Path) -> None:
        process = start_script(TRAIN + "log(range(10))\nsys.stdin.read()")
        wait_until(lambda: spools(spool_dir))
        status, said = replay(the_spool(spool_dir))
        assert status == 1
        assert "its training still runs" in said
        process.kill()
        process.communicate()

    def test_of_what_was_written_already_writes_the_rest(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        """The daemon froze when it had taken some, went on when the training had given up, and wrote them."""
        sidecar = start()
        code = """
import os, signal
log(range(20))
writer.flush(pictures=True)
log(range(20, 40))
os.kill(int(sys.argv[1]), signal.SIGSTOP)
log(range(40, 60))
try: writer.close(timeout_s=1)
except sidelog.SidelogError: pass
"""
        run_script(TRAIN + code, str(sidecar.pid))
        sidecar.signal(signal.SIGCONT)
        status, said = replay(the_spool(spool_dir))
        assert status == 0, said
        assert sidecar.stop() == 0
        assert_stands(tmp_path / "run", list(range(60)))

    def test_can_be_repeated_however_it_ended(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        """A daemon that is killed in the middle of it leaves the file, and what it wrote is not written again."""
        self.leave_spool(3000)
        path = the_spool(spool_dir)
        copy = path.read_bytes()
        sidecar = start()
        process = subprocess.Popen(
            [sys.executable, "-m", "sidelog.cli", "replay", "--timeout=2", str(path)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        wait_until(lambda: list(tmp_path.glob("run/*.sidelog")) or process.poll() is not None)
        sidecar.kill()
        process.communicate(timeout=2 * DEADLINE_S)
        path.write_bytes(copy)  # as if it had been killed before it could remove the file
        start()
        assert replay(path)[0] == 0
        assert_stands(tmp_path / "run", list(range(3000)))

    def test_of_a_copy_writes_nothing_twice_whenever_it_comes(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        """The file could not be removed, or came back out of a backup: at the same time, later, to another daemon."""
        self.leave_spool()
        path = the_spool(spool_dir)
        copies = [path.with_name(f"copy{number}.spool") for number in range(3)]
        content = path.read_bytes()
        for copy in copies:
            copy.write_bytes(content)
        sidecar = start()
        assert replay("--all")[0] == 0  # one after the other
        for copy in copies:
            copy.write_bytes(content)
        both = [
            subprocess.Popen([sys.executable, "-m", "sidelog.cli", "replay", str(copy)], stdout=subprocess.DEVNULL)
            for copy in copies[:2]
        ]
        assert [one.wait(2 * DEADLINE_S) for one in both] == [0, 0]
        assert sidecar.stop() == 0
        start()
        assert replay(copies[2])[0] == 0
        assert_stands(tmp_path / "run", list(range(20)))

    def test_of_a_spool_that_its_own_process_has_emptied_writes_nothing(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        writer = sidelog.SummaryWriter("run")
        for step in range(10):
            writer.add_scalar("loss", step, step)
        wait_until(lambda: spools(spool_dir))
        content = the_spool(spool_dir).read_bytes()
        start()
        writer.close()
        (spool_dir / "copy.spool").write_bytes(content)
        assert replay("--all")[0] == 0
        assert read_run(tmp_path / "run").steps("loss") == list(range(10))

    def test_of_a_damaged_file_writes_what_is_whole_and_says_so(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        self.leave_spool()
        path = the_spool(spool_dir)
        content = bytearray(path.read_bytes())
        at = content.index(b"text 7")
        content[at] ^= 1
        path.write_bytes(content)
        start()
        status, said = replay(path)
        assert status == 4
        assert "are damaged, what stood in them alone is lost; all else is written" in said
        assert not path.exists()
        assert Path(f"{path}.damaged").read_bytes() == content
        assert replay(f"{path}.damaged")[0] == 4
        assert sorted(spool_dir.iterdir()) == [Path(f"{path}.damaged")]
        found = read_run(tmp_path / "run")
        assert found.steps("loss") == sounds(tmp_path / "run") == list(range(20))
        assert found.steps("note") == [step for step in range(20) if step != 7]

    def test_of_a_torn_file_writes_what_is_whole(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        self.leave_spool()
        path = the_spool(spool_dir)
        os.truncate(path, messages_in(path, MessageKind.RECORD)[-1].end - 10)
        start()
        status, said = replay(path)
        assert status == 0
        assert "are half a message" in said
        assert read_run(tmp_path / "run").steps("note") == list(range(20))
        assert sounds(tmp_path / "run") == list(range(19))

    @pytest.mark.parametrize("content", [None, b"", b"something else", recording.FILE_HEADER])
    def test_of_something_else_is_refused(self, content: bytes | None, tmp_path: Path) -> None:
        path = tmp_path / "file"
        if content is not None:
            path.write_bytes(content)
        status, said = replay(path)
        assert status == 2
        assert str(path) in said
        assert "Traceback" not in said

    def test_of_all_that_were_left_and_the_next_training_says_that_they_are_there(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for _ in range(3):
            self.leave_spool(1)
        living = start_script(TRAIN + "log(range(10))\nsys.stdin.read()")
        wait_until(lambda: len(spools(spool_dir)) == 4)
        writer = sidelog.SummaryWriter("other")
        told = f"3 earlier processes left records that are not known to be in the event files, in {spool_dir}"
        wait_until(lambda: told in caplog.text)
        start()
        status, said = replay("--all")
        assert status == 0, said
        assert said.count("3 records stand in the event files") == 3
        finish(living)
        writer.close()
        assert spools(spool_dir) == []
        assert sorted(read_run(tmp_path / "run").steps("loss")) == [0, 0, 0, *range(10)]
        assert replay("--all") == (0, "sidelog replay: there is no spool\n")

    def test_goes_to_the_daemon_that_was_to_write_it(
        self,
        start: Callable[[], DaemonProcess],
        endpoint: str,
        spool_dir: Path,
        runtime_dir: Path,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Its runs are names, and where they are only that one knows; the local daemon would make others."""
        self.leave_spool(5)
        monkeypatch.delenv("SIDELOG_ENDPOINT")
        monkeypatch.chdir(runtime_dir)
        start()
        status, said = replay("--all")
        assert status == 0, said
        assert f"for run, by the daemon at {endpoint}" in said
        assert_stands(tmp_path / "run", list(range(5)))
        assert not (runtime_dir / "runs").exists()

    def test_of_runs_by_name_is_refused_where_nobody_knows_whose_they_are(
        self, runtime_dir: Path, tmp_path: Path
    ) -> None:
        spool = Spool([tmp_path / "old.spool"], WORKER, budget_bytes=1 << 20, say=pytest.fail)
        spool.declare(RunHandle(1, "exp1"))
        number, zero = np.zeros(1, np.uint32), np.zeros(1)
        columns = ScalarColumns(1, (Series(1, "loss"),), number, np.zeros(1, np.int64), zero, zero)
        assert spool.keep([requests.Scalars(columns).frames(1)], 1) is not None
        spool.close()
        status, said = replay(tmp_path / "old.spool")
        assert status == 2
        assert "where 'exp1' is, only the daemon knows that was to write it, expected --endpoint" in said
        assert (tmp_path / "old.spool").exists()

    def test_ends_at_ctrl_c_and_says_which_are_left(self, endpoint: str, spool_dir: Path) -> None:
        for _ in range(2):
            self.leave_spool(1)
        process = subprocess.Popen(
            [sys.executable, "-m", "sidelog.cli", "replay", "--all"], stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        assert any("waiting for a daemon" in line for line in iter(process.stderr.readline, ""))
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=DEADLINE_S)[1]
        assert process.returncode == 130
        assert "Traceback" not in said
        assert all(str(path) in said for path in spools(spool_dir))

    def test_outlasts_a_run_that_is_refused_for_a_while(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        self.leave_spool(5)
        (tmp_path / "run").mkdir()
        fd = os.open(tmp_path / "run" / ".sidelog.lock", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        start()
        process = subprocess.Popen(
            [sys.executable, "-m", "sidelog.cli", "replay", "--all"], stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        assert any("is written by another daemon" in line for line in iter(process.stderr.readline, ""))
        os.close(fd)
        said = process.communicate(timeout=DEADLINE_S)[1]
        assert process.returncode == 0, said
        assert_stands(tmp_path / "run", list(range(5)))

    def test_starts_the_local_daemon_if_there_is_none(
        self, endpoint: str, spool_dir: Path, runtime_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SIDELOG_ENDPOINT")
        monkeypatch.setenv("SIDELOG_EXIT_TIMEOUT", "0")
        code = TRAIN.replace('"run"', "sys.argv[1]") + "log(range(5))"
        run_script(code, str(runtime_dir / "run"))  # it ends before its daemon is up
        assert replay(the_spool(spool_dir), timeout_s=DEADLINE_S)[0] == 0
        assert_stands(runtime_dir / "run", list(range(5)))


class TestSpoolFile:
    def test_that_somebody_removes_while_its_training_runs_is_written_again(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        process = start_script(TRAIN + "log(range(10))\nsys.stdin.readline()\nlog(range(10, 20))", env=SOON)
        wait_until(lambda: spools(spool_dir) and the_spool(spool_dir).stat().st_size > 1000)
        the_spool(spool_dir).unlink()
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
        _, _, said = finish(process)
        assert "was removed: it is written again, nothing of it is lost" in said
        start()
        assert replay(the_spool(spool_dir))[0] == 0
        assert_stands(tmp_path / "run", list(range(20)))

    def test_that_is_removed_and_nothing_follows_is_there_at_the_end(
        self, start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path
    ) -> None:
        process = start_script(TRAIN + "log(range(10))\nsys.stdin.readline()", env=SOON)
        wait_until(lambda: spools(spool_dir) and the_spool(spool_dir).stat().st_size > 1000)
        the_spool(spool_dir).unlink()
        finish(process)
        start()
        assert replay("--all")[0] == 0
        assert_stands(tmp_path / "run", list(range(10)))

    def test_on_a_file_system_without_locks_is_its_trainings_as_long_as_that_lives(
        self, endpoint: str, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        process = start_script(TRAIN + "log(range(10))\nsys.stdin.read()", env=SOON)
        wait_until(lambda: spools(spool_dir))

        def no_locks(fd: int, operation: int) -> None:
            raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

        monkeypatch.setattr("sidelog.left_spool.fcntl.flock", no_locks)
        assert left_spools([spool_dir]) == []
        with pytest.raises(TransportError, match="its training still runs"):
            open_left_spool(the_spool(spool_dir), say=pytest.fail)
        process.kill()
        process.communicate()
        assert left_spools([spool_dir]) == [the_spool(spool_dir)]
        elsewhere = spool_dir / "another-host-1-0123456789abcdef.spool"
        elsewhere.write_bytes(the_spool(spool_dir).read_bytes())
        assert elsewhere not in left_spools([spool_dir])  # it may live: the file was written just now
        os.utime(elsewhere, (time.time() - 300,) * 2)
        assert elsewhere in left_spools([spool_dir])

    def test_when_it_is_full_it_is_said_and_what_is_lost_is_counted(
        self, endpoint: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, spool_dir: Path
    ) -> None:
        monkeypatch.setenv("SIDELOG_SPOOL_MB", "1")
        writer = sidelog.SummaryWriter("run")
        for step in range(30):
            writer.add_audio("sound", np.zeros(40_000, np.float32), step, sample_rate=8000)
        with pytest.raises(TransportError):
            writer.close(timeout_s=2.0)
        end = writer.statistics()
        assert end.spooled + end.lost == end.logged == 30
        assert end.spooled > 0
        assert end.lost > 0
        assert the_spool(spool_dir).stat().st_size <= 1 << 20
        assert "is full" in caplog.text
        assert f"{end.lost} of 30 records are not in the event files" in caplog.text

    def test_none_is_kept_where_none_is_wanted(
        self, endpoint: str, monkeypatch: pytest.MonkeyPatch, spool_dir: Path
    ) -> None:
        monkeypatch.setenv("SIDELOG_SPOOL_MB", "0")
        writer = sidelog.SummaryWriter("run")
        writer.add_scalar("loss", 1, 1)
        with pytest.raises(TransportError):
            writer.close(timeout_s=0.1)
        assert (writer.statistics().spooled, writer.statistics().lost) == (0, 1)
        assert spools(spool_dir) == []

    def test_where_it_cannot_be_made_that_is_said(
        self, endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "file").write_text("in the way")
        monkeypatch.setenv("SIDELOG_SPOOL_DIR", str(tmp_path / "file"))
        writer = sidelog.SummaryWriter("run")
        writer.add_scalar("loss", 1, 1)
        with pytest.raises(TransportError):
            writer.close(timeout_s=0.1)
        assert writer.statistics().lost == 1
        assert "cannot be written" in caplog.text
        assert os.strerror(errno.EEXIST) in caplog.text or os.strerror(errno.ENOTDIR) in caplog.text

    def test_no_daemon_that_is_well_ever_causes_one(self, start: Callable[[], DaemonProcess], spool_dir: Path) -> None:
        start()
        with sidelog.SummaryWriter("run") as writer:
            for step in range(200):
                writer.add_scalar("loss", step, step)
                writer.add_audio("sound", np.zeros(100, np.float32), step, sample_rate=8000)
        assert not spool_dir.exists()


class TestTwoDaemons:
    def test_who_comes_second_is_told_whose_it_is_and_writes_when_it_may(
        self, daemon: StartDaemon, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        first, second = (daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path)) for _ in range(2))
        owner = sidelog.SummaryWriter("run", endpoint=first.endpoint)
        owner.add_scalar("first", 1.0, 0)
        owner.flush()
        writer = sidelog.SummaryWriter("run", endpoint=second.endpoint)
        other = sidelog.SummaryWriter("other", endpoint=second.endpoint)
        writer.add_scalar("loss", 0.5, 1)
        other.add_scalar("loss", 0.25, 1)
        with pytest.raises(WriterError, match=f"is written by another daemon at {first.endpoint}"):
            writer.flush()
        other.flush()
        assert f"SIDELOG_ENDPOINT={first.endpoint} logs there" in caplog.text
        owner.close()
        wait_until(lambda: "is written again" in caplog.text)
        writer.add_scalar("loss", 0.75, 2)
        writer.close()
        other.close()
        assert writer.statistics() == Statistics(written=3)
        assert read_run(tmp_path / "run").scalars == {"first": [(0, 1.0)], "loss": [(1, 0.5), (2, 0.75)]}

    def test_what_was_never_let_in_is_kept(
        self, daemon: StartDaemon, tmp_path: Path, spool_dir: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = (daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path)) for _ in range(2))
        owner = sidelog.SummaryWriter("run", endpoint=first.endpoint)
        owner.add_scalar("first", 1.0, 0)
        owner.flush()
        writer = sidelog.SummaryWriter("run", endpoint=second.endpoint)
        writer.add_scalar("loss", 0.5, 1)
        with pytest.raises(WriterError):
            writer.close()
        assert writer.statistics() == Statistics(spooled=1)
        owner.close()
        monkeypatch.setenv("SIDELOG_ENDPOINT", first.endpoint)
        assert replay(the_spool(spool_dir))[0] == 0
        assert read_run(tmp_path / "run").scalars == {"first": [(0, 1.0)], "loss": [(1, 0.5)]}


def test_a_fault_of_our_own_ends_the_connection_and_keeps_what_waits(
    start: Callable[[], DaemonProcess], spool_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start()
    writer = sidelog.SummaryWriter("run")
    writer.add_scalar("loss", 0.0, 0)
    writer.flush()

    def fail(delivery: Delivery, now: float) -> None:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Delivery, "ask_again", fail)
    for step in range(1, 10):
        writer.add_scalar("loss", step, step)
    with pytest.raises(TransportError, match="the sender thread failed: RuntimeError: a fault of ours"):
        writer.close()
    end = writer.statistics()
    assert (end.written, end.spooled + end.lost, end.logged) == (1, 9, 10)
    monkeypatch.undo()
    assert end.spooled
    monkeypatch.setenv("SIDELOG_SPOOL_DIR", str(spool_dir))
    assert replay(the_spool(spool_dir), "--endpoint", writer._settings.endpoint)[0] == 0
    assert read_run(tmp_path / "run").steps("loss") == list(range(1 + end.spooled))
