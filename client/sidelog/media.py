"""Checks of audio, video, meshes, embeddings and curves: from what a caller gives to what is copied. No copy yet.

Where a shape could mean two things, or tensorboardX would fail later, the error says what is expected, at the call.
"""

from __future__ import annotations

import json
import math
from array import array as packed_array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from sidelog.arrays import Array, as_array, describe, dtype_of, shape_of
from sidelog_shared.errors import ConfigError, SnapshotError

MAX_CONFIG_BYTES = 32 * 1024
"""A mesh's configuration travels in a header."""
_MAX_RATE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Selected:
    """What is to be copied, and the record's options.

    Attributes:
        arrays: tensors, in the order of the protocol.
        options: see ``docs/protocol.md``.
    """

    arrays: Sequence[Array]
    options: dict[str, object]


def select_audio(value: object, sample_rate: object, what: str) -> Selected:
    """Samples ``[frames]``, ``[frames, 1 or 2]``, or torch's ``[1, frames]`` and ``[1, 1, frames]``.

    Raises:
        SnapshotError: another shape, empty, or no floats.
        ConfigError: a sample rate that cannot be.
    """
    array = _not_empty(value, what)
    if not dtype_of(array).is_floating:
        raise SnapshotError(f"{what} is {describe(array)}, expected floats in -1..1: int16 divided by 32768, say")
    shape = shape_of(array)
    if len(shape) > 2:  # torch's writer takes any number of dimensions of size 1
        array = array.squeeze()
        shape = shape_of(array)
    if len(shape) == 2 and shape[0] == 1 and shape[1] > 2:
        array = array[0]
    elif not (len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, 2))):
        raise SnapshotError(f"{what} is {describe(array)}, expected [frames] or [frames, channels], 1 or 2 channels")
    return Selected([array], {"sample_rate": _integer("sample_rate", sample_rate, 1, _MAX_RATE)})


def select_video(value: object, fps: object, dataformats: object, what: str) -> Selected:
    """Frames in five dimensions, uint8 or floats in 0..1.

    Raises:
        SnapshotError: another shape, or empty.
        ConfigError: letters that are not NTCHW, a rate that cannot be.
    """
    array = _not_empty(value, what)
    letters = dataformats.upper() if isinstance(dataformats, str) else ""
    if sorted(letters) != sorted("NTCHW"):
        raise ConfigError(f"{what}: dataformats is {dataformats!r:.60}, expected an order of the letters NTCHW")
    shape = shape_of(array)
    if len(shape) != 5:
        raise SnapshotError(f"{what} is {describe(array)}, expected 5 dimensions: {', '.join(letters)}")
    channels = shape[letters.index("C")]
    if channels not in (1, 3, 4):
        raise SnapshotError(f"{what} has {channels} channels, expected 1, 3 or 4")
    return Selected([array], {"dataformats": letters, "fps": positive(f"{what}: fps", fps)})


