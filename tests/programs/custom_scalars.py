"""Charts that are put together from several scalars: python custom_scalars.py LOGDIR."""

import sys

import numpy as np
from tensorboardX import SummaryWriter

LAYOUT = {
    "Training": {
        "losses": ["Multiline", ["loss/train", "loss/validation"]],
        "every loss": ["Multiline", ["loss/.*"]],
    },
    "Forecast": {
        "temperature": ["Margin", ["temperature/mean", "temperature/low", "temperature/high"]],
    },
}


def main() -> None:
    generator = np.random.default_rng(0)
    writer = SummaryWriter(sys.argv[1])
    writer.add_custom_scalars(LAYOUT)
    for step in range(100):
        writer.add_scalar("loss/train", np.exp(-step / 20) + generator.normal(0, 0.01), step)
        writer.add_scalar("loss/validation", np.exp(-step / 30) + 0.1, step)
        mean, spread = 15 + 10 * np.sin(step / 10), 1 + step / 20
        writer.add_scalar("temperature/mean", mean, step)
        writer.add_scalar("temperature/low", mean - spread, step)
        writer.add_scalar("temperature/high", mean + spread, step)
    writer.close()


if __name__ == "__main__":
    main()
