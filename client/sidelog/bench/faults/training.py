"""The training that goes on through a fault: a small network on the CPU, and what a user would log of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sidelog.bench.loggers import Sidelog

if TYPE_CHECKING:
    import torch

BATCH, SIDE, WIDTH, CLASSES = 16, 32, 32, 10
MAP_EVERY, LARGE_EVERY, AUDIO_EVERY, TEXT_EVERY = 5, 10, 50, 100
"""Steps between two records of a kind; scalars are logged each step."""
MAP = (16, 64, 56, 56)
"""A batch whose first sample, which is what is shown, has 0.80 MB."""
LARGE = (4, 256, 54, 54)
"""The same with 2.99 MB."""
AUDIO_RATE = 16_000
AUDIO = 0.25 * np.sin(2 * np.pi * 440 * np.arange(AUDIO_RATE // 2) / AUDIO_RATE).astype(np.float32)
TEXT = "The prediction of this step, in some words that a person reads. " * 4


def smooth_maps(shape: tuple[int, int, int, int], generator: torch.Generator) -> torch.Tensor:
    """Random fields that vary as activations do: pixels of noise would make pictures that no encoder can shrink."""
    import torch
    from torch.nn.functional import interpolate

    coarse = torch.randn(*shape[:2], 4, 4, generator=generator)
    return interpolate(coarse, shape[2:], mode="bicubic").contiguous()


class Training:
    """Three convolutions and a linear layer, SGD, on batches of noise.

    What is logged are tensors of their own: the step is to be short, and maps of 12 MB would make it long.

    Args:
        seed: of weights and data.
    """

    def __init__(self, seed: int) -> None:
        import torch
        from torch import nn

        generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        self._images = torch.randn(4, BATCH, 3, SIDE, SIDE, generator=generator)
        self._labels = torch.randint(0, CLASSES, (4, BATCH), generator=generator)
        self._maps = [smooth_maps(MAP, generator) for _ in range(2)]
        self._large = smooth_maps(LARGE, generator)
        self._network = nn.Sequential(
            nn.Conv2d(3, WIDTH, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(2 * WIDTH, 4 * WIDTH, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
            nn.Flatten(), nn.Linear(16 * WIDTH, CLASSES),
        )  # fmt: skip
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=1e-2)
        self._criterion = nn.CrossEntropyLoss()
        self._loss = 0.0

    @property
    def summary(self) -> str:
        return (
            f"a small network on [{BATCH},3,{SIDE},{SIDE}], CPU; two scalars each step, a map of {list(MAP)} every "
            f"{MAP_EVERY}th, one of {list(LARGE)} every {LARGE_EVERY}th, a sound every {AUDIO_EVERY}th, a text every "
            f"{TEXT_EVERY}th"
        )

    def train(self, step: int) -> None:
        """One step; it is over when this returns, for it reads its loss."""
        self._optimizer.zero_grad()
        loss = self._criterion(self._network(self._images[step % 4]), self._labels[step % 4])
        loss.backward()
        self._optimizer.step()
        self._loss = loss.item()

    def log(self, logger: Sidelog, step: int) -> None:
        """What a user logs of this step."""
        logger.scalar("loss", self._loss, step)
        logger.scalar("rate", 1e-2, step)
        if step % MAP_EVERY == 0:
            logger.feature_map("map", self._maps[step // MAP_EVERY % 2], step)
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
