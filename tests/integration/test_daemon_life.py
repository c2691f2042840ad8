"""Life and death of the daemon's process: who starts it, who finds it, when it goes, and what it says."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

import sidelog
from event_files import read_run
from processes import (
    DEADLINE_S,
    DaemonProcess,
    finish,
    is_gone,
    local_daemon,
    run_script,
    start_script,
    stop_local_daemon,
    wait_until,
)
from sidelog_shared.locks import FileLock
from sidelog_shared.rendezvous import Rendezvous

StartDaemon = Callable[..., DaemonProcess]


def run_daemon(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A daemon that is expected to fail at once."""
    return subprocess.run(
        [sys.executable, "-m", "sidelog_daemon", *arguments],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        env={**os.environ, **(env or {})},
    )


def one_line(text: str) -> str:
    (line,) = text.splitlines()
    return line


class TestStarting:
    def test_is_done_by_the_first_writer_and_leaves_no_child(self, runtime_dir: Path, tmp_path: Path) -> None:
        children = psutil.Process().children()
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            writer.add_scalar("loss", 1.0, 1)
            writer.flush()
            ready = local_daemon()
            assert ready is not None
            assert psutil.Process().children() == children  # no zombie either
            daemon = psutil.Process(ready.pid)
            assert os.getsid(ready.pid) != os.getsid(0)
            assert daemon.nice() > 0
            assert any(argument.startswith("--idle-exit=") for argument in daemon.cmdline())
            assert {os.readlink(f"/proc/{ready.pid}/fd/{fd}") for fd in (1, 2)} == {
                str(runtime_dir / "sidelog" / "daemon-1.log")
            }

    def test_does_not_keep_the_constructor_waiting(self, runtime_dir: Path, tmp_path: Path) -> None:
        lock = FileLock(Rendezvous().lock_file)
        assert lock.try_acquire()  # no daemon can start before this is let go
        writer = sidelog.SummaryWriter(tmp_path / "run")
        writer.add_scalar("loss", 1.0, 1)
        lock.release()
        writer.close()
        assert read_run(tmp_path / "run").steps("loss") == [1]

    def test_of_a_second_local_one_says_who_is_there(
        self, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path
    ) -> None:
        first = daemon("--logdir", str(tmp_path))
        second = run_daemon("--logdir", str(tmp_path))
        assert second.returncode == 4
        assert one_line(second.stderr) == (
            f"sidelog daemon: your local daemon is running already (pid {first.pid}, endpoint {first.endpoint}, "
            f"logdir {tmp_path}): writers find it without being told; for a second one give "
            "--bind tcp://127.0.0.1:PORT"
        )
        assert first.runs

    def test_on_a_port_in_use_fails_with_one_line(self, daemon: StartDaemon, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            failed = run_daemon("--bind", endpoint, "--logdir", str(tmp_path))
        assert failed.returncode == 5
        assert one_line(failed.stderr) == (
            f"sidelog daemon: {endpoint} is in use by another program: give --bind another port"
        )

    def test_on_a_socket_in_use_does_not_take_it_over(self, daemon: StartDaemon, tmp_path: Path) -> None:
        endpoint = f"ipc://{tmp_path}/d.sock"
        first = daemon("--bind", endpoint, "--logdir", str(tmp_path))
        failed = run_daemon("--bind", endpoint, "--logdir", str(tmp_path))
        assert failed.returncode == 5
        assert f"{endpoint} is in use by another program: give --bind another path" in failed.stderr
        with sidelog.SummaryWriter(tmp_path / "run", endpoint=endpoint) as writer:
            writer.add_scalar("loss", 1.0, 1)
        assert first.stop() == 0
        assert read_run(tmp_path / "run").steps("loss") == [1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--bind", "tcp://0.0.0.0:5557"], "expected a loopback address such as tcp://127.0.0.1:5557"),
            (["--bind", "5557"], "endpoint is '5557', expected tcp://127.0.0.1:PORT or ipc://PATH"),
            (["--bind", "ipc:///nonexistent/d.sock"], "cannot listen on ipc:///nonexistent/d.sock: No such file"),
            (["--bind", f"ipc:///tmp/{'x' * 120}"], "cannot listen on ipc:///tmp/xxx"),
            (["--bind", "tcp://127.0.0.1:*", "--render-threads", "0"], "render_threads is 0, expected 1 to 64"),
        ],
    )
    def test_with_what_cannot_work_fails_with_one_line(
        self, arguments: list[str], message: str, tmp_path: Path
    ) -> None:
        failed = run_daemon(*arguments, "--logdir", str(tmp_path))
        assert failed.returncode == 2
        assert message in one_line(failed.stderr)

    @pytest.mark.parametrize(
        ("logdir", "reason"), [("/proc/nope", "No such file or directory"), ("{tmp}/file/runs", "Not a directory")]
    )
    def test_with_a_logdir_that_cannot_be_made_fails_with_one_line(
        self, logdir: str, reason: str, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("")
        logdir = logdir.format(tmp=tmp_path)
        failed = run_daemon("--bind", "tcp://127.0.0.1:*", "--logdir", logdir)
        assert (failed.returncode, failed.stdout) == (2, "")
        assert one_line(failed.stderr) == (
            f"sidelog daemon: logdir is {logdir}, got {reason} at {logdir}, "
            "expected a folder that this user may make and write"
        )

    def test_makes_the_logdir_only_by_hand(
        self, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with sidelog.SummaryWriter(tmp_path / "run"):
            assert not (tmp_path / "runs").exists()
        daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path / "by" / "hand"))
        assert (tmp_path / "by" / "hand").is_dir()

    def test_with_a_tensorboard_port_in_use_fails_with_one_line(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            failed = run_daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path), "--tensorboard", str(port))
        assert failed.returncode == 2
        assert f"port {port} for TensorBoard cannot be used (Address already in use)" in one_line(failed.stderr)

    def test_in_a_folder_that_others_can_enter_fails_and_the_writer_says_so(
        self, runtime_dir: Path, tmp_path: Path
    ) -> None:
        folder = runtime_dir / "sidelog"
        folder.mkdir()
        folder.chmod(0o755)
        assert "has mode 755, expected 700" in one_line(run_daemon().stderr)
        with pytest.raises(sidelog.ConfigError, match=rf"has mode 755, expected 700 \(chmod 700 {folder}\)"):
            sidelog.SummaryWriter(tmp_path / "run")
        folder.chmod(0o700)

    def test_over_ipv6_loopback(self, daemon: StartDaemon, tmp_path: Path) -> None:
        process = daemon("--bind", "tcp://[::1]:*", "--logdir", str(tmp_path))
        assert process.endpoint.startswith("tcp://[::1]:")

    def test_prints_its_configuration_when_asked(self, tmp_path: Path) -> None:
        printed = run_daemon("--print-config", "--logdir", str(tmp_path), "--budget-mb", "7")
        assert printed.returncode == 0
        assert f'"logdir": "{tmp_path}"' in printed.stdout
        assert f'"budget_bytes": {7 * 1024 * 1024}' in printed.stdout

    def test_takes_from_the_environment_what_is_not_typed(self, tmp_path: Path) -> None:
        names = {"SIDELOG_RENDER_THREADS": "3", "SIDELOG_BUDGET_MB": "70", "SIDELOG_MAX_PIXELS": "1000000"}
        printed = run_daemon("--print-config", "--budget-mb", "7", env={"SIDELOG_LOGDIR": str(tmp_path), **names})
        config = json.loads(printed.stdout)
        assert (config["render_threads"], config["max_pixels"]) == (3, 1_000_000)
        assert config["budget_bytes"] == 7 * 1024 * 1024
        refused = run_daemon("--print-config", env={"SIDELOG_MAX_PIXELS": "many"})
        assert refused.returncode == 2
        assert "argument --max-pixels: invalid int value: 'many'" in refused.stderr

    def test_with_an_empty_variable_takes_the_default(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        printed = run_daemon("--print-config", env={"SIDELOG_LOGDIR": ""})
        assert f'"logdir": "{tmp_path}/runs"' in printed.stdout


class TestEnding:
    def test_comes_by_itself_after_the_last_worker(
        self, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path
    ) -> None:
        process = daemon("--idle-exit", "1", "--logdir", str(tmp_path))
        writers = [sidelog.SummaryWriter(tmp_path / "run") for _ in range(2)]
        code = "import sys, sidelog; sidelog.SummaryWriter(sys.argv[1]).add_scalar('loss', 1.0, 1)"
        run_script(code, str(tmp_path / "other"))  # a worker comes and goes
        for writer in writers:
            writer.add_scalar("loss", 2.0, 2)
            writer.flush()
            assert process.runs
            writer.close()
        assert process.wait() == 0
        assert local_daemon() is None
        assert not Rendezvous().socket.exists()
        assert read_run(tmp_path / "run").steps("loss") == [2, 2]

    def test_comes_also_when_the_last_worker_was_killed(
        self, daemon: StartDaemon, runtime_dir: Path, tmp_path: Path
    ) -> None:
        process = daemon("--idle-exit", "0.2", "--logdir", str(tmp_path))
        code = """
import os, signal, sys, sidelog
writer = sidelog.SummaryWriter(sys.argv[1])
writer.add_scalar("loss", 1.0, 1)
writer.flush()
writer.add_scalar("loss", 2.0, 2)
os.kill(os.getpid(), signal.SIGKILL)
"""
        status, _, _ = finish(start_script(code, str(tmp_path / "run")))
        assert status == -signal.SIGKILL
        assert process.wait() == 0
        assert read_run(tmp_path / "run").steps("loss")[0] == 1

    def test_does_not_come_by_ctrl_c_in_the_training(self, runtime_dir: Path, tmp_path: Path) -> None:
        code = """
import sys, sidelog
writer = sidelog.SummaryWriter(sys.argv[1])
writer.add_scalar("loss", 1.0, 1)
writer.flush()
try:
    print("up", flush=True)
    sys.stdin.readline()
except KeyboardInterrupt:
    writer.add_scalar("loss", 2.0, 2)
    writer.close()
    print("closed")
"""
        training = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "run")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert training.stdout is not None
        assert training.stdout.readline() == "up\n"
        ready = local_daemon()
        assert ready is not None
        os.killpg(training.pid, signal.SIGINT)
        assert finish(training) == (0, "closed\n", "")
        assert local_daemon() == ready
        assert read_run(tmp_path / "run").steps("loss") == [1, 2]

    def test_leaves_no_pipe_of_the_training_open(self, runtime_dir: Path, tmp_path: Path) -> None:
        """``python train.py | tee log`` ends when the training does, not when the daemon does."""
        code = "import sys, sidelog; sidelog.SummaryWriter(sys.argv[1]).add_scalar('loss', 1.0, 1)"
        run_script(code, str(tmp_path / "run"))  # reads until the pipes are closed
        assert local_daemon() is not None

    def test_by_sigterm_writes_what_is_queued(self, daemon: StartDaemon, tmp_path: Path) -> None:
        process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        writer = sidelog.SummaryWriter("run", endpoint=process.endpoint)
        for step in range(500):
            writer.add_scalar("loss", float(step), step)
        writer.flush()
        assert process.stop() == 0
        assert read_run(tmp_path / "run").steps("loss") == list(range(500))
        writer.add_scalar("loss", 0.0, 500)
        with pytest.raises(sidelog.TransportError, match=r"1 records are not written"):
            writer.close(timeout_s=0.5)

    def test_by_sigterm_says_what_went_wrong_meanwhile(self, daemon: StartDaemon, tmp_path: Path) -> None:
        process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        assert process.stop() == 0
        assert "faulty messages: none; answers not sent: none" in process.log

    def test_by_sigkill_ends_tensorboard_too(self, daemon: StartDaemon, tmp_path: Path) -> None:
        process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path), "--tensorboard")
        (board,) = psutil.Process(process.pid).children()
        process.kill()
        wait_until(lambda: is_gone(board.pid))

    def test_says_that_tensorboard_was_gone_before(self, daemon: StartDaemon, tmp_path: Path) -> None:
        process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path), "--tensorboard")
        (board,) = psutil.Process(process.pid).children()
        board.kill()
        wait_until(lambda: is_gone(board.pid))
        assert process.stop() == 0
        assert "TensorBoard had ended by itself, with status -9" in process.log

    def stuck(self, daemon: StartDaemon, tmp_path: Path, drain_timeout_s: str) -> tuple[DaemonProcess, list[str]]:
        """A daemon whose disk takes 64 KiB of a file, and a training that has logged more than that."""
        process = daemon(
            *("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path), "--drain-timeout", drain_timeout_s),
            through=["sh", "-c", 'ulimit -f 128; exec "$@"', "sh"],
        )
        code = """
import sys, sidelog
writer = sidelog.SummaryWriter("run", endpoint=sys.argv[1])
writer.add_scalar("loss", 1.0, 0)
writer.flush()
for step in range(1, 10_000):
    writer.add_scalar("loss", float(step), step)
try:
    writer.close(timeout_s=0.5)
except sidelog.TransportError as error:
    print(error)
"""
        return process, [run_script(code, process.endpoint)]

    def test_by_a_second_sigterm_is_at_once(self, daemon: StartDaemon, tmp_path: Path) -> None:
        process, said = self.stuck(daemon, tmp_path, "600")
        assert "records are not written" in said[0]
        process.signal(signal.SIGTERM)
        wait_until(lambda: "going down" in process.log)
        process.signal(signal.SIGTERM)
        assert process.wait(20) == 7
        assert "stopped at once, as asked twice" in process.log

    def test_with_records_that_cannot_be_written_says_so(self, daemon: StartDaemon, tmp_path: Path) -> None:
        process, _ = self.stuck(daemon, tmp_path, "0.2")
        assert process.stop() == 6
        assert "cannot be written, kept and tried again every second" in process.log
        assert "going down with records unsettled" in process.log
        run = read_run(tmp_path / "run")
        assert run.steps("loss") == list(range(len(run.steps("loss"))))  # whole groups, or none of them


def test_the_fixture_leaves_no_daemon_behind(runtime_dir: Path, tmp_path: Path) -> None:
    with sidelog.SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("loss", 1.0, 1)
    ready = local_daemon()
    assert ready is not None
    stop_local_daemon()
    assert local_daemon() is None
    assert is_gone(ready.pid)
