"""Modules that share a writer without handing it on: python global_writer_in_two_modules.py LOGDIR."""

import os
import sys

from global_writer_evaluation import evaluate
from tensorboardX import GlobalSummaryWriter


def main() -> None:
    os.makedirs(sys.argv[1], exist_ok=True)
    os.chdir(sys.argv[1])  # the shared writer's folder is runs/<date>_<host>
    writer = GlobalSummaryWriter.getSummaryWriter()
    for step in range(20):
        writer.add_scalar("loss", 1 / (1 + step))
        if step % 5 == 0:
            evaluate(step)
    writer.add_text("log", "greetings from the first module")
    writer.close()
    os.rename(writer.smw.logdir, "finished")


if __name__ == "__main__":
    main()
