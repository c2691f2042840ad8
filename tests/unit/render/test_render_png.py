"""The end of the pipeline: the geometry of blocks, the text chunk, the encoder."""

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

from sidelog_daemon.render import render_picture, tile
from sidelog_daemon.render.annotate import describe, text_chunk
from sidelog_daemon.render.channels import interleave
from sidelog_daemon.render.png import write_png
from sidelog_daemon.render.tile import Grid
from sidelog_shared.errors import SnapshotError
from sidelog_shared.recipe import Layout, Recipe


@oracle.examples
@given(
    count=st.integers(1, 30),
    columns=st.integers(1, 9),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    channels=st.sampled_from([1, 3, 4]),
    limit=st.sampled_from([1, 10, 50, 200, 5000]),
)
def test_blocks_cover_each_line_of_each_tile_once(
    count: int, columns: int, size: tuple[int, int], channels: int, limit: int
) -> None:
    grid = Grid(count, min(columns, count), *size, padding=1)
    seen = np.zeros((count, size[0]), int)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tile, "BLOCK_ELEMENTS", limit)
        for block in grid.blocks(channels):
            part = seen[block.tiles, block.lines]
            part += 1
            assert 0 < part.size * channels * size[1] <= grid.largest_block(channels)
    assert (seen == 1).all()


def test_pillow_reads_the_description() -> None:
    recipe = Recipe(Layout.GRID, normalize=True, value_range=(-1.0, 2.5), source="sample 0 of 16, café")
    picture = render_picture(np.zeros((2, 1, 3, 4), np.float32), recipe)
    image = Image.open(io.BytesIO(picture.encoded))
    image.load()
    assert json.loads(image.text["sidelog"]) == picture.description
    assert picture.description == {
        "layout": "grid",
        "normalize": True,
        "value_range": [-1.0, 2.5],
        "source": "sample 0 of 16, café",
        "shape": [2, 1, 3, 4],
        "width": 14,
        "height": 7,
        "channels": 1,
        "low": -1.0,
        "high": 2.5,
        "nonfinite": 0,
        "out_of_range": 0,
    }
    assert image.size == (picture.width, picture.height)


def test_the_description_is_also_a_recipe() -> None:
    recipe = Recipe(Layout.LABELS, palette=((1, 2, 3), (4, 5, 6)), num_classes=2, ignore_index=255)
    picture = render_picture(np.zeros((2, 3, 4), np.uint8), recipe)
    assert Recipe.from_map(picture.description) == recipe


def test_the_text_chunk_is_one_that_strict_readers_take() -> None:
    """Pillow's ``verify`` checks the CRC of each chunk."""
    chunk = text_chunk(describe(Recipe(Layout.GRID), {"low": None}))
    encoded = write_png(np.zeros((2, 2, 1), np.uint8), chunks=chunk)
    Image.open(io.BytesIO(encoded)).verify()
    assert encoded.index(b"IHDR") < encoded.index(b"tEXtsidelog\0") < encoded.index(b"IDAT")


def test_a_number_that_json_lacks_is_refused() -> None:
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        text_chunk({"low": float("nan")})


@pytest.mark.parametrize(("channels", "mode"), [(1, "L"), (3, "RGB"), (4, "RGBA")])
def test_pillow_sees_the_planes_that_went_in(channels: int, mode: str) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (2, channels, 5, 6), np.uint8)
    pixels = interleave(planes)
    image = Image.open(io.BytesIO(write_png(pixels.reshape(10, 6, channels))))
    assert image.mode == mode
    expected = planes.transpose(0, 2, 3, 1).reshape(10, 6, channels)
    np.testing.assert_array_equal(np.asarray(image).reshape(expected.shape), expected)


@pytest.mark.parametrize("shape", [(4, 4, 2), (1, 1_000_001, 1)])
def test_what_cannot_be_encoded_says_so(shape: tuple[int, ...]) -> None:
    with pytest.raises(SnapshotError) as caught:
        write_png(np.zeros(shape, np.uint8))
    assert str(caught.value) == (
        f"pixels are uint8 {list(shape)}, expected uint8 [height, width, 1 or 3 or 4], at most 1,000,000 on a side "
        "(libpng's limit)"
    )


@pytest.mark.parametrize("rectified", [False, True])
def test_size_stays_near_that_of_pillow(rectified: bool) -> None:
    """Decision 0010 rests on what ISA-L does at its first level: another version of it may do otherwise."""
    fields = np.random.default_rng(0).standard_normal((64, 56, 56), np.float32)
    fields = np.stack([cv2.GaussianBlur(field, (0, 0), 2) for field in fields])[:, None]
    recipe = Recipe(Layout.GRID, normalize=True)
    picture = render_picture(fields.clip(0) if rectified else fields, recipe)
    stream = io.BytesIO()
    Image.fromarray(oracle.shown(picture)[..., 0]).save(stream, "PNG", compress_level=6)
    assert len(picture.encoded) < 1.3 * len(stream.getvalue())


def test_opencv_uses_one_thread() -> None:
    assert cv2.getNumThreads() == 1
