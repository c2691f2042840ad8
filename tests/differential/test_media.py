"""Audio, video, meshes, embeddings, tensors: what tensorboardX and torch write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.utils.tensorboard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair import Pair
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray
from test_pictures import pixels
from values import FLOATS, INTEGERS, arrays, as_they_can_take, shapes, steps, tags, wall_times

Pairs = Callable[..., Pair]
often = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
seldom = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


def read_tensors(logdir: str) -> list[Any]:
    accumulator = EventAccumulator(logdir)
    accumulator.Reload()
    return [event.tensor_proto for tag in accumulator.Tags()["tensors"] for event in accumulator.Tensors(tag)]


@often
@given(
    tag=tags,
    samples=arrays(shapes((1, 200)), FLOATS, low=-1.3, high=1.3)
    | arrays(shapes((1, 200), (1, 2)), FLOATS, low=-1, high=1),
    step=steps,
    rate=st.sampled_from([8000, 22050, 44100]),
    wall_time=wall_times,
)
def test_add_audio(pairs: Pairs, tag: str, samples: Any, step: int | None, rate: int, wall_time: float) -> None:
    pair = pairs()
    theirs = as_they_can_take(samples)
    if theirs.dtype in (torch.float16, np.float16):  # their encoder takes no half precision
        theirs = theirs.float() if isinstance(theirs, torch.Tensor) else theirs.astype(np.float32)
    pair.ours_alone("add_audio", tag, samples, step, rate, wall_time)
    pair.theirs_alone("add_audio", tag, theirs, step, rate, wall_time)
    pair.check()


def test_add_audio_as_torch_has_it(pair: Pair) -> None:
    samples = torch.linspace(-1, 1, 100)
    pair.ours_alone("add_audio", "clip", samples[None], 1, 8000, 1e9)
    pair.theirs_alone("add_audio", "clip", samples, 1, 8000, 1e9)
    pair.check()


@seldom
@given(
    video=st.permutations("NTCHW").flatmap(
        lambda order: st.tuples(
            st.just("".join(order)),
            st.fixed_dictionaries(
                {
                    "N": st.integers(1, 3), "T": st.integers(2, 4), "C": st.sampled_from([1, 3]),
                    "H": st.integers(2, 6), "W": st.integers(2, 6),
                }
            ),
        )
    ),
    dtype=st.sampled_from([torch.float32, torch.uint8]),
    fps=st.sampled_from([2, 4, 10]),
    step=steps,
)  # fmt: skip
def test_add_video(pairs: Pairs, video: Any, dtype: Any, fps: int, step: int | None) -> None:
    order, sizes = video
    shape = tuple(sizes[letter] for letter in order)
    generator = np.random.default_rng(0)
    # Few colors, so that a GIF's palette holds them all.
    levels = generator.integers(0, 4, shape) * 85
    frames = torch.from_numpy(levels.astype(np.uint8))
    if dtype is torch.float32:
        frames = frames.float() / 255
    pair = pairs()
    pair.ours_alone("add_video", "video", frames, step, fps, 1e9, order)
    pair.theirs_alone("add_video", "video", pixels(frames), step, fps, 1e9, order)
    pair.check()


@often
@given(
    tag=tags,
    vertices=arrays(shapes((1, 2), (1, 9), (3, 3)), (torch.float32, torch.float64), low=-5, high=5),
    colors=st.none() | arrays(shapes((1, 2), (1, 9), (3, 3)), (torch.uint8, torch.int64), low=0, high=255),
    faces=st.none() | arrays(shapes((1, 2), (1, 4), (3, 3)), (torch.int32, torch.int64), low=0, high=8),
    config=st.none() | st.just({"material": {"cls": "PointsMaterial", "size": 2}, "camera": {"fov": 75}}),
    step=steps,
)
def test_add_mesh(
    pairs: Pairs, tag: str, vertices: Any, colors: Any, faces: Any, config: Any, step: int | None
) -> None:
    pair = pairs()
    pair.ours_alone("add_mesh", tag, vertices, colors, faces, config, step, 1e9)
    theirs = [as_they_can_take(value) for value in (vertices, colors, faces)]
    pair.theirs_alone("add_mesh", tag, *theirs, config, step, 1e9)
    pair.check()


@seldom
@given(
    matrix=arrays(shapes((4, 4), (1, 5)), (torch.float32, torch.float64), low=-9, high=9)
    | arrays(shapes((4, 4), (1, 5)), INTEGERS, low=0, high=9),
    metadata=st.sampled_from([None, ["a", "b", "ü", "d"], [1, 2.5, None, "x"], torch.arange(4)]),
    sprites=st.none() | arrays(shapes((4, 4), (3, 3), (3, 3), (3, 3))),
    step=st.none() | st.integers(0, 10**6),
    tag=st.sampled_from(["default", "a/b", "50%"]),
)
def test_add_embedding(pairs: Pairs, matrix: Any, metadata: Any, sprites: Any, step: int | None, tag: str) -> None:
    pair = pairs()
    pair.ours_alone("add_embedding", matrix, metadata, sprites, step, tag)
    theirs = None if sprites is None else pixels(sprites).double() / 255 + 1e-9  # they truncate
    pair.theirs_alone("add_embedding", as_they_can_take(matrix), metadata, theirs, step, tag)
    pair.check()


def test_add_embedding_with_columns(pair: Pair) -> None:
    matrix = np.random.default_rng(0).random((3, 4))
    rows = [["a", 1], ["b", 2], ["c", 3]]
    pair.call("add_embedding", matrix, rows, None, 5, "points", ["name", "number"])
    pair.call("add_embedding", matrix * 2, rows, None, 6, "points", ["name", "number"])
    pair.check()


@often
@given(
    tag=st.text("abc/_", min_size=1).filter(lambda tag: tag.strip("/")),
    tensor=arrays(shapes((1, 3), (1, 4)), (torch.float32, torch.float64), low=-9, high=9)
    | arrays(shapes((1, 5)), (*INTEGERS[1:], torch.bool), low=0, high=1),
    step=steps,
)
def test_add_tensor(pairs: Pairs, tag: str, tensor: Any, step: int | None) -> None:
    pair = pairs(peer=torch.utils.tensorboard.SummaryWriter)
    pair.ours_alone("add_tensor", tag, tensor, step, 1e9)
    pair.theirs_alone("add_tensor", tag, torch.as_tensor(tensor).detach(), step, 1e9)
    pair.check()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.uint8])
def test_tensors_that_torch_writes_unreadable(pair: Pair, dtype: torch.dtype) -> None:
    """Halves as the bits of float32, bytes in another field: ``make_ndarray`` reads ours."""
    tensor = torch.tensor([[1.5, 2, 3], [0, 250, 6]]).to(dtype)
    pair.ours_alone("add_tensor", "tensor", tensor, 1)
    pair.close()
    (value,) = read_tensors(pair.ours.logdir)
    if dtype is torch.bfloat16:  # numpy has none
        found = torch.tensor(list(value.half_val), dtype=torch.uint16).view(dtype).reshape(2, 3)
    else:
        found = torch.from_numpy(make_ndarray(value))
    torch.testing.assert_close(found, tensor, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["add_audio", "add_mesh", "add_embedding", "add_tensor"])
def test_the_caller_may_change_a_tensor_at_once(pair: Pair, name: str) -> None:
    shape = {"add_audio": (50,), "add_mesh": (1, 5, 3), "add_embedding": (5, 3), "add_tensor": (5,)}[name]
    given = torch.linspace(-1, 1, int(np.prod(shape))).reshape(shape)
    kept = given.clone()
    arguments = () if name == "add_embedding" else ("tag",)
    pair.ours_alone(name, *arguments, given)
    given.zero_()
    if name == "add_tensor":
        pair.close()
        pair.theirs = torch.utils.tensorboard.SummaryWriter(pair.theirs.logdir)
    pair.theirs_alone(name, *arguments, kept)
    pair.check()
