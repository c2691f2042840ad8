"""VIDEO: ``SummaryWriter.add_video``. Frames become an animated GIF, by Pillow.

tensorboardX hands its frames to moviepy, moviepy to imageio, and imageio to Pillow with the arguments that stand
here. The same bytes come out, but for frames that moviepy loses: docs/decisions/0006-gif-by-pillow.md.
"""

from __future__ import annotations

import io
import struct

import numpy as np

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.render.channels import to_pixels
from sidelog_daemon.render.png import Pixels
from sidelog_daemon.render.tensors import Array
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import summary_pb2, utils
from sidelog_shared.errors import MalformedHeader, SnapshotError
from sidelog_shared.names import clean_tag
from sidelog_shared.records import Record

_MAX_SIDE = 65_535
"""A GIF's sides, and its frames' durations in hundredths of a second, have 16 bits."""


def video_content(record: Record) -> Content:
    """Frames of 5 dimensions; uint8 are pixels, of everything else 0..1 is black to white, rounded and clamped.

    Raises:
        MalformedHeader: not one buffer, or options that cannot be.
        SnapshotError: a shape that is no video, or one that a GIF cannot hold.
    """
    fields.check_count(record, 1)
    dataformats = fields.dataformats(record, "NTCHW")
    fps = fields.options(record).number("fps")
    if fps <= 0:
        raise MalformedHeader(f"VIDEO.options.fps is {fps}, expected more than 0")
    frames = fields.tensor(record, 0)
    if frames.ndim != 5:
        raise SnapshotError(f"video has shape {list(frames.shape)}, expected 5 dimensions ({dataformats})")
    canvas, nans = _tile(utils.convert_to_NTCHW(frames, dataformats))
    _, height, width, channels = canvas.shape
    message = summary_pb2.Summary()
    image = message.value.add(tag=clean_tag(record.tag)).image
    image.height, image.width, image.colorspace = height, width, channels
    image.encoded_image_string = _gif(canvas, fps)
    warning = f"{nans:,} values are NaN, shown in black" if nans else ""
    return Content((summaries.summary_event(message, record.step, record.wall_time),), warning=warning)


def _tile(videos: Array) -> tuple[Pixels, int]:
    """Videos side by side, as tensorboardX's ``_prepare_video`` lays them out, but in 8 bits from the start.

    Args:
        videos: ``[N, T, C, H, W]``.

    Returns:
        ``[T, rows * H, columns * W, C]``, where rows times columns is the next power of two; and how many numbers
        were NaN.
    """
    count, length, channels, height, width = videos.shape
    if not videos.size or channels not in (1, 3, 4):
        raise SnapshotError(f"video has shape {list(videos.shape)} (NTCHW), expected at least one frame of at least "
                            f"one pixel, of 1, 3 or 4 channels")  # fmt: skip
    rows = 2 ** ((count.bit_length() - 1) // 2)
    columns = 2 ** (count - 1).bit_length() // rows
    if max(rows * height, columns * width) > _MAX_SIDE:
        raise SnapshotError(f"video would be {columns * width:,} x {rows * height:,} pixels, limit {_MAX_SIDE:,}")
    canvas = np.zeros((length, rows, height, columns, width, channels), np.uint8)
    nans = 0
    for index, video in enumerate(videos):
        pixels, wrong = to_pixels(video)
        canvas[:, index // columns, :, index % columns] = pixels.transpose(0, 2, 3, 1)
        nans += wrong
    return canvas.reshape(length, rows * height, columns * width, channels), nans


def _gif(frames: Pixels, fps: float) -> bytes:
    """``[T, H, W, C]`` as a GIF that is repeated for ever; of four channels the last is left out, as moviepy does."""
    from PIL import Image

    channels = [0, 0, 0] if frames.shape[3] == 1 else [0, 1, 2]
    images = (Image.fromarray(np.ascontiguousarray(frame[..., channels])) for frame in frames)  # one at a time
    first = next(images)
    file = io.BytesIO()
    try:
        first.save(file, "GIF", save_all=True, append_images=images, duration=1000 / fps, loop=0)
    except (struct.error, OverflowError) as error:  # equal frames are joined, so that no check here knows the longest
        raise SnapshotError(f"video of {len(frames):,} frames at {fps} per second: a GIF shows a picture for at most "
                            f"{_MAX_SIDE / 100} s ({error})") from None  # fmt: skip
    return file.getvalue()
