"""One writer for a whole program: its modules, its threads, its forked processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

import sidelog
from event_files import read_run
from processes import local_daemon, wait_until


def _log(writer: sidelog.GlobalSummaryWriter, worker: int, count: int) -> None:
    for index in range(count):
        writer.add_scalar("shared", worker * 1000 + index)
        writer.add_text("notes", f"{worker}/{index}")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded, use of fork:DeprecationWarning")
def test_forked_processes_count_together(runtime_dir: Path, tmp_path: Path) -> None:
    writer = sidelog.GlobalSummaryWriter(tmp_path / "run")
    writer.add_scalar("shared", -1.0)
    fork = multiprocessing.get_context("fork")
    workers = [fork.Process(target=_log, args=(writer, worker, 50)) for worker in range(4)]
    for worker in workers:
        worker.start()
    _log(writer, 9, 50)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    writer.close()
    run = read_run(tmp_path / "run")
    assert run.steps("shared") == list(range(251))  # rising, in the order in which they stand: none hides another
    assert run.steps("notes") == list(range(250))
    values = [value for _, value in run.scalars["shared"]]
    for worker in (0, 1, 2, 3, 9):  # each worker's own are in the order of its calls
        assert [value for value in values if value // 1000 == worker] == [worker * 1000 + index for index in range(50)]


def test_pictures_are_counted_too_and_threads_share_it(runtime_dir: Path, tmp_path: Path) -> None:
    writer = sidelog.GlobalSummaryWriter(tmp_path / "run")
    threads = [threading.Thread(target=_log, args=(writer, worker, 30)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        writer.add_image("picture", np.zeros((3, 4, 5), np.uint8))
    for thread in threads:
        thread.join()
    writer.close()
    run = read_run(tmp_path / "run")
    assert run.steps("shared") == list(range(120))
    assert run.steps("picture") == list(range(5))


def test_the_count_goes_on_with_the_next_daemon(runtime_dir: Path, tmp_path: Path) -> None:
    writer = sidelog.GlobalSummaryWriter(tmp_path / "run")
    _log(writer, 0, 20)
    writer.smw.flush()
    first = local_daemon()
    assert first is not None
    os.kill(first.pid, signal.SIGTERM)
    wait_until(lambda: local_daemon() != first)
    _log(writer, 1, 20)
    writer.close()
    assert read_run(tmp_path / "run").steps("shared") == list(range(40))


def test_one_is_shared_by_all_modules(runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sidelog.writer.global_writer._shared", None)
    writer = sidelog.GlobalSummaryWriter.getSummaryWriter()
    assert sidelog.GlobalSummaryWriter.getSummaryWriter() is writer
    writer.add_scalar("loss", 1.0)
    writer.close()
    (run,) = (tmp_path / "runs").iterdir()
    assert read_run(run).steps("loss") == [0]
