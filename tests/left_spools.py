"""What tests of spools share: a training that leaves one, its file, the replay, and what must stand afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from event_files import read_run
from processes import DEADLINE_S
from sidelog_shared import recording
from sidelog_shared.frames import MessageKind, unpack
from sidelog_shared.limits import MIB
from sidelog_shared.recording import Recorded

TRAIN = """
import sys, numpy as np, sidelog
writer = sidelog.SummaryWriter("run")
def log(steps):
    for step in steps:
        writer.add_scalar("loss", step / 4, step)
        writer.add_text("note", f"text {step}", step)
        writer.add_audio("sound", np.full(100, step / 1000, np.float32), step, sample_rate=8000)
"""


def spools(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool")) if folder.exists() else []


def the_spool(folder: Path) -> Path:
    (path,) = spools(folder)
    return path


def messages_in(path: Path, *kinds: MessageKind) -> list[Recorded]:
    """Where the messages of some kinds stand in a file, those that are whole; none where there is no file."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return []
    try:
        whole = [found for found in recording.read(fd) if isinstance(found, Recorded)]
    finally:
        os.close(fd)
    return [found for found in whole if unpack(found.frames, max_bytes=64 * MIB).kind in kinds]


def records_in(path: Path) -> int:
    """How many records stand in a file."""
    count = len(messages_in(path, MessageKind.RECORD))
    for found in messages_in(path, MessageKind.SCALARS):
        count += unpack(found.frames, max_bytes=64 * MIB).header["count"]  # type: ignore[operator]
    return count


def overwrite(path: Path, begin: int, end: int) -> None:
    """Bytes are zeros now: what a disk lost, or a program wrote where it should not."""
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(end - begin))


def replay(*paths: Path | str, timeout_s: float = DEADLINE_S) -> tuple[int, str]:
    """``sidelog replay``: exit code, and what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "sidelog.cli", "replay", f"--timeout={timeout_s}", *map(str, paths)],
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE_S,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def assert_stands(run: Path, steps: list[int]) -> None:
    """Each record once, with its value, in the order of the calls."""
    found = read_run(run)
    assert found.scalars.get("loss", []) == [(step, step / 4) for step in steps]
    assert found.texts.get("note", []) == [(step, f"text {step}") for step in steps]
    assert sounds(run) == steps


def sounds(run: Path) -> list[int]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(run), size_guidance={"audio": 0})
    accumulator.Reload()
    return [one.step for one in accumulator.Audio("sound")] if accumulator.Tags()["audio"] else []
