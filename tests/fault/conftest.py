"""What tests of spools share: where nobody listens yet, and where spools are."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from processes import DaemonProcess

StartDaemon = Callable[..., DaemonProcess]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> str:
    """Where nobody listens, until a test starts a daemon there. Writers log there unless told otherwise."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        endpoint = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("SIDELOG_ENDPOINT", endpoint)
    return endpoint


@pytest.fixture
def spool_dir(tmp_path: Path) -> Path:
    """Where spools are."""
    return tmp_path / "spool"


@pytest.fixture
def start(daemon: StartDaemon, endpoint: str, tmp_path: Path) -> Callable[[], DaemonProcess]:
    return lambda: daemon("--bind", endpoint, "--logdir", str(tmp_path))
