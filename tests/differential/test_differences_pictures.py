"""docs/differences.md, Pictures: what tensorboardX does, and what sidelog does instead."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from differences import row
from pair import PEERS, Pair
from PIL import Image, ImageSequence
from tensorboardX.embedding import make_sprite

import sidelog
from decoded import messages, other_files, picture
from processes import DaemonProcess
from sidelog_shared.errors import SnapshotError

Pairs = Callable[..., Pair]
CAST = "ignore:invalid value encountered in cast:RuntimeWarning"
MAGENTA = [255, 0, 255]


def shades(values: list[float]) -> np.ndarray:
    """A picture of one row, [3, 1, n]."""
    return np.broadcast_to(np.array(values, np.float32), (3, 1, len(values))).copy()


def shown(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    """The one picture of each."""
    (ours,), (theirs,) = pair.values()
    return picture(ours), picture(theirs)


@row("floats to pixels")
@pytest.mark.filterwarnings(CAST)
def test_floats_to_pixels(pairs: Pairs) -> None:
    found = {}
    for name, peer in PEERS.items():
        pair = pairs(peer=peer)
        pair.call("add_image", "picture", shades([0.5, 0.998, 1.01, -0.01]), 1)
        ours, found[name] = (one[0, :, 0].tolist() for one in shown(pair))
    assert ours == [128, 254, 255, 0]
    assert found == {"tensorboardX": [127, 254, 1, 254], "torch": [127, 254, 255, 0]}


@row("NaN and infinite values")
@pytest.mark.filterwarnings(CAST)
def test_nan_and_infinite_values(pair: Pair) -> None:
    pair.call("add_image", "picture", shades([float("nan"), float("inf"), float("-inf"), 1.0]), 1)
    ours, theirs = shown(pair)
    assert ours[0].tolist() == [MAGENTA] * 3 + [[255] * 3]
    assert MAGENTA not in theirs[0].tolist()


@row("NaN and infinite values")
@pytest.mark.filterwarnings(CAST)
def test_nan_is_black_in_boxes(pair: Pair) -> None:
    pair.call("add_image_with_boxes", "boxes", shades([float("nan"), 1.0]), np.empty((0, 4)), 1)
    assert shown(pair)[0][0].tolist() == [[0] * 3, [255] * 3]


@row("grey pictures")
def test_grey_pictures(pair: Pair) -> None:
    pair.call("add_image", "picture", np.full((1, 4, 5), 99, np.uint8), 1)
    pair.close()
    modes = []
    for folder in pair.folders:
        (value,) = messages(folder)
        modes.append((value.image.colorspace, Image.open(io.BytesIO(value.image.encoded_image_string)).mode))
    assert modes == [(1, "L"), (3, "RGB")]


@row("pictures of two channels")
def test_pictures_of_two_channels(pair: Pair) -> None:
    two = np.zeros((2, 4, 5), np.uint8)
    with pytest.raises(SnapshotError, match="with 2 channels, expected 1, 3 or 4"):
        pair.ours_alone("add_image", "picture", two, 1)
    pair.theirs_alone("add_image", "picture", two, 1)
    (theirs,) = pair.values()[1]
    assert picture(theirs).shape == (4, 5, 4)
    assert not picture(theirs)[..., 3].any()  # all transparent


@row("pictures of integers other than uint8")
def test_pictures_of_integers(pair: Pair) -> None:
    numbers = np.array([0, 1, 2]).reshape(1, 1, 3)
    with pytest.raises(SnapshotError, match=r"has no brightness: use add_label_map for classes, .to\(uint8\)"):
        pair.ours_alone("add_image", "picture", numbers, 1)
    pair.theirs_alone("add_image", "picture", numbers, 1)
    (theirs,) = pair.values()[1]
    assert picture(theirs)[0, :, 0].tolist() == [0, 255, 254]


@row("pictures of integers other than uint8")
def test_pictures_of_bools_are_black_and_white_in_both(pair: Pair) -> None:
    pair.call("add_image", "picture", np.array([[True, False]]), 1, 1e9, "HW")
    pair.check()


@row("a list of pictures in `add_images`")
def test_a_list_of_pictures(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    batch = [torch.zeros(3, 4, 5), torch.ones(3, 4, 5)]
    pair.theirs_alone("add_images", "batch", batch, 1)
    assert "Nothing is written" in capsys.readouterr().out
    pair.ours_alone("add_images", "batch", batch, 1)
    ours, theirs = pair.values()
    assert picture(ours[0]).shape == (4, 10, 3)
    assert theirs == []


@row("boxes with coordinates that are NaN")
def test_boxes_that_are_nan(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    frame, nowhere = np.zeros((3, 9, 9), np.uint8), np.full((1, 4), np.nan)
    pair.call("add_image_with_boxes", "boxes", frame, nowhere, 1)
    with pytest.raises(ValueError, match="NaN"):
        pair.theirs_alone("add_image_with_boxes", "boxes", frame, nowhere, 1, labels=["a"])
    ours, theirs = pair.values()
    assert ours == []
    assert not picture(theirs[0]).any()
    assert "boxes have a NaN or an infinite coordinate" in caplog.text


def frames_of(folder: Any) -> int:
    (value,) = messages(folder)
    if not value.image.encoded_image_string:
        return 0
    return sum(1 for _ in ImageSequence.Iterator(Image.open(io.BytesIO(value.image.encoded_image_string))))


@row("videos")
def test_videos(pairs: Pairs, capsys: pytest.CaptureFixture[str]) -> None:
    frames = np.zeros((1, 29, 3, 4, 4), np.uint8)
    frames[0] = np.arange(29).reshape(29, 1, 1, 1) * 8
    found = {}
    for name, peer in PEERS.items():
        pair = pairs(peer=peer)
        pair.call("add_video", "video", frames, 1, 3)
        pair.close()
        ours, found[name] = map(frames_of, pair.folders)
        assert ours == 29
    assert found == {"tensorboardX": 24, "torch": 0}
    assert "moviepy is installed, but can't import moviepy.editor" in capsys.readouterr().out


@row("sprites of embeddings")
def test_sprites_of_embeddings(pair: Pair) -> None:
    images = np.full((3, 3, 2, 2), 99, np.uint8)  # a sheet of 2 by 2
    pair.call("add_embedding", np.eye(3), None, images, 1)
    pair.close()
    sheets = []
    for folder in pair.folders:
        ((shape, pixels, _),) = other_files(folder)["00001/default/sprite.png"]
        sheets.append(np.frombuffer(pixels, np.uint8).reshape(shape))
    ours, theirs = sheets
    assert ours[:2].tolist() == np.full((2, 4, 3), 99).tolist()
    assert (ours[2:, :2] == 99).all()
    assert not ours[2:, 2:].any()
    assert (theirs[:2] == 255).all()


@row("sprites of embeddings")
def test_places_of_a_sheet_that_no_picture_fills(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two pictures fill the upper half of their sheet: theirs leaves the lower one as the memory was."""

    def not_cleared(shape: Any) -> Any:
        return np.full(shape, 0.25)

    pair.ours_alone("add_embedding", np.eye(2), None, np.zeros((2, 3, 2, 2)), 1)
    pair.ours.close()
    their_make_np = "tensorboardX.x2num.make_np"
    images = np.zeros((2, 3, 2, 2))
    monkeypatch.setattr(their_make_np, lambda _: images)  # it asks numpy.ndarray what is an array
    monkeypatch.setattr("tensorboardX.utils.make_grid", lambda *_, **__: np.zeros((3, 2, 4)))
    monkeypatch.setattr(np, "ndarray", not_cleared)
    make_sprite(images, str(pair.folders[1]))
    monkeypatch.undo()
    ours = other_files(pair.folders[0])["00001/default/sprite.png"][0][1]
    theirs = other_files(pair.folders[1])["sprite.png"][0][1]
    assert not any(ours)
    assert any(theirs)


