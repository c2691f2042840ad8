"""Finished content on its way to the writer: who renders waits while much is, and nobody waits for ever."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from receptions import picture

from processes import wait_until
from sidelog_daemon import writer as writer_module
from sidelog_daemon.actions import OpenRun, Outcome, RunOpened
from sidelog_daemon.handover import Handover
from sidelog_daemon.kinds import Content
from sidelog_daemon.sink import RunDirectory
from sidelog_daemon.sink.summaries import scalar_event
from sidelog_daemon.writer import EventWriter, WriteRendered

W = "a" * 16


def entering(handover: Handover, nbytes: int) -> threading.Thread:
    thread = threading.Thread(target=handover.enter, args=(nbytes,), name="sidelog-test")
    thread.start()
    return thread


def test_who_comes_with_too_much_waits_until_some_has_left() -> None:
    handover = Handover(10)
    handover.enter(6)
    thread = entering(handover, 5)
    thread.join(0.05)
    assert thread.is_alive()
    handover.leave(6)
    thread.join(10)
    assert not thread.is_alive()
    assert handover.held_bytes == 5


def test_one_that_is_larger_than_the_limit_goes_alone() -> None:
    handover = Handover(10)
    handover.enter(100)
    thread = entering(handover, 1)
    thread.join(0.05)
    assert thread.is_alive()
    handover.leave(100)
    thread.join(10)
    assert handover.held_bytes == 1


def test_closed_nobody_waits() -> None:
    handover = Handover(10)
    handover.enter(10)
    thread = entering(handover, 10)
    handover.close()
    thread.join(10)
    assert not thread.is_alive()


class SlowDisk:
    """Stands for ``os.write``; takes nothing before ``go_on`` is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        open_directory = RunDirectory.open
        monkeypatch.setattr(
            RunDirectory, "open", lambda path, **options: open_directory(path, **options, write=self.write)
        )

    def write(self, fd: int, data: memoryview) -> int:
        self.begun.set()
        assert self.go_on.wait(10)
        return os.write(fd, data)


def rendered(seq: int, size: int = 100) -> WriteRendered:
    event = scalar_event("x" * size, float(seq), seq, 0.0)
    return WriteRendered(W, picture(seq), Content((event,)))


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    monkeypatch.setattr(writer_module, "HANDOVER_BYTES", 1000)
    return SlowDisk(monkeypatch)


def opened(slow: SlowDisk, folder: Path) -> tuple[EventWriter, list[Outcome]]:
    outcomes: list[Outcome] = []
    writer = EventWriter(owner_note=b"{}", report=outcomes.append)
    writer.start()
    slow.go_on.set()
    writer.submit(OpenRun(W, 1, str(folder)))
    wait_until(lambda: any(isinstance(one, RunOpened) for one in outcomes))
    slow.go_on.clear()
    slow.begun.clear()
    return writer, outcomes


def test_a_slow_disk_holds_a_renderer_up(slow: SlowDisk, tmp_path: Path) -> None:
    writer, _ = opened(slow, tmp_path / "run")
    writer.submit(rendered(1))
    assert slow.begun.wait(10)
    done = []

    def render() -> None:
        for seq in range(2, 50):
            writer.submit(rendered(seq))
            done.append(seq)

    thread = threading.Thread(target=render, name="sidelog-test")
    thread.start()
    wait_until(lambda: writer.held_bytes > 800)
    thread.join(0.05)
    assert thread.is_alive()
    assert len(done) < 10
    slow.go_on.set()
    thread.join(10)
    assert not thread.is_alive()
    wait_until(lambda: writer.held_bytes == 0)
    assert writer.stop(10)


def test_a_writer_that_has_failed_holds_nobody_up(
    slow: SlowDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, _ = opened(slow, tmp_path / "run")
    slow.go_on.set()

    def fail(*_: object) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(RunDirectory, "append", fail)
    for seq in range(1, 50):
        writer.submit(rendered(seq))
    assert isinstance(writer.failure, MemoryError)
    for run in writer._runs.values():
        run.directory.abandon()


def test_a_writer_that_hangs_holds_nobody_up_at_the_end(slow: SlowDisk, tmp_path: Path) -> None:
    writer, _ = opened(slow, tmp_path / "run")
    writer.submit(rendered(1))
    assert slow.begun.wait(10)
    thread = threading.Thread(
        target=lambda: [writer.submit(rendered(seq)) for seq in range(2, 50)], name="sidelog-test"
    )
    thread.start()
    wait_until(lambda: writer.held_bytes > 800)
    assert not writer.stop(0.01)
    thread.join(10)
    assert not thread.is_alive()
    slow.go_on.set()
    writer._thread.join(10)


def test_small_contents_do_not_keep_a_large_one_out() -> None:
    handover = Handover(10)
    handover.enter(6)
    large = entering(handover, 8)
    small = entering(handover, 1)  # for which there would be room
    assert handover.held_bytes == 6
    handover.leave(6)
    large.join(10)
    small.join(10)
    assert not large.is_alive()
    assert not small.is_alive()
    assert handover.held_bytes == 9
