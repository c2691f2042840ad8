"""Finding and starting the local daemon, where something comes in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import sidelog
from event_files import read_run
from processes import is_gone, local_daemon, run_script, wait_until
from sidelog import launch
from sidelog.writer import handle
from sidelog_shared.errors import DaemonStartError
from sidelog_shared.rendezvous import Rendezvous


def test_a_child_forked_during_the_launch_hides_nothing(
    runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It inherits the pipe on which the daemon says that it is ready."""
    children: list[int] = []
    spawn = os.posix_spawn

    def spawn_and_fork(*arguments: object, **options: object) -> object:
        process = spawn(*arguments, **options)  # type: ignore[arg-type]
        child = os.fork()
        if child == 0:
            signal.pause()
        children.append(child)
        return process

    monkeypatch.setattr(os, "posix_spawn", spawn_and_fork)
    try:
        with sidelog.SummaryWriter(tmp_path / "run") as logged:
            logged.add_scalar("loss", 1.0, 0)
            logged.flush()
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    assert len(children) == 1
    assert len(read_run(tmp_path / "run").scalars["loss"]) == 1


def test_one_that_hangs_behind_its_fork_is_not_left_behind(
    runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its modules are on a file system that does not answer, say; another is tried later, and another."""
    package = tmp_path / "path" / "sidelog_daemon"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import os, sys, time\n"
        "def main():\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        f"    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(60)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setattr(launch, "START_DEADLINE_S", 2.0)
    rendezvous = Rendezvous()
    with pytest.raises(DaemonStartError, match="still starting when the deadline passed"):
        launch.find_or_start(rendezvous, logdir=str(tmp_path), gives_up=lambda: False)
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: is_gone(pid))


def test_the_daemon_keeps_nothing_open_of_whoever_starts_it(runtime_dir: Path, tmp_path: Path) -> None:
    """A process that multiprocessing spawned has a pipe of its parent's helper, which waits for its end."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    with sidelog.SummaryWriter(tmp_path / "run") as logged:
        logged.add_scalar("loss", 1.0, 0)
        logged.flush()
        daemon = local_daemon()
        assert daemon is not None
        os.close(write)
        assert os.read(read, 1) == b""  # the end: nobody else has it
    os.close(read)


def test_a_daemon_that_takes_long_to_start_is_waited_for(
    runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cold disk, a network file system: longer than what says that nobody is there."""
    monkeypatch.setattr("sidelog.connection.NOBODY_ANSWERS_S", 1.5)
    begun = time.monotonic()
    find_or_start = launch.find_or_start

    def slowly(*arguments: object, **options: object) -> object:
        wait_until(lambda: time.monotonic() - begun > 2.0)
        return find_or_start(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(launch, "find_or_start", slowly)
    with sidelog.SummaryWriter(tmp_path / "run") as logged:
        logged.add_scalar("loss", 1.0, 0)
    assert logged.statistics().written == 1


def test_a_writer_that_opens_while_the_last_one_closes_logs(
    runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = sidelog.SummaryWriter(tmp_path / "first")
    first.flush()
    closer = threading.Thread(target=first.close)
    connect = handle.connect

    def connect_while_closing(*arguments: object) -> object:
        opened = connect(*arguments)  # type: ignore[arg-type]
        closer.start()
        closer.join()
        return opened

    monkeypatch.setattr(handle, "connect", connect_while_closing)
    with sidelog.SummaryWriter(tmp_path / "second") as second:
        for step in range(10):
            second.add_scalar("loss", 1.0, step)
    assert len(read_run(tmp_path / "second").scalars["loss"]) == 10


def test_a_training_that_blocks_signals_does_not_pass_that_on(runtime_dir: Path, tmp_path: Path) -> None:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            writer.add_scalar("loss", 1.0, 1)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    daemon = local_daemon()
    assert daemon is not None
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    (blocked,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigBlk")]
    assert int(blocked, 16) == 0


def test_a_daemon_outlives_a_launcher_that_did_not_wait(runtime_dir: Path, tmp_path: Path) -> None:
    """The first process gives up before the daemon is ready; the second finds that daemon."""
    read_end, write_end = os.pipe()
    os.close(read_end)  # as the launcher's end is once it has left
    command = [sys.executable, "-m", "sidelog_daemon", "--detach", f"--ready-fd={write_end}", "--logdir", str(tmp_path)]
    subprocess.run(command, pass_fds=[write_end], check=True, timeout=60)
    os.close(write_end)
    daemon = wait_until(local_daemon)
    with sidelog.SummaryWriter(tmp_path / "run") as writer:
        writer.add_scalar("loss", 1.0, 1)
    assert local_daemon() == daemon
    assert read_run(tmp_path / "run").steps("loss") == [1]


@pytest.mark.parametrize("variable", ["SIDELOG_RUNTIME_DIR", "XDG_RUNTIME_DIR"])
def test_a_relative_runtime_folder_is_the_trainings_own(runtime_dir: Path, tmp_path: Path, variable: str) -> None:
    """The daemon leaves the training's folder, so the variable means another one there."""
    script = (
        "import os, sys\n"
        "os.chdir(sys.argv[1])\n"
        "import sidelog\n"
        "from sidelog_shared.rendezvous import Rendezvous\n"
        "with sidelog.SummaryWriter(sys.argv[2]) as writer:\n"
        "    writer.add_scalar('loss', 1.0, 1)\n"
        "    writer.flush()\n"
        "    print(Rendezvous().read_ready().pid)\n"
    )
    env = {"SIDELOG_RUNTIME_DIR": "", variable: runtime_dir.name}
    runs = [tmp_path / "first", tmp_path / "second"]
    daemons = [run_script(script, str(runtime_dir.parent), str(run), env=env) for run in runs]
    found = local_daemon()
    assert found is not None
    assert daemons == [f"{found.pid}\n"] * 2
    assert [read_run(run).steps("loss") for run in runs] == [[1], [1]]