@row("how a picture was made")
def test_how_a_picture_was_made(pair: Pair) -> None:
    pair.call("add_image", "plain", np.zeros((3, 4, 5), np.uint8), 1)
    pair.ours_alone("add_image", "grid", np.zeros((2, 3, 4, 5), np.uint8), 1, padding=3)
    ours, theirs = pair.decoded()
    (recipe,) = ours["sidelog"]
    assert recipe.tag.startswith("grid")
    assert "padding" in str(recipe.content)
    assert list(theirs) == ["."]
    texts = {
        value.tag: Image.open(io.BytesIO(value.image.encoded_image_string)).info for value in messages(pair.folders[0])
    }
    assert '"padding":3' in texts["grid"]["sidelog"]
    (value,) = messages(pair.folders[1])
    assert not Image.open(io.BytesIO(value.image.encoded_image_string)).info


@row("a picture of more than 64 million pixels")
def test_pictures_of_too_many_pixels(
    daemon: Callable[..., DaemonProcess], tmp_path: Path, peer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """With a daemon that draws ten thousand."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 120, 150), np.uint8)
    endpoint = daemon("--bind", f"ipc://{tmp_path}/d.sock", "--max-pixels", "10000").endpoint
    folders = tmp_path / "ours", tmp_path / "theirs"
    for writer in (sidelog.SummaryWriter(folders[0], endpoint=endpoint), peer(str(folders[1]))):
        writer.add_image("picture", pixels, 1)
        writer.close()
    (ours,), (theirs,) = ([value for value in messages(folder) if value.HasField("image")] for folder in folders)
    whole = pixels.transpose(1, 2, 0)
    for value, expected in ((ours, whole[::2, ::2]), (theirs, whole)):
        assert (value.image.height, value.image.width) == expected.shape[:2]
        image = Image.open(io.BytesIO(value.image.encoded_image_string))
        np.testing.assert_array_equal(np.asarray(image), expected)
    assert "'picture' at step 1: only one line and column in 2 is drawn" in caplog.text
