"""Handwritten digits in the projector, with labels, columns and pictures: python embeddings.py LOGDIR."""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from tensorboardX import SummaryWriter

COUNT = 196  # a square number: tensorboardX leaves unused places of the sheet of pictures as they are in memory


def main() -> None:
    digits = load_digits()
    points = digits.data[:COUNT] / 16.0
    labels = digits.target[:COUNT]
    sprites = torch.from_numpy(digits.images[:COUNT, None]).float() / 16  # [n, 1, 8, 8]
    colored = torch.cat([sprites, 1 - sprites, 0.5 * sprites], dim=1)

    writer = SummaryWriter(sys.argv[1])
    ink = points.sum(1).round(1)
    writer.add_embedding(
        points,
        metadata=[[str(label), str(amount)] for label, amount in zip(labels, ink, strict=True)],
        metadata_header=["digit", "ink"],
        label_img=colored,
        tag="pixels",
    )
    reduced = PCA(10, random_state=0).fit_transform(points)
    for step in (10, 20):
        turned = np.roll(reduced, step // 10, axis=1)
        writer.add_embedding(torch.from_numpy(turned), metadata=labels.tolist(), global_step=step, tag="reduced")
    writer.add_embedding(torch.from_numpy(reduced[:30]).float(), global_step=1, tag="bare")
    writer.close()


if __name__ == "__main__":
    main()
