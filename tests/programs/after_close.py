"""A writer that is used again after it was closed, epoch by epoch: python after_close.py LOGDIR."""

import sys
import time

from tensorboardX import SummaryWriter

STEPS_PER_EPOCH = 10


def train_until_the_next_second() -> None:
    """tensorboardX names files by the second: opened again within one, the second file overwrites the first."""
    second = int(time.time())
    while int(time.time()) == second:
        time.sleep(0.02)


def main() -> None:
    writer = SummaryWriter(sys.argv[1])
    for epoch in range(3):
        for index in range(STEPS_PER_EPOCH):
            step = epoch * STEPS_PER_EPOCH + index
            writer.add_scalar("loss", 1 / (1 + step), step)
            writer.add_scalars("epoch", {"number": epoch, "index": index}, step)
        writer.add_text("log", f"epoch {epoch} is done", epoch)
        writer.flush()
        writer.close()
        writer.close()  # closed already: nothing happens
        train_until_the_next_second()


if __name__ == "__main__":
    main()
