#!/usr/bin/env python3
"""The demo: data-parallel workers learn to segment handwritten digits, and sidelog shows what happens inside.

    python -m torch.distributed.run --standalone --nproc-per-node 2 scripts/demo_train.py [--steps 300] [--logdir DIR]

Every worker has a writer of its own. Nothing here starts the sidecar: the first writer does. ``scripts/demo``
installs what this needs and runs it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import TypeAlias

import torch
import torch.distributed as dist
import torch.nn.functional as F  # noqa: N812  # as everybody calls it
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset, DistributedSampler
from torchvision.transforms import Normalize

import sidelog

BATCH = 16  # scenes per worker and step
CANVAS, CELL, DIGIT = 64, 21, 16  # pixels: a scene, a cell of its 3 x 3, a digit somewhere in a cell
DIGITS_PER_SCENE = 6
CLASSES = 11  # 0 is the background, 1 to 10 are the digits 0 to 9
MEAN, STD = (0.4, 0.4, 0.4), (0.16, 0.16, 0.16)
PALETTE = [(0, 0, 0), (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48), (145, 30, 180),
           (70, 240, 240), (240, 50, 230), (170, 110, 40), (255, 255, 255)]  # fmt: skip
PICTURES = 30  # times that pictures are logged in the course of the training

Sample: TypeAlias = tuple[Tensor, Tensor]


class Scenes(Dataset[Sample]):
    """Handwritten digits in colors on a shaded, noisy canvas. Composed on the fly; the index is the seed."""

    def __init__(self, count: int) -> None:
        digits = load_digits()
        strokes = torch.from_numpy(digits.images).float()[:, None] / 16
        self.strokes = F.interpolate(strokes, size=(DIGIT, DIGIT), mode="bilinear")[:, 0]
        self.classes = torch.from_numpy(digits.target) + 1
        self.normalize = Normalize(MEAN, STD)
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """Returns a normalized image, float32 [3, CANVAS, CANVAS], and its classes, int64 [CANVAS, CANVAS]."""
        seeded = torch.Generator().manual_seed(index)
        shade = torch.linspace(0.1, 0.4, CANVAS).expand(CANVAS, CANVAS)
        image = shade + 0.2 * torch.rand(3, 1, 1, generator=seeded)
        labels = torch.zeros(CANVAS, CANVAS, dtype=torch.int64)
        for cell in torch.randperm(9, generator=seeded)[:DIGITS_PER_SCENE].tolist():
            which = int(torch.randint(len(self.strokes), (), generator=seeded))
            down, right = torch.randint(CELL - DIGIT + 1, (2,), generator=seeded).tolist()
            top, left = cell // 3 * CELL + down, cell % 3 * CELL + right
            window = image[:, top : top + DIGIT, left : left + DIGIT]
            color = 0.5 + 0.5 * torch.rand(3, 1, 1, generator=seeded)
            window.lerp_(color.expand_as(window), self.strokes[which].expand_as(window))
            labels[top : top + DIGIT, left : left + DIGIT][self.strokes[which] > 0.4] = self.classes[which]
        image += 0.06 * torch.randn(image.shape, generator=seeded)
        return self.normalize(image.clamp(0, 1)), labels


class SegmentationNetwork(nn.Module):
    """An encoder, a decoder, and skips between them: [B, 3, H, W] to scores [B, CLASSES, H, W]."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder1 = _block(3, 16)
        self.encoder2 = _block(16, 40)
        self.encoder3 = _block(40, 64)
        self.decoder2 = _block(64 + 40, 40)
        self.decoder1 = _block(40 + 16, 16)
        self.head = nn.Conv2d(16, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        fine = self.encoder1(image)
        middle = self.encoder2(F.max_pool2d(fine, 2))
        coarse = self.encoder3(F.max_pool2d(middle, 2))
        middle = self.decoder2(torch.cat([_twice(coarse), middle], 1))
        fine = self.decoder1(torch.cat([_twice(middle), fine], 1))
        scores: Tensor = self.head(fine)
        return scores


def _block(channels: int, features: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(channels, features, 3, padding=1), nn.BatchNorm2d(features), nn.ReLU())


def _twice(maps: Tensor) -> Tensor:
    return F.interpolate(maps, scale_factor=2.0)


class Activations(dict[str, Tensor]):
    """The last output of some layers, by forward hooks: the network itself stays as it is."""

    def __init__(self, network: nn.Module, *layers: str) -> None:
        super().__init__()
        for layer in layers:
            network.get_submodule(layer).register_forward_hook(
                lambda _module, _inputs, output, layer=layer: self.__setitem__(layer, output)
            )


class Stopwatch:
    """Adds up the seconds that its ``with`` blocks take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> None:
        self._start = time.perf_counter()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.seconds += time.perf_counter() - self._start


class Progress:
    """A bar that is redrawn in place on a terminal; a line per tenth of the way elsewhere, and silence if not shown."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self.total, self.shown, self.in_place = total, shown, sys.stdout.isatty()

    def due(self, done: int) -> bool:
        every = max(1, self.total // (100 if self.in_place else 10))
        return self.shown and (done % every == 0 or done == self.total)

    def show(self, done: int, message: str) -> None:
        filled = 30 * done // self.total
        line = f"[{'#' * filled}{'.' * (30 - filled)}] {done:>{len(str(self.total))}}/{self.total}  {message}"
        ends_line = not self.in_place or done == self.total
        print(f"\r{line}" if self.in_place else line, end="\n" if ends_line else "", flush=True)


@dataclass(frozen=True)
class Report:
    """What became of one worker."""

    losses: list[float]
    training_s: float
    calls_s: float
    close_s: float
    statistics: sidelog.Statistics


def log_pictures(
    writer: sidelog.SummaryWriter, image: Tensor, labels: Tensor, scores: Tensor, activations: Activations, step: int
) -> None:
    """Log what the network sees and makes of one scene, and what it looks like inside."""
    writer.add_image("batch/input", image, step, mean=MEAN, std=STD)
    # As the network gets it: a fixed range, in which middle grey is 0 and a wrong mean or deviation shows.
    writer.add_image("batch/input_normalized", [image], step, normalize=True, value_range=(-4, 4))
    writer.add_label_map("batch/label_map", labels, step, palette=PALETTE, num_classes=CLASSES)
    writer.add_label_map("batch/predicted_map", scores.argmax(0), step, palette=PALETTE, num_classes=CLASSES)
    f1, f2, f3 = activations["encoder1.0"][0, :3].unsqueeze(1)
    grid = sidelog.make_grid([f1, f2, f3], padding=20, normalize=True, scale_each=True, pad_value=1)
    writer.add_image("feature_map", grid, step)
    writer.add_feature_map("layers/encoder2", activations["encoder2.0"], step, nrow=5, scale_each=True, pad_value=1)


def train(steps: int, logdir: str, device: torch.device) -> Report:
    """Train this worker's replica for so many steps, and log it."""
    rank, world_size = dist.get_rank(), dist.get_world_size()
    scenes = Scenes(steps * BATCH * world_size)
    loader = DataLoader(scenes, BATCH, sampler=DistributedSampler(scenes))

    torch.manual_seed(0)
    network = SegmentationNetwork().to(device).to(memory_format=torch.channels_last)
    activations = Activations(network, "encoder1.0", "encoder2.0")  # convolutions, before normalization and ReLU
    replica = DistributedDataParallel(network)
    optimizer = torch.optim.AdamW(replica.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1e-2, total_steps=steps)
    # Most pixels are background: without weights, saying so everywhere would already be a good answer.
    weights = torch.tensor([0.2] + [1.0] * (CLASSES - 1), device=device)

    writer = sidelog.SummaryWriter(logdir)
    calls = Stopwatch()
    progress = Progress(steps, shown=rank == 0)
    losses = []
    start = time.perf_counter()
    for step, batch in enumerate(loader):
        images, labels = (tensor.to(device) for tensor in batch)
        scores = replica(images)
        loss = F.cross_entropy(scores, labels, weights)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()

        losses.append(loss.detach())
        accuracy, mean_iou = agreement(scores.argmax(1), labels)
        with calls:
            writer.add_scalar("loss", loss, step)
            writer.add_scalar("pixel_accuracy", accuracy, step)
            writer.add_scalar("mean_iou", mean_iou, step)
            if step % max(1, steps // PICTURES) == 0 or step == steps - 1:
                log_pictures(writer, images[0], labels[0], scores[0], activations, step)
                for name, parameter in network.named_parameters():
                    if name.endswith("weight"):
                        writer.add_histogram(f"weights/{name}", parameter, step)
        if progress.due(step + 1):
            progress.show(step + 1, f"loss {loss:.3f}  mean IoU {mean_iou:.3f}")
    trained = time.perf_counter()

    writer.flush(pictures=True)  # close() does it as well, but takes the figures with it
    statistics = writer.statistics()
    writer.close()
    closed = time.perf_counter()
    return Report(torch.stack(losses).tolist(), trained - start, calls.seconds, closed - trained, statistics)


@torch.no_grad()
def agreement(predicted: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Pixel accuracy, and intersection over union averaged over the classes; both 0-d, and still on the device."""
    pairs = torch.bincount((labels * CLASSES + predicted).flatten(), minlength=CLASSES**2).view(CLASSES, CLASSES)
    hits = pairs.diagonal()
    union = pairs.sum(0) + pairs.sum(1) - hits
    return hits.sum() / pairs.sum(), (hits / union.clamp(min=1)).sum() / (union > 0).sum()


def say(reports: list[Report], logdir: str) -> None:
    """Print what became of the training, and of the records of all workers."""
    losses = torch.tensor([report.losses for report in reports]).mean(0)
    steps = len(losses)
    ends = max(1, steps // 20)
    first, last, seconds = losses[:ends].mean(), losses[-ends:].mean(), reports[0].training_s
    print(f"\nloss     {first:.3f} -> {last:.3f} in {steps} steps, {seconds:.0f} s (means of {ends} at each end)")
    of_workers = [report.statistics for report in reports]
    written, dropped = sum(one.written for one in of_workers), sum(one.dropped for one in of_workers)
    missing = sum(one.rejected + one.lost + one.pending for one in of_workers)
    print(f"records  {written:,} written, {dropped:,} dropped, {missing:,} missing otherwise")
    for rank, report in enumerate(reports):
        share = report.calls_s / report.training_s
        print(f"rank {rank}   {share:.2%} of the time in logging calls, then {report.close_s:.2f} s to close")
    print(f"run      {os.path.abspath(logdir)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small segmentation network, logged by sidelog.")
    parser.add_argument("--steps", type=int, default=300, help="default: %(default)s")
    parser.add_argument("--logdir", default="runs/demo", help="folder of the run (default: %(default)s)")
    options = parser.parse_args()

    on_gpus = torch.cuda.device_count() >= 2
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if on_gpus else torch.device("cpu")
    dist.init_process_group("nccl" if on_gpus else "gloo")
    if on_gpus:
        torch.cuda.set_device(device)
    else:
        # The workers share the cores; so do the sidecar and the loader.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // dist.get_world_size()))

    report = train(options.steps, options.logdir, device)
    reports: list[Report | None] = [None] * dist.get_world_size()
    dist.all_gather_object(reports, report)
    if dist.get_rank() == 0:
        say([one for one in reports if one is not None], options.logdir)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
