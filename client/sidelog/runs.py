"""Handles on run directories, shared by writers, the connection and the protocol."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True, eq=False)
class RunHandle:
    """A run directory that this worker logs into.

    Attributes:
        id: how records name it.
        path: what OPEN_RUN says: absolute, or relative to the daemon's logdir.
        opened_at: when it was first opened here, seconds since the epoch.
        refused: why the daemon refused it, once it has; empty otherwise.
    """

    id: int
    path: str
    opened_at: float = field(default_factory=time.time)
    refused: str = ""
