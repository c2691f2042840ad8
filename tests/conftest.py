"""What every test shares: nothing may be left behind, no test meets this user's own daemon or launcher."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import resource_tracker
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from processes import DaemonProcess, foreign_variables, stop_local_daemon, wait_until
from program_runs import ProgramRuns

settings.register_profile("sidelog", derandomize=True, deadline=None)
settings.load_profile("sidelog")

_SETTLE_S = 10.0


def _kept_open() -> Counter[str]:
    """Sockets and pipes of this process, by what they are."""
    kept: Counter[str] = Counter()
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # the listing's own
            continue
        if target.startswith(("socket:", "pipe:")) or "sidelog" in target:
            kept[target] += 1
    return kept


def _threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("sidelog-")}


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


@pytest.fixture(scope="session", autouse=True)
def _once_per_process() -> None:
    """multiprocessing keeps one helper process and its pipe for good. And Ctrl-C means Ctrl-C to what tests start.

    A shell starts what it puts into the background with SIGINT ignored, nohup with SIGHUP; every child inherits that.
    """
    resource_tracker.ensure_running()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _no_leaks(_once_per_process: None) -> Iterator[None]:
    """Threads of ours, sockets, pipes and child processes are back to what they were."""
    kept, threads, children = _kept_open(), _threads(), _children()
    yield

    def left() -> list[object]:
        return [*(_kept_open() - kept), *(_threads() - threads), *(_children() - children)]

    try:
        wait_until(lambda: not left(), _SETTLE_S)
    except AssertionError:
        pytest.fail(f"left behind: {left()}", pytrace=False)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test is part of a job, none is told by this shell which daemon to use, none leaves a spool in this home."""
    for name in foreign_variables():
        monkeypatch.delenv(name)
    monkeypatch.setenv("SIDELOG_SPOOL_DIR", str(tmp_path / "spool"))


@pytest.fixture
def runtime_dir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for a local daemon of the test's own; a daemon that was started there is gone at the end.

    Not ``tmp_path``: the path of a socket is at most 107 bytes.
    """
    folder = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))
    monkeypatch.setenv("SIDELOG_RUNTIME_DIR", str(folder))
    try:
        yield folder
    finally:
        stop_local_daemon()
        shutil.rmtree(folder)


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DaemonProcess]]:
    """Starts ``sidelog daemon`` with given arguments; what still runs at the end is stopped.

    Those with an endpoint enter themselves into a runtime folder, which is not this user's own.
    """
    if "SIDELOG_RUNTIME_DIR" not in os.environ:
        monkeypatch.setenv("SIDELOG_RUNTIME_DIR", str(tmp_path / "runtime"))
    started: list[DaemonProcess] = []

    def start(*arguments: str, **options: Sequence[str]) -> DaemonProcess:
        process = DaemonProcess(*arguments, log=tmp_path / f"daemon{len(started)}.log", **options)
        started.append(process)
        return process

    yield start
    for process in started:
        process.stop()


@pytest.fixture(scope="session")
def program_runs(tmp_path_factory: pytest.TempPathFactory) -> ProgramRuns:
    """The programs of ``tests/programs``: each is run when a test first asks for it."""
    return ProgramRuns(tmp_path_factory.mktemp("programs"))
