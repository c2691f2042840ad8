"""Where a spool's file is made, and under which name: never in the place of a file that is another one."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from pathlib import Path

from sidelog_shared.descriptors import open_private
from sidelog_shared.locks import is_at


def made(path: Path) -> int:
    """Make a file, and its folder; returns its descriptor.

    Raises:
        OSError: it cannot be made, or is there already.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    # So that nobody replays it while its worker lives. A file system without locks has none to offer.
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd


def free_path(path: Path, fd: int | None = None) -> Path:
    """Where a file may go: to ``path``; beside it, where something stands there that is not the open file ``fd``."""
    beside = (f"{path.stem}.{number}{path.suffix}" for number in itertools.count(2))
    paths = itertools.chain([path], map(path.with_name, beside))
    return next(one for one in paths if not os.path.lexists(one) or (fd is not None and is_at(fd, one)))
