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
        refused: why the daemon refuses it, as long as it does; empty otherwise.
        is_hopeless: it will always be refused: asking again does not help.
        users: so many writers have it open.
        closings: how often the last of them closed it.
        outages: how often it was refused.
    """

    id: int
    path: str
    opened_at: float = field(default_factory=time.time)
    refused: str = ""
    is_hopeless: bool = False
    users: int = 1
    closings: int = 0
    outages: int = 0
