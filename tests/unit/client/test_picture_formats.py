"""PNG or JPEG, as a call says: what reaches the recipe, what is refused at the call, and that plans tell them apart."""

from __future__ import annotations

import inspect
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quiet_writers import Quiet, quiet_writer

import sidelog
from sidelog_shared.errors import ConfigError, SidelogError, SnapshotError
from sidelog_shared.recipe import Recipe

CALLS = ("add_image", "add_images", "add_feature_map")


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Quiet:
    return quiet_writer(monkeypatch, tmp_path)


def value_for(method: str) -> torch.Tensor:
    return torch.rand(2, 3, 4, 5) if method == "add_images" else torch.rand(3, 4, 5)


def recipe(quiet: Quiet, method: str = "add_image", value: object = None, **arguments: Any) -> dict[str, Any]:
    """The recipe of a call, as it stands on the wire."""
    getattr(quiet.writer, method)("tag", value_for(method) if value is None else value, 1, **arguments)
    chosen: Any = quiet.shown()[2]["recipe"]
    return dict(chosen)


@pytest.mark.parametrize("method", CALLS)
class TestEveryPictureCall:
    def test_is_a_png_unless_said(self, method: str, quiet: Quiet) -> None:
        silent = recipe(quiet, method)
        assert not silent.keys() & {"format", "quality"}
        assert recipe(quiet, method, format="png") == silent

    def test_takes_a_format_and_its_quality(self, method: str, quiet: Quiet) -> None:
        silent = recipe(quiet, method)
        assert recipe(quiet, method, format="jpeg") == {**silent, "format": "jpeg"}
        assert recipe(quiet, method, format="jpeg", quality=40) == {**silent, "format": "jpeg", "quality": 40}
        assert Recipe.from_map(recipe(quiet, method, format="jpeg")).quality == 90

    @pytest.mark.parametrize("quality", [np.int64(40), np.uint8(40), torch.tensor(40)])
    def test_takes_integers_of_every_kind_as_pythons(self, method: str, quality: Any, quiet: Quiet) -> None:
        assert type(recipe(quiet, method, format="jpeg", quality=quality)["quality"]) is int

    @pytest.mark.parametrize("quality", [1, 100])
    def test_takes_the_ends_of_the_scale(self, method: str, quality: int, quiet: Quiet) -> None:
        assert recipe(quiet, method, format="jpeg", quality=quality)["quality"] == quality

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"format": "webp"}, "format is 'webp', expected 'png' or 'jpeg'"),
            ({"format": "JPEG"}, "format is 'JPEG', expected 'png' or 'jpeg'"),
            ({"format": "jpg"}, "format is 'jpg', expected 'png' or 'jpeg'"),
            ({"format": ""}, "format is '', expected 'png' or 'jpeg'"),
            ({"format": 1}, "format is 1, expected 'png' or 'jpeg'"),
            ({"format": ["jpeg"]}, "format is ['jpeg'], expected 'png' or 'jpeg'"),
            ({"format": np.array(["png", "jpeg"])}, "expected 'png' or 'jpeg'"),
            ({"format": "jpeg", "quality": 0}, "quality is 0, expected an integer from 1 to 100"),
            ({"format": "jpeg", "quality": 101}, "quality is 101, expected an integer from 1 to 100"),
            ({"format": "jpeg", "quality": -5}, "quality is -5, expected an integer from 1 to 100"),
            ({"format": "jpeg", "quality": 2**70}, "expected an integer from 1 to 100"),
            ({"format": "jpeg", "quality": 90.0}, "quality is 90.0, expected an integer from 1 to 100"),
            ({"format": "jpeg", "quality": 0.9}, "quality is 0.9, expected an integer from 1 to 100"),
            ({"format": "jpeg", "quality": True}, "quality is True, expected an integer from 1 to 100"),
            ({"format": "jpeg", "quality": np.float32(90)}, "expected an integer from 1 to 100"),
            ({"format": "jpeg", "quality": "90"}, "quality is '90', expected an integer from 1 to 100"),
            ({"format": "jpeg", "quality": [90]}, "quality is [90], expected an integer from 1 to 100"),
            (
                {"format": "png", "quality": 90},
                "quality is 90 of a PNG, which keeps every pixel, expected format='jpeg'",
            ),
            ({"quality": 90}, "quality is 90 of a PNG, which keeps every pixel, expected format='jpeg'"),
        ],
    )
    def test_refuses_what_cannot_be_at_the_call(
        self, method: str, arguments: dict[str, Any], message: str, quiet: Quiet
    ) -> None:
        for _ in range(2):
            with pytest.raises(ConfigError) as caught:
                getattr(quiet.writer, method)("tag", value_for(method), 1, **arguments)
            assert str(caught.value).startswith(f"{method} 'tag': ")
            assert message in str(caught.value)
        assert quiet.outbox.picture_count == 0

    def test_knows_a_call_like_the_last_by_both(self, method: str, quiet: Quiet) -> None:
        given: list[dict[str, Any]] = [{}, {"format": "jpeg"}, {"format": "jpeg", "quality": 40}, {"format": "png"}]
        value = value_for(method)
        expected = [{}, {"format": "jpeg"}, {"format": "jpeg", "quality": 40}, {}]
        for _ in range(2):
            chosen = [recipe(quiet, method, value, **arguments) for arguments in given]
            found = [{name: one[name] for name in ("format", "quality") if name in one} for one in chosen]
            assert found == expected

    def test_has_them_behind_the_originals_arguments_and_by_name_alone(self, method: str, quiet: Quiet) -> None:
        parameters = inspect.signature(getattr(sidelog.SummaryWriter, method)).parameters
        for name in ("format", "quality"):
            assert parameters[name].kind is inspect.Parameter.KEYWORD_ONLY
            assert parameters[name].default is None


