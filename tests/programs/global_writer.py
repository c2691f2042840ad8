"""One writer for a pool of processes, which counts the steps itself: python global_writer.py LOGDIR."""

import multiprocessing
import sys

import numpy as np
from tensorboardX import GlobalSummaryWriter

JOBS = 40


def work(job: int) -> None:
    generator = np.random.default_rng(job)
    writer.add_scalar("pool/job", job)
    writer.add_scalar("pool/noise", job + generator.random())
    writer.add_text("pool/log", f"job {job} is done")
    if job % 10 == 0:
        writer.add_image("pool/picture", np.full((3, 8, 8), job, np.uint8))


if __name__ == "__main__":
    writer = GlobalSummaryWriter(sys.argv[1])
    with multiprocessing.get_context("fork").Pool(4) as pool:
        pool.map(work, range(JOBS))
    writer.add_text("main", "the pool is done")
    writer.close()
