"""The bench's own reader of event files, against TensorBoard's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tensorboardX import SummaryWriter

from event_files import read_run
from sidelog.bench.event_tail import EventTail


@pytest.fixture
def run(tmp_path: Path) -> Path:
    with SummaryWriter(str(tmp_path)) as writer:
        for step in range(20):
            writer.add_scalar("loss", step / 2, step)
            if step % 5 == 0:
                writer.add_image("picture", np.full((1, 8, 8), step * 10, np.uint8), step)
    return tmp_path


def test_counts_what_tensorboard_sees(run: Path) -> None:
    content = read_run(run)
    tail = EventTail(run)
    tail.keep_pictures = 3
    tail.poll()
    for tag in ("loss", "picture"):
        assert tail.counts[tag] == len(content.steps(tag))
        assert tail.last_step[tag] == content.steps(tag)[-1]
    assert tail.pictures == [png for _, png in content.images["picture"]][-3:]


def test_takes_in_a_growing_file_once(run: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    whole = next(run.glob("events.*")).read_bytes()
    growing = tmp_path_factory.mktemp("growing") / "events.out.tfevents.1.host"
    tail = EventTail(growing.parent)
    tail.poll()
    for size in range(0, len(whole) + 1, 97):  # in the midst of records, mostly
        growing.write_bytes(whole[:size])
        tail.poll()
    growing.write_bytes(whole)
    tail.poll()
    assert (tail.counts["loss"], tail.counts["picture"]) == (20, 4)


def test_wait_for_tells_when_it_came_and_when_it_did_not(run: Path) -> None:
    tail = EventTail(run)
    waited_s = tail.wait_for({"loss": 19, "picture": 15}, deadline_s=5.0)
    assert waited_s is not None
    assert waited_s < 5.0
    assert tail.wait_for({"loss": 20}, deadline_s=0.01) is None


def test_refuses_a_wrong_checksum(run: Path) -> None:
    file = next(run.glob("events.*"))
    damaged = bytearray(file.read_bytes())
    damaged[-6] ^= 1
    file.write_bytes(damaged)
    with pytest.raises(ValueError, match="checksum is wrong"):
        EventTail(run).poll()
