"""Pictures: pixel for pixel what the originals show, once they are given pixels that are rounded and clamped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from pair import PEERS, Pair
from values import FLOATS, arrays, native, plain_tags, steps, tags, wall_times

mpl.use("agg")
Pairs = Callable[..., Pair]
often = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])

PICTURE_TYPES = (*FLOATS, torch.uint8, torch.bool)


def pixels(value: Any) -> Any:
    """What the originals must be given for right pixels: they truncate, and tensorboardX wraps what is above 1."""
    tensor = value.detach() if isinstance(value, torch.Tensor) else torch.from_numpy(native(value))
    if tensor.dtype is torch.uint8:
        return tensor
    # As torchvision.utils.save_image does, in float32.
    return tensor.float().mul(255).add(0.5).clamp(0, 255).to(torch.uint8)


def in_order(letters: str, sizes: dict[str, int]) -> tuple[int, ...]:
    return tuple(sizes[letter.upper()] for letter in letters)


@st.composite
def pictures(draw: Any, letters: str, *, channels: tuple[int, ...] = (1, 3, 4), lists: bool = False) -> tuple[Any, str]:
    """An array, and the letters of its dimensions in some order and case; a bit beyond 0..1 on both sides."""
    order = "".join(draw(st.permutations(letters)))
    order = draw(st.sampled_from([order, order.lower(), order.capitalize()]))
    sizes = {letter: draw(st.integers(1, 9)) for letter in "HW"}
    sizes["C"], sizes["N"] = draw(st.sampled_from(channels)), draw(st.integers(1, 19))
    dtype = draw(st.sampled_from(PICTURE_TYPES))
    low, high = {torch.uint8: (0, 255), torch.bool: (0, 1)}.get(dtype, (-0.2, 1.2))
    # Python's integers are int64, which are no pixels.
    lists = lists and dtype is not torch.uint8
    return draw(arrays(st.just(in_order(order, sizes)), (dtype,), low=low, high=high, lists=lists)), order


any_picture = pictures("CHW", lists=True) | pictures("HW", lists=True) | pictures("NCHW")


def log(pair: Pair, name: str, calls: list[tuple[Any, ...]]) -> None:
    for tag, (value, order), *rest in calls:
        pair.ours_alone(name, tag, value, *rest, order)
        pair.theirs_alone(name, tag, pixels(value), *rest, order)
    pair.check()


@often
@given(calls=st.lists(st.tuples(tags, any_picture, steps, wall_times), min_size=1, max_size=4))
def test_add_image(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    log(pairs(), "add_image", calls)


@often
@given(
    calls=st.lists(
        st.tuples(tags, pictures("NCHW") | pictures("CHW") | pictures("HW"), steps, wall_times), min_size=1, max_size=4
    )
)
def test_add_images(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    log(pairs(), "add_images", calls)


torchs_picture = pictures("CHW", channels=(1, 3, 4)) | pictures("HW") | pictures("NCHW", channels=(1, 3))


@often
@given(
    calls=st.lists(st.tuples(plain_tags, torchs_picture, steps, wall_times), min_size=1, max_size=4),
    name=st.sampled_from(["add_image", "add_images"]),
)
def test_pictures_as_torch_has_them(pairs: Pairs, calls: list[tuple[Any, ...]], name: str) -> None:
    log(pairs(peer=PEERS["torch"]), name, calls)


def test_the_plain_calls_and_by_name(pairs: Pairs, peer: Any) -> None:
    pair = pairs(peer=peer)
    batch = np.random.default_rng(0).integers(0, 255, (9, 3, 4, 5), np.uint8)
    pair.call("add_image", "picture", batch[0])
    pair.call("add_images", "batch", batch)
    pair.call("add_image", tag="named", img_tensor=batch[0], global_step=1, walltime=1e9, dataformats="CHW")
    pair.call("add_images", tag="named batch".replace(" ", "_"), img_tensor=batch, global_step=1, walltime=1e9,
              dataformats="NCHW")  # fmt: skip
    pair.check()


@often
@given(
    order=st.permutations("CHW").map("".join),
    count=st.integers(1, 10),
    form=st.sampled_from(["torch", "numpy", "uint8"]),
    lower=st.booleans(),
)
def test_add_images_of_a_list(pairs: Pairs, order: str, count: int, form: str, lower: bool) -> None:
    size = in_order(order, {"C": 3, "H": 4, "W": 5})
    batch: list[Any] = [torch.rand(size, generator=torch.Generator().manual_seed(seed)) for seed in range(count)]
    theirs: list[Any] = [pixels(one) for one in batch]
    if form == "numpy":
        batch, theirs = [one.numpy() for one in batch], [one.numpy() for one in theirs]
    elif form == "uint8":
        batch = theirs
    if order not in ("CHW", "HWC"):  # of a list tensorboardX takes no other
        theirs, order_of_theirs = torch.stack([torch.as_tensor(one) for one in theirs]), "N" + order
    else:
        order_of_theirs = order
    pair = pairs()
    pair.ours_alone("add_images", "list", batch, 1, 1e9, order.lower() if lower else order)
    pair.theirs_alone("add_images", "list", theirs, 1, 1e9, order_of_theirs)
    pair.check()


@st.composite
def boxes(draw: Any) -> tuple[Any, Any]:
    """Corners, with or without scores behind them, and labels or none."""
    count = draw(st.integers(0, 4))
    columns = draw(st.sampled_from([4, 4, 5, 6]))
    dtype = (torch.float32, torch.float64, torch.int64, torch.float16)
    corners = draw(arrays(st.just((count, columns)), dtype, low=-2, high=12))
    if not count and draw(st.booleans()):
        corners = draw(st.sampled_from([np.array([]), torch.empty(0), torch.empty(0, 5)]))
    names = draw(
        st.none()
        | st.lists(st.sampled_from(["cat", "dog", "é", ""]), max_size=4)
        | st.lists(st.sampled_from(["cat", None]), min_size=count, max_size=count)
        | st.lists(st.sampled_from(["a", "bc"]), min_size=count, max_size=count).map(tuple)
        | st.just("one")
    )
    if count and names is not None and len([names] if isinstance(names, str) else names) == count:
        # A label's background is drawn from left to right and from top to bottom, or not at all.
        corners = torch.from_numpy(native(corners.detach() if isinstance(corners, torch.Tensor) else corners))
        low, high = corners[:, :2].minimum(corners[:, 2:4]), corners[:, :2].maximum(corners[:, 2:4])
        corners = torch.cat([low, high, corners[:, 4:]], 1)
    return corners, names


@often
@given(
    calls=st.lists(
        st.tuples(tags, any_picture, boxes(), steps, wall_times, st.sampled_from([1, 2, 0.5, 1.7, np.float32(3)])),
        min_size=1,
        max_size=3,
    ),
)
def test_add_image_with_boxes(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs()
    for tag, (value, order), (corners, names), *rest, factor in calls:
        sizes = dict(zip(order.upper(), np.shape(value), strict=True))
        rescale = factor if min(sizes["H"], sizes["W"]) * factor >= 1 else 1  # nothing would be left
        pair.ours_alone("add_image_with_boxes", tag, value, corners, *rest, order, names, rescale=rescale)
        pair.theirs_alone("add_image_with_boxes", tag, pixels(value), corners, *rest, order, names, rescale=rescale)
    pair.check()


@often
@given(calls=st.lists(st.tuples(plain_tags, torchs_picture, boxes(), steps, wall_times), min_size=1, max_size=3))
def test_boxes_as_torch_has_them(pairs: Pairs, calls: list[tuple[Any, ...]]) -> None:
    pair = pairs(peer=PEERS["torch"])
    for tag, (value, order), (corners, names), step, wall_time in calls:
        named = {"global_step": step, "walltime": wall_time, "dataformats": order, "labels": names, "rescale": 2}
        pair.ours_alone("add_image_with_boxes", tag, value, corners, **named)
        pair.theirs_alone("add_image_with_boxes", tag, pixels(value), corners, **named)
    pair.check()


def test_boxes_of_lists(pair: Pair) -> None:
    picture = np.zeros((3, 9, 9), np.uint8)
    pair.call("add_image_with_boxes", "boxes", picture, [[1, 2, 7, 8], [0, 0, 3, 3.5]], 1, 1e9)
    pair.call("add_image_with_boxes", "none", picture, [], 1, 1e9)
    pair.check()


def figure(seed: int) -> Figure:
    drawn = Figure(figsize=(2, 1.5), dpi=60)
    drawn.subplots().plot(np.random.default_rng(seed).random(20))
    return drawn


def test_add_figure(pairs: Pairs, peer: Any) -> None:
    pair = pairs(peer=peer)
    for writer in (pair.ours, pair.theirs):
        writer.add_figure("figure", figure(1))
        writer.add_figure("figure", figure(2), 3, walltime=1e9)
        writer.add_figure("figures", [figure(seed) for seed in range(3)], 4.5, False, 1e9)
        writer.add_figure(tag="named", figure=figure(1), global_step=np.int64(7), close=False, walltime=1e9)
    pair.check()


@pytest.mark.parametrize("close", [True, False])
def test_figures_of_pyplot_are_closed_or_not(pairs: Pairs, peer: Any, close: bool) -> None:
    from matplotlib import pyplot

    pair = pairs(peer=peer)
    left = []
    for writer in (pair.ours, pair.theirs):
        drawn, axes = pyplot.subplots(figsize=(2, 1), dpi=50)
        axes.plot([1, 3, 2])
        writer.add_figure("figure", drawn, 1, close, 1e9)
        left.append(len(pyplot.get_fignums()))
        pyplot.close("all")
    assert left == [0 if close else 1] * 2
    pair.check()


@pytest.mark.parametrize("name", ["add_image", "add_images", "add_image_with_boxes"])
def test_the_caller_may_change_a_picture_at_once(pair: Pair, name: str) -> None:
    batch = np.random.default_rng(0).integers(0, 255, (2, 3, 4, 5), np.uint8)
    given_picture = batch.copy() if name == "add_images" else batch[0].copy()
    kept = given_picture.copy()
    corners = [np.array([[0, 1, 3, 3]])] if name == "add_image_with_boxes" else []
    pair.ours_alone(name, "picture", given_picture, *corners, 1, 1e9)
    given_picture[:] = 0
    pair.theirs_alone(name, "picture", kept, *corners, 1, 1e9)
    pair.check()


def test_a_picture_in_every_shape_of_one_pixel(pair: Pair) -> None:
    for order, shape in (("HW", (1, 1)), ("CHW", (1, 1, 1)), ("NCHW", (1, 1, 1, 1))):
        pair.call("add_image", order, np.full(shape, 200, np.uint8), 1, 1e9, order)
    pair.check()


def test_more_pictures_than_columns(pair: Pair) -> None:
    batch = np.random.default_rng(0).integers(0, 255, (100, 1, 2, 3), np.uint8)
    pair.call("add_images", "mosaic", batch, 1, 1e9)
    pair.check()
