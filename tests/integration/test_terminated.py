"""SIGTERM for processes that multiprocessing started: what they logged before it stands, and they die of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from event_files import read_run
from processes import DEADLINE_S

# Many scripts begin by making and closing a writer: the daemon is up then, and a child has three seconds only.
COMMON = """
import multiprocessing, os, signal, sys, time, warnings
import sidelog
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: a fork beside threads

def start(work, *arguments, method="fork"):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=work, args=(theirs, *arguments))
    child.start()
    child.kept = ours  # a child that waits for a word must not be told of its end
    assert ours.poll(30), "the child says nothing"
    return child, ours.recv()

def wait_for_a_word(pipe):
    # A signal just before a call that waits for ever is Python's to handle after that call, so for ever.
    while not pipe.poll(0.05):
        pass

def terminate(child, within_s=30):
    child.terminate()
    child.join(within_s)
    return child.exitcode
"""


def run_file(folder: Path, code: str, *arguments: str, env: dict[str, str] | None = None) -> str:
    """Run a script out of a file, as ``spawn`` needs it; returns its output."""
    script = folder / "script.py"
    script.write_text(COMMON + code)
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
        env={**os.environ, **(env or {})},
        check=False,
    )
    assert done.returncode == 0, f"the script ended with {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def closed_port() -> str:
    """An endpoint at which nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def test_tensorboardxs_example_of_a_pool(runtime_dir: Path, tmp_path: Path) -> None:
    """Leaving the block terminates the workers, milliseconds after their last result."""
    code = """
def train(job):
    writer.add_scalar("job", job)
    writer.add_text("note", str(job))

if __name__ == "__main__":
    for run in sys.argv[1:]:
        writer = sidelog.GlobalSummaryWriter(run)
        with multiprocessing.get_context("fork").Pool(4) as pool:
            pool.map(train, range(100))
        writer.close()
"""
    runs = [tmp_path / f"run{number}" for number in range(5)]
    run_file(tmp_path, code, *map(str, runs))
    for folder in runs:
        run = read_run(folder)
        assert run.steps("job") == run.steps("note") == list(range(100))
        assert sorted(value for _, value in run.scalars["job"]) == list(range(100))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_writer_in_the_workers_of_a_pool(method: str, runtime_dir: Path, tmp_path: Path) -> None:
    code = """
def train(job):
    global writer
    if "writer" not in globals():
        writer = sidelog.SummaryWriter(sys.argv[1])
    writer.add_scalar(f"job{job}", job, job)

if __name__ == "__main__":
    with sidelog.SummaryWriter(sys.argv[1] + "/main") as first:
        first.add_scalar("first", 0, 0)
    with multiprocessing.get_context(sys.argv[2]).Pool(3) as pool:
        pool.map(train, range(30))
"""
    run_file(tmp_path, code, str(tmp_path / "run"), method)
    run = read_run(tmp_path / "run")
    assert run.scalars == {f"job{job}": [(job, float(job))] for job in range(30)}


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_terminated_right_after_logging(method: str, runtime_dir: Path, tmp_path: Path) -> None:
    code = """
def work(pipe, folder):
    writer = sidelog.SummaryWriter(folder)
    for step in range(100):
        writer.add_scalar("loss", step, step)
    pipe.send("logged")
    pipe.recv()

if __name__ == "__main__":
    sidelog.SummaryWriter(sys.argv[1] + "/main").close()
    child, _ = start(work, sys.argv[1], method=sys.argv[2])
    assert terminate(child) == -signal.SIGTERM
"""
    run_file(tmp_path, code, str(tmp_path / "run"), method)
    assert read_run(tmp_path / "run").steps("loss") == list(range(100))


def test_terminated_in_the_middle_of_logging(runtime_dir: Path, tmp_path: Path) -> None:
    """The signal finds the main thread within a call of ours nearly every time, and some of them hold locks."""
    code = """
import itertools
import numpy as np

def work(pipe, folder):
    writer = sidelog.SummaryWriter(folder)
    picture = np.zeros((3, 32, 32), np.uint8)
    for step in itertools.count():
        writer.add_scalar("loss", step, step)
        writer.add_audio("sound", np.zeros(100, np.float32), step)
        writer.add_image("picture", picture, step)
        writer.statistics()
        if step == 200:
            pipe.send(step)

if __name__ == "__main__":
    sidelog.SummaryWriter(sys.argv[1] + "/main").close()
    for number in range(3):
        child, _ = start(work, f"{sys.argv[1]}/{number}")
        assert terminate(child) == -signal.SIGTERM
"""
    run_file(tmp_path, code, str(tmp_path / "run"))
    for number in range(3):
        run = read_run(tmp_path / "run" / str(number))
        assert run.steps("loss") == list(range(len(run.steps("loss"))))
        assert len(run.steps("loss")) > 200


