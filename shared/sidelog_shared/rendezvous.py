"""Where the local daemon of a user is found: a private folder with a socket, a ready file, locks and a log."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import shlex
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from sidelog_shared.errors import ConfigError
from sidelog_shared.frames import MAJOR

MAX_IPC_PATH_BYTES = 107
"""sockaddr_un holds 108 bytes with the closing NUL."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What a daemon says of itself once its socket is bound.

    Attributes:
        endpoint: ZeroMQ endpoint to connect to.
        pid: process id.
        host: machine name.
        instance: 16 hexadecimal digits, new for each start.
        version: version of the package.
        logdir: folder for runs that are given by name.
    """

    endpoint: str
    pid: int
    host: str
    instance: str
    version: str
    logdir: str


class Rendezvous:
    """The files by which a user's processes on one machine agree on one daemon of one protocol major.

    Args:
        folder: the private folder; :func:`runtime_folder` when None.

    Raises:
        ConfigError: the folder cannot be made, belongs to somebody else, or is too deep for a socket.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = runtime_folder() if folder is None else folder
        _make_private(self.folder)
        stem = f"daemon-{MAJOR}"
        self.socket = self.folder / f"{stem}.sock"
        self.ready_file = self.folder / f"{stem}.ready"
        self.lock_file = self.folder / f"{stem}.lock"
        self.launch_lock_file = self.folder / f"{stem}.launch"
        self.log_file = self.folder / f"{stem}.log"
        length = len(os.fsencode(self.socket))
        if length > MAX_IPC_PATH_BYTES:
            raise ConfigError(f"the socket path {self.socket} is {length} bytes, limit {MAX_IPC_PATH_BYTES}: "
                              "set SIDELOG_RUNTIME_DIR to a shorter folder")  # fmt: skip

    @property
    def endpoint(self) -> str:
        return f"ipc://{self.socket}"

    def read_ready(self) -> Ready | None:
        """What the ready file says; None while there is none (or one from another version's future)."""
        return read_ready(self.ready_file)

    def write_ready(self, ready: Ready) -> None:
        """Appear at once and whole: readers see no file or all of it."""
        draft = self.ready_file.with_suffix(f".{ready.pid}.tmp")
        draft.write_text(json.dumps(asdict(ready)))
        draft.replace(self.ready_file)

    def remove_ready(self, instance: str) -> None:
        """Remove the ready file if it is still that daemon's."""
        ready = self.read_ready()
        if ready is not None and ready.instance == instance:
            with contextlib.suppress(FileNotFoundError):
                self.ready_file.unlink()


def read_ready(path: Path) -> Ready | None:
    """What a ready file says; None where there is none (or one from another version's future)."""
    try:
        fields = json.loads(path.read_text())
        return Ready(**{name: fields[name] for name in Ready.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def runtime_folder() -> Path:
    """A folder ``sidelog`` in ``SIDELOG_RUNTIME_DIR`` or ``XDG_RUNTIME_DIR``, else this user's in the temp folder."""
    given = os.environ.get("SIDELOG_RUNTIME_DIR")
    if given:
        return _absolute(given) / "sidelog"
    user_folder = os.environ.get("XDG_RUNTIME_DIR", "")
    if user_folder and os.access(user_folder, os.W_OK | os.X_OK):
        return _absolute(user_folder) / "sidelog"
    return Path(tempfile.gettempdir()) / f"sidelog-{os.getuid()}"


@functools.cache
def _absolute(folder: str) -> Path:
    """As it is when it is first asked for: a program that changes its folder later has one daemon all the same."""
    return Path(folder).absolute()


def why_not_private(folder: Path) -> str:
    """What lets others reach into a folder, as the end of a sentence; empty where nothing does.

    Raises:
        OSError: it cannot be seen.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        return "is not a folder"
    if found.st_uid != os.getuid():
        return f"belongs to uid {found.st_uid}, expected {os.getuid()}"
    mode = stat.S_IMODE(found.st_mode)
    return f"has mode {mode:o}, expected 700 (chmod 700 {shlex.quote(str(folder))})" if mode & 0o077 else ""


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        why = why_not_private(folder)
    except OSError as error:
        raise ConfigError(f"the runtime folder {folder} cannot be made ({error.strerror}): "
                          "set SIDELOG_RUNTIME_DIR to a folder that you may write") from error  # fmt: skip
    if why:
        raise ConfigError(f"the runtime folder {folder} {why}: set SIDELOG_RUNTIME_DIR to one of your own")
