"""Summaries that a program puts together itself and hands to ``writer.file_writer``: the recipes of loggers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorboardX.summary as their_summary
import torch.utils.tensorboard
import torch.utils.tensorboard.summary as torch_summary
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair import Pair
from tensorboard.compat.proto.event_pb2 import Event
from values import steps, wall_times

Pairs = Callable[..., Pair]
often = settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])

MESSAGES: dict[str, Callable[[], Any]] = {
    "tensorboardX scalar": lambda: their_summary.scalar("loss", 0.5, "Loss", "of training"),
    "tensorboardX text": lambda: their_summary.text("note", "some *text*"),
    "tensorboardX histogram": lambda: their_summary.histogram("values", np.arange(9.0), [-1.0, 3.0, 10.0]),
    "tensorboardX picture": lambda: their_summary.image("picture", np.arange(60, dtype=np.uint8).reshape(3, 4, 5)),
    "torch scalar": lambda: torch_summary.scalar("loss", 0.5, new_style=True),
    "torch hparams": lambda: torch_summary.hparams({"lr": 0.1, "name": "adam"}, {"loss": 0}, {"lr": [0.1, 0.2]})[0],
}


@often
@given(calls=st.lists(st.tuples(st.sampled_from([*MESSAGES]), steps, wall_times), min_size=1, max_size=6))
def test_add_summary(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    # torch's file writer takes messages of its own kind only, tensorboardX's likewise; ours takes both.
    for module, peer in (("tensorboardX", None), ("torch", torch.utils.tensorboard.SummaryWriter)):
        chosen = [call for call in calls if call[0].startswith(module)]
        if not chosen:
            continue
        pair = pairs(peer=peer)
        for name, step, wall_time in chosen:
            message = MESSAGES[name]()
            for writer in (pair.ours, pair.theirs):
                writer.file_writer.add_summary(message, step, wall_time)
        pair.check()


def test_hparams_beside_their_scalars(pairs: Pairs) -> None:
    """Into the run itself instead of a sub-run, as Lightning's logger does it."""
    pair = pairs(peer=torch.utils.tensorboard.SummaryWriter)
    for writer in (pair.ours, pair.theirs):
        for part in torch_summary.hparams({"lr": 0.1, "optimizer": "adam"}, {"loss": 0.5}):
            writer._get_file_writer().add_summary(part)
        writer.add_scalar("loss", 0.5, 0)
        assert writer._get_file_writer().get_logdir() == writer.log_dir
    pair.check()


@pytest.mark.parametrize("step", [None, 0, 7])
def test_add_event(pairs: Pairs, step: int | None) -> None:
    pair = pairs(peer=torch.utils.tensorboard.SummaryWriter)
    for writer in (pair.ours, pair.theirs):
        event = Event(summary=torch_summary.scalar("loss", 0.5), step=3, wall_time=1e9)
        writer.file_writer.add_event(event, step)
        writer.file_writer.add_event(Event(summary=torch_summary.scalar("loss", 0.25)), step, 1e9)
    pair.check()


def test_use_metadata_reaches_it(pair: Pair) -> None:
    for writer in (pair.ours, pair.theirs):
        with writer.use_metadata(global_step=7, walltime=1e9):
            writer.file_writer.add_summary(their_summary.scalar("loss", 0.5))
            writer.file_writer.add_summary(their_summary.scalar("loss", 0.25), 8, 2e9)
        with writer.file_writer.use_metadata(global_step=9, walltime=1e9):
            writer.add_scalar("loss", 0.125)
    pair.check()


def test_a_large_one_does_not_hold_up_scalars(pair: Pair) -> None:
    """Above a mebibyte it travels in parts, on the lane of what is large."""
    noise = np.random.default_rng(0).integers(0, 255, (3, 900, 900), np.uint8)
    for writer in (pair.ours, pair.theirs):
        writer.file_writer.add_summary(their_summary.image("picture", noise), 1, 1e9)
        writer.add_scalar("loss", 0.5, 1, 1e9)
    pair.check()


def test_its_life_is_the_writers(pair: Pair) -> None:
    ours = pair.ours.file_writer
    before = pair.ours.statistics().written
    ours.add_summary(their_summary.scalar("loss", 0.5), 1)
    ours.flush()
    assert pair.ours.statistics().written == before + 1
    ours.close()
    ours.reopen()
    ours.add_summary(their_summary.scalar("loss", 0.5), 2)
    pair.theirs.file_writer.add_summary(their_summary.scalar("loss", 0.5), 1)
    pair.theirs.file_writer.add_summary(their_summary.scalar("loss", 0.5), 2)
    pair.check()
