"""The same calls to sidelog and to one of the originals, and what then stands in the event files of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorboardX.writer  # not from the package: the daemon's tests load its modules without it
import torch.utils.tensorboard

import sidelog
from decoded import Decoded, decode_run, other_files

PEERS: dict[str, Callable[..., Any]] = {
    "tensorboardX": tensorboardX.writer.SummaryWriter,
    "torch": torch.utils.tensorboard.SummaryWriter,
}


class Pair:
    """Two writers of one interface.

    Args:
        folder: each gets a sub-folder.
        peer: makes the other writer; tensorboardX's unless given.
        arguments: of both constructors.
    """

    def __init__(self, folder: Path, *, peer: Callable[..., Any] | None = None, **arguments: Any) -> None:
        self._since = time.time() - 60
        self.folders = folder / "ours", folder / "theirs"
        self.ours = sidelog.SummaryWriter(str(self.folders[0]), **arguments)
        self._before = self.ours.statistics()
        self.theirs = (peer or PEERS["tensorboardX"])(str(self.folders[1]), **arguments)

    def call(self, name: str, /, *arguments: Any, **named: Any) -> None:
        """Make one call of both."""
        self.ours_alone(name, *arguments, **named)
        self.theirs_alone(name, *arguments, **named)

    def ours_alone(self, name: str, /, *arguments: Any, **named: Any) -> None:
        getattr(self.ours, name)(*arguments, **named)

    def theirs_alone(self, name: str, /, *arguments: Any, **named: Any) -> None:
        getattr(self.theirs, name)(*arguments, **named)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def decoded(self) -> tuple[dict[str, list[Decoded]], dict[str, list[Decoded]]]:
        """Close both; what ours wrote and what theirs did, by folder."""
        self.close()
        ours, theirs = (decode_run(folder, since=self._since) for folder in self.folders)
        return ours, theirs

    def values(self, folder: str = ".") -> tuple[list[Decoded], list[Decoded]]:
        """Of one folder."""
        ours, theirs = self.decoded()
        return ours.get(folder, []), theirs.get(folder, [])

    def check(self) -> None:
        """Close both: they wrote the same."""
        ours, theirs = self.decoded()
        assert ours == theirs
        files = [other_files(folder) for folder in self.folders]
        assert ours or files[0], "nothing was written, so nothing was compared"
        assert files[0] == files[1]
        after, before = self.ours.statistics(), self._before
        assert after.logged - after.written - after.pending == before.logged - before.written - before.pending, after
