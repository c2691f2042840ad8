"""Distributions that drift over 100 steps, counted by the writer and by the program: python histograms.py LOGDIR."""

import sys

import numpy as np
from tensorboardX import SummaryWriter

STEPS = 100


def log_counted(writer: SummaryWriter, tag: str, values: np.ndarray, step: int) -> None:
    """What a program logs that counts by itself, such as one that adds up counts over many batches."""
    counts, limits = np.histogram(values, bins=24, range=(-4.0, 8.0))
    writer.add_histogram_raw(
        tag=tag,
        min=values.min(),
        max=values.max(),
        num=len(values),
        sum=values.sum(),
        sum_squares=values.dot(values),
        bucket_limits=limits[1:].tolist(),
        bucket_counts=counts.tolist(),
        global_step=step,
    )


def main() -> None:
    generator = np.random.default_rng(0)
    with SummaryWriter(sys.argv[1]) as writer:
        for step in range(STEPS):
            drift = step / 25
            normal = generator.normal(drift, 1 - step / 200, 500)
            writer.add_histogram("drift/normal", normal, step)
            writer.add_histogram("drift/auto_bins", normal, step, bins="auto")
            both = np.concatenate([generator.normal(-drift, 0.5, 250), generator.normal(drift, 0.5, 250)])
            writer.add_histogram("drift/splits_in_two", both, step, bins=30)
            log_counted(writer, "counted/normal", normal, step)
            writer.add_scalar("drift/mean", normal.mean(), step)


if __name__ == "__main__":
    main()
