"""What a daemon may be told."""

from __future__ import annotations

from pathlib import Path

import pytest

from sidelog_daemon.config import DaemonConfig
from sidelog_shared.errors import ConfigError

LOGDIR = Path("/runs")


@pytest.mark.parametrize(
    "bind",
    ["", "tcp://127.0.0.1:5557", "tcp://127.0.0.1:*", "tcp://localhost:1", "tcp://[::1]:65535", "ipc:///tmp/a.sock"],
)
def test_endpoints_that_may_be(bind: str) -> None:
    assert DaemonConfig(LOGDIR, bind).bind == bind


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bind": "5557"}, "endpoint is '5557', expected tcp://127.0.0.1:PORT or ipc://PATH"),
        ({"bind": "ipc://"}, "endpoint is 'ipc://', expected"),
        ({"bind": "tcp://127.0.0.1"}, "endpoint is 'tcp://127.0.0.1', expected"),
        ({"bind": "tcp://127.0.0.1:0"}, "expected a port in 1..65535"),
        ({"bind": "tcp://127.0.0.1:70000"}, "expected a port in 1..65535"),
        ({"bind": "tcp://0.0.0.0:5557"}, "expected a loopback address such as tcp://127.0.0.1:5557: the protocol is"),
        ({"bind": "tcp://*:5557"}, "expected a loopback address"),
        ({"bind": "tcp://10.0.0.1:5557"}, "reach it from other machines through an SSH tunnel"),
        ({"bind": "tcp://127.0.0.1.evil.example:5557"}, "expected a loopback address"),
        ({"logdir": Path("runs")}, "logdir is runs, expected an absolute path"),
        ({"idle_exit_s": -1.0}, "idle_exit_s is -1.0, expected 0 to 86400 seconds"),
        ({"drain_deadline_s": float("nan")}, "drain_deadline_s is nan, expected 0 to 3600 seconds"),
        ({"budget_bytes": 5}, "budget_bytes is 5, expected at least 1,048,576"),
        ({"render_threads": 0}, "render_threads is 0, expected 1 to 64"),
        ({"max_pixels": 100}, "max_pixels is 100, expected 10,000 to 1,000,000,000"),
        ({"tensorboard_port": 70000}, "the TensorBoard port is 70000, expected 0 to 65535"),
    ],
)
def test_what_cannot_work_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DaemonConfig(**{"logdir": LOGDIR} | options)  # type: ignore[arg-type]
    assert message in str(caught.value)
