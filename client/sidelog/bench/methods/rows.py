"""The calls that are compared: each method of the writer, with what a training gives it.

A new method of the writer needs a row here; a test says so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from sidelog.bench.methods.sides import Side

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Peer = Literal["tensorboardX", "torch", "global"]
"""tensorboardX's writer; torch's; tensorboardX's writer for all modules."""
Prepare = Callable[[Side, int], Callable[[], object]]
"""Of a side and a step, the call: what it makes itself is not timed, what it returns is."""

METHODS = (
    "SummaryWriter", "add_scalar", "add_scalars", "export_scalars_to_json", "add_text", "add_hparams",
    "add_custom_scalars", "add_custom_scalars_multilinechart", "add_custom_scalars_marginchart", "use_metadata",
    "add_image", "add_images", "add_feature_map", "add_label_map", "add_image_with_boxes", "add_figure", "add_video",
    "add_audio", "add_histogram", "add_histogram_raw", "add_pr_curve", "add_pr_curve_raw", "add_mesh", "add_embedding",
    "add_onnx_graph", "add_tensor", "GlobalSummaryWriter", "flush", "close",
)  # fmt: skip
"""Those that have rows."""

_END = "the daemon writes, syncs and lets go of the folder: some round trips, once in a training"


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    Attributes:
        method: one of :data:`METHODS`.
        given: with what.
        prepare: makes the call.
        peer: whose call it is compared with.
        theirs: makes the peer's call, where it is another one.
        alone: no other writer is open: the first and the last of a process.
        needs: packages that the peer needs for it.
        note: what the table has to say of the comparison.
        excuse: why it may cost more than the peer's; empty where it must not.
    """

    method: str
    given: str
    prepare: Prepare
    peer: Peer = "tensorboardX"
    theirs: Prepare | None = None
    alone: bool = False
    needs: tuple[str, ...] = ()
    note: str = ""
    excuse: str = ""

    @property
    def label(self) -> str:
        method = "GlobalSummaryWriter.add_scalar" if self.method == "GlobalSummaryWriter" else self.method
        return f"{method}, {self.given}" if self.given else method

    @property
    def missing(self) -> str:
        """The first package that the peer needs and that is not installed; empty if there is none."""
        return next((package for package in self.needs if importlib.util.find_spec(package) is None), "")


def make_rows(folder: Path, *, seed: int = 0) -> list[Row]:
    """All rows, in the order of :data:`METHODS`.

    Args:
        folder: for files that calls read or write.
        seed: of all values.
    """
    rows = [*_numbers(folder), *_pictures(seed), *_distributions(seed), *_media(folder, seed), *_life()]
    return sorted(rows, key=lambda row: METHODS.index(row.method))


def _numbers(folder: Path) -> list[Row]:
    import torch

    loss, three = torch.tensor(0.5), {"a": 0.1, "b": 0.2, "c": 0.3}
    hparams, metrics = {"lr": 0.1, "batch": 64, "optimizer": "sgd", "nesterov": True}, {"accuracy": 0.9, "loss": 0.4}
    layout = {"losses": {"both": ["Multiline", ["loss/train", "loss/val"]],
                         "margin": ["Margin", ["loss", "loss/lower", "loss/upper"]]}}  # fmt: skip

    def export(side: Side, step: int) -> Callable[[], object]:
        for number in range(100):
            side.writer.add_scalars("exported", three, 100 * step + number)
        return partial(side.writer.export_scalars_to_json, str(folder / "scalars.json"))

    def in_a_block(side: Side, step: int) -> Callable[[], object]:
        writer = side.writer

        def call() -> None:
            with writer.use_metadata(global_step=step):
                writer.add_scalar("in/block", 0.5)

        return call

    return [
        Row("add_scalar", "a float", lambda s, k: partial(s.writer.add_scalar, "loss", 0.5, k)),
        Row("add_scalar", "a tensor", lambda s, k: partial(s.writer.add_scalar, "loss/tensor", loss, k)),
        Row("add_scalar", "new_style=True",
            lambda s, k: partial(s.writer.add_scalar, "loss/new", 0.5, k, new_style=True), "torch"),
        Row("add_scalars", "3 floats", lambda s, k: partial(s.writer.add_scalars, "chart", three, k)),
        Row("export_scalars_to_json", "300 scalars", export),
        Row("add_text", "20 characters", lambda s, k: partial(s.writer.add_text, "note", "twenty *characters*.", k)),
        Row("add_hparams", "4 and 2 metrics",
            lambda s, k: partial(s.writer.add_hparams, hparams, metrics, f"trial{k}", k)),
        Row("add_custom_scalars", "2 charts", lambda s, _: partial(s.writer.add_custom_scalars, layout)),
        Row("add_custom_scalars_multilinechart", "2 tags",
            lambda s, _: partial(s.writer.add_custom_scalars_multilinechart, ["loss/train", "loss/val"])),
        Row("add_custom_scalars_marginchart", "3 tags",
            lambda s, _: partial(s.writer.add_custom_scalars_marginchart, ["loss", "loss/lower", "loss/upper"])),
        Row("use_metadata", "add_scalar in its block", in_a_block),
        Row("GlobalSummaryWriter", "", lambda s, _: partial(s.writer.add_scalar, "loss", 0.5), "global",
            note="theirs asks a manager process for the step"),
    ]  # fmt: skip


def _pictures(seed: int) -> list[Row]:
    import torch

    made = torch.Generator().manual_seed(seed)
    picture, batch = torch.rand(3, 224, 224, generator=made), torch.rand(16, 3, 64, 64, generator=made)
    features = torch.rand(64, 56, 56, generator=made)
    classes = torch.randint(0, 21, (224, 224), generator=made)
    colors = torch.randint(0, 256, (21, 3), generator=made, dtype=torch.uint8)
    boxes = torch.tensor([[10, 10, 100, 100], [50, 60, 200, 180]])

    def grid(side: Side, step: int) -> Callable[[], object]:
        from torchvision.utils import make_grid

        return lambda: side.writer.add_image("map", make_grid(features.unsqueeze(1), normalize=True), step)

    def colored(side: Side, step: int) -> Callable[[], object]:
        return lambda: side.writer.add_image("labels", colors[classes], step, dataformats="HWC")

    return [
        Row("add_image", "[3,224,224]", lambda s, k: partial(s.writer.add_image, "picture", picture, k)),
        Row("add_images", "[16,3,64,64]", lambda s, k: partial(s.writer.add_images, "batch", batch, k)),
        Row("add_feature_map", "[64,56,56]", lambda s, k: partial(s.writer.add_feature_map, "map", features, k),
            theirs=grid, note="theirs: `make_grid` and `add_image`"),
        Row("add_label_map", "[224,224]", lambda s, k: partial(s.writer.add_label_map, "labels", classes, k),
            theirs=colored, note="theirs: `palette[labels]` and `add_image`"),
        Row("add_image_with_boxes", "[3,224,224], 2 boxes",
            lambda s, k: partial(s.writer.add_image_with_boxes, "boxes", picture, boxes, k)),
    ]  # fmt: skip


def _distributions(seed: int) -> list[Row]:
    import torch

    made = torch.Generator().manual_seed(seed)
    values, scores = torch.randn(10_000, generator=made), torch.rand(10_000, generator=made)
    truth = torch.randint(0, 2, (10_000,), generator=made)
    counts, limits = (array.tolist() for array in np.histogram(values.numpy(), 30))
    facts = (values.min().item(), values.max().item(), 10_000, values.sum().item(), values.square().sum().item())
    columns = [np.linspace(0.0, 1.0, 127)] * 6
    listed = [column.tolist() for column in columns]
    return [
        Row("add_histogram", "10,000 values", lambda s, k: partial(s.writer.add_histogram, "values", values, k)),
        Row("add_histogram_raw", "lists of 30",
            lambda s, k: partial(s.writer.add_histogram_raw, "counted", *facts, limits[1:], counts, k)),
        Row("add_pr_curve", "10,000 values", lambda s, k: partial(s.writer.add_pr_curve, "curve", truth, scores, k)),
        Row("add_pr_curve_raw", "6 arrays of 127",
            lambda s, k: partial(s.writer.add_pr_curve_raw, "counts", *columns, k)),
        Row("add_pr_curve_raw", "6 lists of 127",
            lambda s, k: partial(s.writer.add_pr_curve_raw, "counts/lists", *listed, k)),
    ]  # fmt: skip


def _media(folder: Path, seed: int) -> list[Row]:
    import matplotlib
    import torch

    made = torch.Generator().manual_seed(seed)
    video, clip = torch.rand(1, 8, 3, 64, 64, generator=made), torch.rand(44_100, generator=made) * 2 - 1
    vertices, faces = torch.rand(1, 1000, 3, generator=made), torch.randint(0, 1000, (1, 500, 3), generator=made)
    matrix, sprites = torch.rand(200, 32, generator=made), torch.rand(200, 3, 16, 16, generator=made)
    labels, weight = [str(index) for index in range(200)], torch.rand(64, 64, generator=made)
    matplotlib.use("agg")
    kept = _figure()
    model = folder / "model.onnx"
    if importlib.util.find_spec("onnx") is not None:
        _write_onnx(model)
    drawn = "drawn by the call, in both"
    return [
        Row("add_figure", "close=True, a fresh one", lambda s, k: partial(s.writer.add_figure, "fresh", _figure(), k),
            note=drawn),
        Row("add_figure", "close=False, the same",
            lambda s, k: partial(s.writer.add_figure, "figure", kept, k, close=False), note=drawn),
        Row("add_video", "[1,8,3,64,64]", lambda s, k: partial(s.writer.add_video, "video", video, k),
            needs=("moviepy",)),
        Row("add_audio", "44,100 samples", lambda s, k: partial(s.writer.add_audio, "clip", clip, k),
            needs=("soundfile",)),
        Row("add_mesh", "1,000 vertices, 500 faces",
            lambda s, k: partial(s.writer.add_mesh, "mesh", vertices, None, faces, None, k)),
        Row("add_embedding", "[200,32], labels, sprites",
            lambda s, k: partial(s.writer.add_embedding, matrix, labels, sprites, k)),
        Row("add_onnx_graph", "a model of 330 kB", lambda s, _: partial(s.writer.add_onnx_graph, str(model)),
            needs=("onnx",)),
        Row("add_tensor", "[64,64]", lambda s, k: partial(s.writer.add_tensor, "weight", weight, k), "torch"),
    ]  # fmt: skip


def _life() -> list[Row]:
    def flush(side: Side, step: int) -> Callable[[], object]:
        side.writer.add_scalar("flushed", 0.5, step)
        return side.writer.flush  # type: ignore[no-any-return]  # of any logger

    def close(side: Side, _step: int) -> Callable[[], object]:
        return side.new().close  # type: ignore[no-any-return]  # of any logger

    def whole(side: Side, step: int) -> Callable[[], object]:
        def call() -> None:
            with side.new() as writer:
                writer.add_scalar("loss", 0.5, step)

        return call

    return [
        Row("SummaryWriter", "", lambda s, _: s.new, alone=True,
            excuse="starts the thread that connects, and waits until it runs; once in a training"),
        Row("SummaryWriter", "a scalar, close()", whole, alone=True, excuse=f"connects first; {_END}"),
        Row("flush", "after a scalar", flush,
            excuse="waits until it is in the file; theirs syncs the file without what its queue still holds"),
        Row("close", "nothing logged", close, alone=True, excuse=_END),
    ]  # fmt: skip


def _figure() -> Figure:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(4, 3))
    axes.plot(np.sin(np.linspace(0, 9, 200)))
    return figure


def _write_onnx(path: Path) -> None:
    """A chain of five layers of 128 by 128."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes, weights = [], []
    for index in range(5):
        weights.append(numpy_helper.from_array(np.ones((128, 128), np.float32), f"w{index}"))
        nodes.append(helper.make_node("MatMul", [f"x{index}", f"w{index}"], [f"h{index}"]))
        nodes.append(helper.make_node("Relu", [f"h{index}"], [f"x{index + 1}"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 128]) for name in ("x0", "x5")]
    onnx.save(helper.make_model(helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)), str(path))
