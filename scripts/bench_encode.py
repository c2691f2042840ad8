#!/usr/bin/env python3
"""Which encoder for pictures of a training: CPU time and size of each, on real ones, against Pillow's level 6.

    pip install imagecodecs zlib-ng deflate simplejpeg      # those that are compared beside what sidelog installs
    python scripts/bench_encode.py [--rounds 9] [--json]

The pictures: what resnet18 with the weights of seed 0 makes of two photographs, as grids; smooth random fields and
noise, between which real maps lie; a photograph; a label map. The encoders take turns within each round, and the best
round counts; who is not installed is left out. docs/decisions/0011-deflate-by-isa-l.md cites this.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import platform
import time
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from isal import isal_zlib
from PIL import Image
from torchvision.io import encode_jpeg, encode_png

from render_bench.cases import Case, make_cases
from sidelog.bench.machine import versions
from sidelog_daemon.kinds import make_content
from sidelog_daemon.render import png
from sidelog_daemon.render.color import pascal_voc_palette
from sidelog_daemon.tensorboardx import event_pb2

Pixels = np.ndarray
Encoder = Callable[[Pixels], bytes]
PILLOW = "Pillow, level 6"
SIDELOG = "sidelog"
PHOTOGRAPH, LABELS = "photograph", "labels"
_PACKAGES = ("opencv-python-headless", "pillow", "isal", "torchvision", "imagecodecs", "zlib-ng", "deflate",
             "simplejpeg")  # fmt: skip
_GRIDS = {"conv1": 112, "layer1": 56, "layer4": 14, "small": 7, "smooth": 56, "noise": 56}
"""Which are grids of tiles, and how wide those are: by that sidelog chooses the filter."""


def pictures() -> dict[str, Pixels]:
    """uint8 ``[height, width, 1]``, or ``[height, width, 3]`` in red, green, blue."""
    cases = make_cases(0)
    rng = np.random.default_rng(0)
    fields = torch.from_numpy(rng.standard_normal((64, 56, 56), dtype=np.float32))
    smooth = torch.from_numpy(np.stack([cv2.GaussianBlur(field, (0, 0), 2) for field in fields.numpy()]))
    deep, labels = _named(cases, "resnet50 layer4"), _named(cases, "label map")
    return {
        "conv1": _drawn(_named(cases, "resnet18 conv1 [64, 112")),
        "layer1": _drawn(_named(cases, "resnet50 layer1")),
        "layer4": _drawn(deep),
        "small": _grid(torch.nn.functional.avg_pool2d(torch.from_numpy(deep.values[:, 0]), 2)),
        "smooth": _grid(smooth),
        "noise": _grid(fields),
        PHOTOGRAPH: _drawn(_named(cases, "photograph, bytes")),
        LABELS: np.array(pascal_voc_palette(), np.uint8)[labels.values[0]],
    }


def encoders() -> Iterator[tuple[str, Encoder, Callable[[str], bool]]]:
    """Name, function, and for which pictures; Pillow first, with which the others are compared."""
    yield PILLOW, lambda pixels: _by_pillow(pixels, "PNG", compress_level=6), _all
    yield "Pillow, level 1", lambda pixels: _by_pillow(pixels, "PNG", compress_level=1), _all
    yield SIDELOG, png.write_png, _all  # with its own choice of a filter for each
    yield "the same, a palette", _palette, _labels
    for name, row_filter in (("no filter", 0), ("SUB", 1), ("UP", 2)):
        yield f"{name}, ISA-L 1", _thin(row_filter, lambda lines: isal_zlib.compress(lines, 1)), _all
    for level in (0, 2, 3):
        yield f"UP, ISA-L {level}", _thin(2, lambda lines, level=level: isal_zlib.compress(lines, level)), _all
    yield "UP, zlib 1", _thin(2, lambda lines: zlib.compress(lines, 1)), _all
    yield "UP, zlib run lengths", _thin(2, _run_lengths), _all
    yield "OpenCV, told nothing", lambda pixels: cv2.imencode(".png", _as_bgr(pixels))[1].tobytes(), _all
    for name in ("PAETH", "UP"):
        yield f"OpenCV, 1, run lengths, {name}", _opencv(name), _all
    for level in (1, 6):
        yield f"torchvision, level {level}", lambda pixels, level=level: _torchvision(pixels, level), _all
    if (ng := _module("zlib_ng.zlib_ng")) is not None:
        for level in (1, 2):
            yield f"UP, zlib-ng {level}", _thin(2, lambda lines, level=level: ng.compress(lines, level)), _all
    if (deflate := _module("deflate")) is not None:
        yield "UP, libdeflate 1", _thin(2, lambda lines: bytes(deflate.zlib_compress(lines, 1))), _all
    if (codecs := _module("imagecodecs")) is not None:
        for level in (1, 3):
            yield (
                f"libspng, level {level}",
                lambda pixels, level=level: bytes(codecs.spng_encode(pixels.squeeze(), level=level)),
                _all,
            )
        yield "libpng, level 1", lambda pixels: bytes(codecs.png_encode(pixels.squeeze(), level=1)), _all
    yield "JPEG 90, Pillow", lambda pixels: _by_pillow(pixels, "JPEG", quality=90), _no_labels
    yield "JPEG 90, sidelog (OpenCV)", _jpeg, _no_labels
    yield "JPEG 90, torchvision", lambda pixels: bytes(encode_jpeg(_as_torch(pixels), 90).numpy()), _no_labels
    if (simple := _module("simplejpeg")) is not None:
        yield "JPEG 90, simplejpeg", lambda pixels: _simplejpeg(simple, pixels), _no_labels


def _named(cases: list[Case], start: str) -> Case:
    return next(case for case in cases if case.name.startswith(start))


def _drawn(case: Case) -> Pixels:
    """The pixels that the daemon makes of a case."""
    from render_bench.arms import as_record

    (event,) = make_content(as_record(case, 0)).events
    encoded = event_pb2.Event.FromString(event).summary.value[0].image.encoded_image_string
    pixels = np.array(Image.open(io.BytesIO(encoded)))
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _grid(fields: torch.Tensor) -> Pixels:
    from torchvision.utils import make_grid

    grid = make_grid(fields.unsqueeze(1), normalize=True)[:1]
    return (grid * 255 + 0.5).clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


def _by_pillow(pixels: Pixels, kind: str, **options: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels.squeeze()).save(stream, kind, **options)
    return stream.getvalue()


def _palette(pixels: Pixels) -> bytes:
    """What the daemon writes of a label map: the classes, which it has, and a palette."""
    return png.write_png(pixels, palette=np.array(pascal_voc_palette(), np.uint8))


def _thin(row_filter: int, deflate: Callable[[bytes], bytes]) -> Encoder:
    """A thin writer: lines filtered by numpy, whole, then deflated."""

    def encode(pixels: Pixels) -> bytes:
        height, width, channels = pixels.shape
        lines = np.empty((height, width * channels + 1), np.uint8)
        rows = pixels.reshape(height, -1)
        lines[:, 0] = row_filter
        if row_filter == 2:
            lines[0, 1:] = rows[0]
            np.subtract(rows[1:], rows[:-1], out=lines[1:, 1:])
        elif row_filter == 1:
            lines[:, 1 : 1 + channels] = rows[:, :channels]
            np.subtract(rows[:, channels:], rows[:, :-channels], out=lines[:, 1 + channels :])
        else:
            lines[:, 1:] = rows
        return png.chunk(b"IDAT", deflate(lines))  # the header and the end are some dozens of bytes

    return encode


def _run_lengths(lines: bytes) -> bytes:
    deflate = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return deflate.compress(lines) + deflate.flush()


def _opencv(row_filter: str) -> Encoder:
    parameters = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE]
    parameters += [cv2.IMWRITE_PNG_FILTER, getattr(cv2, f"IMWRITE_PNG_FILTER_{row_filter}")]
    return lambda pixels: cv2.imencode(".png", _as_bgr(pixels), parameters)[1].tobytes()


def _as_bgr(pixels: Pixels) -> Pixels:
    return pixels if pixels.shape[2] == 1 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)


def _as_torch(pixels: Pixels) -> torch.Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def _torchvision(pixels: Pixels, level: int) -> bytes:
    return bytes(encode_png(_as_torch(pixels), level).numpy())


def _jpeg(pixels: Pixels) -> bytes:
    from sidelog_daemon.render.jpeg import write_jpeg

    return write_jpeg(pixels, quality=90)


def _simplejpeg(simplejpeg: Any, pixels: Pixels) -> bytes:
    kind = "GRAY" if pixels.shape[2] == 1 else "RGB"
    return simplejpeg.encode_jpeg(pixels, quality=90, colorspace=kind, colorsubsampling="420")


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _all(_: str) -> bool:
    return True


def _labels(name: str) -> bool:
    return name == LABELS


def _no_labels(name: str) -> bool:
    return name != LABELS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="times that each encoder gets each picture")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    inputs = pictures()
    classes = {LABELS: _classes_of(inputs[LABELS])}
    tried = {(name, which): (encode, classes[which] if encode is _palette else pixels)
             for name, encode, wanted in encoders() for which, pixels in inputs.items() if wanted(which)}  # fmt: skip
    for which, pixels in inputs.items():
        line_filter = png.Filter.of_grid(2 if which in _GRIDS else 1, _GRIDS.get(which, 0))
        tried[SIDELOG, which] = (partial(png.write_png, line_filter=line_filter), pixels)
    size = {key: len(encode(pixels)) for key, (encode, pixels) in tried.items()}
    best_ms = dict.fromkeys(tried, float("inf"))
    for _ in range(arguments.rounds):
        for key, (encode, pixels) in tried.items():
            encode(pixels)  # what it takes to touch memory anew after a picture of another size is not its cost
            begun = time.thread_time()
            encode(pixels)
            best_ms[key] = min(best_ms[key], (time.thread_time() - begun) * 1e3)
    if arguments.json:
        rows = [{"encoder": name, "picture": which, "cpu_ms": best_ms[name, which], "bytes": size[name, which]}
                for name, which in tried]  # fmt: skip
        print(json.dumps({"machine": platform.processor(), "versions": versions(_PACKAGES), "rows": rows}))
        return
    print(", ".join(f"{name} {found}" for name, found in versions(_PACKAGES).items()))
    print(f"CPU ms and size, times {PILLOW}'s, of the same pixels\n")
    sizes = ("x".join(map(str, pixels.shape)) for pixels in inputs.values())
    print("| |", " | ".join(f"{name} {size}" for name, size in zip(inputs, sizes, strict=True)), "|")
    print("|---" * (1 + len(inputs)), "|", sep="")
    for name in dict.fromkeys(name for name, _ in tried):
        cells = (
            f"{best_ms[name, which]:.2f}, {size[name, which] / size[PILLOW, which]:.2f}"
            if (name, which) in tried else ""
            for which in inputs
        )  # fmt: skip
        print(f"| {name} |", " | ".join(cells), "|")


def _classes_of(pixels: Pixels) -> Pixels:
    """The label map whose colors these are."""
    places = {color: label for label, color in reversed(list(enumerate(pascal_voc_palette())))}
    flat = [places[tuple(color)] for color in pixels.reshape(-1, 3).tolist()]
    return np.array(flat, np.uint8).reshape(*pixels.shape[:2], 1)


if __name__ == "__main__":
    main()
