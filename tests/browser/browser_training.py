"""A worker that logs what the browser tests look for: python browser_training.py RUN_DIR, with a rank in RANK."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import torch
from torch import Tensor

import sidelog

STEPS = 40
MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
PALETTE = [(0, 0, 0), (230, 25, 75), (60, 180, 75), (255, 225, 25)]


@dataclass(frozen=True)
class Batch:
    """What a rank has at one step, the same in every process."""

    loss: float
    image: Tensor  # [3, 48, 64], normalized
    labels: Tensor  # [48, 64], classes 0 to 3
    maps: list[Tensor]  # three of [1, 32, 32]


def batch(rank: int, step: int) -> Batch:
    seeded = torch.Generator().manual_seed(1000 * rank + step)
    pixels = torch.rand(3, 48, 64, generator=seeded)
    image = (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    labels = torch.randint(4, (6, 8), generator=seeded).repeat_interleave(8, 0).repeat_interleave(8, 1)
    maps = [torch.randn(1, 32, 32, generator=seeded) * scale for scale in (1, 5, 25)]
    return Batch(2.0 / (1 + rank + step), image, labels, maps)


def main() -> None:
    rank = int(os.environ["RANK"])
    with sidelog.SummaryWriter(sys.argv[1]) as writer:
        for step in range(STEPS):
            now = batch(rank, step)
            writer.add_scalar("loss", now.loss, step)
            writer.add_image("batch/input", now.image, step, mean=MEAN, std=STD)
            writer.add_label_map("batch/label_map", now.labels, step, palette=PALETTE, num_classes=4)
            f1, f2, f3 = now.maps
            grid = sidelog.make_grid([f1, f2, f3], padding=20, normalize=True, scale_each=True, pad_value=1)
            writer.add_image("feature_map", grid, step)


if __name__ == "__main__":
    main()
