"""The same calls to sidelog and to tensorboardX, and what then stands in the event files of both."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorboardX.writer  # not from the package: the daemon's tests load its modules without it
from decoded import decode_run, other_files

import sidelog


class Pair:
    """Two writers of one interface.

    Args:
        folder: each gets a sub-folder.
        arguments: of both constructors.
        peer: makes the other writer; tensorboardX's unless given.
    """

    def __init__(self, folder: Path, *, peer: Callable[..., Any] | None = None, **arguments: Any) -> None:
        self._since = time.time() - 60
        self._folders = folder / "ours", folder / "theirs"
        make_peer = tensorboardX.writer.SummaryWriter if peer is None else peer
        self.ours = sidelog.SummaryWriter(str(self._folders[0]), **arguments)
        self.theirs = make_peer(str(self._folders[1]), **arguments)

    def call(self, name: str, *arguments: Any, **named: Any) -> None:
        """Make one call of both."""
        self.ours_alone(name, *arguments, **named)
        self.theirs_alone(name, *arguments, **named)

    def ours_alone(self, name: str, *arguments: Any, **named: Any) -> None:
        getattr(self.ours, name)(*arguments, **named)

    def theirs_alone(self, name: str, *arguments: Any, **named: Any) -> None:
        getattr(self.theirs, name)(*arguments, **named)

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()

    def check(self) -> None:
        """Close both: they wrote the same."""
        self.close()
        ours, theirs = (decode_run(folder, since=self._since) for folder in self._folders)
        assert ours == theirs
        assert ours or other_files(self._folders[0]), "nothing was written, so nothing was compared"
        assert other_files(self._folders[0]) == other_files(self._folders[1])
        statistics = self.ours.statistics()
        assert statistics.written == statistics.logged, statistics
