"""What a training process may set: argument > ``SIDELOG_*`` > default, also for an empty one. Checked when read."""

from __future__ import annotations

import functools
import logging
import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sidelog_shared.errors import ConfigError
from sidelog_shared.limits import MIB
from sidelog_shared.rendezvous import why_not_private

log = logging.getLogger("sidelog")

_ENDPOINT = re.compile(r"^(tcp://(\[[^\]]+\]|[^:\[\]\s/]+):(?P<port>\d{1,5})|ipc:///?[^\s]+)$")


@dataclass(frozen=True, slots=True)
class Settings:
    """How a process logs.

    Attributes:
        endpoint: daemon to use; empty for the local one (``SIDELOG_ENDPOINT``).
        enabled: False turns every call into a no-op (``SIDELOG_MODE`` = ``on`` or ``off``).
        arena_bytes: memory for snapshots that wait to be sent (``SIDELOG_ARENA_MB``, default 64).
        overflow_bytes: memory that is taken from the system for pictures on the CPU when that is full, and given back
            (``SIDELOG_OVERFLOW_MB``, default 256).
        heavy_bytes: memory for audio, video, meshes and the like that are not written yet (``SIDELOG_HEAVY_MB``,
            default 512).
        spool_bytes: how much of what no daemon takes is kept on disk (``SIDELOG_SPOOL_MB``, default 1024; 0 keeps
            nothing).
        exit_timeout_s: how long ``close()`` and interpreter exit wait (``SIDELOG_EXIT_TIMEOUT``, default 30).

    Raises:
        ConfigError: a value that cannot work; names the variable, got and expected.
    """

    endpoint: str = ""
    enabled: bool = True
    arena_bytes: int = 64 * MIB
    overflow_bytes: int = 256 * MIB
    heavy_bytes: int = 512 * MIB
    spool_bytes: int = 1024 * MIB
    exit_timeout_s: float = 30.0

    def __post_init__(self) -> None:
        if self.endpoint:
            check_endpoint(self.endpoint)

    @classmethod
    def read(cls, *, endpoint: str | None = None) -> Settings:
        mode = (os.environ.get("SIDELOG_MODE") or "on").lower()
        if mode not in ("on", "off"):
            raise ConfigError(f"SIDELOG_MODE is {mode!r}, expected 'on' or 'off'")
        return cls(
            endpoint=os.environ.get("SIDELOG_ENDPOINT", "") if endpoint is None else endpoint,
            enabled=mode == "on",
            arena_bytes=int(_number("SIDELOG_ARENA_MB", 64, 1, 65536) * MIB),
            overflow_bytes=int(_number("SIDELOG_OVERFLOW_MB", 256, 0, 65536) * MIB),
            heavy_bytes=int(_number("SIDELOG_HEAVY_MB", 512, 1, 65536) * MIB),
            spool_bytes=int(_number("SIDELOG_SPOOL_MB", 1024, 0, 1 << 20) * MIB),
            exit_timeout_s=_number("SIDELOG_EXIT_TIMEOUT", 30, 0, 86400),
        )


def spool_folders() -> list[Path]:
    """Where spools are, the first place first: ``SIDELOG_SPOOL_DIR``; else the user's folder for states, a temp folder.

    Not beside the run: that may be the very disk that is full. Not a temp folder that others can reach into: what they
    put there would be written in this user's name.
    """
    given = os.environ.get("SIDELOG_SPOOL_DIR")
    if given:
        return [Path(given).absolute()]
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    temporary = Path(tempfile.gettempdir()) / f"sidelog-spool-{os.getuid()}"
    return [state / "sidelog", *([temporary] if _is_private(temporary) else [])]


def _is_private(folder: Path) -> bool:
    """Whether a folder is this user's alone, or not there yet."""
    try:
        why = why_not_private(folder)
    except OSError:
        return True
    if why:
        _say_once(f"the folder {folder} for spools {why}: nothing is kept there or taken from it")
    return not why


@functools.cache
def _say_once(text: str) -> None:
    log.warning("sidelog: %s", text)


def check_endpoint(endpoint: object) -> str:
    """Return ``endpoint`` if a daemon can be asked for there.

    Raises:
        ConfigError: it is not of the form tcp://HOST:PORT or ipc://PATH.
    """
    matched = _ENDPOINT.match(endpoint) if isinstance(endpoint, str) else None
    if matched is None or (matched["port"] is not None and not 1 <= int(matched["port"]) <= 65535):
        raise ConfigError(f"endpoint is {endpoint!r}, expected tcp://HOST:PORT (port 1 to 65535) or ipc://PATH")
    return str(endpoint)


def _number(name: str, default: float, low: float, high: float) -> float:
    text = os.environ.get(name)
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise ConfigError(f"{name} is {text!r}, expected a number from {low} to {high}")
    return value
