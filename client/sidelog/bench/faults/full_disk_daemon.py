"""Run by its path with a daemon's arguments: the daemon, for whose event files the disk can be full.

While the file ``FLAG_NAME`` is in the log folder, ``os.write`` answers ENOSPC to what goes to an event file.
"""

from __future__ import annotations

import errno
import os
import runpy
import sys
from pathlib import Path

FLAG_NAME = ".disk-is-full"
_EVENT_FILES = ("tfevents", ".sidelog.new")
"""In the names of an event file, and of one that has no name of its own yet."""


def main() -> None:
    # Run by its path, this folder would be where imports are looked for first; its modules have common names.
    sys.path = [folder for folder in sys.path if not folder.endswith("/faults")]
    flag = Path(sys.argv[1 + sys.argv.index("--logdir")]) / FLAG_NAME
    write = os.write

    def write_if_there_is_room(fd: int, data: bytes) -> int:
        if flag.exists() and any(part in os.readlink(f"/proc/self/fd/{fd}") for part in _EVENT_FILES):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, data)

    os.write = write_if_there_is_room  # type: ignore[assignment]  # before the daemon's modules take it over
    runpy.run_module("sidelog_daemon", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
