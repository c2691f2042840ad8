"""What a process may set: argument, then environment, then default; every mistake names its variable."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import pytest

from sidelog.settings import Settings, check_endpoint, spool_folders
from sidelog_shared.errors import ConfigError
from sidelog_shared.limits import MIB


def test_the_defaults() -> None:
    assert Settings.read() == Settings(
        endpoint="", enabled=True, arena_bytes=64 * MIB, overflow_bytes=256 * MIB, exit_timeout_s=30.0
    )


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("SIDELOG_MODE", "off", "enabled", False),
        ("SIDELOG_MODE", "OFF", "enabled", False),
        ("SIDELOG_MODE", "on", "enabled", True),
        ("SIDELOG_ENDPOINT", "tcp://host:5555", "endpoint", "tcp://host:5555"),
        ("SIDELOG_ARENA_MB", "1", "arena_bytes", MIB),
        ("SIDELOG_OVERFLOW_MB", "0", "overflow_bytes", 0),
        ("SIDELOG_ARENA_MB", "1.5", "arena_bytes", 3 * MIB // 2),
        ("SIDELOG_EXIT_TIMEOUT", "0", "exit_timeout_s", 0.0),
        ("SIDELOG_EXIT_TIMEOUT", "2.5", "exit_timeout_s", 2.5),
    ],
)
def test_each_variable(monkeypatch: pytest.MonkeyPatch, name: str, text: str, field: str, value: object) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(Settings.read(), field) == value


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("SIDELOG_MODE", "maybe", "SIDELOG_MODE is 'maybe', expected 'on' or 'off'"),
        ("SIDELOG_ARENA_MB", "much", "SIDELOG_ARENA_MB is 'much', expected a number from 1 to 65536"),
        ("SIDELOG_ARENA_MB", "0.5", "SIDELOG_ARENA_MB is '0.5', expected a number from 1"),
        ("SIDELOG_ARENA_MB", "nan", "SIDELOG_ARENA_MB is 'nan'"),
        ("SIDELOG_ARENA_MB", "inf", "SIDELOG_ARENA_MB is 'inf'"),
        ("SIDELOG_EXIT_TIMEOUT", "-1", "SIDELOG_EXIT_TIMEOUT is '-1', expected a number from 0 to 86400"),
        ("SIDELOG_ENDPOINT", "host:5555", "endpoint is 'host:5555', expected tcp://HOST:PORT"),
    ],
)
def test_what_cannot_work(monkeypatch: pytest.MonkeyPatch, name: str, text: str, message: str) -> None:
    monkeypatch.setenv(name, text)
    with pytest.raises(ConfigError, match=re.escape(message)):
        Settings.read()


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A job script sets it so to switch off what an outer one has set."""
    names = ["MODE", "ENDPOINT", "ARENA_MB", "OVERFLOW_MB", "HEAVY_MB", "SPOOL_MB", "SPOOL_DIR", "EXIT_TIMEOUT"]
    monkeypatch.delenv("SIDELOG_SPOOL_DIR")
    folders = spool_folders()
    for name in names:
        monkeypatch.setenv(f"SIDELOG_{name}", "")
    assert Settings.read() == Settings()
    assert spool_folders() == folders


class TestSpoolFolders:
    @pytest.fixture
    def temporary(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        """The last place for spools, not made yet."""
        monkeypatch.delenv("SIDELOG_SPOOL_DIR")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        return tmp_path / f"sidelog-spool-{os.getuid()}"

    def test_are_one_for_states_and_one_in_the_temp_folder(self, temporary: Path, tmp_path: Path) -> None:
        assert spool_folders() == [tmp_path / "state" / "sidelog", temporary]
        temporary.mkdir(mode=0o700)
        assert spool_folders() == [tmp_path / "state" / "sidelog", temporary]

    def test_that_others_can_reach_into_are_none_and_that_is_said_once(
        self, temporary: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        temporary.mkdir()
        temporary.chmod(0o777)
        for _ in range(2):
            assert spool_folders() == [tmp_path / "state" / "sidelog"]
        (said,) = caplog.messages
        assert f"the folder {temporary} for spools has mode 777, expected 700 (chmod 700 {temporary})" in said
        assert "nothing is kept there or taken from it" in said

    def test_that_somebody_else_has_made_are_none(
        self, temporary: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        owner = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)
        temporary.with_name(f"sidelog-spool-{owner + 1}").mkdir(mode=0o700)
        assert len(spool_folders()) == 1
        assert f"belongs to uid {owner}, expected {owner + 1}" in caplog.text

    def test_that_are_a_link_are_none(self, temporary: Path, tmp_path: Path) -> None:
        temporary.symlink_to(tmp_path)
        assert len(spool_folders()) == 1

    def test_that_are_given_are_taken_as_they_are(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SIDELOG_SPOOL_DIR", ".")
        assert spool_folders() == [tmp_path]


def test_the_argument_comes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDELOG_ENDPOINT", "tcp://host:5555")
    assert Settings.read(endpoint="ipc:///tmp/d.sock").endpoint == "ipc:///tmp/d.sock"
    assert Settings.read(endpoint="").endpoint == ""  # the local daemon


@pytest.mark.parametrize(
    "endpoint", ["tcp://127.0.0.1:1", "tcp://host.example:65535", "tcp://[::1]:5555", "ipc:///tmp/d.sock", "ipc://d"]
)
def test_endpoints(endpoint: str) -> None:
    assert check_endpoint(endpoint) == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "", "host", "tcp://host", "tcp://host:", "tcp://host:0", "tcp://host:65536", "tcp://:5555", "tcp://*:port",
        "tcp://::1:5555", "udp://host:5", "http://host:5", "ipc://", "ipc://a b", "inproc://x", " tcp://host:5", None,
        5, b"tcp://host:5",
    ],
)  # fmt: skip
def test_what_is_no_endpoint(endpoint: object) -> None:
    message = f"endpoint is {endpoint!r}, expected tcp://HOST:PORT (port 1 to 65535) or ipc://PATH"
    with pytest.raises(ConfigError, match=re.escape(message)):
        check_endpoint(endpoint)
