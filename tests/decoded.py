"""Event files of a run and its sub-runs, decoded to what a reader can tell apart."""

from __future__ import annotations

import io
import math
import os
import struct
import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import text_format
from PIL import Image, ImageSequence
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

NOW = "now"
"""Instead of a wall time that the writer took itself."""


@dataclass(frozen=True)
class Decoded:
    """One value of one event.

    Attributes:
        tag: as it stands in the file.
        step: 0 when none was given: protobuf has no other way to say so.
        wall_time: seconds, or ``NOW``.
        content: what kind of value, and what it holds.
        metadata: plugin, its content, display name, description.
    """

    tag: str
    step: int
    wall_time: float | str
    content: tuple[Any, ...]
    metadata: tuple[Any, ...]


def decode_run(folder: Path, *, since: float) -> dict[str, list[Decoded]]:
    """Every value below ``folder``, by the directory it is in.

    Args:
        folder: the run.
        since: wall times after it are ``NOW``: the tests give their own long before.
    """
    found: dict[str, list[Decoded]] = {}
    for directory, _, names in os.walk(folder):
        values = []
        for name in sorted(name for name in names if "tfevents" in name):
            for event in LegacyEventFileLoader(os.path.join(directory, name)).Load():
                values += _values(event, since)
        if values:
            # In the order of the calls within a tag and a kind; nothing else waits for another.
            by_tag_and_kind = sorted(values, key=lambda value: (value.tag, value.content[0]))
            found[os.path.relpath(directory, folder)] = by_tag_and_kind
    return found


def other_files(folder: Path) -> dict[str, Any]:
    """Files that are not event files: pictures as pixels, the projector's by what it reads, others as they are."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or "tfevents" in path.name or path.name.startswith("."):
            continue
        match path.suffix:
            case ".png":
                content: Any = _pixels(path.read_bytes())
            case ".pbtxt":
                content = list(text_format.Parse(path.read_text(), ProjectorConfig()).embeddings)
            case _:
                content = path.read_bytes()
        found[str(path.relative_to(folder))] = content
    return found


def _values(event: Any, since: float) -> list[Decoded]:
    wall_time = NOW if event.wall_time > since else event.wall_time
    metadata: tuple[Any, ...] = ()
    if event.HasField("session_log"):
        if event.session_log.status == SessionLog.START and event.step:
            return [Decoded("", event.step, wall_time, ("start",), metadata)]
        return []  # the beginning of a run, and our markers
    if event.HasField("graph_def"):
        # A graph holds maps, which protobuf writes in any order.
        graph = GraphDef.FromString(event.graph_def).SerializeToString(deterministic=True)
        return [Decoded("", event.step, wall_time, ("graph", graph), metadata)]
    return [_value(event, value, wall_time) for value in event.summary.value]


def _value(event: Any, value: Any, wall_time: float | str) -> Decoded:
    given = value.metadata
    plugin = given.plugin_data
    content = plugin.content
    if plugin.plugin_name == "hparams":  # it holds a map, which protobuf writes in any order
        content = HParamsPluginData.FromString(content).SerializeToString(deterministic=True)
    metadata = (plugin.plugin_name, content, given.display_name, given.summary_description)
    return Decoded(value.tag, event.step, wall_time, _content(value), metadata)


def _content(value: Any) -> tuple[Any, ...]:
    match value.WhichOneof("value"):
        case "simple_value":
            return "scalar", struct.pack("<f", value.simple_value) if not math.isnan(value.simple_value) else "nan"
        case "histo":
            histogram = value.histo
            facts = (histogram.min, histogram.max, histogram.num, histogram.sum, histogram.sum_squares)
            return "histogram", facts, tuple(histogram.bucket_limit), tuple(histogram.bucket)
        case "image":
            image = value.image
            return "image", image.width, image.height, _pixels(image.encoded_image_string)
        case "audio":
            audio = value.audio
            facts = (audio.sample_rate, audio.num_channels, audio.length_frames, audio.content_type)
            return "audio", facts, _samples(audio.encoded_audio_string)
        case "tensor":
            return "tensor", value.tensor.SerializeToString(deterministic=True)
        case None:
            return ("nothing",)
        case other:
            raise AssertionError(f"a value of kind {other}")


def picture(value: Decoded) -> np.ndarray:
    """The (first) picture of a value, ``[H, W, 3 or 4]``."""
    shape, pixels, _ = value.content[3][0]
    return np.frombuffer(pixels, np.uint8).reshape(shape)


def in_the_order_of_the_file(folder: Path) -> list[str]:
    """The tags of a run's values, as they stand."""
    return [value.tag for value in messages(folder)]


def messages(folder: Path) -> list[Any]:
    """The values of a run as protobuf's messages."""
    return [
        value
        for path in sorted(folder.glob("*tfevents*"))
        for event in LegacyEventFileLoader(str(path)).Load()
        for value in event.summary.value
    ]


def _pixels(encoded: bytes) -> tuple[Any, ...]:
    """Frames of a picture: shape, bytes, and how long each is shown. Grey and RGB that look alike are equal."""
    picture = Image.open(io.BytesIO(encoded))
    frames = []
    for frame in ImageSequence.Iterator(picture):
        alpha = frame.mode in ("RGBA", "LA") or "transparency" in frame.info
        array = np.asarray(frame.convert("RGBA" if alpha else "RGB"))
        frames.append((array.shape, array.tobytes(), frame.info.get("duration")))
    return tuple(frames)


def _samples(encoded: bytes) -> tuple[Any, ...]:
    with wave.open(io.BytesIO(encoded)) as file:
        return file.getparams()[:4], file.readframes(file.getnframes())
