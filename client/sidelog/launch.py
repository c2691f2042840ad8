"""Finding this user's local daemon, and starting it where there is none. Runs on the sender thread."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

from sidelog_shared.descriptors import close_private, private_pipe
from sidelog_shared.errors import DaemonStartError, MissingExtra
from sidelog_shared.locks import FileLock, is_held_by_someone
from sidelog_shared.rendezvous import Ready, Rendezvous

START_DEADLINE_S = 20.0
"""A daemon is ready within a second; a loaded machine with a cold disk takes longer."""
DRAIN_DEADLINE_S = 40.0
"""So long the last one may take to write what it has; until then it holds the lock."""
IDLE_EXIT_S = 10.0
"""A daemon that a writer started goes this long after its last worker."""
REAP_S = 0.5
"""What was started to become the daemon leaves within milliseconds once it has said something."""
_POLL_S = 0.02
_ALREADY_RUNNING = 4
_READY_FD = 200
_PROGRAM = (
    f"import os, sys; os.closerange(3, {_READY_FD}); os.closerange({_READY_FD + 1}, os.sysconf('SC_OPEN_MAX')); "
    "sys.path[:] = [path for path in sys.path if path]; "
    "from sidelog_daemon.__main__ import main; sys.exit(main())"
)
"""``python -m sidelog_daemon``, without the folder of the training in the module path: its json.py is not ours. And
without what it inherited: a process that multiprocessing spawned has a pipe of its parent's helper, which would go on,
with the training's output in its hands, as long as the daemon does."""


def find(rendezvous: Rendezvous) -> Ready | None:
    """The local daemon, if one is up: its lock is held and it has said that it is ready."""
    ready = rendezvous.read_ready()
    return ready if ready is not None and is_held_by_someone(rendezvous.lock_file) else None


def find_or_start(rendezvous: Rendezvous, *, logdir: str, gives_up: Callable[[], bool]) -> Ready:
    """The local daemon; started if there is none. However many processes call this at once, one daemon results.

    Args:
        rendezvous: where it is found.
        logdir: its folder for runs that are given by name.
        gives_up: asked now and then whether nobody waits any more.

    Raises:
        MissingExtra: the daemon's packages are not installed.
        DaemonStartError: it could not be started; carries its own last words.
    """
    begun = time.monotonic()
    start_by = begun + START_DEADLINE_S
    lock = FileLock(rendezvous.launch_lock_file)
    while True:
        ready = find(rendezvous)
        if ready is not None:
            return ready
        held = is_held_by_someone(rendezvous.lock_file)
        if time.monotonic() >= (begun + DRAIN_DEADLINE_S if held else start_by) or gives_up():
            raise DaemonStartError(f"the local daemon was not ready in time; see {rendezvous.log_file}")
        # A lock that is held without a ready file belongs to a daemon on its way up or down: wait for it.
        if not held and lock.try_acquire():
            try:
                if find(rendezvous) is None and not is_held_by_someone(rendezvous.lock_file):
                    ready = _start(rendezvous, logdir, start_by, lambda: time.monotonic() >= start_by or gives_up())
                    if ready is not None:
                        return ready
            finally:
                lock.release()
        time.sleep(_POLL_S)


def _start(rendezvous: Rendezvous, logdir: str, start_by: float, gives_up: Callable[[], bool]) -> Ready | None:
    if importlib.util.find_spec("sidelog_daemon") is None:
        raise MissingExtra("sidelog_daemon", "daemon", "the local daemon")
    if not sys.executable:
        raise DaemonStartError("the local daemon cannot be started: this Python does not know its own program "
                               "(sys.executable); start one by hand: sidelog daemon")  # fmt: skip
    read_fd, write_fd = private_pipe()
    try:
        try:
            process = _spawn(rendezvous, logdir, write_fd)
        finally:
            close_private(write_fd)
        try:
            words = _read_words(read_fd, gives_up)
        except DaemonStartError:
            if time.monotonic() >= start_by:
                # It hangs, and the next one that is tried would too: they must not become many.
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process, signal.SIGKILL)
            raise
        finally:
            _reap(process)
    finally:
        close_private(read_fd)
    return _understand(words, rendezvous)


def _reap(process: int) -> None:
    """Wait for what was spawned: it forks and leaves at once, for the daemon is nobody's child.

    One that does not, because a module or a folder that it needs does not answer, is killed: nobody waits for it.
    """
    with contextlib.suppress(ChildProcessError, ProcessLookupError):  # where somebody else reaps all children
        for _ in range(2):
            until = time.monotonic() + REAP_S
            while time.monotonic() < until:
                if os.waitpid(process, os.WNOHANG)[0]:
                    return
                time.sleep(_POLL_S)
            os.kill(process, signal.SIGKILL)  # where that does not help it waits in the kernel


def _spawn(rendezvous: Rendezvous, logdir: str, write_fd: int) -> int:
    """Run the daemon's program; it says into ``write_fd`` what became of it. Returns the process's id.

    In a session of its own and with output of its own: Ctrl-C in training does not reach it, and a pipe behind the
    training (``| tee``) is not held open by it. Not by subprocess.Popen: that waits for a pipe of its own, which a
    process that another thread forks in between holds open for all its life.
    """
    return os.posix_spawn(
        sys.executable,
        [
            sys.executable,
            "-c",
            _PROGRAM,
            "--detach",
            f"--ready-fd={_READY_FD}",
            f"--idle-exit={IDLE_EXIT_S}",
            f"--logdir={logdir}",
            # Not by the environment: the daemon is in another folder, and a variable may be relative.
            f"--runtime-folder={rendezvous.folder}",
        ],
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(rendezvous.log_file), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            (os.POSIX_SPAWN_DUP2, write_fd, _READY_FD),
        ],
        setsid=True,
        # A training may have blocked or ignored signals by which a daemon is stopped.
        setsigmask=(),
        setsigdef=(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
    )


def _read_words(fd: int, gives_up: Callable[[], bool]) -> dict[str, object]:
    """What the daemon says when it is ready or cannot start; nothing when it died without a word.

    Raises:
        DaemonStartError: nobody waits any more, and it has said nothing yet.
    """
    said = b""
    while True:
        if select.select([fd], [], [], _POLL_S)[0]:
            piece = os.read(fd, 65536)
            said += piece
            # Whole words are enough: the pipe may stay open in a process that was forked in between.
            with contextlib.suppress(ValueError):
                words = json.loads(said)
                return words if isinstance(words, dict) else {}
            if not piece:
                return {}
        elif gives_up():
            raise DaemonStartError("the local daemon was still starting when the deadline passed")


def _understand(words: dict[str, object], rendezvous: Rendezvous) -> Ready | None:
    if isinstance(words.get("ready"), dict):
        return Ready(**cast("dict[str, object]", words["ready"]))  # type: ignore[arg-type]  # it wrote them itself
    if words.get("code") == _ALREADY_RUNNING:
        return None
    last_words = words.get("error") or _tail(rendezvous.log_file)
    raise DaemonStartError(f"the local daemon could not be started: {last_words} (log: {rendezvous.log_file})")


def _tail(log_file: Path) -> str:
    try:
        lines = log_file.read_text(errors="replace").strip().splitlines()
    except OSError as error:
        return f"no word from it ({error.strerror})"
    return lines[-1] if lines else "no word from it"
