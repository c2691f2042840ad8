"""A run directory that a lease keeps, and a daemon that was stopped for so long that another took it over."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from event_files import read_run
from sidelog_daemon.sink import RunDirectory
from sidelog_daemon.sink.summaries import scalar_event
from sidelog_daemon.sink.taking import WrittenMeanwhile
from sidelog_shared import locks
from sidelog_shared.errors import RunBusy
from sidelog_shared.leases import STALE_S

W = "a" * 16
OURS = b'{"endpoint":"ipc:///tmp/ours.sock"}'
THEIRS = b'{"endpoint":"ipc:///tmp/theirs.sock"}'


@pytest.fixture(autouse=True)
def _no_flock(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(locks.fcntl, "flock", refuse)


def lease(path: Path) -> Path:
    (found,) = path.glob(".sidelog.lease-*")
    return found


def move_elsewhere(path: Path) -> None:
    """As if the holder were on another machine, and silent for long."""
    file = lease(path)
    file.write_text(json.dumps({**json.loads(file.read_text()), "boot": "another"}))
    then = file.stat().st_mtime - 2 * STALE_S
    os.utime(file, (then, then))


def add(directory: RunDirectory, seq: int) -> None:
    directory.append(W, "light", seq, [scalar_event("loss", float(seq), seq, 1.0)])


def test_is_another_daemons_while_that_one_holds_it(tmp_path: Path) -> None:
    ours = RunDirectory.open(tmp_path, owner_note=OURS)
    assert ours.is_leased
    add(ours, 1)
    ours.commit()
    move_elsewhere(tmp_path)
    theirs = RunDirectory.open(tmp_path, owner_note=THEIRS)
    add(ours, 2)
    for _ in range(2):
        with pytest.raises(RunBusy) as busy:
            ours.commit()
        assert busy.value.owner_endpoint == "ipc:///tmp/theirs.sock"
    theirs.append("b" * 16, "light", 1, [scalar_event("other", 1.0, 1, 1.0)])
    theirs.close()
    ours.close()  # now it is free
    run = read_run(tmp_path)
    assert run.steps("loss") == [1, 2]
    assert run.steps("other") == [1]


def test_what_another_daemon_wrote_meanwhile_is_not_written_again(tmp_path: Path) -> None:
    ours = RunDirectory.open(tmp_path, owner_note=OURS)
    add(ours, 1)
    ours.commit()
    add(ours, 2)
    move_elsewhere(tmp_path)
    theirs = RunDirectory.open(tmp_path, owner_note=THEIRS)
    add(theirs, 2)
    theirs.close()
    for _ in range(2):
        with pytest.raises(WrittenMeanwhile, match="which wrote records that are in the open group here"):
            ours.commit()
    ours.abandon()
    assert read_run(tmp_path).steps("loss") == [1, 2]


def test_a_picture_that_another_daemon_wrote_counts_too(tmp_path: Path) -> None:
    ours = RunDirectory.open(tmp_path, owner_note=OURS)
    ours.append(W, "picture", 5, [])
    move_elsewhere(tmp_path)
    theirs = RunDirectory.open(tmp_path, owner_note=THEIRS)
    theirs.append(W, "picture", 5, [])
    theirs.close()
    with pytest.raises(WrittenMeanwhile):
        ours.commit()
    ours.abandon()
