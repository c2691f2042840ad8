"""TensorBoard as a child of the daemon: started on a free or given port, stopped with it."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from sidelog_shared.errors import ConfigError, MissingExtra

log = logging.getLogger(__name__)

IMAGES_PER_TAG = 100
"""TensorBoard keeps 10 pictures of a tag unless told otherwise: too few to watch a network learn."""


_PR_SET_PDEATHSIG = 1  # linux/prctl.h


class TensorBoard:
    """A TensorBoard server that shows one log folder.

    Args:
        logdir: what it shows.
        port: where it listens on loopback; 0 takes a free port.

    Raises:
        MissingExtra: tensorboard is not installed.
        ConfigError: the port is in use.
    """

    def __init__(self, logdir: Path, port: int) -> None:
        if importlib.util.find_spec("tensorboard") is None:
            raise MissingExtra("tensorboard", "daemon", "--tensorboard")
        self._logdir = logdir
        self._port = _free_port(port)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    def start(self) -> None:
        """Start it. The thread that calls this must live as long as the daemon: Linux ends the child with it."""
        self._process = subprocess.Popen(
            [
                sys.executable,
                *_program(),
                f"--logdir={self._logdir}",
                "--host=127.0.0.1",
                f"--port={self._port}",
                "--samples_per_plugin",
                f"images={IMAGES_PER_TAG}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        log.info("TensorBoard is starting on %s", self.url)

    def stop(self) -> None:
        if self._process is None:
            return
        if self._process.poll() is not None:
            log.warning("TensorBoard had ended by itself, with status %d", self._process.returncode)
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
            return
        self._process.kill()
        self._process.wait()


def _program() -> list[str]:
    """TensorBoard for the interpreter; on Linux the kernel ends it when the daemon is killed."""
    if sys.platform != "linux":
        return ["-m", "tensorboard.main"]
    # Said by the child itself: a preexec_fn is not safe beside threads. The daemon may be gone before it is said.
    return [
        "-c",
        "import ctypes, os, runpy, sys\n"
        f"ctypes.CDLL(None).prctl({_PR_SET_PDEATHSIG}, {int(signal.SIGTERM)})\n"
        f"if os.getppid() != {os.getpid()}: sys.exit()\n"
        "runpy.run_module('tensorboard.main', run_name='__main__', alter_sys=True)",
    ]


def _free_port(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise ConfigError(f"port {port} for TensorBoard cannot be used ({error.strerror}): give another, "
                              "or none for a free one") from error  # fmt: skip
        return int(probe.getsockname()[1])
