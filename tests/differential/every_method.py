"""One call of every method that tensorboardX's writer has, for the tests that concern all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorboardX.writer
from matplotlib.figure import Figure
from onnx import TensorProto, helper

NOT_THERE = {"add_graph", "add_openvino_graph"}
PIXELS = np.random.default_rng(0).integers(0, 255, (2, 3, 8, 9), np.uint8)
MOMENT = {"global_step", "walltime"}

Arguments = dict[str, Any]


def methods() -> list[str]:
    """The names of all that log something."""
    found = inspect.getmembers(tensorboardX.writer.SummaryWriter, inspect.isfunction)
    return sorted(name for name, _ in found if name.startswith("add_") and name not in NOT_THERE)


def parameters(name: str, writer: type = tensorboardX.writer.SummaryWriter) -> list[str]:
    """What ``name`` takes, in the order of its positions."""
    found = list(inspect.signature(getattr(writer, name)).parameters.values())[1:]
    return [parameter.name for parameter in found if parameter.kind is not parameter.VAR_KEYWORD]


def calls(folder: Path) -> dict[str, Arguments]:
    """Every argument of every method but step and wall time, by tensorboardX's names.

    Args:
        folder: where an ONNX file may be put.
    """
    counts = [[9.0, 4.0, 1.0]] * 6
    points = np.arange(12.0).reshape(1, 4, 3)
    frames = np.zeros((1, 2, 3, 4, 4), np.uint8)
    frames[0, 1] = 255
    return {
        "add_audio": {"tag": "clip", "snd_tensor": np.linspace(-1, 1, 9), "sample_rate": 8000},
        "add_custom_scalars": {"layout": {"category": {"chart": ["Multiline", ["a", "b"]]}}},
        "add_custom_scalars_marginchart": {"tags": ["a", "b", "c"], "category": "category", "title": "margins"},
        "add_custom_scalars_multilinechart": {"tags": ["a", "b"], "category": "category", "title": "lines"},
        "add_embedding": {
            "mat": points[0], "metadata": [["a", 1]] * 4, "label_img": None, "tag": "points",
            "metadata_header": ["letter", "digit"],
        },
        "add_figure": {"tag": "figure", "figure": figure(), "close": True},
        "add_histogram": {"tag": "values", "values": np.arange(9.0), "bins": "auto", "max_bins": 3},
        "add_histogram_raw": {
            "tag": "counted", "min": 0, "max": 1, "num": 10, "sum": 5, "sum_squares": 4, "bucket_limits": [0.5, 1.0],
            "bucket_counts": [4, 6],
        },
        "add_hparams": {"hparam_dict": {"lr": 0.1}, "metric_dict": {"loss": 1.0}, "name": "trial"},
        "add_image": {"tag": "picture", "img_tensor": PIXELS[0], "dataformats": "CHW"},
        "add_image_with_boxes": {
            "tag": "boxes", "img_tensor": PIXELS[0], "box_tensor": np.array([[1, 2, 7, 6]]), "dataformats": "CHW",
            "labels": ["a"],
        },
        "add_images": {"tag": "batch", "img_tensor": PIXELS, "dataformats": "NCHW"},
        "add_mesh": {"tag": "mesh", "vertices": points, "colors": points, "faces": None, "config_dict": {"a": 1}},
        "add_onnx_graph": {"onnx_model_file": model_file(folder)},
        "add_pr_curve": {
            "tag": "curve", "labels": np.array([0, 1, 1]), "predictions": np.array([0.1, 0.6, 0.4]),
            "num_thresholds": 9, "weights": None,
        },
        "add_pr_curve_raw": {
            "tag": "counted curve",
            **dict(zip(parameters("add_pr_curve_raw")[1:7], counts, strict=True)),
            "num_thresholds": 3, "weights": None,
        },
        "add_scalar": {"tag": "loss", "scalar_value": 0.5, "display_name": "Loss", "summary_description": "words"},
        "add_scalars": {"main_tag": "chart", "tag_scalar_dict": {"a": 1.0, "b": 2}},
        "add_text": {"tag": "note", "text_string": "some *text*"},
        "add_video": {"tag": "video", "vid_tensor": frames, "fps": 4, "dataformats": "NTCHW"},
    }  # fmt: skip


def figure() -> Figure:
    drawn = Figure(figsize=(1, 1), dpi=40)
    drawn.subplots().plot([1, 3, 2])
    return drawn


def model_file(folder: Path) -> str:
    path = folder / "net.onnx"
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    node = helper.make_node("Relu", ["x"], ["y"])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    onnx.save(helper.make_model(helper.make_graph([node], "net", [value], [result])), path)
    return str(path)


def by_name(call: Callable[..., None], arguments: Arguments, moment: Arguments) -> None:
    """Make one call with every argument by its name; ``moment`` is a step and a wall time, of those that take them."""
    taken = set(parameters(call.__name__)) & MOMENT
    call(**arguments, **{name: value for name, value in moment.items() if name in taken})


def by_position(call: Callable[..., None], arguments: Arguments, moment: Arguments) -> None:
    """Make one call with every argument at its place."""
    given = {**arguments, **moment}
    call(*(given[name] for name in parameters(call.__name__)))
