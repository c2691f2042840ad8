"""Scalars as they stand in an event file, put together by hand: the one kind that comes a hundred thousand a second.

A batch comes as columns and leaves as framed records in the order of its rows, without a message or a Python object for
each. What protobuf and tensorboardX's ``RecordWriter`` make of the same calls is the oracle of the tests, byte for
byte.

Sources: the Protocol Buffers encoding specification (varints, tags of fields); ``event.proto`` and ``summary.proto`` of
TensorBoard for the numbers of the fields; TFRecord for the frame: length, its CRC, data, its CRC, CRCs masked.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from crc32c import crc32c

from sidelog_shared.limits import STEP_NONE
from sidelog_shared.names import clean_tag
from sidelog_shared.records import ScalarForm, Series

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]

_WALL_TIME = 0x09
"""``Event.wall_time``: field 1, 64 bits."""
_STEP = 0x10
"""``Event.step``: field 2, varint; 0 is not written."""
_SUMMARY = 0x2A
"""``Event.summary``: field 5, a message."""
_VALUE = b"\x0a"
"""``Summary.value``: field 1, a message."""
_TAG = b"\x0a"
"""``Summary.Value.tag``: field 1, a string."""
_SIMPLE_VALUE = b"\x15"
"""``Summary.Value.simple_value``: field 2, 32 bits."""
_LENGTH_BYTES, _CRC_BYTES, _WALL_BYTES, _FLOAT_BYTES = 8, 4, 8, 4
_MAX_VARINT = 10
_MASK_DELTA = 0xA282EAD8
"""``tensorflow/core/lib/hash/crc32c.h``."""


def plain_heads(series: Sequence[Series]) -> list[bytes] | None:
    """What stands before the number in each scalar of some series; None where one is not put together here.

    Here are scalars that are a tag and a number. Others have metadata, or are tensors.
    """
    if any(one.form is not ScalarForm.SIMPLE or one.display_name or one.description for one in series):
        return None
    return [_head(one.tag) for one in series]


def framed_scalars(
    heads: Sequence[bytes],
    index: npt.NDArray[np.integer],
    steps: Integers,
    wall_times: Doubles,
    values: Doubles,
) -> bytearray:
    """Records of plain scalars.

    Args:
        heads: of the series that the rows name (:func:`plain_heads`).
        index: which of them each row belongs to.
        steps: ``limits.STEP_NONE`` for no step.
        wall_times: seconds since the epoch, finite.
        values: TensorBoard keeps float32.

    Raises:
        ValueError: a wall time is NaN or infinite.
    """
    if not np.isfinite(wall_times).all():
        bad = wall_times[~np.isfinite(wall_times)][0]
        raise ValueError(f"wall time is {bad}, expected finite seconds since the epoch")
    steps = np.where(steps == STEP_NONE, 0, steps)
    widths = _varint_widths(steps)
    sizes = np.array([len(head) for head in heads])
    head_sizes = sizes[index]
    walls = wall_times.astype("<f8").view(np.uint8).reshape(-1, _WALL_BYTES)
    wall_sizes = np.where(walls.any(axis=1), 1 + _WALL_BYTES, 0)  # as a step: what is 0 is not written
    data_sizes = wall_sizes + np.where(widths, 1 + widths, 0) + head_sizes + _FLOAT_BYTES
    ends = np.cumsum(_LENGTH_BYTES + 2 * _CRC_BYTES + data_sizes)
    out = bytearray(int(ends[-1]))
    flat = np.frombuffer(out, np.uint8)
    begins = ends - data_sizes - _CRC_BYTES  # of the data
    _put_length(flat, begins - _LENGTH_BYTES - _CRC_BYTES, data_sizes)
    timed = np.flatnonzero(wall_sizes)
    flat[begins[timed]] = _WALL_TIME
    _put(flat, begins[timed] + 1, walls[timed])
    with np.errstate(over="ignore"):
        floats = values.astype("<f4")
    _put(flat, ends - _CRC_BYTES - _FLOAT_BYTES, floats.view(np.uint8).reshape(-1, _FLOAT_BYTES))
    _put_steps(flat, begins + wall_sizes, steps, widths)
    head_begins = begins + data_sizes - head_sizes - _FLOAT_BYTES
    for size in np.unique(head_sizes).tolist():  # heads of one length are the rows of a table
        of_size = np.flatnonzero(sizes == size)
        table = np.frombuffer(b"".join([heads[which] for which in of_size.tolist()]), np.uint8).reshape(-1, size)
        rows = np.flatnonzero(head_sizes == size)
        _put(flat, head_begins[rows], table[np.searchsorted(of_size, index[rows])])
    whole = memoryview(out)
    crcs = [crc32c(whole[begin:end]) for begin, end in zip(begins.tolist(), (ends - _CRC_BYTES).tolist(), strict=True)]
    _put(flat, ends - _CRC_BYTES, _masked(np.array(crcs, np.uint32)))
    return out


@functools.lru_cache(maxsize=10_000)
def _head(tag: str) -> bytes:
    """What stands between the step and the number: the summary, its value and the tag."""
    name = clean_tag(tag).encode()
    value = _TAG + _varint(len(name)) + name + _SIMPLE_VALUE
    size = len(value) + _FLOAT_BYTES
    summary = _VALUE + _varint(size) + value
    return bytes([_SUMMARY]) + _varint(len(summary) + _FLOAT_BYTES) + summary


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _varint_widths(steps: Integers) -> Integers:
    """Bytes of each step as a varint; 0 where it is 0 and not written. A negative number takes all ten."""
    limits = np.array([1, *(1 << 7 * width for width in range(1, 9))], np.uint64)
    widths = np.searchsorted(limits, steps.astype(np.uint64), side="right")
    return np.where(steps < 0, _MAX_VARINT, widths).astype(np.int64)


def _put_steps(flat: Bytes, begins: Integers, steps: Integers, widths: Integers) -> None:
    written = np.flatnonzero(widths)
    flat[begins[written]] = _STEP
    rest = steps.astype(np.uint64)
    for place in range(_MAX_VARINT):
        rows = np.flatnonzero(widths > place)
        if not rows.size:
            break
        digits = (rest[rows] >> np.uint64(7 * place)).astype(np.uint8) & 0x7F
        more = np.where(widths[rows] > place + 1, 0x80, 0).astype(np.uint8)
        flat[begins[rows] + 1 + place] = digits | more


def _put_length(flat: Bytes, begins: Integers, sizes: Integers) -> None:
    """The length of the data, and its CRC: few lengths are different."""
    _put(flat, begins, sizes.astype("<u8").view(np.uint8).reshape(-1, _LENGTH_BYTES))
    different, where = np.unique(sizes, return_inverse=True)
    crcs = np.array([crc32c(size.to_bytes(_LENGTH_BYTES, "little")) for size in different.tolist()], np.uint32)
    _put(flat, begins + _LENGTH_BYTES, _masked(crcs)[where])


def _put(flat: Bytes, begins: Integers, rows: Bytes) -> None:
    """Lay each of ``rows`` down where it begins."""
    flat[begins[:, None] + np.arange(rows.shape[1])] = rows


def _masked(crcs: npt.NDArray[np.uint32]) -> Bytes:
    """``[n, 4]``, little-endian."""
    rotated = (crcs >> np.uint32(15)) | (crcs << np.uint32(17))
    masked: Bytes = (rotated + np.uint32(_MASK_DELTA)).astype("<u4").view(np.uint8).reshape(-1, _CRC_BYTES)
    return masked
