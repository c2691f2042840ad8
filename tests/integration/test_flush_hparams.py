"""A flush waits for the runs of its writer, those of ``add_hparams`` among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import sidelog
from processes import DaemonProcess, wait_until


def test_a_flush_waits_for_the_trials_of_its_writer(daemon: Callable[..., DaemonProcess], tmp_path: Path) -> None:
    sidecar = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
    other = sidelog.SummaryWriter("other", endpoint=sidecar.endpoint)  # keeps the connection
    writer = sidelog.SummaryWriter("run", endpoint=sidecar.endpoint)
    for trial in range(3):
        writer.add_hparams({"lr": 0.1 * trial}, {"loss": 1.0}, f"trial{trial}")
        writer.flush()
        assert list((tmp_path / "run" / f"trial{trial}").glob("*.sidelog"))
    writer.add_hparams({"lr": 1.0}, {"loss": 1.0}, "last")
    writer.close()
    assert list((tmp_path / "run" / "last").glob("*.sidelog"))
    other.close()


def test_trials_that_are_written_are_forgotten(daemon: Callable[..., DaemonProcess], tmp_path: Path) -> None:
    sidecar = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
    with sidelog.SummaryWriter("run", endpoint=sidecar.endpoint) as writer:
        for trial in range(100):
            writer.add_hparams({"lr": 0.1 * trial}, {"loss": 1.0}, f"trial{trial}")
        writer.flush()
        recorder = writer._recorder
        assert recorder is not None
        wait_until(lambda: recorder.awaited == recorder.runs, what="no trial is waited for any more")
    assert len(list((tmp_path / "run").glob("trial*/*.sidelog"))) == 100
