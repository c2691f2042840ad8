"""What the workers log, by number: how each kind is logged, and what must stand in the files for it, exactly."""

from __future__ import annotations

import hashlib
import io
import struct
import wave
from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageSequence
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util import tensor_util

LANES = {
    "scalar": "light",
    "side": "light",
    "text": "light",
    "hparams": "light",
    "audio": "heavy",
    "mesh": "heavy",
    "video": "heavy",
    "picture": "picture",
}
"""Kind -> its lane."""
MEDIA = ("audio", "mesh", "video")
SIDE = "side"
"""The run below a worker's own in which the kind of that name stands: a worker has several runs, and one may be refused
or full while the others go on."""


class Place(NamedTuple):
    """Where a value stands: its directory, relative to the log folder; its tag; its step."""

    directory: str
    tag: str
    step: int


class Kept(NamedTuple):
    """What a message in a spool says of a record: the last part of its run's path, its tag, its step."""

    run: str
    tag: str
    step: int | None


def is_of(kept: Kept, worker: str, kind: str, number: int) -> bool:
    """Whether a record in a spool is what the call of a kind and number made, or a part of it."""
    if kind == "hparams":
        return kept.run == f"hp-{worker}-{number}"
    return (kept.tag, kept.step) == (f"{worker}/{kind}", number)


def log(writer: Any, worker: str, kind: str, number: int) -> None:
    """Make the call of a kind and number."""
    tag = f"{worker}/{kind}"
    match kind:
        case "scalar" | "side":
            writer.add_scalar(tag, _scalar(number), number)
        case "text":
            writer.add_text(tag, _text(worker, number), number)
        case "hparams":
            metrics = {f"{worker}/metric": _scalar(number)}
            writer.add_hparams(_hparams(worker, number), metrics, f"hp-{worker}-{number}", number)
        case "audio":
            writer.add_audio(tag, _samples(worker, number) / 32768, number, 8000)
        case "mesh":
            writer.add_mesh(tag, _vertices(worker, number), global_step=number)
        case "video":
            writer.add_video(tag, _frames(number), number)
        case "picture":
            writer.add_image(tag, pixels(worker, number), number)
        case _:
            raise ValueError(f"kind is {kind!r}, expected one of {', '.join(LANES)}")


def values(run: str, worker: str, kind: str, number: int) -> dict[Place, Hashable]:
    """What must stand for it, by place.

    Args:
        run: the run's directory.
        worker: who logged it.
        kind: see :data:`LANES`.
        number: from 1 on.
    """
    tag = f"{worker}/{kind}"
    match kind:
        case "scalar":
            return {Place(run, tag, number): ("scalar", _scalar(number))}
        case "side":
            return {Place(f"{run}/{SIDE}", tag, number): ("scalar", _scalar(number))}
        case "text":
            return {Place(run, f"{tag}/text_summary", number): ("text", _text(worker, number))}
        case "hparams":
            sub = f"{run}/hp-{worker}-{number}"
            given = tuple(sorted(_hparams(worker, number).items()))
            return {
                Place(sub, "_hparams_/experiment", 0): ("hparams", "experiment"),
                Place(sub, "_hparams_/session_start_info", 0): ("hparams", "session_start_info", given),
                Place(sub, "_hparams_/session_end_info", 0): ("hparams", "session_end_info"),
                Place(sub, f"{worker}/metric", number): ("scalar", _scalar(number)),
            }
        case "audio":
            return {Place(run, tag, number): ("audio", _samples(worker, number).astype("<i2").tobytes())}
        case "mesh":
            return {Place(run, f"{tag}_1", number): ("tensor", _vertices(worker, number).tobytes())}
        case "video":
            frames = np.moveaxis(_frames(number)[0], 1, -1)
            return {Place(run, tag, number): ("picture", tuple(frame.tobytes() for frame in frames))}
        case "picture":
            picture = np.moveaxis(pixels(worker, number), 0, -1)
            return {Place(run, tag, number): ("picture", (picture.tobytes(),))}
        case _:
            raise ValueError(f"kind is {kind!r}, expected one of {', '.join(LANES)}")


def is_note(place: Place) -> bool:
    """Whether it is the daemon's own word on what a run does not hold, which nobody logged (docs/protocol.md)."""
    return place.directory.rpartition("/")[2] == "sidelog" and place.tag == "sidelog/dropped/text_summary"


def decoded(value: Any) -> Hashable:
    """What a ``Summary.Value`` holds, in the form of :func:`values`."""
    match value.WhichOneof("value"):
        case "simple_value":
            return "scalar", value.simple_value
        case "image":
            picture = Image.open(io.BytesIO(value.image.encoded_image_string))
            return "picture", tuple(frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(picture))
        case "audio":
            with wave.open(io.BytesIO(value.audio.encoded_audio_string)) as file:
                return "audio", file.readframes(file.getnframes())
        case "tensor":
            if value.metadata.plugin_data.plugin_name == "text":
                return "text", value.tensor.string_val[0].decode()
            if value.metadata.plugin_data.plugin_name != "hparams":
                return "tensor", tensor_util.make_ndarray(value.tensor).tobytes()
    if value.metadata.plugin_data.plugin_name == "hparams":
        told = HParamsPluginData.FromString(value.metadata.plugin_data.content)
        which = told.WhichOneof("data")
        if which == "session_start_info":
            given = told.session_start_info.hparams
            return "hparams", which, tuple(sorted((name, _number_or_text(one)) for name, one in given.items()))
        return "hparams", which
    return "unknown", value.SerializeToString()


def pixels(worker: str, number: int) -> np.ndarray:
    """A picture, uint8 ``[3, 8, 8]``: no two numbers of no two workers have the same."""
    return np.frombuffer(_digest(worker, number, 64) * 3, np.uint8).reshape(3, 8, 8) ^ np.array(
        [[[0]], [[85]], [[170]]], np.uint8
    )


def _scalar(number: int) -> float:
    value: float = struct.unpack("<f", struct.pack("<f", number * 0.37))[0]
    return value


def _text(worker: str, number: int) -> str:
    return f"{worker} says {number}: {_digest(worker, number, 16).hex()}"


def _hparams(worker: str, number: int) -> dict[str, float | str]:
    return {"number": float(number), "worker": worker}


def _samples(worker: str, number: int) -> np.ndarray:
    return np.frombuffer(_digest(worker, number, 64), np.int8).astype(np.float32) * 128


def _vertices(worker: str, number: int) -> np.ndarray:
    return np.frombuffer(_digest(worker, number, 24), np.uint8).astype(np.float32).reshape(1, 8, 3)


def _frames(number: int) -> np.ndarray:
    """Two frames of 4 x 4, black and white: a GIF keeps those exactly."""
    bits = [(number >> bit) & 1 for bit in range(16)]
    first = np.array(bits, np.uint8).reshape(1, 1, 1, 4, 4) * 255
    return np.concatenate([first, 255 - first], axis=1).repeat(3, axis=2)


def _digest(worker: str, number: int, size: int) -> bytes:
    return hashlib.blake2b(f"{worker} {number}".encode(), digest_size=size).digest()


def _number_or_text(value: Any) -> float | str:
    found: float | str = getattr(value, value.WhichOneof("kind"))
    return found
