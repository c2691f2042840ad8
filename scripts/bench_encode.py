#!/usr/bin/env python3
"""Which PNG parameters for feature maps: CPU time and size of each against Pillow's level 6.

    python scripts/bench_encode.py [--rounds 9] [--json]

The pictures: smooth random fields, and what resnet18 with the weights of seed 0 makes of two photographs; a photograph
and a label map beside them, so that no choice for the one ruins the other. The encoders take turns within each round,
and the best round counts. docs/decisions/0001-png-encoder.md cites this.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import time
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import PIL
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_sample_images

from sidelog_daemon.render import render_picture
from sidelog_daemon.render.color import pascal_voc_palette
from sidelog_daemon.render.encode import encode_png
from sidelog_shared.recipe import Layout, Recipe

Encoder = Callable[[np.ndarray], bytes]


def pictures() -> dict[str, np.ndarray]:
    """uint8 pictures, [H, W] or [H, W, 3] (blue, green, red)."""

    def grid(tiles: np.ndarray) -> np.ndarray:
        encoded = render_picture(np.ascontiguousarray(tiles[:, None]), Recipe(Layout.GRID, normalize=True)).encoded
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_UNCHANGED)

    rng = np.random.default_rng(0)
    fields = rng.standard_normal((64, 56, 56), dtype=np.float32)
    torch.manual_seed(0)
    network = torchvision.models.resnet18().eval()
    photos = torch.stack([torch.from_numpy(photo.copy()) for photo in load_sample_images().images])
    photos = photos.permute(0, 3, 1, 2).float() / 255
    photos = torch.nn.functional.interpolate(photos, (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        conv1 = network.conv1(photos)
        layer1 = network.layer1(network.maxpool(network.relu(network.bn1(conv1))))
    photo = (photos[0] * 255).byte().permute(1, 2, 0).numpy()[..., ::-1].copy()
    classes = np.uint8(photo[..., 0] // 24)
    return {
        "smooth": grid(np.stack([cv2.GaussianBlur(field, (0, 0), 2) for field in fields])),
        "conv1": grid(conv1[0].numpy()),
        "layer1": grid(layer1[0].numpy()),
        "photo": photo,
        "labels": np.array(pascal_voc_palette(), np.uint8)[classes],
    }


def encoders() -> dict[str, Encoder]:
    """Pillow first: the others are compared with it."""

    def pillow(pixels: np.ndarray) -> bytes:
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", compress_level=6)
        return stream.getvalue()

    def stdlib(pixels: np.ndarray) -> bytes:
        rows = pixels.reshape(pixels.shape[0], -1)
        lines = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
        lines[:, 0], lines[0, 1:] = 2, rows[0]
        np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
        deflate = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
        return deflate.compress(lines) + deflate.flush()

    def opencv(level: int, strategy: str, row_filter: str) -> Encoder:
        parameters = [cv2.IMWRITE_PNG_COMPRESSION, level]
        parameters += [cv2.IMWRITE_PNG_STRATEGY, getattr(cv2, f"IMWRITE_PNG_STRATEGY_{strategy}")]
        parameters += [cv2.IMWRITE_PNG_FILTER, getattr(cv2, f"IMWRITE_PNG_{row_filter}")]
        return lambda pixels: cv2.imencode(".png", pixels, parameters)[1].tobytes()

    found: dict[str, Encoder] = {"Pillow level 6": pillow, "sidelog (OpenCV, told nothing)": encode_png}
    for level, strategy, row_filter in [
        (1, "RLE", "FILTER_UP"),
        (1, "RLE", "FILTER_SUB"),
        (1, "RLE", "FILTER_AVG"),
        (1, "RLE", "FILTER_PAETH"),
        (1, "RLE", "ALL_FILTERS"),
        (1, "RLE", "FILTER_NONE"),
        (1, "HUFFMAN_ONLY", "FILTER_UP"),
        (1, "DEFAULT", "FILTER_UP"),
        (3, "DEFAULT", "FILTER_UP"),
        (3, "DEFAULT", "ALL_FILTERS"),
    ]:
        found[f"OpenCV {level} {strategy} {row_filter}"] = opencv(level, strategy, row_filter)
    found["numpy UP, zlib 1 RLE"] = stdlib
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="times that each encoder gets each picture")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    inputs, tried = pictures(), encoders()
    pairs = [(name, which) for name in tried for which in inputs]
    best_ms = dict.fromkeys(pairs, float("inf"))
    size = {(name, which): len(tried[name](inputs[which])) for name, which in pairs}
    for _ in range(arguments.rounds):
        for name, which in pairs:
            start = time.thread_time()
            tried[name](inputs[which])
            best_ms[name, which] = min(best_ms[name, which], (time.thread_time() - start) * 1e3)
    versions = {"opencv": cv2.__version__, "pillow": PIL.__version__, "zlib": zlib.ZLIB_RUNTIME_VERSION}
    if arguments.json:
        rows = [
            {"encoder": name, "picture": which, "cpu_ms": best_ms[name, which], "bytes": size[name, which]}
            for name, which in pairs
        ]
        print(json.dumps({"machine": platform.processor(), "versions": versions, "rows": rows}))
        return
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    sizes = ["x".join(map(str, pixels.shape)) for pixels in inputs.values()]
    print(
        "CPU ms, bytes, times Pillow's".ljust(32), *(f"{a} {b}".rjust(22) for a, b in zip(inputs, sizes, strict=True))
    )
    for name in tried:
        times_pillows = {which: size[name, which] / size["Pillow level 6", which] for which in inputs}
        cells = (f"{best_ms[name, which]:7.2f} {size[name, which]:9,} {times_pillows[which]:4.2f}" for which in inputs)
        print(name.ljust(32), *cells)


if __name__ == "__main__":
    main()
