"""Every kind of summary in one loop of 100 steps: python all_kinds.py LOGDIR."""

import os
import sys

import matplotlib as mpl
import numpy as np
import torch
from matplotlib import pyplot as plt
from sklearn.datasets import load_digits
from tensorboardX import SummaryWriter
from torch import nn

mpl.use("agg")

STEPS = 100
SAMPLE_RATE = 8000
NOTES_HZ = [262, 294, 330, 349, 392, 440, 494, 523, 587, 659]  # one for each of the clips
TABLE = """
| layer | parameters |
|-------|-----------:|
| fc1   | 272        |
| fc2   | 170        |

Some **bold** words and a `value` at step {step}.
"""


class TwoLayers(nn.Module):
    """A classifier of points, small enough to train on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(16, 16)
        self.fc2 = nn.Linear(16, 10)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.fc2(torch.relu(self.fc1(batch)))


def ramp(step: int) -> torch.Tensor:
    """A picture of floats, [3, 32, 48]: red grows to the right, green downwards, blue with the step."""
    down, right = torch.meshgrid(torch.linspace(0, 1, 32), torch.linspace(0, 1, 48), indexing="ij")
    return torch.stack([right, down, torch.full((32, 48), step / STEPS)])


def moving_square(step: int) -> torch.Tensor:
    """A video of a yellow square on blue, uint8 [1, 6 frames, 3, 32, 32]."""
    frames = torch.zeros(1, 6, 3, 32, 32, dtype=torch.uint8)
    frames[:, :, 2] = 255
    for index in range(6):
        left = 4 * index
        frames[0, index, :, 8 : 16 + step // 10, left : left + 8] = torch.tensor([255, 255, 0], dtype=torch.uint8)[
            :, None, None
        ]
    return frames


def wave_figure(step: int) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(4, 3))
    x = np.linspace(0, 2 * np.pi, 100)
    axes.plot(x, np.sin(x + step / 10), label=f"step {step}")
    axes.legend(loc="upper right")
    return figure


def log_media(writer: SummaryWriter, step: int, generator: torch.Generator) -> None:
    writer.add_image("picture/ramp", ramp(step), step)
    writer.add_image("picture/grey", ramp(step)[0], step, dataformats="HW")
    writer.add_images("picture/batch", torch.randint(256, (8, 3, 16, 16), generator=generator).byte(), step)
    corners = torch.tensor([[2, 2, 20, 20], [15 + step // 5, 8, 40, 30]])
    writer.add_image_with_boxes("picture/boxes", ramp(step), corners, step, labels=["cat", "dog"])
    writer.add_figure("figure/wave", wave_figure(step), step)
    writer.add_video("video/square", moving_square(step), step, fps=4)
    seconds = torch.arange(SAMPLE_RATE // 4) / SAMPLE_RATE
    note = torch.sin(2 * np.pi * NOTES_HZ[step // 10] * seconds) * 0.8
    writer.add_audio("audio/note", note, step, sample_rate=SAMPLE_RATE)
    writer.add_text("text/plain", "text logged at step:" + str(step), step)
    writer.add_text("text/table", TABLE.format(step=step), step)


def main() -> None:
    logdir = sys.argv[1]
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(1)
    model = TwoLayers()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    writer = SummaryWriter(logdir)
    for step in range(STEPS):
        points, labels = torch.randn(32, 16, generator=generator), torch.arange(32) % 10
        loss = nn.functional.cross_entropy(model(points + labels[:, None]), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        writer.add_scalar("data/loss", loss.item(), step)
        writer.add_scalar("data/custom_time", loss, step, walltime=1e9 + step)
        angles = {
            "xsinx": step * np.sin(step / 5), "xcosx": step * np.cos(step / 5), "arctanx": np.arctan(step / 5),
        }  # fmt: skip
        writer.add_scalars("data/group", angles, step)
        if step % 10 == 0:
            log_media(writer, step, generator)
            for name, parameter in model.named_parameters():
                writer.add_histogram(name, parameter.clone().detach().cpu().numpy(), step)
            truth = np.arange(200) % 2
            guesses = np.random.default_rng(step).random(200) * 0.7 + truth * 0.3
            writer.add_pr_curve("curve", truth, guesses, step)
            cloud = torch.rand(1, 200, 3, generator=generator) * 2 - 1
            writer.add_mesh("mesh/cloud", cloud, colors=((cloud + 1) * 127).int(), global_step=step)

    digits = load_digits()
    writer.add_embedding(
        digits.data[:100],
        metadata=digits.target[:100].tolist(),
        label_img=torch.from_numpy(digits.images[:100, None] / 16.0),
        global_step=STEPS,
    )
    writer.add_custom_scalars_multilinechart(["data/loss", "data/custom_time"], category="all kinds", title="losses")
    writer.export_scalars_to_json(os.path.join(logdir, "all_scalars.json"))
    writer.close()


if __name__ == "__main__":
    main()
