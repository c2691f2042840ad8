"""What the renderer is compared with: torchvision's and tensorboardX's own functions, and Pillow's eyes."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
import torchvision
from hypothesis import settings
from PIL import Image

from sidelog_daemon.render import Picture

MAGENTA = (255, 0, 255)

examples = settings(derandomize=True, deadline=None, max_examples=150, database=None)
thousands_of_examples = settings(examples, max_examples=3_000)
"""For what is promised of every combination of parameters."""


def shown(picture: Picture) -> np.ndarray:
    """The picture as Pillow reads it: [height, width, channels] in the order red, green, blue, alpha."""
    image = Image.open(io.BytesIO(picture.encoded))
    pixels = np.asarray(image)
    if image.mode == "P":
        pixels = np.asarray(image.convert("RGB"))
    return pixels[..., None] if image.mode == "L" else pixels


def to_8_bits(values: torch.Tensor) -> np.ndarray:
    """``save_image``'s rounding of a [C, H, W] picture, as [H, W, C]."""
    return (values * 255 + 0.5).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def grid(values: torch.Tensor, **options: Any) -> np.ndarray:
    """``make_grid`` of [N, C, H, W], rounded; grey stays grey, which is one of make_grid's three equal channels."""
    pixels = to_8_bits(torchvision.utils.make_grid(values.float(), **options))
    return pixels[..., :1] if values.shape[1] == 1 else pixels


def numbers(seed: int, shape: tuple[int, ...], kind: str) -> torch.Tensor:
    """A tensor of some kind of content; the same for the same arguments."""
    generator = torch.Generator().manual_seed(seed)
    scale = [1e-6, 0.3, 1.0, 40.0, 1e20][seed % 5]
    values = (torch.rand(shape, generator=generator, dtype=torch.float64) - 0.4) * scale
    if kind == "constant":
        return torch.full(shape, values.flatten()[0].item())
    if kind == "bool":
        return values > 0
    if kind in ("uint8", "int16", "int64"):
        top = {"uint8": 256, "int16": 300, "int64": 2**40}[kind]
        low = 0 if kind == "uint8" else -top
        return torch.randint(low, top, shape, generator=generator).to(getattr(torch, kind))
    if kind in ("float16", "bfloat16"):
        values = values.clamp(-6e4, 6e4)
    return values.to(getattr(torch, kind))