class TestFourChannels:
    @pytest.mark.parametrize(
        ("method", "value", "arguments"),
        [
            ("add_image", torch.rand(4, 5, 6), {}),
            ("add_image", torch.rand(5, 6, 4), {"dataformats": "HWC"}),
            ("add_image", torch.rand(2, 4, 5, 6), {"nrow": 2}),
            ("add_image", torch.rand(2, 4, 5, 6), {"dataformats": "NCHW"}),
            ("add_image", [torch.rand(4, 5, 6)] * 2, {}),
            ("add_image", sidelog.make_grid(torch.rand(2, 4, 5, 6)), {}),
            ("add_images", torch.rand(2, 5, 6, 4), {"dataformats": "NHWC"}),
            ("add_images", torch.rand(2, 5, 6, 4), {"dataformats": "NHWC", "padding": 1}),
        ],
    )
    def test_are_refused_as_jpeg_and_no_other_way(
        self, method: str, value: Any, arguments: dict[str, Any], quiet: Quiet
    ) -> None:
        with pytest.raises(
            SnapshotError, match="with 4 channels, expected 1 or 3 for format='jpeg', which has no alpha"
        ):
            getattr(quiet.writer, method)("tag", value, 1, format="jpeg", **arguments)
        assert quiet.outbox.picture_count == 0
        assert "format" not in recipe(quiet, method, value, format="png", **arguments)

    @pytest.mark.parametrize(
        ("value", "arguments"),
        [
            (torch.rand(4, 4, 3), {"dataformats": "HWC"}),
            (torch.rand(4, 4), {"dataformats": "HW"}),
            (torch.rand(1, 4, 4), {}),
            (torch.rand(4, 3, 4, 4), {"nrow": 4}),
            ([torch.rand(4, 4)] * 4, {}),
        ],
    )
    def test_are_counted_where_channels_are(self, value: Any, arguments: dict[str, Any], quiet: Quiet) -> None:
        assert recipe(quiet, "add_image", value, format="jpeg", **arguments)["format"] == "jpeg"

    def test_of_a_feature_map_are_tiles(self, quiet: Quiet) -> None:
        assert recipe(quiet, "add_feature_map", torch.rand(4, 5, 6), format="jpeg")["format"] == "jpeg"


def test_a_lazy_grid_takes_a_format(quiet: Quiet) -> None:
    grid = sidelog.make_grid(torch.rand(5, 3, 4, 4), nrow=3)
    assert recipe(quiet, value=grid, format="jpeg", quality=80) == {
        "layout": "grid",
        "nrow": 3,
        "format": "jpeg",
        "quality": 80,
    }
    assert recipe(quiet, value=grid) == {"layout": "grid", "nrow": 3}  # the grid itself is as it was


def test_a_format_may_be_of_another_kind_of_string(quiet: Quiet) -> None:
    class Chosen(str, Enum):
        SMALL = "jpeg"

    for name in (np.str_("jpeg"), Chosen.SMALL):
        assert type(recipe(quiet, format=name)["format"]) is str


@pytest.mark.parametrize("arguments", [{"format": "jpeg"}, {"quality": 90}])
def test_a_label_map_has_no_format(arguments: dict[str, Any], quiet: Quiet) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        quiet.writer.add_label_map("tag", torch.zeros(4, 5, dtype=torch.int64), 1, **arguments)


def test_a_bad_tag_is_told_of_before_a_bad_format(quiet: Quiet) -> None:
    with pytest.raises((ValueError, SidelogError), match="tag is the empty string"):
        quiet.writer.add_image("", torch.rand(3, 4, 5), format="webp")  # type: ignore[arg-type]
