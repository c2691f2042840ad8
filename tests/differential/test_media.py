"""Audio, video, meshes, embeddings, tensors, ONNX graphs: what tensorboardX and torch write."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from pair import PEERS, Pair
from test_pictures import pixels
from values import (
    FLOATS,
    INTEGERS,
    UNSIGNED,
    arrays,
    as_they_can_take,
    native,
    plain_tags,
    shapes,
    steps,
    tags,
    wall_times,
)  # fmt: skip

Pairs = Callable[..., Pair]
often = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
seldom = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sound_for_them(value: Any) -> Any:
    """soundfile takes neither half precision nor another byte order, of which it makes noise."""
    value = as_they_can_take(value)
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype is torch.float16 else value
    value = native(value)
    return value.astype(np.float32) if value.dtype == np.float16 else value


sounds = arrays(shapes((1, 200)), FLOATS, low=-1.3, high=1.3, lists=True) | arrays(
    shapes((1, 200), (1, 2)), FLOATS, low=-1, high=1, lists=True
)
rates = st.sampled_from([8000, 22050, 44100, 1, np.int64(16000), np.int32(96000)])


@often
@given(calls=st.lists(st.tuples(tags, sounds, steps, rates, wall_times), min_size=1, max_size=5))
def test_add_audio(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for tag, samples, *rest in calls:
        pair.ours_alone("add_audio", tag, samples, *rest)
        pair.theirs_alone("add_audio", tag, sound_for_them(samples), *rest)
    pair.check()


@pytest.mark.parametrize("shape", [(1, 100), (1, 1, 100)])
def test_add_audio_in_torchs_shapes(pair: Pair, shape: tuple[int, ...]) -> None:
    samples = torch.linspace(-1, 1, 100)
    pair.ours_alone("add_audio", "clip", samples.reshape(shape), 1, 8000, 1e9)
    pair.theirs_alone("add_audio", "clip", samples, 1, 8000, 1e9)
    pair.check()


def test_samples_in_double_precision(pair: Pair) -> None:
    """Beside the steps of 16 bits, by less than single precision can tell."""
    steps_of_16_bits = np.arange(-300, 300) * 2.0**16
    pair.call("add_audio", "below", (steps_of_16_bits - 0.6) / (2**31 - 1), 1, 8000, 1e9)
    pair.call("add_audio", "above", (steps_of_16_bits + 0.6) / (2**31 - 1), 1, 8000, 1e9)
    pair.check()


@st.composite
def videos(draw: Any) -> tuple[Any, str]:
    """Frames of few colors, so that a GIF's palette holds them all; no two one after the other are equal."""
    order = "".join(draw(st.permutations("NTCHW")))
    sizes = {
        "N": draw(st.integers(1, 5)), "T": draw(st.integers(2, 4)), "C": draw(st.sampled_from([1, 3, 4])),
        "H": draw(st.integers(2, 6)), "W": draw(st.integers(2, 6)),
    }  # fmt: skip
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    levels = generator.integers(0, 4, [sizes[letter] for letter in "NTCHW"]) * 85
    levels[0, :, 0, 0, 0] = np.arange(sizes["T"]) * 85
    frames = levels.transpose(["NTCHW".index(letter) for letter in order]).astype(np.uint8)
    form = draw(st.sampled_from(["uint8", "torch", "float32", "float64", "float16"]))
    if form == "torch":
        return torch.from_numpy(frames.copy()), order
    if form != "uint8":
        frames = (frames / 255).astype(form)
    return frames, draw(st.sampled_from([order, order.lower()]))


