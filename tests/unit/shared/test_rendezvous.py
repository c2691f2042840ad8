"""Where the local daemon is found: a folder that nobody else can reach, and a file that appears whole."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from sidelog_shared.errors import ConfigError
from sidelog_shared.rendezvous import Ready, Rendezvous, runtime_folder
from sidelog_shared.wakeup import Wakeup


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sl-", dir="/tmp") as name:
        yield Path(name) / "sidelog"


def ready(instance: str = "0" * 16) -> Ready:
    return Ready("ipc:///tmp/x.sock", 4711, "host", instance, "0.1.0", "/runs")


def test_the_folder_is_private(folder: Path) -> None:
    rendezvous = Rendezvous(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert rendezvous.endpoint == f"ipc://{folder}/daemon-1.sock"
    Rendezvous(folder)  # and again, now that it is there


def test_a_folder_that_others_can_enter_is_refused(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    with pytest.raises(
        ConfigError, match=r"has mode 755, expected 700 \(chmod 700 /tmp/.*/sidelog\): set SIDELOG_RUNTIME_DIR"
    ):
        Rendezvous(folder)


def test_a_folder_of_another_user_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.mkdir(mode=0o700)
    owner = folder.stat().st_uid
    monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    with pytest.raises(ConfigError, match=rf"belongs to uid {owner}, expected {owner + 1}: set SIDELOG_RUNTIME_DIR"):
        Rendezvous(folder)


def test_a_link_to_a_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    folder.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="is not a folder: set SIDELOG_RUNTIME_DIR to one"):
        Rendezvous(folder)


def test_a_file_in_the_way_is_refused(folder: Path) -> None:
    folder.write_text("")
    with pytest.raises(ConfigError, match=r"cannot be made \(File exists\): set SIDELOG_RUNTIME_DIR"):
        Rendezvous(folder)
    with pytest.raises(ConfigError, match=r"cannot be made \(Not a directory\)"):
        Rendezvous(folder / "below")


def test_a_path_that_is_too_long_for_a_socket_is_refused(folder: Path) -> None:
    deep = folder / ("x" * (107 - len(str(folder)) - len("//daemon-1.sock")))
    assert len(str(Rendezvous(deep).socket)) == 107
    with pytest.raises(ConfigError, match=r"is 108 bytes, limit 107: set SIDELOG_RUNTIME_DIR to a shorter folder"):
        Rendezvous(deep.with_name(deep.name + "y"))


def test_the_ready_file_comes_back_and_is_removed_by_its_own_daemon_only(folder: Path) -> None:
    rendezvous = Rendezvous(folder)
    assert rendezvous.read_ready() is None
    rendezvous.write_ready(ready("a" * 16))
    assert rendezvous.read_ready() == ready("a" * 16)
    rendezvous.remove_ready("b" * 16)
    assert rendezvous.read_ready() == ready("a" * 16)
    rendezvous.remove_ready("a" * 16)
    assert os.listdir(folder) == []
    rendezvous.remove_ready("a" * 16)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"endpoint": "ipc:///x"}'])
def test_a_ready_file_that_says_less_counts_as_none(folder: Path, content: str) -> None:
    rendezvous = Rendezvous(folder)
    rendezvous.ready_file.write_text(content)
    assert rendezvous.read_ready() is None


def test_the_folder_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder() == tmp_path / "sidelog"
    monkeypatch.setenv("SIDELOG_RUNTIME_DIR", str(tmp_path / "job"))
    assert runtime_folder() == tmp_path / "job" / "sidelog"
    monkeypatch.delenv("SIDELOG_RUNTIME_DIR")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "nowhere"))
    assert runtime_folder() == Path(tempfile.gettempdir()) / f"sidelog-{os.getuid()}"


@pytest.mark.parametrize("variable", ["SIDELOG_RUNTIME_DIR", "XDG_RUNTIME_DIR"])
def test_a_relative_folder_is_the_same_wherever_the_process_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    here, elsewhere = f"{variable}-here", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / here).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, here)
    assert runtime_folder() == tmp_path / here / "sidelog"
    (elsewhere / here).mkdir()
    monkeypatch.chdir(elsewhere)
    assert runtime_folder() == tmp_path / here / "sidelog"


def test_wakeups_do_not_add_up_and_never_block() -> None:
    wakeup = Wakeup()
    for _ in range(100_000):  # more than a pipe holds
        wakeup.wake()
    wakeup.clear()
    with pytest.raises(BlockingIOError):
        os.read(wakeup.read_fd, 1)
    wakeup.wake()
    assert os.read(wakeup.read_fd, 1) == b"\0"
    wakeup.close()
    wakeup.close()
    wakeup.wake()
