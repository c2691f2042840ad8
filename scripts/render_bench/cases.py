"""What is drawn and written: real activations, photographs, label maps, weights. The same for the same seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torchvision
from sklearn.datasets import load_sample_images
from torchvision.utils import make_grid

from sidelog_daemon.render.color import pascal_voc_palette
from sidelog_shared import dtypes
from sidelog_shared.recipe import Layout, Recipe
from sidelog_shared.records import BufferSpec, Kind

MAPS, PICTURES, HISTOGRAMS = "feature map", "picture", "histogram"
GROUPS = (MAPS, PICTURES, HISTOGRAMS)
CLASSES = 21
_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
_DTYPES = {np.dtype(np.float32): dtypes.FLOAT32, np.dtype(np.uint8): dtypes.UINT8, np.dtype(np.int64): dtypes.INT64}

InlineCall = Callable[[Any, str, int], None]
"""What people write in the training loop: ``(writer, tag, step)``, for tensorboardX's and for torch's writer."""


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to log.

    Attributes:
        name: what it is, with its shape.
        group: one of :data:`GROUPS`.
        inline: the call in the training loop that it replaces.
        kind: of the record that the daemon gets for it.
        options: of that record.
        values: its tensor.
        goal: how many times less CPU time than inline it must take; None where nothing was promised.
        aim: how many times it would better be.
    """

    name: str
    group: str
    inline: InlineCall
    kind: Kind
    options: dict[str, object]
    values: np.ndarray
    goal: float | None = None
    aim: float | None = None

    @property
    def spec(self) -> BufferSpec:
        return BufferSpec(_DTYPES[self.values.dtype], self.values.shape)


def make_cases(seed: int) -> list[Case]:
    """All of them. Takes some seconds: two networks look at two photographs in two sizes."""
    photographs = [torch.tensor(photo).permute(2, 0, 1).float() / 255 for photo in load_sample_images().images]
    small, large = (torch.stack([_resized(photo, side) for photo in photographs]) for side in (224, 448))
    torch.manual_seed(seed)
    resnet18, resnet50 = torchvision.models.resnet18().eval(), torchvision.models.resnet50().eval()
    with torch.no_grad():
        of18, of50 = _stages_of(resnet18, small), _stages_of(resnet50, small)
        wide, deep = _stages_of(resnet18, large)["conv1"], _stages_of(resnet50, large)["layer4"]
    noise = np.random.default_rng(seed).standard_normal((256, 56, 56), dtype=np.float32)
    weights = resnet50.layer4[0].conv3.weight.detach().numpy().reshape(-1)[:1_000_000].copy()
    activations = wide.numpy().reshape(-1)[:1_000_000].copy()
    photo = small[0]
    return [
        _map("resnet18 layer2, 16 channels", of18["layer2"][:16]),
        _map("resnet18 layer1", of18["layer1"], goal=12, aim=20),
        _map("resnet18 conv1", of18["conv1"], goal=12, aim=20),
        _map("resnet50 layer1", of50["layer1"], goal=12, aim=20),
        _map("random noise", torch.from_numpy(noise)),
        _map("resnet50 layer2", of50["layer2"]),
        _map("resnet50 layer4", deep),
        _map("resnet18 conv1", wide),
        _picture("photograph, float", photo, goal=5),
        _picture("photograph, bytes", (photo * 255).byte()),
        _labels("label map, 21 classes", _segments(photographs[0], 512), goal=5),
        _histogram("weights of resnet50", weights, goal=10),
        _histogram("activations of resnet18 conv1", activations, goal=10),
    ]


def _resized(photo: torch.Tensor, side: int) -> torch.Tensor:
    resized: torch.Tensor = torch.nn.functional.interpolate(
        photo[None], (side, side), mode="bilinear", antialias=True, align_corners=False
    )[0]
    return resized.clamp(0, 1)


def _stages_of(network: torchvision.models.ResNet, photographs: torch.Tensor) -> dict[str, torch.Tensor]:
    """What the stages of a ResNet make of the first photograph, ``[C, H, W]`` each."""
    inputs = (photographs - _MEAN) / _STD
    found = {"conv1": network.conv1(inputs)}
    values = network.maxpool(network.relu(network.bn1(found["conv1"])))
    for name in ("layer1", "layer2", "layer3", "layer4"):
        values = found[name] = getattr(network, name)(values)
    return {name: value[0].clone() for name, value in found.items()}


def _segments(photo: torch.Tensor, side: int) -> torch.Tensor:
    """A label map as a segmentation network makes them: coherent areas, whose classes are all used, int64."""
    grey = torch.nn.functional.avg_pool2d(_resized(photo, side).mean(0)[None, None], 9, stride=1, padding=4)[0, 0]
    limits = torch.quantile(grey.flatten()[::7], torch.linspace(0, 1, CLASSES + 1)[1:-1])
    return torch.bucketize(grey, limits)


def _map(name: str, values: torch.Tensor, *, goal: float | None = None, aim: float | None = None) -> Case:
    shape = list(values.shape)

    def inline(writer: Any, tag: str, step: int) -> None:
        writer.add_image(tag, make_grid(values.unsqueeze(1), normalize=True), step)

    options: dict[str, object] = {"recipe": Recipe(Layout.GRID, normalize=True).to_map()}
    tiles = values.unsqueeze(1).contiguous().numpy()
    return Case(f"{name} {shape}", MAPS, inline, Kind.PICTURE, options, tiles, goal, aim)


def _picture(name: str, values: torch.Tensor, *, goal: float | None = None) -> Case:
    def inline(writer: Any, tag: str, step: int) -> None:
        writer.add_image(tag, values, step)

    options: dict[str, object] = {"recipe": Recipe(Layout.IMAGE, "CHW").to_map()}
    array = values.contiguous().numpy()
    return Case(f"{name} {list(values.shape)}", PICTURES, inline, Kind.PICTURE, options, array, goal)


def _labels(name: str, values: torch.Tensor, *, goal: float | None = None) -> Case:
    palette = torch.tensor(pascal_voc_palette(), dtype=torch.uint8)

    def inline(writer: Any, tag: str, step: int) -> None:
        writer.add_image(tag, palette[values], step, dataformats="HWC")

    options: dict[str, object] = {"recipe": Recipe(Layout.LABELS, num_classes=CLASSES).to_map()}
    return Case(f"{name} {list(values.shape)}", PICTURES, inline, Kind.PICTURE, options, values[None].numpy(), goal)


def _histogram(name: str, values: np.ndarray, *, goal: float | None = None) -> Case:
    inline = partial(_add_histogram, torch.from_numpy(values))
    return Case(f"{name} [{values.size:,}]", HISTOGRAMS, inline, Kind.HISTOGRAM, {"bins": "tensorflow"}, values, goal)


def _add_histogram(values: torch.Tensor, writer: Any, tag: str, step: int) -> None:
    writer.add_histogram(tag, values, step)
