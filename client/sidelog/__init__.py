"""Asynchronous logging of PyTorch training to TensorBoard, through a sidecar process.

import sidelog

writer = sidelog.SummaryWriter("runs/exp1")
writer.add_scalar("loss", loss, step)
writer.add_feature_map("layer1", activations, step)
writer.close()
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from sidelog.process import paused
from sidelog.statistics import Statistics
from sidelog.writer import GlobalSummaryWriter, SummaryWriter
from sidelog_shared.errors import (
    ConfigError,
    DaemonStartError,
    MissingExtra,
    ProtocolError,
    SidelogError,
    SnapshotError,
    TransportError,
    WriterError,
)

if TYPE_CHECKING:
    from sidelog.grid import make_grid

__version__ = version("sidelog")


def __getattr__(name: str) -> object:
    # The grid is a torch tensor, so its module needs torch; everything else does without.
    if name == "make_grid":
        try:
            from sidelog.grid import make_grid
        except ModuleNotFoundError as error:
            raise MissingExtra(error.name or "torch", "bench", "sidelog.make_grid") from error
        return make_grid
    raise AttributeError(f"module 'sidelog' has no attribute {name!r}")


__all__ = [
    "ConfigError",
    "DaemonStartError",
    "GlobalSummaryWriter",
    "MissingExtra",
    "ProtocolError",
    "SidelogError",
    "SnapshotError",
    "Statistics",
    "SummaryWriter",
    "TransportError",
    "WriterError",
    "__version__",
    "make_grid",
    "paused",
]
