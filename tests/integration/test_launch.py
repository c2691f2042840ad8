"""Finding and starting the local daemon, where something comes in between."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

import sidelog
from event_files import read_run
from processes import wait_until
from sidelog import launch
from sidelog.writer import handle


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


def test_a_daemon_that_takes_long_to_start_is_waited_for(
    runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cold disk, a network file system: longer than what says that nobody is there."""
    monkeypatch.setattr("sidelog.sender.NOBODY_ANSWERS_S", 1.5)
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
