"""BOXES: ``SummaryWriter.add_image_with_boxes``, drawn by tensorboardX with Pillow."""

from __future__ import annotations

import numpy as np

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.render.channels import to_pixels
from sidelog_daemon.render.tensors import Array
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import summary
from sidelog_shared.errors import MalformedHeader, SnapshotError
from sidelog_shared.records import Record

_MAX_PIXELS = 1 << 27
"""Of the finished picture: ``rescale`` must not decide how much memory is taken."""
_FAR = 1_000_000.0
"""A box's coordinate beyond this is drawn here: outside any picture all the same, and within Pillow's integers."""


def boxes_content(record: Record) -> Content:
    """A picture with red frames; uint8 are pixels, of everything else 0..1 is black to white, rounded and clamped.

    Raises:
        MalformedHeader: not two buffers, or options that cannot be.
        SnapshotError: a picture or boxes that cannot be drawn.
    """
    fields.check_count(record, 2)
    dataformats = fields.dataformats(record, "CHW", "HW", "NCHW")
    picture, boxes = fields.tensor(record, 0), fields.tensor(record, 1)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise SnapshotError(f"boxes have shape {list(boxes.shape)}, expected [n, 4]: left, top, right, bottom")
    if not np.isfinite(boxes).all():
        raise SnapshotError("boxes have a NaN or an infinite coordinate, expected pixels")
    labels = record.options.get("labels")
    if labels is not None:
        labels = fields.as_texts("BOXES.options.labels", labels, len(boxes))
    rescale = fields.options(record).number("rescale") if record.options.get("rescale") is not None else 1
    _check_size(picture, dataformats, rescale)
    pixels, nans = to_pixels(picture)
    corners = np.clip(boxes.astype(np.float64), -_FAR, _FAR)
    message = summary.image_boxes(record.tag, pixels, corners, rescale=rescale, dataformats=dataformats, labels=labels)
    warning = f"{nans:,} values are NaN, shown in black" if nans else ""
    return Content((summaries.summary_event(message, record.step, record.wall_time),), warning=warning)


def _check_size(picture: Array, dataformats: str, rescale: float) -> None:
    if picture.ndim != len(dataformats):
        raise SnapshotError(f"picture has shape {list(picture.shape)}, expected {len(dataformats)} dimensions "
                            f"({dataformats})")  # fmt: skip
    sizes = dict(zip(dataformats, picture.shape, strict=True))
    if not picture.size or sizes.get("C", 1) not in (1, 3, 4):
        raise SnapshotError(f"picture has shape {list(picture.shape)} ({dataformats}), expected at least one pixel, of "
                            f"1, 3 or 4 channels")  # fmt: skip
    if rescale <= 0:
        raise MalformedHeader(f"BOXES.options.rescale is {rescale}, expected more than 0")
    tiles = sizes.get("N", 1)
    columns = min(tiles, 8)  # utils.make_grid's
    height, width = sizes["H"] * -(-tiles // columns), sizes["W"] * columns
    for what, size in (("is", height * width), ("becomes", height * rescale * width * rescale)):
        if size > _MAX_PIXELS:
            raise SnapshotError(f"picture of {width:,} x {height:,} pixels {what} {size:,.0f} with rescale {rescale}, "
                                f"limit {_MAX_PIXELS:,}")  # fmt: skip
    if height * rescale < 1 or width * rescale < 1:
        raise SnapshotError(f"picture of {width:,} x {height:,} pixels has none left with rescale {rescale}")
