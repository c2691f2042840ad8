"""Handles on run directories, shared by writers, the connection and the protocol."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class RunHandle:
    """A run directory that this worker logs into.

    Attributes:
        id: how records name it.
        path: what OPEN_RUN says: absolute, or relative to the daemon's logdir.
        refused: why the daemon refused it, once it has; empty otherwise.
    """

    id: int
    path: str
    refused: str = ""
