"""Pictures with boxes: tensorboardX's drawing, on pixels that are rounded."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from kind_records import NOW, TAG, events, pixels, record

from sidelog_daemon.kinds import make_content
from sidelog_shared.errors import SidelogError
from sidelog_shared.records import Kind
from tensorboardx_events import parsed, theirs

ORDERS = ["".join(order) for letters in ("CHW", "HW", "NCHW") for order in permutations(letters)]


@settings(max_examples=60)
@given(
    order=st.sampled_from(ORDERS),
    channels=st.sampled_from([1, 3, 4]),
    tiles=st.integers(1, 10),
    boxes=st.lists(st.tuples(*[st.integers(-5, 30)] * 4), max_size=3),
    labelled=st.booleans(),
    rescale=st.sampled_from([1, 0.5, 2]),
    box_dtype=st.sampled_from([np.int64, np.float32, np.uint8]),
)
def test_a_picture(
    tmp_path_factory: pytest.TempPathFactory,
    order: str,
    channels: int,
    tiles: int,
    boxes: list[tuple[int, ...]],
    labelled: bool,
    rescale: float,
    box_dtype: type[np.generic],
) -> None:
    sizes = {"C": channels, "N": tiles, "H": 17, "W": 23}
    values = np.random.default_rng(tiles).integers(0, 256, [sizes[name] for name in order], np.uint8)
    corners = np.array(boxes, np.int64).reshape(-1, 4).astype(box_dtype)
    labels = [f"label {index}" for index in range(len(boxes))] if labelled else None
    expected = theirs(
        tmp_path_factory.mktemp("x"),
        lambda writer: writer.add_image_with_boxes(
            TAG, values, corners, 3, NOW, dataformats=order, labels=labels, rescale=rescale
        ),
    )
    options = {"labels": labels} if labels is not None else {}
    assert events(record(Kind.BOXES, values, corners, dataformats=order, rescale=rescale, **options)) == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float8_e5m2, torch.int64])
def test_numbers_are_rounded_and_clamped(dtype: torch.dtype) -> None:
    values = torch.tensor([-1.0, 0.0, 0.25, 0.5, 1.0, 3.0]).to(dtype).reshape(2, 3)
    (event,) = events(record(Kind.BOXES, values, np.zeros((0, 4)), dataformats="HW"))
    expected = (values.float() * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    np.testing.assert_array_equal(pixels(event.summary.value[0].image.encoded_image_string)[..., 0], expected)


def test_a_nan_is_black_and_said() -> None:
    values = np.array([[np.nan, 1.0, np.inf]], np.float32)
    content = make_content(record(Kind.BOXES, values, np.zeros((0, 4)), dataformats="HW"))
    assert content.warning == "1 values are NaN, shown in black"
    (event,) = parsed(*content.events)
    assert pixels(event.summary.value[0].image.encoded_image_string)[0, :, 0].tolist() == [0, 255, 255]


def test_boxes_far_outside_are_drawn_outside() -> None:
    far = np.array([[-1e30, -1e30, 1e30, 1e30]])
    (event,) = events(record(Kind.BOXES, np.zeros((4, 5), np.uint8), far, dataformats="HW"))
    assert not pixels(event.summary.value[0].image.encoded_image_string).any()


PICTURE = np.zeros((3, 4, 5), np.uint8)
BOX = np.zeros((1, 4))


@pytest.mark.parametrize(
    ("picture", "boxes", "options", "message"),
    [
        (PICTURE, np.zeros(4), {}, r"boxes have shape \[4\], expected \[n, 4\]"),
        (PICTURE, np.full((1, 4), np.nan), {}, "boxes have a NaN"),
        (PICTURE, BOX, {"dataformats": "NTCHW"}, "dataformats is 'NTCHW', expected an order of the letters of CHW or"),
        (PICTURE, BOX, {"dataformats": "HW"}, r"picture has shape \[3, 4, 5\], expected 2 dimensions"),
        (PICTURE, BOX, {"labels": ["a", "b"]}, r"labels has 2 items, expected 1"),
        (PICTURE, BOX, {"labels": [5]}, r"labels\[0\] is 5, expected a string"),
        (PICTURE, BOX, {"labels": "a"}, "labels is 'a', expected a list"),
        (PICTURE, BOX, {"rescale": "big"}, "rescale is 'big', expected a finite number"),
        (PICTURE, BOX, {"rescale": -1}, "rescale is -1.0, expected more than 0"),
        (PICTURE, BOX, {"rescale": 1e6}, r"becomes 20,000,000,000,000 with rescale 1000000.0, limit"),
        (PICTURE, BOX, {"rescale": 0.1}, "has none left with rescale 0.1"),
        (PICTURE[:2], BOX, {}, "of 1, 3 or 4 channels"),
        (PICTURE[:, :0], BOX, {}, "expected at least one pixel"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    picture: np.ndarray, boxes: np.ndarray, options: dict[str, object], message: str
) -> None:
    with pytest.raises(SidelogError, match=message):
        make_content(record(Kind.BOXES, picture, boxes, **{"dataformats": "CHW", **options}))
