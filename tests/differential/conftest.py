"""Pairs of writers, on one daemon for all tests of a module."""

from __future__ import annotations

import itertools
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pair import PEERS, Pair

import sidelog
from processes import stop_local_daemon


@pytest.fixture(scope="module")
def shared_runtime_dir() -> Iterator[Path]:
    """A local daemon, and a connection to it that stays between two tests: starting both takes a second."""
    folder = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))  # short: the path of a socket is at most 107 bytes
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SIDELOG_RUNTIME_DIR", str(folder))
        try:
            with sidelog.SummaryWriter(folder / "kept open") as writer:
                writer.add_scalar("connected", 1.0)
                writer.flush()  # its sockets are there before the first test counts them
                yield folder
        finally:
            stop_local_daemon()
            shutil.rmtree(folder)


@pytest.fixture
def on_the_daemon(shared_runtime_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDELOG_RUNTIME_DIR", str(shared_runtime_dir))


@pytest.fixture
def pairs(on_the_daemon: None, tmp_path: Path) -> Iterator[Callable[..., Pair]]:
    """Makes a pair in a folder of its own; what a failure left open is closed."""
    made: list[Pair] = []

    def make(**arguments: Any) -> Pair:
        made.append(Pair(tmp_path / f"pair{len(made)}", **arguments))
        return made[-1]

    yield make
    for pair in made:
        pair.close()


@pytest.fixture
def pair(pairs: Callable[..., Pair]) -> Any:
    return pairs()


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> Any:
    """Both originals, one after the other."""
    return PEERS[request.param]


@pytest.fixture
def a_second_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their files have the second in their names: opened again within one, the second file overwrites the first."""
    seconds = itertools.count(int(time.time()))
    for writer in ("tensorboardX.event_file_writer", "tensorboard.summary.writer.event_file_writer"):
        monkeypatch.setattr(f"{writer}.time.time", lambda: float(next(seconds)))
