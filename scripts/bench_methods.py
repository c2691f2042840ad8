#!/usr/bin/env python3
"""What each method of the writer costs its caller, beside tensorboardX's in the same run.

    python scripts/bench_methods.py [--rounds 30] [--pause 0.02] [--json FILE]

The two writers take turns, call by call, with a pause between them in which the thread computes, so that the caches are
those of a training. Medians and 99th percentiles in microseconds. docs/benchmarks.md has the table.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import tensorboardX
import torch
from matplotlib.figure import Figure

import sidelog

mpl.use("agg")
Call = Callable[[Any, int], object]


def drawn_figure() -> Figure:
    figure = Figure(figsize=(4, 3))
    figure.subplots().plot(np.sin(np.linspace(0, 9, 200)))
    return figure


def methods() -> dict[str, Call]:
    """Method -> a call on a writer, with the step."""
    torch.manual_seed(0)
    picture, batch = torch.rand(3, 224, 224), torch.rand(16, 3, 64, 64)
    boxes = torch.tensor([[10, 10, 100, 100], [50, 60, 200, 180]])
    values, scores = torch.randn(10_000), torch.rand(10_000)
    truth = torch.randint(0, 2, (10_000,))
    video, clip = torch.rand(1, 8, 3, 64, 64), torch.rand(44_100) * 2 - 1
    vertices, faces = torch.rand(1, 1000, 3), torch.randint(0, 1000, (1, 500, 3))
    matrix, labels, sprites = torch.rand(200, 32), [str(index) for index in range(200)], torch.rand(200, 3, 16, 16)
    limits, counts = list(range(1, 31)), list(range(30))
    columns = [np.arange(100)] * 6
    figure = drawn_figure()
    layout = {"losses": {"both": ["Multiline", ["loss/train", "loss/val"]]}}
    return {
        "add_scalar": lambda writer, step: writer.add_scalar("loss", 0.5, step),
        "add_scalars, 3": lambda writer, step: writer.add_scalars("chart", {"a": 0.1, "b": 0.2, "c": 0.3}, step),
        "add_text": lambda writer, step: writer.add_text("note", "some *text*", step),
        "add_histogram, 10,000": lambda writer, step: writer.add_histogram("values", values, step),
        "add_histogram_raw": lambda writer, step: writer.add_histogram_raw(
            "counted", 0, 30, 435, 1, 1, limits, counts, step
        ),
        "add_image [3,224,224]": lambda writer, step: writer.add_image("picture", picture, step),
        "add_images [16,3,64,64]": lambda writer, step: writer.add_images("batch", batch, step),
        "add_image_with_boxes": lambda writer, step: writer.add_image_with_boxes("boxes", picture, boxes, step),
        "add_figure, 640x480": lambda writer, step: writer.add_figure("figure", figure, step, close=False),
        "add_video [1,8,3,64,64]": lambda writer, step: writer.add_video("video", video, step),
        "add_audio, 1 s": lambda writer, step: writer.add_audio("clip", clip, step),
        "add_pr_curve, 10,000": lambda writer, step: writer.add_pr_curve("curve", truth, scores, step),
        "add_pr_curve_raw": lambda writer, step: writer.add_pr_curve_raw("counts", *columns, step),
        "add_mesh, 1,000": lambda writer, step: writer.add_mesh("mesh", vertices, None, faces, None, step),
        "add_embedding [200,32]": lambda writer, step: writer.add_embedding(matrix, labels, sprites, step),
        "add_hparams": lambda writer, step: writer.add_hparams({"lr": 0.1}, {"loss": 1.0}, f"trial{step}"),
        "add_custom_scalars": lambda writer, step: writer.add_custom_scalars(layout),
    }


def measure(rounds: int, pause_s: float) -> list[dict[str, object]]:
    """One row per method."""
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as folder:
        ours = sidelog.SummaryWriter(Path(folder) / "sidelog")
        theirs = tensorboardX.SummaryWriter(str(Path(folder) / "tensorboardX"))
        ours.add_scalar("warm", 0.0, 0)
        ours.flush()
        for name, call in methods().items():
            print(f"bench_methods: {name}", file=sys.stderr)
            times: dict[str, list[float]] = {"sidelog": [], "tensorboardX": []}
            for step in range(rounds):
                for which, writer in (("sidelog", ours), ("tensorboardX", theirs)):
                    compute(pause_s)
                    begun = time.perf_counter_ns()
                    call(writer, step)
                    times[which].append((time.perf_counter_ns() - begun) / 1e3)
            ours.flush(pictures=True, timeout_s=60)
            row: dict[str, object] = {"method": name}
            for which, found in times.items():
                row[f"{which} p50 us"] = statistics.median(found)
                row[f"{which} p99 us"] = float(np.percentile(found, 99))
            rows.append(row)
        ours.close()
        theirs.close()
        end = ours.statistics()
        if end.written != end.logged:
            raise SystemExit(f"bench_methods: not everything was written, so nothing counts: {end}")
    return rows


def compute(seconds: float) -> None:
    """What a training does between two calls: tiny operations."""
    weight = torch.ones(64)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        weight = weight * 0.999 + 0.001


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--pause", type=float, default=0.02, help="seconds between two calls")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    rows = measure(options.rounds, options.pause)
    machine = {"machine": platform.machine(), "python": platform.python_version(), "torch": torch.__version__,
               "tensorboardX": version("tensorboardX"), "rounds": options.rounds}  # fmt: skip
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    print("\n| method | sidelog p50 | p99 | tensorboardX p50 | p99 | ratio |\n|---|---|---|---|---|---|")
    for row in rows:
        ours, theirs = float(str(row["sidelog p50 us"])), float(str(row["tensorboardX p50 us"]))
        print(
            f"| `{row['method']}` | {ours:,.0f} us | {row['sidelog p99 us']:,.0f} us | {theirs:,.0f} us "
            f"| {row['tensorboardX p99 us']:,.0f} us | {ours / theirs:.3f} |"
        )
    if options.json:
        options.json.write_text(json.dumps({**machine, "methods": rows}, indent=1))


if __name__ == "__main__":
    main()
