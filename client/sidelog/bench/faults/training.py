"""The training that goes on through a fault: a small network on the CPU, and what a user would log of it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from sidelog.bench.loggers import Sidelog

BATCH, SIDE = 16, 112
MAP_EVERY, LARGE_EVERY, AUDIO_EVERY, TEXT_EVERY = 5, 10, 50, 100
"""Steps between two records of a kind; scalars are logged each step."""
LARGE = (4, 256, 54, 54)
"""A batch whose first sample has 2.99 MB."""
AUDIO_RATE = 16_000
AUDIO = 0.25 * np.sin(2 * np.pi * 440 * np.arange(AUDIO_RATE // 2) / AUDIO_RATE).astype(np.float32)
TEXT = "The prediction of this step, in some words that a person reads. " * 4


class Training:
    """Two convolutions and a linear layer, SGD, batches of noise with labels that can be learned.

    Args:
        seed: of weights and data.
    """

    def __init__(self, seed: int) -> None:
        import torch

        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self._images = torch.randn(4, BATCH, 3, SIDE, SIDE, generator=generator)
        self._labels = (self._images.mean((2, 3, 4)) > 0).long()
        self._large = torch.randn(LARGE, generator=generator)
        self._first = torch.nn.Conv2d(3, 64, 3, stride=2, padding=1)
        self._rest = torch.nn.Sequential(
            torch.nn.Conv2d(64, 32, 3, stride=4, padding=1), torch.nn.ReLU(),
            torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten(), torch.nn.Linear(512, 2),
        )  # fmt: skip
        parameters = [*self._first.parameters(), *self._rest.parameters()]
        self._optimizer = torch.optim.SGD(parameters, lr=1e-2)
        self._criterion = torch.nn.CrossEntropyLoss()
        self._relu = torch.nn.functional.relu
        self._map = torch.zeros(())
        self._loss = 0.0

    @property
    def summary(self) -> str:
        return (
            f"a small network on [{BATCH},3,{SIDE},{SIDE}], CPU; two scalars each step, a map of [16,64,56,56] every "
            f"{MAP_EVERY}th, one of {list(LARGE)} every {LARGE_EVERY}th, a sound every {AUDIO_EVERY}th, a text every "
            f"{TEXT_EVERY}th"
        )

    def train(self, step: int) -> None:
        """One step; it is over when this returns, for it reads its loss."""
        images, labels = self._images[step % 4], self._labels[step % 4]
        self._optimizer.zero_grad()
        self._map = self._relu(self._first(images))
        loss = self._criterion(self._rest(self._map), labels)
        loss.backward()
        self._optimizer.step()
        self._loss = loss.item()

    def log(self, logger: Sidelog, step: int) -> None:
        """What a user logs of this step."""
        logger.scalar("loss", self._loss, step)
        logger.scalar("rate", 1e-2, step)
        if step % MAP_EVERY == 0:
            logger.feature_map("first", self._map, step)
        if step % LARGE_EVERY == 0:
            logger.feature_map("large", self._large, step)
        if step % AUDIO_EVERY == 0:
            logger.writer.add_audio("sound", AUDIO, step, sample_rate=AUDIO_RATE)
        if step % TEXT_EVERY == 0:
            logger.writer.add_text("text", TEXT, step)


def reliable_records(steps: int) -> Mapping[str, int]:
    """How many records that may not be dropped the steps 0 to ``steps`` - 1 log, by their tag in the event file."""
    return {
        "loss": steps, "rate": steps, "sound": -(-steps // AUDIO_EVERY), "text/text_summary": -(-steps // TEXT_EVERY),
    }  # fmt: skip
