"""The spools that lie on this machine: what each of them is, and whether it waits to be replayed."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from sidelog.last_words import replay_command
from sidelog.left_spool import is_in_use, may_be_replayed
from sidelog.spool import SUFFIX


@dataclass(frozen=True, slots=True)
class SpoolFile:
    """Records that no daemon took.

    Attributes:
        path: the file.
        nbytes: its size.
        age_s: how long ago it was written last.
        in_use: its worker lives, and sends what is in it as soon as a daemon takes it; or somebody replays it.
        damaged: nobody uses it, and so little of it is whole that it cannot be replayed.
    """

    path: Path
    nbytes: int
    age_s: float
    in_use: bool
    damaged: bool = False

    @property
    def command(self) -> str:
        """What writes it into the event files."""
        return replay_command(self.path)

    def to_map(self) -> dict[str, object]:
        return {
            "path": str(self.path),
            "bytes": self.nbytes,
            "age_s": round(self.age_s, 3),
            "in_use": self.in_use,
            "damaged": self.damaged,
            "command": None if self.in_use or self.damaged else self.command,
        }


def find_spools(folders: Iterable[Path]) -> list[SpoolFile]:
    """The spools in these folders, the newest first."""
    found = []
    for path in [path for folder in folders for path in folder.glob(f"*{SUFFIX}")]:
        with contextlib.suppress(OSError):  # it is gone by now, or somebody else's, or no file
            stat, in_use = path.stat(), is_in_use(path)
            damaged = not (in_use or may_be_replayed(path))
            found.append(SpoolFile(path, stat.st_size, max(0.0, time.time() - stat.st_mtime), in_use, damaged))
    return sorted(found, key=lambda one: (one.age_s, one.path))
