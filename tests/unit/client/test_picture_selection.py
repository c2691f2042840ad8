"""What of a tensor is copied and how it is to be drawn; every mistake names the call to use instead."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

from sidelog.grid import LazyGrid, make_grid
from sidelog.pictures import (
    GridArguments,
    Selection,
    select_feature_map,
    select_image,
    select_images,
    select_label_map,
)
from sidelog_shared.errors import ConfigError, SnapshotError
from sidelog_shared.recipe import Layout, Recipe

KINDS = ["torch", "numpy"]
NO_GRID = GridArguments()


def values(kind: str, *shape: int, dtype: str = "float32") -> Any:
    array = (np.arange(np.prod(shape, dtype=int)).reshape(shape) % 7).astype(dtype)
    return torch.from_numpy(array) if kind == "torch" else array


def image(value: object, dataformats: Any = "CHW", mean: object = None, std: object = None, **grid: Any) -> Selection:
    return select_image(value, dataformats, GridArguments(**grid), mean, std, "add_image 'x'")


def images(value: object, dataformats: Any = "NCHW", mean: object = None, std: object = None, **grid: Any) -> Selection:
    return select_images(value, dataformats, GridArguments(**grid), mean, std, "add_images 'x'")


def feature_map(value: object, sample: Any = 0, **grid: Any) -> Selection:
    return select_feature_map(value, sample, GridArguments(**grid), "add_feature_map 'x'")


def label_map(value: object, palette: Any = None, num_classes: Any = None, ignore_index: Any = None) -> Selection:
    return select_label_map(value, palette, num_classes, ignore_index, NO_GRID, "add_label_map 'x'")


def copied(selection: Selection) -> np.ndarray:
    """What the snapshot will hold."""
    return np.stack([np.asarray(array) for array in selection.arrays]).reshape(selection.shape)


def shares_memory(selection: Selection, value: Any) -> bool:
    return all(np.shares_memory(np.asarray(array), np.asarray(value)) for array in selection.arrays)


@pytest.mark.parametrize("kind", KINDS)
class TestImage:
    @pytest.mark.parametrize(
        ("shape", "dataformats"),
        [
            ((1, 4, 5), "CHW"),
            ((3, 4, 5), "CHW"),
            ((4, 4, 5), "chw"),
            ((4, 5, 3), "HWC"),
            ((4, 5), "HW"),
            ((5, 4), "WH"),
        ],
    )
    def test_one_picture_as_it_is(self, kind: str, shape: tuple[int, ...], dataformats: str) -> None:
        value = values(kind, *shape)
        selection = image(value, dataformats)
        assert selection.recipe == Recipe(Layout.IMAGE, dataformats=dataformats.upper())
        assert selection.shape == shape
        np.testing.assert_array_equal(copied(selection), value)
        assert shares_memory(selection, value)  # the copy is made later

    @pytest.mark.parametrize("dtype", ["uint8", "bool", "float16", "float64"])
    def test_types_that_have_a_brightness(self, kind: str, dtype: str) -> None:
        assert image(values(kind, 3, 4, 5, dtype=dtype)).recipe.layout is Layout.IMAGE

    def test_a_batch_with_a_grid_argument_is_a_grid(self, kind: str) -> None:
        value = values(kind, 6, 3, 4, 5)
        selection = image(value, nrow=3)
        assert selection.recipe == Recipe(Layout.GRID, nrow=3)
        assert selection.shape == (6, 3, 4, 5)
        np.testing.assert_array_equal(copied(selection), value)

    def test_a_batch_with_the_channels_last_is_turned(self, kind: str) -> None:
        value = values(kind, 6, 4, 5, 3)
        selection = image(value, "NHWC", padding=1)
        assert selection.shape == (6, 3, 4, 5)
        np.testing.assert_array_equal(copied(selection), np.asarray(value).transpose(0, 3, 1, 2))
        assert image(value, "HWC", padding=1).shape == (6, 3, 4, 5)

    def test_a_batch_with_dataformats_of_a_batch_is_tensorboardx_mosaic(self, kind: str) -> None:
        selection = image(values(kind, 6, 3, 4, 5), "NCHW")
        assert selection.recipe == Recipe(Layout.MOSAIC, dataformats="NCHW")

    @pytest.mark.parametrize(("shape", "tile"), [((4, 5), (1, 4, 5)), ((1, 4, 5), (1, 4, 5)), ((3, 4, 5), (3, 4, 5))])
    def test_a_list_is_a_grid(self, kind: str, shape: tuple[int, ...], tile: tuple[int, ...]) -> None:
        items = [values(kind, *shape) + index for index in range(3)]
        for given in (items, tuple(items)):
            selection = image(given, padding=20, normalize=True, scale_each=True, pad_value=1)
            assert selection.shape == (3, *tile)
            assert selection.recipe == Recipe(Layout.GRID, padding=20, normalize=True, scale_each=True, pad_value=1.0)
            np.testing.assert_array_equal(copied(selection).reshape(3, *shape), np.stack(items))

    def test_normalize_is_undone(self, kind: str) -> None:
        mean, std = [0.5, 0.25, 0.125], (1, 2, 3)
        for given in (mean, tuple(mean), np.array(mean), torch.tensor(mean), torch.tensor(mean).reshape(3, 1, 1),
                      np.array(mean).reshape(3, 1, 1)):  # fmt: skip
            recipe = image(values(kind, 3, 4, 5), mean=given, std=std).recipe
            assert (recipe.mean, recipe.std) == ((0.5, 0.25, 0.125), (1.0, 2.0, 3.0))
        one_for_all = image(values(kind, 3, 4, 5), mean=0.5, std=[2]).recipe
        assert (one_for_all.mean, one_for_all.std) == ((0.5, 0.5, 0.5), (2.0, 2.0, 2.0))
        one_std = image(values(kind, 3, 4, 5), mean=mean, std=2).recipe
        assert (one_std.mean, one_std.std) == (tuple(mean), (2.0, 2.0, 2.0))
        assert image(values(kind, 2, 3, 4, 5), "NCHW", mean=0.5, std=2).recipe.layout is Layout.MOSAIC

    def test_every_parameter_of_make_grid_by_its_own_name(self, kind: str) -> None:
        selection = image(
            values(kind, 2, 3, 4, 5), nrow=np.int64(5), padding=0, normalize=True, value_range=(-1, 1),
            scale_each=True, pad_value=0.5,
        )  # fmt: skip
        assert selection.recipe == Recipe(
            Layout.GRID, nrow=5, padding=0, normalize=True, value_range=(-1.0, 1.0), scale_each=True, pad_value=0.5
        )
        assert image(values(kind, 2, 3, 4, 5), range=[-1, 1]).recipe.value_range == (-1.0, 1.0)

    @pytest.mark.parametrize(
        ("shape", "dataformats", "message"),
        [
            (
                (20, 4, 5),
                "CHW",
                "has shape [20, 4, 5] with 20 channels, expected 1, 3 or 4: add_feature_map shows each ",
            ),
            ((4, 5, 3), "CHW", ""),
            ((7, 5, 3), "CHW", "with 7 channels, expected 1, 3 or 4: give dataformats='HWC' if the channels come last"),
            ((4, 5, 20), "HWC", "with 20 channels, expected 1, 3 or 4: add_feature_map"),
            ((4, 5), "CHW", "is float32 [4, 5], expected 3 dimensions (CHW): give dataformats='HW'"),
            ((3, 4, 5), "HW", "is float32 [3, 4, 5], expected 2 dimensions (HW)"),
            ((5,), "CHW", "is float32 [5], expected 3 dimensions (CHW)"),
            ((1, 1, 1, 1, 1), "CHW", "is float32 [1, 1, 1, 1, 1], expected 3 dimensions"),
            ((2, 3, 4, 5), "CHW", "a batch, expected one image CHW: use add_images, or say how to tile it (nrow=8)"),
            ((2, 3, 4, 5), "HW", "expected an order of NCHW as dataformats, got 'HW'"),
            ((2, 20, 4, 5), "NCHW", "with 20 channels, expected 1, 3 or 4: add_feature_map"),
            ((3, 0, 5), "CHW", "is float32 [3, 0, 5], which is empty, expected at least one value"),
            ((0,), "CHW", "is float32 [0], which is empty"),
        ],
    )
    def test_shapes_that_are_no_picture(
        self, kind: str, shape: tuple[int, ...], dataformats: str, message: str
    ) -> None:
        if not message:  # 4 channels: nothing is guessed
            image(values(kind, *shape), dataformats)
            return
        with pytest.raises(SnapshotError, match="^add_image 'x' .*" + re.escape(message)):
            image(values(kind, *shape), dataformats)

    def test_a_batch_of_a_grid_with_many_channels(self, kind: str) -> None:
        with pytest.raises(SnapshotError, match="with 20 channels, expected 1, 3 or 4: add_feature_map"):
            image(values(kind, 2, 20, 4, 5), nrow=2)

    @pytest.mark.parametrize("dtype", ["int64", "int32", "int16", "int8", "uint16"])
    def test_integers_have_no_brightness(self, kind: str, dtype: str) -> None:
        value = values(kind, 1, 4, 5, dtype=dtype)
        message = (
            rf"add_image 'x' is {dtype} \[1, 4, 5\] without normalize=True, which has no brightness: use add_label_map "
            r"for classes, \.to\(uint8\) for pixels 0\.\.255, or normalize=True"
        )
        with pytest.raises(SnapshotError, match=message):
            image(value)
        assert image(value, normalize=True).recipe.normalize

    @pytest.mark.parametrize(
        ("items", "message"),
        [
            ([(1, 3, 4, 5)], "add_image 'x'[0] is float32 [1, 3, 4, 5], a batch, expected [H, W] or [C, H, W]: log "
                             "one sample of it, f[0]"),
            ([(3,)], "add_image 'x'[0] is float32 [3], expected [H, W] or [C, H, W]"),
            ([(3, 4), (3, 5)], "add_image 'x'[1] is float32 [3, 5], expected float32 [3, 4] as add_image 'x'[0]"),
            ([(3, 4), (1, 3, 4)], "add_image 'x'[1] is float32 [1, 3, 4], expected float32 [3, 4]"),
            ([(2, 3, 4)], "add_image 'x' has shape [1, 2, 3, 4] with 2 channels, expected 1, 3 or 4: add_feature_map"),
            ([(3, 0)], "add_image 'x' is float32 [3, 0], which is empty"),
        ],
    )  # fmt: skip
    def test_lists_that_are_no_grid(self, kind: str, items: list[tuple[int, ...]], message: str) -> None:
        with pytest.raises(SnapshotError, match=re.escape(message)):
            image([values(kind, *shape) for shape in items])

    def test_lists_of_other_things(self, kind: str) -> None:
        other = values("numpy" if kind == "torch" else "torch", 4, 5)
        with pytest.raises(SnapshotError, match=r"'x'\[1\] is float32 \[4, 5\], expected"):
            image([values(kind, 4, 5), other])
        with pytest.raises(SnapshotError, match=r"'x'\[1\] is uint8 \[4, 5\], expected float32 \[4, 5\]"):
            image([values(kind, 4, 5), values(kind, 4, 5, dtype="uint8")])
        with pytest.raises(SnapshotError, match=r"'x'\[1\] is str, expected"):
            image([values(kind, 4, 5), "text"])
        with pytest.raises(SnapshotError, match=r"without normalize=True, which has no brightness"):
            image([values(kind, 4, 5, dtype="int64")])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"dataformats": None}, "add_image 'x': dataformats is None, expected a string such as 'CHW'"),
            ({"dataformats": "CWX"}, "add_image 'x': dataformats is 'CWX', expected an order of CHW or of HW"),
            ({"dataformats": "CCHW"}, "add_image 'x': dataformats is 'CCHW', expected an order"),
            ({"nrow": 0}, "add_image 'x': nrow is 0, expected at least 1"),
            ({"nrow": 2.5}, "nrow is 2.5, expected an integer"),
            ({"nrow": "5"}, "nrow is '5', expected an integer"),
            ({"nrow": 2**70}, "nrow is 1180591620717411303424, expected a 64-bit integer"),
            ({"padding": -1}, "padding is -1, expected 0 to 4096"),
            ({"padding": [1]}, "padding is [1], expected an integer"),
            ({"pad_value": "black"}, "pad_value is 'black', expected a number"),
            ({"pad_value": float("inf")}, "pad_value is inf, expected a finite number"),
            ({"value_range": 3}, "value_range is 3, expected (low, high)"),
            ({"value_range": (0, 1, 2)}, "value_range is (0, 1, 2), expected (low, high)"),
            ({"value_range": (1, 0)}, "value_range is (1.0, 0.0), expected finite (low, high) with low <= high"),
            ({"value_range": (0, 1), "range": (0, 1)}, "range and value_range are both given, expected one"),
            ({"mean": 1}, "mean is given without std"),
            ({"std": [1]}, "std is given without mean"),
            ({"mean": "a", "std": 1}, "mean is 'a', expected a number per channel"),
            ({"mean": [], "std": 1}, "mean is [], expected a number per channel"),
            ({"mean": [[1, 2], [3, 4]], "std": 1}, "mean is [[1, 2], [3, 4]], expected a number per channel"),
            ({"mean": [None], "std": [1]}, "expected finite numbers"),
            ({"mean": [1, 2, 3], "std": [1, 2]}, "mean has 3 values and std 2"),
        ],
    )
    def test_arguments_that_cannot_be(self, kind: str, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigError, match=re.escape(message)):
            image(values(kind, 3, 4, 5), **arguments)

    def test_a_mean_for_other_channels(self, kind: str) -> None:
        message = "has 3 channels and mean has 2 values, expected one per channel"
        with pytest.raises(SnapshotError, match=message):
            image(values(kind, 3, 4, 5), mean=[1, 2], std=[1, 2])
        with pytest.raises(SnapshotError, match="has 1 channels and mean has 3 values"):
            image(values(kind, 4, 5), "HW", mean=[1, 2, 3], std=[1, 2, 3])


@pytest.mark.parametrize("kind", KINDS)
class TestImages:
    @pytest.mark.parametrize(
        ("shape", "dataformats"), [((2, 3, 4, 5), "NCHW"), ((2, 4, 5, 1), "nhwc"), ((2, 4, 5), "NHW")]
    )
    def test_a_mosaic_as_it_is(self, kind: str, shape: tuple[int, ...], dataformats: str) -> None:
        value = values(kind, *shape)
        selection = images(value, dataformats)
        assert selection.recipe == Recipe(Layout.MOSAIC, dataformats=dataformats.upper())
        assert selection.shape == shape
        assert shares_memory(selection, value)
        np.testing.assert_array_equal(copied(selection), value)

    @pytest.mark.parametrize(
        ("shape", "dataformats", "expected"),
        [
            ((3, 4, 5), "NCHW", "NCHW"),
            ((3, 4, 5), "CHW", "NCHW"),
            ((4, 5, 3), "HWC", "NHWC"),
            ((4, 5, 3), "NHWC", "NHWC"),
            ((4, 5), "NCHW", "NHW"),
            ((4, 5), "HW", "NHW"),
        ],
    )
    @pytest.mark.parametrize("count", [1, 3])
    def test_a_list(self, kind: str, count: int, shape: tuple[int, ...], dataformats: str, expected: str) -> None:
        items = [values(kind, *shape) + index for index in range(count)]
        selection = images(items, dataformats)
        assert selection.recipe == Recipe(Layout.MOSAIC, dataformats=expected)
        assert selection.shape == (count, *shape)
        np.testing.assert_array_equal(copied(selection), np.stack(items))

    @pytest.mark.parametrize(
        ("shape", "dataformats", "order"),
        [((3, 4, 5), "CHW", (0, 1, 2)), ((4, 5, 3), "HWC", (2, 0, 1)), ((4, 5), "HW", None), ((4, 5), "NCHW", None)],
    )
    @pytest.mark.parametrize("count", [1, 3])
    def test_a_list_with_a_grid_argument_is_a_grid(
        self, kind: str, count: int, shape: tuple[int, ...], dataformats: str, order: Any
    ) -> None:
        items = [values(kind, *shape) + index for index in range(count)]
        tiles = [np.asarray(item)[None] if order is None else np.asarray(item).transpose(order) for item in items]
        selection = images(items, dataformats, nrow=2)
        assert selection.recipe == Recipe(Layout.GRID, nrow=2)
        np.testing.assert_array_equal(copied(selection), np.stack(tiles))

    def test_a_batch_with_a_grid_argument_is_a_grid(self, kind: str) -> None:
        value = values(kind, 2, 4, 5, 3)
        selection = images(value, "NHWC", padding=0)
        np.testing.assert_array_equal(copied(selection), np.asarray(value).transpose(0, 3, 1, 2))
        grey = values(kind, 2, 4, 5)
        assert images(grey, "NHW", padding=0).shape == (2, 1, 4, 5)

    @pytest.mark.parametrize(
        ("value", "dataformats", "message"),
        [
            (
                (3, 4, 5),
                "NCHW",
                "add_images 'x' has shape [3, 4, 5] with dataformats 'NCHW', expected one letter of N, C",
            ),
            ((2, 3, 4, 5), "NCHX", "expected one letter of N, C, H, W per dimension, such as 'NCHW'"),
            ((2, 3, 4, 5), "CHW", "expected one letter"),
            ((2, 20, 4, 5), "NCHW", "with 20 channels, expected 1, 3 or 4: add_feature_map"),
            ((0, 3, 4, 5), "NCHW", "is float32 [0, 3, 4, 5], which is empty"),
            ([(3, 4, 5), (3, 4, 6)], "NCHW", "add_images 'x'[1] is float32 [3, 4, 6], expected float32 [3, 4, 5]"),
            ([(3, 0, 5)], "CHW", "is float32 [3, 0, 5], which is empty"),
            ([(3, 4, 5)], "HWCN", "is a list with dataformats 'HWCN', expected those of one picture"),
            ([(2, 3, 4, 5)], "NCHW", "has shape [1, 2, 3, 4, 5] with dataformats"),
        ],
    )
    def test_what_is_no_batch(self, kind: str, value: Any, dataformats: str, message: str) -> None:
        given = [values(kind, *item) for item in value] if isinstance(value, list) else values(kind, *value)
        with pytest.raises(SnapshotError, match=re.escape(message)):
            images(given, dataformats)

    def test_integers_have_no_brightness(self, kind: str) -> None:
        with pytest.raises(SnapshotError, match="has no brightness"):
            images(values(kind, 2, 1, 4, 5, dtype="int64"))

    def test_dataformats_that_are_none(self, kind: str) -> None:
        with pytest.raises(ConfigError, match="dataformats is None, expected a string"):
            images(values(kind, 2, 1, 4, 5), None)


@pytest.mark.parametrize("kind", KINDS)
class TestFeatureMap:
    def test_one_sample_alone_is_copied(self, kind: str) -> None:
        value = values(kind, 16, 20, 4, 5)
        for sample, index in ((0, 0), (3, 3), (-1, 15), (np.int64(2), 2)):
            selection = feature_map(value, sample)
            assert selection.shape == (20, 1, 4, 5)
            assert selection.recipe == Recipe(Layout.GRID, normalize=True, source=f"sample {index} of 16")
            np.testing.assert_array_equal(copied(selection)[:, 0], value[index])
            assert sum(np.asarray(array).nbytes for array in selection.arrays) == 20 * 4 * 5 * 4
            assert shares_memory(selection, value)

    @pytest.mark.parametrize("channels", [1, 3, 4, 20])
    def test_every_channel_is_a_tile_however_many(self, kind: str, channels: int) -> None:
        selection = feature_map(values(kind, channels, 4, 5))
        assert selection.shape == (channels, 1, 4, 5)
        assert selection.recipe == Recipe(Layout.GRID, normalize=True)

    def test_grid_arguments(self, kind: str) -> None:
        recipe = feature_map(values(kind, 2, 4, 5), nrow=5, padding=20, normalize=False, pad_value=1).recipe
        assert recipe == Recipe(Layout.GRID, nrow=5, padding=20, pad_value=1.0)

    def test_a_list_of_single_channels(self, kind: str) -> None:
        for shape in ((4, 5), (1, 4, 5)):
            selection = feature_map([values(kind, *shape)] * 3)
            assert selection.shape == (3, 1, 4, 5)
        with pytest.raises(SnapshotError, match=r"is a list of float32 \[3, 4, 5\], expected single-channel maps"):
            feature_map([values(kind, 3, 4, 5)])

    @pytest.mark.parametrize("sample", [16, -17, 1000])
    def test_a_sample_that_is_not_there(self, kind: str, sample: int) -> None:
        with pytest.raises(SnapshotError, match=f"sample is {sample}, expected an integer in 0..15"):
            feature_map(values(kind, 16, 2, 4, 5), sample)

    def test_a_sample_that_is_no_integer(self, kind: str) -> None:
        with pytest.raises(ConfigError, match=r"sample is 1\.5, expected an integer"):
            feature_map(values(kind, 16, 2, 4, 5), 1.5)

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((4, 5), "is float32 [4, 5], expected [C, H, W] or [B, C, H, W]: for one map use add_image(..., "
                     "dataformats='HW')"),
            ((4,), "is float32 [4], expected [C, H, W] or [B, C, H, W]"),
            ((1, 1, 1, 4, 5), "is float32 [1, 1, 1, 4, 5], expected [C, H, W] or [B, C, H, W]"),
            ((0, 4, 5), "is float32 [0, 4, 5], which is empty"),
        ],
    )  # fmt: skip
    def test_shapes_that_are_no_feature_map(self, kind: str, shape: tuple[int, ...], message: str) -> None:
        with pytest.raises(SnapshotError, match=re.escape("add_feature_map 'x' " + message)):
            feature_map(values(kind, *shape))

    def test_integers_are_normalized_unless_told_otherwise(self, kind: str) -> None:
        assert feature_map(values(kind, 2, 4, 5, dtype="int64")).recipe.normalize
        with pytest.raises(SnapshotError, match="has no brightness"):
            feature_map(values(kind, 2, 4, 5, dtype="int64"), normalize=False)


@pytest.mark.parametrize("kind", KINDS)
class TestLabelMap:
    @pytest.mark.parametrize(
        ("shape", "expected"),
        [((4, 5), (1, 4, 5)), ((1, 4, 5), (1, 4, 5)), ((6, 4, 5), (6, 4, 5)), ((6, 1, 4, 5), (6, 4, 5))],
    )
    @pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
    def test_maps_and_batches(self, kind: str, shape: tuple[int, ...], expected: tuple[int, ...], dtype: str) -> None:
        value = values(kind, *shape, dtype=dtype)
        selection = label_map(value)
        assert selection.shape == expected
        assert selection.recipe.layout is Layout.LABELS
        np.testing.assert_array_equal(copied(selection), np.asarray(value).reshape(expected))

    def test_colors(self, kind: str) -> None:
        colors = [(0, 0, 0), (255, 128, 1)]
        value = values(kind, 4, 5, dtype="int64")
        for palette in (colors, np.array(colors, np.uint8), torch.tensor(colors), tuple(map(list, colors))):
            recipe = label_map(value, palette, 2, 255).recipe
            assert (recipe.palette, recipe.num_classes, recipe.ignore_index) == (tuple(colors), 2, 255)

    @pytest.mark.parametrize("dtype", ["float32", "float16"])
    def test_scores_are_no_classes(self, kind: str, dtype: str) -> None:
        with pytest.raises(
            SnapshotError, match=rf"is {dtype} \[4, 5\], expected integer classes: .*scores.argmax\(0\)"
        ):
            label_map(values(kind, 4, 5, dtype=dtype))

    @pytest.mark.parametrize("shape", [(4,), (2, 3, 4, 5), (1, 1, 1, 4, 5)])
    def test_shapes_that_are_no_label_map(self, kind: str, shape: tuple[int, ...]) -> None:
        with pytest.raises(SnapshotError, match=r"expected \[H, W\], \[1, H, W\] or a batch \[N, H, W\]"):
            label_map(values(kind, *shape, dtype="int64"))

    def test_an_empty_one(self, kind: str) -> None:
        with pytest.raises(SnapshotError, match=r"is int64 \[0, 5\], which is empty"):
            label_map(values(kind, 0, 5, dtype="int64"))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("red",), "palette is 'red', expected a list of (red, green, blue), each 0 to 255"),
            (([(1, 2)],), "palette is [(1, 2)], expected a list of (red, green, blue)"),
            (([(1, 2, 3), (1,)],), "expected a list of (red, green, blue)"),
            (([(0.5, 0.5, 0.5)],), "expected a list of (red, green, blue)"),
            (([(0, 0, 256)],), "palette[0] is (0, 0, 256), expected (red, green, blue), each 0 to 255"),
            ((None, 0), "num_classes is 0, expected at least 1"),
            ((None, 2.5), "num_classes is 2.5, expected an integer"),
            ((None, 2**70), "expected a 64-bit integer"),
            ((None, None, "void"), "ignore_index is 'void', expected an integer"),
        ],
    )
    def test_arguments_that_cannot_be(self, kind: str, arguments: tuple[Any, ...], message: str) -> None:
        with pytest.raises(ConfigError, match=re.escape(message)):
            label_map(values(kind, 4, 5, dtype="int64"), *arguments)


class TestLazyGrids:
    def lazy(self, *shape: int, **arguments: Any) -> LazyGrid:
        grid = make_grid(values("torch", *shape), **arguments)
        assert isinstance(grid, LazyGrid)
        return grid

    def test_the_source_and_its_recipe_are_taken(self) -> None:
        grid = self.lazy(6, 1, 4, 5, nrow=3, normalize=True)
        selection = image(grid)
        assert selection.owned
        assert selection.shape == (6, 1, 4, 5)
        assert selection.recipe == Recipe(Layout.GRID, nrow=3, normalize=True)
        assert not grid.is_drawn

    @pytest.mark.parametrize("arguments", [{"nrow": 3}, {"mean": 0.5, "std": 1}])
    def test_the_arguments_belong_into_make_grid(self, arguments: dict[str, Any]) -> None:
        with pytest.raises(ConfigError, match=r"add_image 'x': \w+.* given with a grid, expected them in make_grid"):
            image(self.lazy(6, 1, 4, 5), **arguments)

    def test_one_of_many_channels_is_refused(self) -> None:
        with pytest.raises(SnapshotError, match=r"has shape \[6, 20, 4, 5\] with 20 channels.*add_feature_map"):
            image(self.lazy(6, 20, 4, 5))

    def test_one_of_a_type_without_a_wire_format_is_refused(self) -> None:
        grid = make_grid(torch.ones(2, 3, 4, 4, dtype=torch.complex64))
        with pytest.raises(SnapshotError, match=r"add_image 'x' has dtype torch\.complex64"):
            image(grid)

    def test_one_that_was_changed_is_its_pixels(self) -> None:
        grid = self.lazy(6, 1, 4, 5)
        grid.mul_(0.5)
        selection = image(grid)
        assert not selection.owned
        assert selection.recipe == Recipe(Layout.IMAGE, dataformats="CHW")
        assert torch.equal(selection.arrays[0], grid.clone())  # type: ignore[arg-type]
        assert type(selection.arrays[0]) is torch.Tensor

    def test_elsewhere_it_is_its_pixels(self) -> None:
        grid = self.lazy(6, 1, 4, 5)
        assert feature_map(grid).shape == (3, 1, *grid.shape[1:])
        assert images([self.lazy(6, 1, 4, 5), self.lazy(6, 1, 4, 5)]).shape == (2, *grid.shape)
        assert image([self.lazy(6, 1, 4, 5)]).shape == (1, *grid.shape)


def test_an_empty_list_and_things_that_are_no_pictures() -> None:
    with pytest.raises(SnapshotError, match=r"add_image 'x' is float64 \[0\], which is empty"):
        image([])
    for select in (image, images, feature_map, label_map):
        with pytest.raises(SnapshotError, match="'x' is NoneType, expected a torch tensor, a numpy array or a list"):
            select(None)


def test_nested_lists_of_numbers_are_arrays() -> None:
    selection = image([[0.0, 0.5], [1.0, 0.0]], "HW")
    assert selection.shape == (2, 2)
    assert label_map([[0, 1], [2, 3]]).shape == (1, 2, 2)


def test_tensors_that_need_grad_and_views_of_every_kind() -> None:
    base = torch.rand(3, 8, 10, requires_grad=True)
    for value in (base, base[:, ::2], base.transpose(1, 2), base.flip(1), base[:1].expand(3, 8, 10)):
        selection = image(value)
        np.testing.assert_array_equal(np.asarray(selection.arrays[0].detach()), value.detach().numpy())  # type: ignore[union-attr]
