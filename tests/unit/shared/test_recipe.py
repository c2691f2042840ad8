"""The recipe of a picture: what is written is what is read, and each refusal says what, got and expected."""

from __future__ import annotations

import json
from itertools import permutations

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidelog_shared.errors import MalformedHeader
from sidelog_shared.recipe import Format, Layout, Recipe

numbers = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def recipes(draw: st.DrawFn) -> Recipe:
    layout = draw(st.sampled_from(Layout))
    letters = {Layout.IMAGE: ["HW", "CHW"], Layout.MOSAIC: ["NCHW", "NHW"]}.get(layout, [""])
    dataformats = [order for name in letters for order in map("".join, permutations(name))]
    channels = draw(st.integers(1, 4))
    undo = draw(st.booleans())
    value_range = draw(st.none() | st.tuples(numbers, numbers))
    return Recipe(
        layout,
        dataformats=draw(st.sampled_from(dataformats)),
        nrow=draw(st.integers(1, 10_000)),
        padding=draw(st.integers(0, 4096)),
        normalize=draw(st.booleans()),
        value_range=None if value_range is None else (min(value_range), max(value_range)),
        scale_each=draw(st.booleans()),
        pad_value=draw(numbers),
        mean=tuple(draw(st.lists(numbers, min_size=channels, max_size=channels))) if undo else None,
        std=tuple(draw(st.lists(numbers, min_size=channels, max_size=channels))) if undo else None,
        palette=draw(st.none() | st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=9).map(tuple)),
        num_classes=draw(st.none() | st.integers(1, 99)),
        ignore_index=draw(st.none() | st.integers(-255, 255)),
        source=draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
        format=Format.PNG if layout is Layout.LABELS else draw(st.sampled_from(Format)),
        quality=draw(st.integers(1, 100)),
    )


@given(recipes())
def test_comes_back_from_the_wire_and_from_a_picture(recipe: Recipe) -> None:
    chosen = recipe.to_map()
    assert Recipe.from_map(msgpack.unpackb(msgpack.packb(chosen))) == recipe
    assert Recipe.from_map(json.loads(json.dumps(chosen))) == recipe


def test_says_only_what_differs_from_the_defaults() -> None:
    assert Recipe(Layout.GRID).to_map() == {"layout": "grid"}
    assert Recipe(Layout.IMAGE, "CHW", nrow=5).to_map() == {"layout": "image", "dataformats": "CHW", "nrow": 5}


def test_ignores_names_that_it_does_not_know_and_none() -> None:
    assert Recipe.from_map({"layout": "grid", "glow": 3, "nrow": None}) == Recipe(Layout.GRID)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"nrow": 0}, "nrow is 0, expected at least 1 tile per row"),
        ({"padding": -1}, "padding is -1, expected 0 to 4096 pixels"),
        ({"padding": 5000}, "padding is 5000, expected 0 to 4096 pixels"),
        ({"pad_value": float("nan")}, "pad_value is nan, expected a finite number"),
        ({"value_range": (1.0, 0.0)}, "value_range is (1.0, 0.0), expected finite (low, high) with low <= high"),
        ({"value_range": (0.0, float("inf"))}, "expected finite (low, high) with low <= high"),
        ({"mean": (0.5,)}, "mean is given without std, expected both: x * std + mean undoes Normalize"),
        ({"std": (0.5,)}, "std is given without mean, expected both"),
        ({"mean": (0.5,), "std": (1.0, 1.0)}, "mean has 1 values and std 2, expected one per channel"),
        ({"mean": (), "std": ()}, "mean has 0 values and std 0, expected one per channel"),
        ({"mean": (float("nan"),), "std": (1.0,)}, "expected finite numbers"),
        ({"palette": ()}, "palette has 0 colors, expected 1 to 4096"),
        ({"palette": ((0, 0, 256),)}, "palette[0] is (0, 0, 256), expected (red, green, blue), each 0 to 255"),
        ({"num_classes": 0}, "num_classes is 0, expected at least 1"),
        ({"quality": 0}, "quality is 0, expected 1 to 100"),
        ({"quality": 101}, "quality is 101, expected 1 to 100"),
        ({"layout": "labels", "format": Format.JPEG}, "format is 'jpeg' for labels, expected 'png'"),
        ({"dataformats": "CHW"}, "dataformats is 'CHW', expected none for layout 'grid'"),
        ({"layout": "image"}, "dataformats is '', expected an order of the letters of CHW or HW"),
        ({"layout": "image", "dataformats": "NCHW"}, "is 'NCHW', expected an order of the letters of CHW or HW"),
        ({"layout": "mosaic", "dataformats": "CHW"}, "is 'CHW', expected an order of the letters of NCHW or NHW"),
    ],
)
def test_refuses_what_no_picture_can_be_made_with(chosen: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        Recipe(
            **{"layout": Layout.GRID} | chosen | ({"layout": Layout(chosen["layout"])} if "layout" in chosen else {})
        )  # type: ignore[arg-type]
    assert message in str(caught.value)
    with pytest.raises(MalformedHeader) as refused:
        Recipe.from_map({"layout": "grid"} | chosen)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (7, "recipe is int, expected a map"),
        ({}, "recipe.layout is None, expected one of ['image', 'mosaic', 'grid', 'labels']"),
        ({"layout": "hexagon"}, "recipe.layout is 'hexagon', expected one of"),
        ({"nrow": "8"}, "recipe.nrow is '8': expected an integer, got str"),
        ({"nrow": True}, "recipe.nrow is True: expected an integer, got bool"),
        ({"normalize": 1}, "recipe.normalize is 1: expected true or false, got int"),
        ({"pad_value": "1"}, "recipe.pad_value is '1': expected a number, got str"),
        ({"value_range": 3}, "recipe.value_range is 3: expected a list, got int"),
        ({"value_range": [1]}, "recipe.value_range is [1]: "),
        ({"mean": [None]}, "recipe.mean is [None]: expected a number, got NoneType"),
        ({"palette": [[1, 2]]}, "recipe.palette is [[1, 2]]: "),
        ({"palette": [[1, 2, 0.5]]}, "recipe.palette is [[1, 2, 0.5]]: expected an integer, got float"),
        ({"source": 5}, "recipe.source is 5: expected a string, got int"),
        ({"format": 5}, "recipe.format is 5: expected a string, got int"),
        ({"format": "webp"}, "recipe.format is 'webp': expected one of ['png', 'jpeg']"),
        ({"quality": 90.5}, "recipe.quality is 90.5: expected an integer, got float"),
        ({"quality": True}, "recipe.quality is True: expected an integer, got bool"),
    ],
)
def test_refuses_what_is_of_another_type_on_the_wire(chosen: object, message: str) -> None:
    if isinstance(chosen, dict) and chosen:
        chosen = {"layout": "grid"} | chosen
    with pytest.raises(MalformedHeader) as caught:
        Recipe.from_map(chosen)
    assert message in str(caught.value)
