"""Steps that do not grow: all of them are written, and the training's log says what its page will not show."""

from __future__ import annotations

from pathlib import Path

import pytest

import sidelog
from event_files import read_run
from processes import wait_until


def test_are_told_of_once_per_tag(runtime_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = tmp_path / "run"
    with sidelog.SummaryWriter(run) as writer:
        for step in (1, 2, 3, 2, 2, 3):
            writer.add_scalar("loss", float(step), step)
            writer.add_text("note", "words", step)
            writer.add_scalar("no step", 1.0)
        writer.flush()
        wait_until(lambda: caplog.text.count("do not grow") == 2, what="both tags are told of")
    assert caplog.text.count(f"steps of 'loss' in {run} do not grow: 2 follows 3;") == 1
    assert caplog.text.count(f"steps of 'note' in {run} do not grow: 2 follows 3;") == 1
    assert "purge_step" in caplog.text
    content = read_run(run)
    assert content.steps("loss") == content.steps("note") == [1, 2, 3, 2, 2, 3]


def test_of_a_training_that_says_purge_step_are_not(
    runtime_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = sidelog.SummaryWriter(tmp_path / "run")
    for step in range(10):
        first.add_scalar("loss", 1.0, step)
    first.flush()
    second = sidelog.SummaryWriter(tmp_path / "run", purge_step=5)
    for step in range(5, 12):
        second.add_scalar("loss", 2.0, step)
    second.flush()
    first.close()
    second.close()
    assert "do not grow" not in caplog.text
    assert read_run(tmp_path / "run").steps("loss") == list(range(12))