def test_terminated_while_it_exits(runtime_dir: Path, tmp_path: Path) -> None:
    """The exit handler is settling when the signal comes: it is not cut short."""
    code = """
from multiprocessing import util

def work(pipe, folder):
    writer = sidelog.SummaryWriter(folder)
    for step in range(100):
        writer.add_scalar("loss", step, step)
    util.Finalize(None, pipe.send, args=("exits",), exitpriority=11)

if __name__ == "__main__":
    sidelog.SummaryWriter(sys.argv[1] + "/main").close()
    child, _ = start(work, sys.argv[1])
    assert terminate(child) in (0, -signal.SIGTERM)
"""
    run_file(tmp_path, code, str(tmp_path / "run"))
    assert read_run(tmp_path / "run").steps("loss") == list(range(100))


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_handler_of_the_users_is_left_alone(when: str, runtime_dir: Path, tmp_path: Path) -> None:
    code = """
def work(pipe, folder, when):
    if when == "before":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    writer = sidelog.SummaryWriter(folder)
    writer.add_scalar("loss", 1, 1)
    if when == "after":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
    pipe.send("logged")
    wait_for_a_word(pipe)

if __name__ == "__main__":
    sidelog.SummaryWriter(sys.argv[1] + "/main").close()
    child, _ = start(work, *sys.argv[1:])
    assert terminate(child) == 7
"""
    run_file(tmp_path, code, str(tmp_path / "run"), when)
    assert read_run(tmp_path / "run").steps("loss") == [1]


def test_without_a_daemon_it_ends_all_the_same(closed_port: str, tmp_path: Path) -> None:
    """It has three seconds, and says what it kept; a second signal does not wait for that."""
    code = """
from pathlib import Path

def work(pipe):
    writer = sidelog.SummaryWriter("run")
    writer.add_scalar("loss", 1, 1)
    pipe.send("logged")
    pipe.recv()

def catches(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")), "0")
    return int(caught, 16) >> (signal.SIGTERM - 1) & 1

if __name__ == "__main__":
    child, _ = start(work)
    assert terminate(child, 5) == -signal.SIGTERM
    child, _ = start(work)
    assert catches(child.pid)
    child.terminate()
    deadline = time.monotonic() + 30
    while catches(child.pid):
        assert time.monotonic() < deadline
    assert terminate(child, 2) == -signal.SIGTERM
"""
    said = run_file(tmp_path, code, env={"SIDELOG_ENDPOINT": closed_port})
    assert "1 of 1 records are not known to be in the event files; they are kept: sidelog replay" in said


def test_forked_from_a_worker_without_logging_it_dies_at_once(closed_port: str, tmp_path: Path) -> None:
    """The handler is inherited, the connection is not."""
    code = """
def work(pipe):
    writer = sidelog.SummaryWriter("run")
    writer.add_scalar("loss", 1, 1)
    pid = os.fork()
    if pid == 0:
        pipe.send(os.getpid())
        pipe.recv()
        os._exit(1)
    _, status = os.waitpid(pid, 0)
    pipe.send(os.waitstatus_to_exitcode(status))
    pipe.recv()

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    child = context.Process(target=work, args=(theirs,))
    child.start()
    assert ours.poll(30)
    os.kill(ours.recv(), signal.SIGTERM)
    assert ours.poll(2), "it settles what is not its own"
    assert ours.recv() == -signal.SIGTERM
    assert terminate(child, 5) == -signal.SIGTERM
"""
    run_file(tmp_path, code, env={"SIDELOG_ENDPOINT": closed_port})


def test_ordinary_processes_and_data_loader_workers_keep_what_they_have(runtime_dir: Path, tmp_path: Path) -> None:
    """torch's handler, in C, is not known to Python: of a worker that its parent terminates the exit code is 0."""
    code = """
import torch
from torch.utils.data import DataLoader, Dataset

class Samples(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        writer.add_scalar("sample", index, index)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        return torch.tensor(float(index))

if __name__ == "__main__":
    writer = sidelog.SummaryWriter(sys.argv[1])
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    loader = DataLoader(Samples(), num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    assert sum(float(batch) for batch in loader) == 6
    (worker,) = multiprocessing.active_children()
    assert terminate(worker) == 0
    writer.close()
"""
    run_file(tmp_path, code, str(tmp_path / "run"))


def test_who_goes_on_logging_is_not_waited_for(runtime_dir: Path, tmp_path: Path) -> None:
    """What comes after the signal is not taken, so there is an end to what is to be settled."""
    code = """
import sidelog.terminated

def train(pipe, run):
    sidelog.terminated.SETTLE_S = 600.0
    writer = sidelog.SummaryWriter(run)
    step = 0
    while True:
        writer.add_scalar("loss", 0.5, step)
        step += 1
        if step == 100:
            pipe.send(step)
        time.sleep(0.001)

if __name__ == "__main__":
    child, _ = start(train, sys.argv[1])
    assert terminate(child) == -signal.SIGTERM
"""
    run_file(tmp_path, code, str(tmp_path / "run"))
    steps = read_run(tmp_path / "run").steps("loss")
    assert len(steps) >= 100
    assert steps == list(range(len(steps)))


def test_a_thread_that_goes_on_logging_does_not_hold_up_the_end_of_a_program(runtime_dir: Path, tmp_path: Path) -> None:
    code = """
import threading

def log_on(writer, enough):
    step = 0
    while True:
        writer.add_scalar("loss", 0.5, step)
        step += 1
        if step == 100:
            enough.set()
        time.sleep(0.001)

if __name__ == "__main__":
    enough = threading.Event()
    threading.Thread(target=log_on, args=(sidelog.SummaryWriter(sys.argv[1]), enough), daemon=True).start()
    assert enough.wait(30)
"""
    said = run_file(tmp_path, code, str(tmp_path / "run"), env={"SIDELOG_EXIT_TIMEOUT": "600"})
    steps = read_run(tmp_path / "run").steps("loss")
    assert steps == list(range(len(steps)))
    assert len(steps) >= 100
    assert "called when the process was ending" in said
