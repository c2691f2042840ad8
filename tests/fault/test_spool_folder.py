"""Where spools may be: of a folder in the temp folder, which everybody may make, nothing is taken on trust."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import pytest

from processes import finish, start_script

TRAIN = """
import os, sys, sidelog
writer = sidelog.SummaryWriter("run", endpoint=sys.argv[1])
writer.add_scalar("loss", 0.25, 1)
writer.close(timeout_s=0.1)
"""


@pytest.fixture
def endpoint() -> str:
    """Where nobody listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The last place for spools; the first one cannot be used."""
    (tmp_path / "state").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SIDELOG_SPOOL_DIR", "")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path / f"sidelog-spool-{os.getuid()}"


def test_one_in_the_temp_folder_is_made_private_and_used(temporary: Path, endpoint: str) -> None:
    _, _, said = finish(start_script(TRAIN, endpoint))
    (spool,) = temporary.glob("*.spool")
    assert f"they are kept: sidelog replay {spool}" in said
    assert temporary.stat().st_mode & 0o777 == 0o700


def test_one_that_others_can_reach_into_is_not_used_and_that_is_said(temporary: Path, endpoint: str) -> None:
    temporary.mkdir()
    temporary.chmod(0o777)
    _, _, said = finish(start_script(TRAIN, endpoint))
    assert list(temporary.iterdir()) == []
    assert said.count(f"the folder {temporary} for spools has mode 777, expected 700 (chmod 700 {temporary})") == 1
    assert "cannot be written: Not a directory" in said
    assert "1 of 1 records are not in the event files" in said


def test_what_somebody_else_puts_there_is_not_replayed(temporary: Path, endpoint: str, tmp_path: Path) -> None:
    finish(start_script(TRAIN, endpoint))
    temporary.rename(tmp_path / "theirs")
    temporary.mkdir()
    temporary.chmod(0o777)
    for spool in (tmp_path / "theirs").iterdir():
        shutil.copy(spool, temporary)
    replay = "import sys; from sidelog import replay; sys.exit(replay.main(['--all', '--timeout=1']))"
    status, out, said = finish(start_script(replay))
    assert "nothing is kept there or taken from it" in said
    assert "no spool" in out + said, (status, out, said)
