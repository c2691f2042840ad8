"""Run directories on a file system without flock: daemons for which every flock fails, as it would there."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sidelog
from event_files import read_run
from processes import DaemonProcess, wait_until
from sidelog_shared.errors import SidelogError
from sidelog_shared.leases import STALE_S

StartDaemon = Callable[..., DaemonProcess]

WITHOUT_FLOCK = """
import errno, fcntl, os, runpy, sys
def refuse(fd, operation):
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
fcntl.flock = refuse
sys.argv = sys.argv[3:]
runpy.run_module("sidelog_daemon", run_name="__main__", alter_sys=True)
"""
THROUGH = (sys.executable, "-c", WITHOUT_FLOCK)


def lease(run: Path) -> Path:
    (found,) = run.glob(".sidelog.lease-*")
    return found


def test_a_daemon_that_is_killed_is_followed_at_once(
    daemon: StartDaemon, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoint, run = f"ipc://{tmp_path}/d.sock", tmp_path / "run"
    arguments = ("--bind", endpoint, "--logdir", str(tmp_path))
    first = daemon(*arguments, through=THROUGH)
    with sidelog.SummaryWriter(run, endpoint=endpoint) as writer:
        for step in range(100):
            writer.add_scalar("loss", step, step)
        writer.flush()
        for step in range(100, 200):
            writer.add_scalar("loss", step, step)
        first.kill()
        assert json.loads(lease(run).read_bytes())["pid"] == first.pid
        second = daemon(*arguments, through=THROUGH)
        for step in range(200, 300):
            writer.add_scalar("loss", step, step)
        writer.flush()
        assert json.loads(lease(run).read_bytes())["pid"] == second.pid
    assert second.stop() == 0
    assert read_run(run).scalars["loss"] == [(step, float(step)) for step in range(300)]
    assert json.loads(lease(run).read_bytes())["released"]
    assert "file system without locks (flock): a lease file keeps other daemons out" in caplog.text
    assert second.log.count(f"WARNING {run} is on a file system without locks") == 1


def test_of_two_daemons_the_second_names_the_first(
    daemon: StartDaemon, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    endpoints = [f"ipc://{tmp_path}/{name}.sock" for name in ("a", "b")]
    first, second = (daemon("--bind", one, "--logdir", str(tmp_path), through=THROUGH) for one in endpoints)
    run = tmp_path / "run"
    with sidelog.SummaryWriter(run, endpoint=first.endpoint) as owner:
        owner.add_scalar("loss", 1.0, 1)
        owner.flush()
        other = sidelog.SummaryWriter(run, endpoint=second.endpoint)
        expected = f"is written by another daemon at {first.endpoint}"
        wait_until(lambda: expected in caplog.text, what="the second writer is told who has the run")
        owner.add_scalar("loss", 2.0, 2)
    with contextlib.suppress(SidelogError):  # by now the run is free; whether it was asked for again is not the matter
        other.close()
    assert read_run(run).steps("loss") == [1, 2]


def test_a_daemon_of_another_machine_that_went_silent_loses_its_runs(
    daemon: StartDaemon, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    theirs = {"token": "0" * 16, "host": "elsewhere", "pid": 1, "started": 1, "boot": "b", "namespace": "n"}
    old = run / ".sidelog.lease-3"
    old.write_text(json.dumps({**theirs, "note": "{}", "released": False}))
    silent_since = old.stat().st_mtime - 2 * STALE_S
    os.utime(old, (silent_since, silent_since))
    started = daemon("--bind", f"ipc://{tmp_path}/d.sock", "--logdir", str(tmp_path), through=THROUGH)
    with sidelog.SummaryWriter(run, endpoint=started.endpoint) as writer:
        writer.add_scalar("loss", 1.0, 1)
    assert read_run(run).steps("loss") == [1]
    assert lease(run).name == ".sidelog.lease-4"


def test_heartbeats_come_while_nothing_is_logged(daemon: StartDaemon, tmp_path: Path) -> None:
    run = tmp_path / "run"
    started = daemon("--bind", f"ipc://{tmp_path}/d.sock", "--logdir", str(tmp_path), through=THROUGH)
    with sidelog.SummaryWriter(run, endpoint=started.endpoint) as writer:
        writer.add_scalar("loss", 1.0, 1)
        writer.flush()
        os.utime(lease(run), (0, 0))
        wait_until(lambda: lease(run).stat().st_mtime > 0, what="the lease is touched")
