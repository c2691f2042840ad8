"""Pictures that must not be dropped, and pictures of which only some are wanted."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import sidelog
from event_files import read_run
from processes import DaemonProcess, wait_until
from sidelog import Statistics

StartDaemon = Callable[..., DaemonProcess]


@pytest.fixture
def sidecar(daemon: StartDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DaemonProcess:
    process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path), "--budget-mb=2")
    monkeypatch.setenv("SIDELOG_ENDPOINT", process.endpoint)
    return process


def test_of_many_calls_some_are_logged(sidecar: DaemonProcess, tmp_path: Path) -> None:
    with sidelog.SummaryWriter("run") as writer:
        writer.policy("layer*", every=4)
        for step in range(10):
            writer.add_feature_map("layer1", np.full((2, 4, 4), step, np.float32), step)
            writer.add_histogram("layer1/weight", np.full(10, step), step)
            writer.add_image_with_boxes("layer1/boxes", np.zeros((3, 8, 8), np.uint8), np.ones((1, 4)), step)
            writer.add_image("input", np.zeros((3, 4, 4), np.uint8), step)
    run = read_run(tmp_path / "run")
    assert run.steps("layer1") == run.steps("layer1/weight") == run.steps("layer1/boxes") == [0, 4, 8]
    assert run.steps("input") == list(range(10))
    assert writer.statistics() == Statistics(written=19)


@pytest.mark.parametrize("make", [np.array, torch.tensor])
def test_under_pressure_none_is_dropped_of_those_that_are_kept(
    sidecar: DaemonProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[np.ndarray], object]
) -> None:
    """The daemon stands still, and neither memory nor the daemon has room for all of them."""
    monkeypatch.setenv("SIDELOG_ARENA_MB", "1")
    monkeypatch.setenv("SIDELOG_OVERFLOW_MB", "0")
    monkeypatch.setenv("SIDELOG_HEAVY_MB", "2")
    writer = sidelog.SummaryWriter("run")
    writer.policy("kept*", keep="all")
    writer.add_scalar("loss", 1, 1)
    writer.flush()
    sidecar.signal(signal.SIGSTOP)
    random = np.random.default_rng(0)
    pictures = [random.integers(0, 256, (3, 300, 300)).astype(np.uint8) for _ in range(20)]
    for step, picture in enumerate(pictures):
        writer.add_image("kept", make(picture), step)
        writer.add_histogram("kept/values", make(picture), step)
        writer.add_image_with_boxes("kept/boxes", make(picture), make(np.ones((1, 4))), step)
        writer.add_image("other", make(picture), step)
    assert list((tmp_path / "spool").glob("*.spool"))
    sidecar.signal(signal.SIGCONT)
    writer.close()
    end = writer.statistics()
    run = read_run(tmp_path / "run")
    assert run.steps("kept") == run.steps("kept/values") == run.steps("kept/boxes") == list(range(20))
    for step, picture in enumerate(pictures):
        np.testing.assert_array_equal(run.pixels("kept", step), picture.transpose(1, 2, 0))
    assert end.dropped_tags.keys() <= {"other"}
    assert end.dropped == 20 - len(run.steps("other"))
    assert end.dropped > 0
    assert end.lost == end.rejected == 0
    wait_until(lambda: not list((tmp_path / "spool").glob("*.spool")))
