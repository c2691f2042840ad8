"""Trials as torch's writer logs them, with the values that there are to choose from: python torch_hparams.py LOGDIR."""

import sys

from torch.utils.tensorboard import SummaryWriter

CHOICES = {"optimizer": ["adam", "sgd"], "lr": [0.1, 0.01, 0.001]}


def main() -> None:
    with SummaryWriter(sys.argv[1]) as writer:
        for index, lr in enumerate(CHOICES["lr"]):
            hparams = {"lr": lr, "optimizer": CHOICES["optimizer"][index % 2], "layers": 1 + index}
            writer.add_hparams(
                hparams,
                {"search/accuracy": 0.5 + 0.1 * index},
                hparam_domain_discrete=CHOICES,
                run_name=f"trial{index}",
            )


if __name__ == "__main__":
    main()
