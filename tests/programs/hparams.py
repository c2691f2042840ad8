"""Trials of a search over hyperparameters: python hparams.py LOGDIR."""

import itertools
import sys

from tensorboardX import SummaryWriter


def train(lr: float, width: int, optimizer: str, dropout: bool) -> tuple[float, float]:
    """Accuracy and loss of a training that is left out here."""
    loss = abs(lr - 0.01) * 20 + 8 / width + (0.1 if dropout else 0.2) + (0.05 if optimizer == "sgd" else 0.0)
    return 1 / (1 + loss), loss


def main() -> None:
    with SummaryWriter(sys.argv[1]) as writer:
        writer.add_text("search", "sixteen trials of *lr*, *width*, *optimizer* and *dropout*")
        choices = itertools.product((0.1, 0.01), (16, 64), ("sgd", "adam"), (True, False))
        for number, (lr, width, optimizer, dropout) in enumerate(choices):
            accuracy, loss = train(lr, width, optimizer, dropout)
            writer.add_hparams(
                {"lr": lr, "width": width, "optimizer": optimizer, "dropout": dropout},
                {"hparam/accuracy": accuracy, "hparam/loss": loss},
                name=f"trial{number:02d}",
                global_step=number,
            )


if __name__ == "__main__":
    main()