def select_mesh(vertices: object, colors: object, faces: object, config: object, what: str) -> Selected:
    """Vertices, faces and colors, each ``[batch, n, 3]``; none at all are a mesh of nothing.

    Raises:
        SnapshotError: another shape.
        ConfigError: a configuration that is no JSON, or too long.
    """
    parts = [("vertices", vertices), ("faces", faces), ("colors", colors)]
    arrays, names = [], []
    for name, value in parts:
        if value is None and name != "vertices":
            continue
        array = as_array(value, f"{what}: {name}")
        shape = shape_of(array)
        if len(shape) != 3 or shape[2] != 3:
            raise SnapshotError(f"{what}: {name} is {describe(array)}, expected [batch, n, 3]")
        arrays.append(array)
        names.append(name)
    try:
        text = json.dumps(config, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{what}: config_dict cannot be written as JSON: {error}") from None
    if len(text) > MAX_CONFIG_BYTES:
        raise ConfigError(f"{what}: config_dict is {len(text):,} characters of JSON, limit {MAX_CONFIG_BYTES:,}")
    return Selected(arrays, {"parts": names, "config": text})


@dataclass(frozen=True, slots=True)
class SelectedEmbedding:
    """An embedding: its matrix, the document of its labels, its sprites."""

    matrix: Array
    metadata: dict[str, object] | None
    sprites: Array | None


def select_embedding(mat: object, metadata: object, label_img: object, header: object, what: str) -> SelectedEmbedding:
    """A matrix ``[n, dimensions]``, n labels, and n square pictures ``[n, C, H, H]``.

    Raises:
        SnapshotError: another shape, or not as many labels or pictures as rows.
        ConfigError: labels that are not lists.
    """
    matrix = _not_empty(mat, what)
    shape = shape_of(matrix)
    if len(shape) != 2:
        raise SnapshotError(f"{what} is {describe(matrix)}, expected [n, dimensions]")
    document = None if metadata is None else _labels(metadata, header, shape[0], what)
    sprites = None
    if label_img is not None:
        sprites = _not_empty(label_img, f"{what}: label_img")
        size = shape_of(sprites)
        if len(size) != 4 or size[0] != shape[0] or size[1] not in (1, 3) or size[2] != size[3]:
            raise SnapshotError(
                f"{what}: label_img is {describe(sprites)}, expected [{shape[0]}, 1 or 3, H, H]: square pictures, one "
                "per row of the matrix"
            )
    return SelectedEmbedding(matrix, document, sprites)


def _labels(metadata: object, header: object, count: int, what: str) -> dict[str, object]:
    try:
        rows = list(metadata)  # type: ignore[call-overload]  # what cannot be iterated is told of below
    except TypeError:
        raise ConfigError(f"{what}: metadata is {type(metadata).__name__}, expected a list of labels") from None
    if len(rows) != count:
        raise SnapshotError(f"{what}: metadata has {len(rows):,} labels, expected {count:,}, one per row of the matrix")
    if not header:
        return {"header": None, "rows": [str(row) for row in rows]}
    names = [str(name) for name in cast("Sequence[object]", header)]
    for row in rows:
        is_row = not isinstance(row, str) and (isinstance(row, Sequence) or hasattr(row, "__array__"))
        if not is_row or len(row) != len(names):
            raise SnapshotError(
                f"{what}: metadata has the row {row!r:.60}, expected {len(names)} columns, as the header"
            )
    return {"header": names, "rows": [[str(cell) for cell in row] for row in rows]}


def select_boxes(
    value: object, boxes: object, dataformats: object, labels: object, rescale: object, what: str
) -> Selected:
    """A picture and boxes ``[n, 4]``: left, top, right, bottom, in pixels.

    Raises:
        SnapshotError: another shape.
        ConfigError: labels or a factor that cannot be.
    """
    image = _not_empty(value, what)
    letters = dataformats.upper() if isinstance(dataformats, str) else ""
    if sorted(letters) not in (sorted("CHW"), sorted("HW"), sorted("NCHW")) or len(letters) != len(shape_of(image)):
        raise SnapshotError(
            f"{what} is {describe(image)} with dataformats={dataformats!r:.60}, expected one letter of CHW, HW or NCHW "
            "per dimension"
        )
    if "C" in letters and shape_of(image)[letters.index("C")] not in (1, 3, 4):
        raise SnapshotError(f"{what} is {describe(image)} ({letters}), expected 1, 3 or 4 channels")
    array = as_array(boxes, f"{what}: box_tensor")
    shape = shape_of(array)
    if 0 in shape[:1]:  # no boxes, in whatever shape
        array = np.empty((0, 4))
    elif len(shape) != 2 or shape[1] < 4:
        raise SnapshotError(f"{what}: box_tensor is {describe(array)}, expected [n, 4]: left, top, right, bottom")
    else:
        array = array[:, :4]  # scores and classes stand behind them
    options: dict[str, object] = {"dataformats": letters}
    names = [labels] if isinstance(labels, str) else labels
    if names is not None:
        names = ["" if name is None else str(name) for name in cast("Sequence[object]", names)]
        if len(names) == shape[0]:  # else they are left out, as in tensorboardX
            options["labels"] = names
    factor = positive(f"{what}: rescale", rescale)
    if factor != 1:
        options["rescale"] = factor
    return Selected([image, array], options)


def select_pr_curve(labels: object, predictions: object, weights: object, thresholds: object, what: str) -> Selected:
    """Labels and predictions of as many elements; weights of as many, or one number.

    Raises:
        SnapshotError: not as many.
        ConfigError: a number of thresholds that cannot be.
    """
    truth, guess = as_array(labels, f"{what}: labels"), as_array(predictions, f"{what}: predictions")
    arrays = [truth, guess]
    if _count(truth) != _count(guess):
        raise SnapshotError(
            f"{what}: labels is {describe(truth)} and predictions is {describe(guess)}, expected as many"
        )
    if weights is not None:
        weight = as_array(weights, f"{what}: weights")
        if _count(weight) not in (1, _count(truth)):
            weight = _broadcast(weight, shape_of(truth), what)
        arrays.append(weight)
    return Selected(arrays, {"num_thresholds": _integer("num_thresholds", thresholds, 1, _MAX_RATE)})


def _broadcast(weight: Array, shape: tuple[int, ...], what: str) -> Array:
    """Weights of fewer dimensions, as numpy's rules have it: one for each class, of labels ``[n, classes]``."""
    try:
        return np.broadcast_to(weight, shape) if isinstance(weight, np.ndarray) else weight.expand(shape)
    except (ValueError, RuntimeError):
        raise SnapshotError(
            f"{what}: weights is {describe(weight)}, expected {math.prod(shape):,} elements or one"
        ) from None


def numbers(value: object, what: str) -> bytes:
    """A column of numbers, as the bytes of float64; from a device at once.

    Raises:
        SnapshotError: something else.
    """
    if isinstance(value, (list, tuple)) and value and isinstance(value[0], (int, float, np.generic)):
        try:  # several times as fast as by way of numpy
            return packed_array("d", value).tobytes()
        except (TypeError, OverflowError):
            pass  # nested, or no numbers: told of below
    found = as_array(value, what)
    if not isinstance(found, np.ndarray):
        found = found.detach().double().cpu().numpy()
    return np.asarray(found, np.float64).tobytes()


def positive(name: str, value: object) -> float:
    """A number above 0.

    Raises:
        ConfigError: something else.
    """
    try:
        number = float(value)  # type: ignore[arg-type]  # what it cannot take is told of
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ConfigError(f"{name} is {value!r:.60}, expected a number above 0")
    return number


def _integer(name: str, value: object, low: int, high: int) -> int:
    try:
        number = int(value)  # type: ignore[call-overload]  # what it cannot take is told of
    except (TypeError, ValueError, OverflowError):
        number = low - 1
    if isinstance(value, str) or not low <= number <= high:
        raise ConfigError(f"{name} is {value!r:.60}, expected an integer of at least {low}")
    return int(number)


def _not_empty(value: object, what: str) -> Array:
    array = as_array(value, what)
    if 0 in shape_of(array):
        raise SnapshotError(f"{what} is {describe(array)}, which is empty, expected at least one value")
    return array


def _count(array: Array) -> int:
    return math.prod(shape_of(array))
