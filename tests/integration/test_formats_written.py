"""What a real daemon writes when a call says JPEG, and of a label map: as Pillow and TensorBoard's reader see it."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, ImageEvent
from torchvision.utils import make_grid

import sidelog
from event_files import read_run
from processes import DaemonProcess
from sidelog_shared.recipe import Format, Layout, Recipe

# The colors of background, aeroplane, bicycle, ... tvmonitor, as VOC2012's development kit prints them.
PASCAL_VOC = [
    (0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128), (128, 0, 128), (0, 128, 128), (128, 128, 128),
    (64, 0, 0), (192, 0, 0), (64, 128, 0), (192, 128, 0), (64, 0, 128), (192, 0, 128), (64, 128, 128),
    (192, 128, 128), (0, 64, 0), (128, 64, 0), (0, 192, 0), (128, 192, 0), (0, 64, 128),
]  # fmt: skip
IGNORED = (224, 224, 224)
LABELS = np.append(np.arange(21), [255] * 3).reshape(4, 6)


def photograph() -> np.ndarray:
    """[3, 64, 96] uint8: the channels differ, and change slowly, as in the sky."""
    lines, columns = np.mgrid[:64, :96]
    return np.stack([lines * 3, columns * 2, lines + columns]).astype(np.uint8)


@dataclass
class Written:
    """What one daemon made of the calls of one writer."""

    run: Path
    events: dict[str, ImageEvent]

    def picture(self, tag: str) -> Image.Image:
        return Image.open(io.BytesIO(self.events[tag].encoded_image_string))

    def pixels(self, tag: str, mode: str = "RGB") -> np.ndarray:
        return np.asarray(self.picture(tag).convert(mode)).astype(int)


@pytest.fixture(scope="module")
def maps() -> torch.Tensor:
    waves = torch.linspace(0, 6, 32)
    return torch.stack([torch.sin(waves[:, None] * (1 + k)) + torch.cos(waves * (1 + k)) for k in range(9)])


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, maps: torch.Tensor) -> Iterator[Written]:
    folder = tmp_path_factory.mktemp("formats")
    process = DaemonProcess("--bind", f"ipc://{folder}/d.sock", log=folder / "daemon.log")
    photo, run = photograph(), folder / "run"
    try:
        with sidelog.SummaryWriter(run, endpoint=process.endpoint) as writer:
            writer.add_image("png", photo, 1)
            writer.add_image("jpeg", photo, 1, format="jpeg")
            writer.add_image("fine", photo, 1, format="jpeg", quality=100)
            writer.add_image("coarse", photo.transpose(1, 2, 0), 1, dataformats="HWC", format="jpeg", quality=5)
            writer.add_images("mosaic", np.stack([photo] * 3), 1, format="jpeg")
            writer.add_feature_map("maps", maps, 1, format="jpeg", quality=95)
            writer.add_image("lazy", sidelog.make_grid(torch.from_numpy(photo)[None] / 255), 1, format="jpeg")
            writer.add_label_map("labels", LABELS, 1, ignore_index=255)
            writer.add_label_map("tiles", np.stack([LABELS, LABELS]), 1, ignore_index=255, padding=1)
        accumulator = EventAccumulator(str(run), size_guidance={"images": 0})
        accumulator.Reload()
        events = {}
        for tag in accumulator.Tags()["images"]:
            (events[tag],) = accumulator.Images(tag)
        yield Written(run, events)
    finally:
        process.stop()


class TestJpeg:
    @pytest.mark.parametrize("tag", ["jpeg", "fine", "lazy"])
    def test_is_near_the_photograph(self, tag: str, written: Written) -> None:
        event, picture = written.events[tag], written.picture(tag)
        assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (96, 64))
        assert (event.step, event.width, event.height) == (1, 96, 64)
        errors = np.abs(written.pixels(tag) - photograph().transpose(1, 2, 0))
        assert errors.mean() < 2
        assert errors.max() <= 16, "red is red, and blue blue"

    def test_a_higher_quality_is_larger_and_nearer(self, written: Written) -> None:
        tags = ["coarse", "jpeg", "fine"]
        sizes = [len(written.events[tag].encoded_image_string) for tag in tags]
        errors = [np.abs(written.pixels(tag) - written.pixels("png")).mean() for tag in tags]
        assert sizes == sorted(sizes)
        assert errors == sorted(errors, reverse=True)
        assert 0 < errors[-1] < errors[0] / 4

    def test_says_in_its_comment_how_it_was_made(self, written: Written) -> None:
        description = json.loads(written.picture("coarse").info["comment"])
        assert Recipe.from_map(description) == Recipe(Layout.IMAGE, "HWC", format=Format.JPEG, quality=5)
        assert description["shape"] == [64, 96, 3]

    def test_says_so_in_the_sub_run_too(self, written: Written) -> None:
        notes = read_run(written.run / "sidelog").texts
        assert "| quality | `5` |" in notes["coarse"][0][1]
        assert '| format | `"jpeg"` |' in notes["jpeg"][0][1]
        assert "png" not in notes

    def test_of_a_feature_map_is_grey(self, written: Written, maps: torch.Tensor) -> None:
        assert written.picture("maps").mode == "L"
        grid = make_grid(maps[:, None], normalize=True)[0].numpy() * 255
        assert np.abs(written.pixels("maps", "L") - grid).mean() < 3

    def test_of_a_batch_is_a_mosaic(self, written: Written) -> None:
        side_by_side = np.concatenate([photograph().transpose(1, 2, 0)] * 3, axis=1)
        assert np.abs(written.pixels("mosaic") - side_by_side).mean() < 2


class TestPng:
    def test_is_what_a_call_without_a_format_makes_and_keeps_every_pixel(self, written: Written) -> None:
        assert written.picture("png").format == "PNG"
        np.testing.assert_array_equal(written.pixels("png"), photograph().transpose(1, 2, 0))

    def test_of_a_label_map_has_a_palette_of_pascal_vocs_colors(self, written: Written) -> None:
        event, picture = written.events["labels"], written.picture("labels")
        assert (picture.format, picture.mode) == ("PNG", "P")
        assert (event.width, event.height) == (6, 4)
        found = [tuple(color) for color in written.pixels("labels").reshape(-1, 3)]
        assert found == [*PASCAL_VOC, *[IGNORED] * 3]

    def test_of_a_batch_of_label_maps_is_white_between_them(self, written: Written) -> None:
        assert written.picture("tiles").mode == "P"
        tiles = written.pixels("tiles")
        assert tiles.shape == (4 + 2, 2 * (6 + 1) + 1, 3)
        np.testing.assert_array_equal(tiles[1:5, 1:7], written.pixels("labels"))
        np.testing.assert_array_equal(tiles[1:5, 8:14], written.pixels("labels"))
        assert (tiles[:, [0, 7, 14]] == 255).all()
        assert (tiles[[0, 5]] == 255).all()
