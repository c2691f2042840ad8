"""PNG and JPEG as Pillow reads them: palettes, slices, comments, what cannot be."""

from __future__ import annotations

import io
import json

import cv2
import numpy as np
import pytest
import render_oracles as oracle
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sidelog_daemon.render import png, render_picture
from sidelog_daemon.render.jpeg import write_jpeg
from sidelog_daemon.render.png import write_png
from sidelog_shared.errors import SnapshotError
from sidelog_shared.recipe import Format, Layout, Recipe


@oracle.examples
@given(
    seed=st.integers(0, 9999),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    channels=st.sampled_from([1, 3, 4]),
    slice_bytes=st.sampled_from([1, 50, 500, 1 << 18]),
    content=st.sampled_from(["noise", "smooth", "constant"]),
    line_filter=st.sampled_from(png.Filter),
)
def test_pillow_reads_every_pixel_whatever_the_slices(
    seed: int, size: tuple[int, int], channels: int, slice_bytes: int, content: str, line_filter: png.Filter
) -> None:
    rng = np.random.default_rng(seed)
    shape = (*size, channels)
    pixels = {
        "noise": rng.integers(0, 256, shape, np.uint8),
        "smooth": np.cumsum(rng.integers(0, 3, shape, np.uint8), axis=1, dtype=np.uint8),
        "constant": np.full(shape, seed % 256, np.uint8),
    }[content]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(png, "_SLICE_BYTES", slice_bytes)
        encoded = write_png(pixels, line_filter=line_filter)
    Image.open(io.BytesIO(encoded)).verify()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encoded))).reshape(shape), pixels)


@pytest.mark.parametrize(("classes", "mode"), [(2, "P"), (253, "P"), (254, "P"), (300, "RGB")])
def test_a_label_map_is_a_palette_as_long_as_256_colors_do(classes: int, mode: str) -> None:
    palette = tuple((n % 256, n // 256, 7) for n in range(classes))
    labels = np.arange(classes).repeat(2)[None, None]
    picture = render_picture(labels, Recipe(Layout.LABELS, palette=palette))
    image = Image.open(io.BytesIO(picture.encoded))
    assert image.mode == mode
    assert np.asarray(image.convert("RGB"))[0].tolist() == [list(color) for color in palette for _ in range(2)]
    assert picture.channels == 3


def test_of_a_large_palette_a_picture_carries_what_it_shows() -> None:
    labels = np.array([[0, 255, 17, 300]])
    picture = render_picture(labels[None], Recipe(Layout.LABELS))  # Pascal VOC's 256, and three of ours
    image = Image.open(io.BytesIO(picture.encoded))
    assert image.mode == "P"
    assert len(image.getpalette()) == 4 * 3
    assert np.asarray(image.convert("RGB"))[0, 3].tolist() == list(oracle.MAGENTA)


def test_a_palette_picture_is_smaller_than_its_colors_would_be() -> None:
    """Regions with curved borders, as a segmentation has them."""
    fields = np.random.default_rng(0).standard_normal((21, 128, 128), np.float32)
    labels = np.stack([cv2.GaussianBlur(field, (0, 0), 8) for field in fields]).argmax(0)
    picture = render_picture(labels[None], Recipe(Layout.LABELS, num_classes=21))
    stream = io.BytesIO()
    Image.fromarray(oracle.shown(picture)).save(stream, "PNG", compress_level=6)
    assert len(picture.encoded) < len(stream.getvalue())


def photograph() -> np.ndarray:
    """[3, 64, 96] uint8: gradients, as in the sky."""
    lines, columns = np.mgrid[:64, :96]
    return np.stack([lines * 3, columns * 2, lines + columns]).astype(np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_is_near_the_pixels_and_carries_the_description(channels: int) -> None:
    pixels = photograph()[:channels]
    recipe = Recipe(Layout.IMAGE, "CHW", format=Format.JPEG, quality=95)
    picture = render_picture(pixels, recipe)
    image = Image.open(io.BytesIO(picture.encoded))
    assert (image.format, image.mode, picture.channels) == ("JPEG", "L" if channels == 1 else "RGB", channels)
    image.load()
    seen = np.asarray(image).reshape(64, 96, channels).astype(int)
    assert np.abs(seen - pixels.transpose(1, 2, 0)).max() <= 12, "red is red, and blue blue"
    assert json.loads(image.info["comment"]) == picture.description
    assert Recipe.from_map(picture.description) == recipe


def test_quality_is_smaller_or_better() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 64, 64), np.uint8)
    sizes = [len(render_picture(pixels, Recipe(Layout.IMAGE, "CHW", format=Format.JPEG, quality=quality)).encoded)
             for quality in (1, 50, 90, 100)]  # fmt: skip
    assert sizes == sorted(set(sizes))


def test_a_jpeg_keeps_the_header_that_readers_look_for_first() -> None:
    """JFIF 1.02: the APP0 segment stands right after the start."""
    encoded = write_jpeg(np.zeros((8, 8, 3), np.uint8), quality=90, comment=b"how")
    assert encoded[:4] == b"\xff\xd8\xff\xe0"
    assert encoded[6:10] == b"JFIF"
    assert Image.open(io.BytesIO(encoded)).info["comment"] == b"how"


@pytest.mark.parametrize("shape", [(4, 4, 4), (1, 65_536, 1)])
def test_what_no_jpeg_can_hold_says_so(shape: tuple[int, ...]) -> None:
    with pytest.raises(SnapshotError) as caught:
        write_jpeg(np.zeros(shape, np.uint8), quality=90)
    assert str(caught.value) == (
        f"pixels are uint8 {list(shape)}, expected uint8 [height, width, 1 or 3], at most 65,535 on a side, for "
        "format='jpeg'"
    )


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"layout": Layout.IMAGE, "dataformats": "HW", "quality": 0}, "quality is 0, expected 1 to 100"),
        ({"layout": Layout.IMAGE, "dataformats": "HW", "quality": 101}, "quality is 101, expected 1 to 100"),
        ({"layout": Layout.LABELS, "format": Format.JPEG},
         "format is 'jpeg' for labels, expected 'png': JPEG would change their colors"),
    ],
)  # fmt: skip
def test_a_recipe_that_cannot_be_says_so(given: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Recipe(**given)
