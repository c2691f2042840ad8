"""The two daemons of the torture: one by hand behind the proxy, and the local one that writers start themselves."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

from processes import DaemonProcess, is_gone, wait_until
from sidelog_shared.locks import is_held_by_someone
from sidelog_shared.rendezvous import Rendezvous

HOOK = Path(__file__).parent / "hook"
ROOT = Path(__file__).parents[2]
MODULES = (HOOK, ROOT / "client", ROOT / "daemon", ROOT / "shared", ROOT / "tests")


class Control:
    """What the hook in a daemon reads (``hook/sitecustomize.py``).

    Attributes:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def environment(self) -> dict[str, str]:
        return {"TORTURE_CONTROL": str(self.path), "PYTHONPATH": os.pathsep.join(map(str, MODULES))}

    def order(self, **order: Any) -> None:
        """From now on; the file appears whole."""
        draft = self.path.with_suffix(".draft")
        draft.write_text(json.dumps(order))
        draft.replace(self.path)

    def clear(self) -> None:
        self.path.unlink(missing_ok=True)

    def last_call(self) -> str:
        """Before which system call the hook last ended its daemon."""
        done = Path(f"{self.path}.done")
        return done.read_text().splitlines()[-1] if done.exists() else ""


class HandDaemon:
    """``sidelog daemon --bind tcp://...``, started again and again on one port.

    Args:
        folder: for its log and control file.
        logdir: where runs that are given by name go.
    """

    def __init__(self, folder: Path, logdir: Path) -> None:
        self._log = folder / "tcp-daemon.log"
        self._logdir = logdir
        self.control = Control(folder / "tcp.control")
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        self._process: DaemonProcess | None = None
        self.exit_codes: list[int] = []

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        return self._process is not None and self._process.runs

    def start(self) -> None:
        variables = [f"{name}={value}" for name, value in self.control.environment.items()]
        self._process = DaemonProcess(
            f"--bind=tcp://127.0.0.1:{self.port}", f"--logdir={self._logdir}", log=self._log,
            through=["env", *variables],
        )  # fmt: skip

    def signal(self, number: int) -> None:
        assert self._process is not None
        if self._process.runs:
            self._process.signal(number)

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()

    def wait(self, deadline_s: float) -> int:
        assert self._process is not None
        code = self._process.wait(deadline_s)
        self.exit_codes.append(code)
        return code

    def words(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class LocalDaemon:
    """The one that writers find, or start, below a runtime folder.

    Args:
        folder: for the control file.
        runtime: ``SIDELOG_RUNTIME_DIR``.
    """

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.control = Control(folder / "local.control")
        self._rendezvous = Rendezvous(runtime / "sidelog")

    @property
    def pid(self) -> int | None:
        """The one that is up; None while there is none."""
        ready = self._rendezvous.read_ready()
        if ready is None or not is_held_by_someone(self._rendezvous.lock_file) or is_gone(ready.pid):
            return None
        return ready.pid

    def kill(self) -> None:
        """SIGKILL for the one that is up, if there is one."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and wait until it is gone."""
        pid = self.pid
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: is_gone(pid), 60, what=f"the local daemon, process {pid}, ends")
        wait_until(lambda: not is_held_by_someone(self._rendezvous.lock_file), 60, what="the local daemon's lock")


def freeze(pid: int) -> None:
    """SIGSTOP; returns once every thread of the process stands still."""
    os.kill(pid, signal.SIGSTOP)

    def stands() -> bool:
        try:
            tasks = [Path(f"/proc/{pid}/task/{task}/stat").read_text() for task in os.listdir(f"/proc/{pid}/task")]
        except (FileNotFoundError, ProcessLookupError):
            return True
        return all(stat.rpartition(")")[2].split()[0] in "TtZX" for stat in tasks)

    wait_until(stands, what=f"process {pid} stands still")


def wait_for_next_second() -> None:
    """Until shortly after a second has begun: what follows happens within it."""
    time.sleep(1 - time.time() % 1)
