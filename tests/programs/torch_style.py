"""What torch's own writer has beyond tensorboardX's: python torch_style.py LOGDIR."""

import sys

import torch
from torch import nn
from torch.utils.tensorboard import SummaryWriter
from torchvision.utils import make_grid


def main() -> None:
    torch.manual_seed(0)
    writer = SummaryWriter(sys.argv[1])
    assert writer.get_logdir() == sys.argv[1]
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    for step in range(30):
        images = torch.rand(16, 3, 8, 8)
        loss = model(images).square().mean()
        writer.add_scalar("loss/new_style", loss, step, new_style=True)
        writer.add_scalar("loss/double", loss.item(), step, new_style=True, double_precision=True)
        if step % 10 == 0:
            writer.add_image("images", make_grid(images), step)
            writer.add_images("batch", images, step)
            writer.add_histogram("linear/weight", model[1].weight, step)
            writer.add_tensor("linear/bias", model[1].bias.detach(), step)
            writer.add_text("text", f"*step* {step}", step)
    writer.flush()
    writer.close()


if __name__ == "__main__":
    main()
