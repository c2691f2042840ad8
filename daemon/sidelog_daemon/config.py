"""How one daemon is set up: validated when made; argument > ``SIDELOG_*`` > default."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from sidelog_shared.errors import ConfigError
from sidelog_shared.limits import MIB

MAX_PIXELS = 64_000_000
"""Of one picture, unless told otherwise: a browser shows hardly more, and RGBA of it takes a quarter of a gigabyte."""
SMALLEST_MAX_PIXELS, LARGEST_MAX_PIXELS = 10_000, 1_000_000_000
"""What one can recognize something in; and what fits into an Event, whose size is at most 2 GiB (protobuf)."""
_LOOPBACK = re.compile(r"^(127(\.\d{1,3}){3}|localhost|\[::1\])$")
_TCP = re.compile(r"^tcp://(?P<host>\[[^\]]+\]|[^:\[\]]+):(?P<port>\d{1,5}|\*)$")


@dataclass(frozen=True, slots=True)
class DaemonConfig:
    """Everything a daemon is told.

    Attributes:
        logdir: folder for runs that are given by name; absolute.
        bind: endpoint to listen on; empty for the local daemon of this user.
        idle_exit_s: exit this long after the last worker is gone; None stays until SIGTERM.
        drain_deadline_s: how long SIGTERM waits for what is queued.
        budget_bytes: memory that the daemon may take, all in all; pictures are dropped for it
            (:mod:`sidelog_daemon.memory`). What it takes without any does not become less.
        render_threads: threads that render.
        max_pixels: of one picture; a larger one is thinned (:mod:`sidelog_daemon.render.thin`).
        tensorboard_port: start TensorBoard on this port; None does not, 0 takes a free one.

    Raises:
        ConfigError: a value that cannot work.
    """

    logdir: Path
    bind: str = ""
    idle_exit_s: float | None = None
    drain_deadline_s: float = 30.0
    budget_bytes: int = 1024 * MIB
    render_threads: int = 1
    max_pixels: int = MAX_PIXELS
    tensorboard_port: int | None = None

    def __post_init__(self) -> None:
        if not self.logdir.is_absolute():
            raise ConfigError(f"logdir is {self.logdir}, expected an absolute path")
        if self.bind:
            check_bind(self.bind)
        if self.idle_exit_s is not None and not 0 <= self.idle_exit_s <= 86400:
            raise ConfigError(f"idle_exit_s is {self.idle_exit_s}, expected 0 to 86400 seconds")
        if not 0 <= self.drain_deadline_s <= 3600:
            raise ConfigError(f"drain_deadline_s is {self.drain_deadline_s}, expected 0 to 3600 seconds")
        if self.budget_bytes < MIB:
            raise ConfigError(f"budget_bytes is {self.budget_bytes:,}, expected at least {MIB:,}")
        if not 1 <= self.render_threads <= 64:
            raise ConfigError(f"render_threads is {self.render_threads}, expected 1 to 64")
        if not SMALLEST_MAX_PIXELS <= self.max_pixels <= LARGEST_MAX_PIXELS:
            raise ConfigError(
                f"max_pixels is {self.max_pixels:,}, expected {SMALLEST_MAX_PIXELS:,} to {LARGEST_MAX_PIXELS:,}"
            )
        if self.tensorboard_port is not None and not 0 <= self.tensorboard_port <= 65535:
            raise ConfigError(f"the TensorBoard port is {self.tensorboard_port}, expected 0 to 65535")


def check_bind(endpoint: str) -> None:
    """Refuse an endpoint that is unknown to us or open to other machines.

    Raises:
        ConfigError: says what, got and expected.
    """
    if endpoint.startswith("ipc://") and len(endpoint) > len("ipc://"):
        return
    matched = _TCP.match(endpoint)
    if matched is None:
        raise ConfigError(f"endpoint is {endpoint!r}, expected tcp://127.0.0.1:PORT or ipc://PATH")
    if matched["port"] != "*" and not 1 <= int(matched["port"]) <= 65535:
        raise ConfigError(f"endpoint is {endpoint!r}, expected a port in 1..65535")
    if not _LOOPBACK.match(matched["host"]):
        raise ConfigError(
            f"endpoint is {endpoint!r}, expected a loopback address such as tcp://127.0.0.1:{matched['port']}: "
            "the protocol is neither encrypted nor authenticated; reach it from other machines through an SSH tunnel"
        )
