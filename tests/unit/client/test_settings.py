"""What a process may set: argument, then environment, then default; every mistake names its variable."""

from __future__ import annotations

import re

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
