"""Hogwild training: processes that train one model in shared memory, each with a writer: python hogwild.py LOGDIR."""

import os
import sys

import torch
import torch.multiprocessing as mp
from tensorboardX import SummaryWriter
from torch import nn

WORKERS = 3
STEPS = 20


def train(rank: int, model: nn.Module, logdir: str) -> None:
    generator = torch.Generator().manual_seed(rank)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    writer = SummaryWriter(os.path.join(logdir, f"worker{rank}"))
    for step in range(STEPS):
        points = torch.randn(16, 4, generator=generator)
        loss = (model(points) - points.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        writer.add_scalar("loss", loss.item(), step)
        writer.add_scalar("points/mean", points.mean(), step)
        if step % 5 == 0:
            writer.add_histogram("points", points, step)
    writer.close()


def main() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = nn.Linear(4, 1)
    model.share_memory()
    fork = mp.get_context("fork")
    workers = [fork.Process(target=train, args=(rank, model, sys.argv[1])) for rank in range(WORKERS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    with SummaryWriter(sys.argv[1]) as writer:
        writer.add_text("result", f"{sum(worker.exitcode == 0 for worker in workers)} workers trained", STEPS)


if __name__ == "__main__":
    main()
