"""Pictures: pixel for pixel what tensorboardX shows, once it is given pixels that are rounded and clamped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from pair import Pair
from values import FLOATS, arrays, shapes, steps, tags, wall_times

mpl.use("agg")
Pairs = Callable[..., Pair]
often = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def pixels(value: Any) -> Any:
    """What tensorboardX must be given for right pixels: it truncates, and wraps what is above 1."""
    tensor = torch.as_tensor(value).detach()
    if tensor.dtype is torch.uint8:
        return tensor
    # As torchvision.utils.save_image does, in float32.
    return tensor.float().mul(255).add(0.5).clamp(0, 255).to(torch.uint8)


def in_order(letters: str, sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(sizes[letter] for letter in letters)


PICTURE_TYPES = (*FLOATS, torch.uint8)


@st.composite
def pictures(draw: Any, letters: str) -> tuple[Any, str]:
    """An array, and the letters of its dimensions in some order; a bit beyond 0..1 on both sides."""
    order = "".join(draw(st.permutations(letters)))
    sizes = {letter: draw(st.integers(1, 9)) for letter in "HW"}
    sizes["C"], sizes["N"] = draw(st.sampled_from([1, 3, 4])), draw(st.integers(1, 11))
    dtype = draw(st.sampled_from(PICTURE_TYPES))
    low, high = (0, 255) if dtype is torch.uint8 else (-0.2, 1.2)
    return draw(arrays(st.just(in_order(order, sizes)), (dtype,), low=low, high=high)), order


@often
@given(tag=tags, picture=pictures("CHW") | pictures("HW") | pictures("NCHW"), step=steps, wall_time=wall_times)
def test_add_image(pairs: Pairs, tag: str, picture: tuple[Any, str], step: int | None, wall_time: float) -> None:
    value, order = picture
    pair = pairs()
    pair.ours_alone("add_image", tag, value, step, wall_time, order)
    pair.theirs_alone("add_image", tag, pixels(value), step, wall_time, order)
    pair.check()


@often
@given(picture=pictures("NCHW"), step=steps, wall_time=wall_times)
def test_add_images(pairs: Pairs, picture: tuple[Any, str], step: int | None, wall_time: float) -> None:
    value, order = picture
    pair = pairs()
    pair.ours_alone("add_images", "batch", value, step, wall_time, order)
    pair.theirs_alone("add_images", "batch", pixels(value), step, wall_time, order)
    pair.check()


@pytest.mark.parametrize("order", ["CHW", "HWC"])
def test_add_images_of_a_list(pair: Pair, order: str) -> None:
    size = {"CHW": (3, 4, 5), "HWC": (4, 5, 3)}[order]
    batch = [torch.rand(size, generator=torch.Generator().manual_seed(seed)) for seed in range(10)]
    pair.ours_alone("add_images", "list", batch, 1, 1e9, order)
    pair.theirs_alone("add_images", "list", [pixels(one) for one in batch], 1, 1e9, order)
    pair.check()


@often
@given(
    picture=pictures("CHW") | pictures("HW"),
    boxes=arrays(shapes((0, 4), (4, 4)), (torch.float32, torch.int64), low=0, high=9),
    labels=st.none() | st.lists(st.sampled_from(["cat", "dog"]), max_size=4),
)
def test_add_image_with_boxes(pairs: Pairs, picture: tuple[Any, str], boxes: Any, labels: list[str] | None) -> None:
    value, order = picture
    # Their drawing needs RGB, corners in order, and fails on an empty text.
    assume("C" not in order or np.shape(value)[order.index("C")] == 3)
    boxes = torch.as_tensor(boxes).detach()
    boxes = torch.cat([boxes[:, :2].minimum(boxes[:, 2:]), boxes[:, :2].maximum(boxes[:, 2:])], 1)
    pair = pairs()
    pair.ours_alone("add_image_with_boxes", "boxes", value, boxes, 3, 1e9, order, labels)
    pair.theirs_alone("add_image_with_boxes", "boxes", pixels(value), boxes, 3, 1e9, order, labels)
    pair.check()


def test_boxes_that_are_enlarged(pair: Pair) -> None:
    picture = torch.rand(3, 20, 30)
    boxes = np.array([[2, 3, 15, 12], [0, 0, 29, 19]])
    pair.ours_alone("add_image_with_boxes", "boxes", picture, boxes, 3, 1e9, rescale=2, labels=["a", "b"])
    pair.theirs_alone("add_image_with_boxes", "boxes", pixels(picture), boxes, 3, 1e9, rescale=2, labels=["a", "b"])
    pair.check()


def figure(seed: int) -> Figure:
    drawn = Figure(figsize=(2, 1.5), dpi=60)
    drawn.subplots().plot(np.random.default_rng(seed).random(20))
    return drawn


def test_add_figure(pair: Pair) -> None:
    for writer in (pair.ours, pair.theirs):
        writer.add_figure("figure", figure(1), 3, walltime=1e9)
        writer.add_figure("figures", [figure(seed) for seed in range(3)], 4, False, 1e9)
    pair.check()
