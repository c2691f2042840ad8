"""The memory that making a content takes is not more than it is said to take."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest

from sidelog_daemon.kinds import make_content
from sidelog_daemon.kinds.scratch import BLOCKS_BYTES, scratch_bytes
from sidelog_shared import dtypes
from sidelog_shared.recipe import Format, Layout, Recipe
from sidelog_shared.records import BufferSpec, Kind, Lane, Record

MAX_PIXELS = 64_000_000
RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (1500, 1500, 3), np.uint8)
FLOATS = RNG.standard_normal((64, 1, 256, 256), dtype=np.float32)
WITH_NAN = np.where(FLOATS > 3.5, np.nan, FLOATS)
LABELS = RNG.integers(0, 21, (1, 2000, 2000), np.uint8)
MANY_COLORS = tuple((n % 256, n // 256, 0) for n in range(600))


def record(kind: Kind, values: np.ndarray, **options: object) -> Record:
    spec = BufferSpec(getattr(dtypes, values.dtype.name.upper()), values.shape)
    return Record(Lane.PICTURE, 1, 1, kind, "tag", 0, 1e9, options, (spec,), (values.tobytes(),))


def picture(values: np.ndarray, recipe: Recipe) -> Record:
    return record(Kind.PICTURE, values, recipe=recipe.to_map())


CASES = {
    "noise, RGB": picture(NOISE, Recipe(Layout.IMAGE, "HWC")),
    "noise, grey": picture(NOISE[..., 0].copy(), Recipe(Layout.IMAGE, "HW")),
    "JPEG": picture(NOISE, Recipe(Layout.IMAGE, "HWC", format=Format.JPEG)),
    "map": picture(FLOATS, Recipe(Layout.GRID, normalize=True)),
    "map with NaN": picture(WITH_NAN, Recipe(Layout.GRID, normalize=True)),
    "half map with NaN": picture(WITH_NAN.astype(np.float16), Recipe(Layout.GRID, normalize=True)),
    "labels": picture(LABELS, Recipe(Layout.LABELS)),
    "labels, int64": picture(LABELS.astype(np.int64), Recipe(Layout.LABELS)),
    "labels, 600 colors": picture(
        RNG.integers(0, 600, (1, 2000, 2000), np.int16), Recipe(Layout.LABELS, palette=MANY_COLORS)
    ),
    "bfloat16": dataclasses.replace(
        picture(WITH_NAN.astype(np.float16), Recipe(Layout.GRID, normalize=True)),
        specs=(BufferSpec(dtypes.BFLOAT16, WITH_NAN.shape),),
    ),
    "float8": dataclasses.replace(
        picture(RNG.integers(0, 256, FLOATS.shape, np.uint8), Recipe(Layout.GRID)),
        specs=(BufferSpec(dtypes.FLOAT8_E5M2, FLOATS.shape),),
    ),
    "labels, all of a palette of 256, and others": picture(
        RNG.integers(0, 300, (3, 1000, 1000), np.int16), Recipe(Layout.LABELS, ignore_index=255)
    ),
    "little but padding": picture(
        RNG.integers(0, 256, (9, 3, 1, 1), np.uint8), Recipe(Layout.GRID, nrow=3, padding=900)
    ),
    "histogram": record(Kind.HISTOGRAM, FLOATS.reshape(-1), bins="tensorflow"),
    "histogram, bytes": record(Kind.HISTOGRAM, NOISE.reshape(-1), bins="tensorflow"),
    "histogram with NaN": record(Kind.HISTOGRAM, WITH_NAN.reshape(-1), bins="tensorflow"),
    "histogram, bins=auto": record(Kind.HISTOGRAM, FLOATS.reshape(-1), bins="auto"),
    "histogram, 64 bins": record(Kind.HISTOGRAM, NOISE.reshape(-1), bins=64),
}


@pytest.mark.parametrize("name", CASES)
def test_no_more_than_said(name: str) -> None:
    """Of what numpy and Python allocate; OpenCV's own buffers are blocks, or a JPEG."""
    one = CASES[name]
    make_content(one)  # tables that are made once
    tracemalloc.start()
    try:
        make_content(one)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak <= scratch_bytes(one, MAX_PIXELS) + BLOCKS_BYTES


def test_a_thinned_picture_takes_what_is_drawn_of_it() -> None:
    wide = np.zeros((4000, 4000), np.uint8)
    assert scratch_bytes(picture(wide, Recipe(Layout.IMAGE, "HW")), 100_000) < 1 << 20
