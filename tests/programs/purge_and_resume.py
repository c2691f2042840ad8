"""A training that crashed, and went on from its last checkpoint: python purge_and_resume.py LOGDIR."""

import sys

from tensorboardX import SummaryWriter

CHECKPOINT = 42
CRASH = 60


def main() -> None:
    with SummaryWriter(sys.argv[1], filename_suffix=".first") as writer:
        for step in range(CRASH):
            writer.add_scalar("loss", 1 / (1 + step), step)
            if step % 10 == 0:
                writer.add_text("note", f"first attempt, step {step}", step)
    # What was logged after the checkpoint is done once more.
    with SummaryWriter(sys.argv[1], purge_step=CHECKPOINT, filename_suffix=".resumed") as writer:
        for step in range(CHECKPOINT, 100):
            writer.add_scalar("loss", 0.5 / (1 + step), step)
            if step % 10 == 0:
                writer.add_text("note", f"second attempt, step {step}", step)


if __name__ == "__main__":
    main()
