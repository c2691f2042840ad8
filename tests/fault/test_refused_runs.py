"""A run that cannot be written, beside others of its training that go on: real processes, real files."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import sidelog
from event_files import read_run
from processes import DaemonProcess, wait_until
from torture.daemons import Control
from torture.strict_reader import read_logdir

STEPS = 400
"""Each leaves a hole in the numbers of the lane: more than one STATE tells of."""


@pytest.fixture
def logdir(tmp_path: Path) -> Path:
    return tmp_path / "logs"


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Control]:
    """Of the daemon's own system calls below its event files."""
    one = Control(tmp_path / "control")
    for name, value in one.environment.items():
        monkeypatch.setenv(name, value)
    yield one
    one.clear()


def log_and_flush(good: sidelog.SummaryWriter, bad: sidelog.SummaryWriter, steps: range) -> None:
    for step in steps:
        good.add_scalar("loss", step, step)
        bad.add_scalar("loss", step, step)
        good.flush()


def test_a_full_disk_below_one_run_stops_no_other(
    daemon: Callable[..., DaemonProcess],
    control: Control,
    logdir: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    endpoint = daemon("--bind=tcp://127.0.0.1:*", f"--logdir={logdir}").endpoint
    with (
        sidelog.SummaryWriter("good", endpoint=endpoint) as good,
        sidelog.SummaryWriter("bad", endpoint=endpoint) as bad,
    ):
        log_and_flush(good, bad, range(2))
        bad.flush()
        control.order(errno="ENOSPC", below=str(logdir / "bad"))
        log_and_flush(good, bad, range(2, STEPS))
        assert read_run(logdir / "good").steps("loss") == list(range(STEPS))
        assert len(read_run(logdir / "bad").steps("loss")) <= 4
        with pytest.raises(sidelog.WriterError, match="No space left on device"):
            wait_until(bad.flush)
        spool = wait_until(lambda: list((tmp_path / "spool").glob("*.spool")), what="what is held is spooled")[0]
        with pytest.raises(sidelog.WriterError, match=f"No space left on device.*; reliable .* are kept in {spool} "):
            bad.flush()
        control.clear()
        wait_until(lambda: "is written again, with what was kept for it meanwhile" in caplog.text)
    assert read_run(logdir / "bad").steps("loss") == list(range(STEPS))
    assert read_logdir(logdir).faults == []


def test_a_run_that_somebody_else_holds_stops_no_other(
    daemon: Callable[..., DaemonProcess], logdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = daemon("--bind=tcp://127.0.0.1:*", f"--logdir={logdir}").endpoint
    (logdir / "bad").mkdir(parents=True)
    fd = os.open(logdir / "bad" / ".sidelog.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        good, bad = (sidelog.SummaryWriter(name, endpoint=endpoint) for name in ("good", "bad"))
        log_and_flush(good, bad, range(STEPS))
        assert read_run(logdir / "good").steps("loss") == list(range(STEPS))
        with pytest.raises(sidelog.WriterError, match="bad"):
            bad.flush()
    finally:
        os.close(fd)
    wait_until(lambda: "is written again, with what was kept for it meanwhile" in caplog.text)
    bad.close()
    good.close()
    assert read_run(logdir / "bad").steps("loss") == list(range(STEPS))


def test_runs_of_one_name_logged_again_and_again_while_somebody_holds_it_are_complete(
    daemon: Callable[..., DaemonProcess], logdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint = daemon("--bind=tcp://127.0.0.1:*", f"--logdir={logdir}").endpoint
    (logdir / "sweep" / "trial").mkdir(parents=True)
    fd = os.open(logdir / "sweep" / "trial" / ".sidelog.lock", os.O_RDWR | os.O_CREAT, 0o600)
    with sidelog.SummaryWriter("sweep", endpoint=endpoint) as writer:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            for epoch in range(8):
                writer.add_hparams({"lr": 0.1}, {"accuracy": epoch}, name="trial", global_step=epoch)
                again = sidelog.SummaryWriter("sweep/trial", endpoint=endpoint)
                again.add_scalar("again", epoch, epoch)
                with pytest.raises(sidelog.WriterError, match="trial"):
                    again.close(timeout_s=0.3)
        finally:
            os.close(fd)
        wait_until(lambda: "is written again, with what was kept for it meanwhile" in caplog.text)
    run = read_run(logdir / "sweep" / "trial")
    assert run.steps("accuracy") == run.steps("again") == list(range(8))


def test_two_names_of_a_folder_that_somebody_holds_are_one_run(
    runtime_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, link = tmp_path / "run", tmp_path / "latest"
    folder.mkdir()
    link.symlink_to(folder)
    fd = os.open(folder / ".sidelog.lock", os.O_RDWR | os.O_CREAT, 0o600)
    with sidelog.SummaryWriter(folder) as one, sidelog.SummaryWriter(link) as other:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            for step in range(200):
                one.add_scalar("one", step, step)
                other.add_scalar("other", step, step)
            with pytest.raises(sidelog.WriterError):
                wait_until(one.flush)
        finally:
            os.close(fd)
        wait_until(lambda: "is written again, with what was kept for it meanwhile" in caplog.text)
    run = read_run(folder)
    assert run.steps("one") == run.steps("other") == list(range(200))


def test_a_file_system_that_does_not_answer_is_told_to_the_training_and_in_the_status(
    daemon: Callable[..., DaemonProcess], logdir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A fifo stands for it: who reads the list of embeddings waits until somebody writes."""
    endpoint = daemon("--bind=tcp://127.0.0.1:*", f"--logdir={logdir}").endpoint
    (logdir / "bad").mkdir(parents=True)
    fifo = logdir / "bad" / "projector_config.pbtxt"
    os.mkfifo(fifo)
    with sidelog.SummaryWriter("bad", endpoint=endpoint) as bad:
        bad.add_embedding([[1.0, 2.0]], tag="points")
        wait_until(lambda: f"the file system of {logdir / 'bad'} does not answer" in caplog.text)
        status = subprocess.run(
            [sys.executable, "-m", "sidelog.cli", "status", f"--endpoint={endpoint}"],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert f"the file system of {logdir / 'bad'} does not answer" in status.stdout
        fifo.open("wb").close()  # it answers: the list is empty
    assert 'tensor_name: "points' in fifo.read_text()
