"""Real activations to log: what resnet18 with fixed random weights makes of moving crops of two photographs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

RING = 16
"""How many different activations there are; step k logs number k modulo this."""
_SIDE = 224


@dataclass(frozen=True)
class Activations:
    """A ring of inputs and what the network made of them.

    Attributes:
        crops: ``[RING, 3, 224, 224]`` float32, normalized as for ImageNet.
        photos: ``[RING]`` int64, 0 or 1: which photograph each crop is of.
        layer1: ``[RING, 64, 56, 56]`` float32.
        layer2: ``[RING, 128, 28, 28]`` float32.
    """

    crops: torch.Tensor
    photos: torch.Tensor
    layer1: torch.Tensor
    layer2: torch.Tensor

    def to(self, device: str) -> Activations:
        return Activations(*(part.to(device) for part in (self.crops, self.photos, self.layer1, self.layer2)))


def make_activations(seed: int) -> Activations:
    """Crops that wander over the photographs, and the maps behind them.

    Args:
        seed: of the weights, the places of the crops and their noise.
    """
    import torch
    from sklearn.datasets import load_sample_images
    from torchvision.models import resnet18

    generator = torch.Generator().manual_seed(seed)
    photographs = [torch.tensor(photo).permute(2, 0, 1).float() / 255 for photo in load_sample_images().images]
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
    crops = []
    for number in range(RING):
        photo = photographs[number % 2]
        top = int(torch.randint(0, photo.shape[1] - _SIDE + 1, (1,), generator=generator))
        left = int(torch.randint(0, photo.shape[2] - _SIDE + 1, (1,), generator=generator))
        crop = photo[:, top : top + _SIDE, left : left + _SIDE]
        crops.append((crop - mean) / std + 0.05 * torch.randn(crop.shape, generator=generator))
    batch = torch.stack(crops)
    torch.manual_seed(seed)
    network = resnet18().eval()
    with torch.no_grad():
        # Ordinary tensors, as a training has them: not inference tensors.
        stem = network.maxpool(network.relu(network.bn1(network.conv1(batch))))
        layer1 = network.layer1(stem)
        layer2 = network.layer2(layer1)
    return Activations(batch, torch.arange(RING) % 2, layer1.clone(), layer2.clone())