@seldom
@given(
    calls=st.lists(
        st.tuples(tags, videos(), steps, st.sampled_from([1, 2, 4, 4.0, 10, 12.5, np.int64(20)]), wall_times),
        min_size=1,
        max_size=3,
    )
)
def test_add_video(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for tag, (frames, order), *rest in calls:
        pair.ours_alone("add_video", tag, frames, *rest, order)
        pair.theirs_alone("add_video", tag, pixels(frames), *rest, order)
    pair.check()


mesh_parts = {
    "vertices": arrays(shapes((1, 2), (0, 9), (3, 3)), FLOATS, low=-5, high=5, lists=True),
    "colors": st.none() | arrays(shapes((1, 2), (1, 9), (3, 3)), (torch.uint8, torch.int64, torch.float32), high=255),
    "faces": st.none()
    | arrays(shapes((1, 2), (0, 4), (3, 3)), (torch.int32, torch.int64, torch.uint32), high=8, lists=True),
}
configs = st.none() | st.sampled_from(
    [
        {"material": {"cls": "PointsMaterial", "size": 2}, "camera": {"fov": 75}}, {}, {"b": 1, "a": [1.5, None, True]},
        {2: "x", 10: "y"}, {"ü": "ß"}, [1, 2],
    ]
)  # fmt: skip


@often
@given(
    calls=st.lists(
        st.tuples(tags, mesh_parts["vertices"], mesh_parts["colors"], mesh_parts["faces"], configs, steps, wall_times),
        min_size=1,
        max_size=4,
    )
)
def test_add_mesh(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for tag, *parts, config, step, wall_time in calls:
        given_parts = [as_rows(part) for part in parts]
        pair.ours_alone("add_mesh", tag, *given_parts, config, step, wall_time)
        pair.theirs_alone("add_mesh", tag, *map(as_they_can_take, given_parts), config, step, wall_time)
    pair.check()


def as_rows(part: Any) -> Any:
    """A list of no vertices has no last dimension."""
    return np.zeros((1, 0, 3)) if isinstance(part, list) and not np.size(part) else part


def test_add_mesh_by_name(pair: Pair) -> None:
    vertices = np.arange(12.0).reshape(1, 4, 3)
    pair.call("add_mesh", tag="mesh", vertices=vertices, colors=vertices, faces=None, config_dict={"a": 1},
              global_step=3, walltime=1e9)  # fmt: skip
    pair.call("add_mesh", "plain", vertices)
    pair.check()


labels = st.sampled_from(
    [
        None, ["a", "b", "ü", "d"], [1, 2.5, None, "x"], torch.arange(4), ("a", "b", "c", "d"), np.arange(4), "abcd",
        [["x", 1]] * 4, {"a": 1, "b": 2, "c": 3, "d": 4},
    ]
)  # fmt: skip
matrices = arrays(shapes((4, 4), (1, 5)), FLOATS, low=-9, high=9, lists=True) | arrays(
    shapes((4, 4), (1, 5)), (*INTEGERS, *UNSIGNED, torch.bool), low=0, high=1, lists=True
)
sprites = st.none() | st.sampled_from([1, 3]).flatmap(
    lambda channels: arrays(shapes((4, 4), (channels, channels), (3, 3), (3, 3)))
)
embedding_tags = st.sampled_from(["default", "a/b", "50%", "ü ä", "x" * 200, "..."])


@seldom
@given(
    calls=st.lists(
        st.tuples(matrices, labels, sprites, st.none() | st.integers(-9, 10**6) | st.just(np.int64(7)), embedding_tags),
        min_size=1,
        max_size=4,
        unique_by=lambda call: (call[4], call[3] or 0),  # each stands once, see docs/differences.md
    )
)
def test_add_embedding(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for matrix, metadata, images, *rest in calls:
        pair.ours_alone("add_embedding", matrix, metadata, images, *rest)
        theirs = None if images is None else pixels(images).double() / 255 + 1e-9  # they truncate
        pair.theirs_alone("add_embedding", as_they_can_take(matrix), metadata, theirs, *rest)
    pair.check()


@seldom
@given(count=st.integers(1, 10), side=st.integers(1, 4))
def test_sprites_of_any_number(pairs: Pairs, peer: Any, count: int, side: int) -> None:
    images = torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(count))
    full = int(np.ceil(count**0.5)) ** 2 == count
    # Where places of the sheet are unused, tensorboardX leaves memory that was never written.
    pair = pairs(peer=peer if full else PEERS["torch"])
    matrix = torch.eye(count)
    pair.ours_alone("add_embedding", matrix, None, images, 1)
    pair.theirs_alone("add_embedding", matrix, None, pixels(images).double() / 255 + 1e-9, 1)
    pair.check()


def test_add_embedding_with_columns(pairs: Pairs, peer: Any) -> None:
    pair = pairs(peer=peer)
    matrix = np.random.default_rng(0).random((3, 4))
    for step, rows in enumerate(
        ([["a", 1], ["b", 2], ["c", 3]], [("a", 1)] * 3, [np.array([1, 2])] * 3, [["tab\t", "line\n"]] * 3)
    ):
        pair.call("add_embedding", matrix * step, rows, None, step, "points", ["name", "number"])
    pair.call("add_embedding", mat=matrix, metadata=["a", "b", "c"], label_img=None, global_step=9, tag="named",
              metadata_header=None)  # fmt: skip
    pair.call("add_embedding", matrix)
    pair.check()


@often
@given(
    calls=st.lists(
        st.tuples(
            plain_tags,
            arrays(shapes((0, 3), (1, 4)), (torch.float32, torch.float64), low=-9, high=9)
            | arrays(shapes((1, 5)), (*INTEGERS[1:], torch.bool), low=0, high=1)
            | arrays(st.just(()), (torch.float32, torch.int32)),
            steps,
            wall_times,
        ),
        min_size=1,
        max_size=5,
    )
)
def test_add_tensor(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs(peer=PEERS["torch"])
    for tag, tensor, *rest in calls:
        pair.ours_alone("add_tensor", tag, tensor, *rest)
        theirs = tensor.detach() if isinstance(tensor, torch.Tensor) else torch.from_numpy(native(tensor))
        pair.theirs_alone("add_tensor", tag, theirs, *rest)
    pair.check()


@pytest.mark.parametrize("name", ["add_audio", "add_mesh", "add_embedding", "add_tensor", "add_pr_curve"])
def test_the_caller_may_change_a_tensor_at_once(pairs: Pairs, name: str) -> None:
    shape = {"add_mesh": (1, 5, 3), "add_embedding": (5, 3)}.get(name, (6,))
    changed = torch.linspace(0, 1, int(np.prod(shape))).reshape(shape)
    kept = changed.clone()
    arguments = () if name == "add_embedding" else ("tag",)
    pair = pairs(peer=PEERS["torch" if name == "add_tensor" else "tensorboardX"])
    twice = name == "add_pr_curve"
    pair.ours_alone(name, *arguments, changed, *([changed] if twice else []))
    changed.zero_()
    pair.theirs_alone(name, *arguments, kept, *([kept] if twice else []))
    pair.check()


@st.composite
def models(draw: Any) -> Any:
    """A chain of nodes with attributes of every kind, and dimensions with names."""
    value, names = helper.make_tensor_value_info, [f"v{index}/ü" for index in range(draw(st.integers(1, 5)))]
    attributes = st.sampled_from([{}, {"alpha": 0.5}, {"axes": [1, 2]}, {"mode": "linear"}, {"to": TensorProto.FLOAT}])
    nodes = [
        helper.make_node(draw(st.sampled_from(["Relu", "Gemm", "Cast"])), [before], [after], **draw(attributes))
        for before, after in itertools.pairwise(names)
    ]
    sizes = draw(st.lists(st.integers(1, 9) | st.just("batch"), max_size=3))
    kind = draw(st.sampled_from([TensorProto.FLOAT, TensorProto.INT64]))
    return helper.make_model(
        helper.make_graph(nodes, "net", [value(names[0], kind, sizes)], [value(names[-1], kind, sizes)])
    )


@seldom
@given(model=models(), form=st.sampled_from(["text", "path", "file", "memory"]))
def test_add_onnx_graph(pairs: Pairs, peer: Any, tmp_path: Path, model: Any, form: str) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    pair = pairs(peer=peer)
    for writer in (pair.ours, pair.theirs):
        if form == "file":
            with path.open("rb") as file:
                writer.add_onnx_graph(file)
        else:
            writer.add_onnx_graph({"text": str(path), "path": path, "memory": io.BytesIO(path.read_bytes())}[form])
    path.unlink()  # it was read at the call
    pair.check()
