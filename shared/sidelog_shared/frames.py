"""The outer form of a message: frame 0 (magic, version, kind, epoch), a msgpack header, raw buffers."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import msgpack

from sidelog_shared.errors import BadMagic, LimitExceeded, MalformedHeader, VersionMismatch
from sidelog_shared.limits import MAX_FRAMES, MAX_HEADER_BYTES
from sidelog_shared.records import Buffer

MAGIC = b"SDLG"
MAJOR = 1
MINOR = 1
_PREFIX = struct.Struct("<4sBBBxI")
"""magic, major, minor, kind, zero, epoch: 12 bytes, little-endian. The same in every major version."""


class MessageKind(IntEnum):
    """Below 64: from client to daemon. From 64 on: from daemon to client."""

    HELLO = 1
    OPEN_RUN = 2
    CLOSE_RUN = 3
    SCALARS = 4
    RECORD = 5
    PART = 6
    FLUSH = 7
    HEARTBEAT = 8
    BYE = 9
    INQUIRE = 10
    WELCOME = 64
    OPENED = 65
    REFUSED = 66
    STATE = 67
    RESET = 68
    DRAINING = 69
    GOODBYE = 70
    REPORT = 71
    SETTLED = 72


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message whose outer form has been checked; ``header`` is decoded, its fields are not yet."""

    kind: int
    minor: int
    epoch: int
    header: dict[str, object]
    buffers: Sequence[Buffer]


def is_state(frames: Sequence[Buffer]) -> bool:
    """Whether a message is a STATE of this protocol, of whatever minor version, by frame 0 alone."""
    if not frames:
        return False
    prefix = bytes(frames[0])
    return prefix[:5] == _BEGINS and prefix[6:7] == _STATE


_BEGINS = struct.pack("<4sB", MAGIC, MAJOR)
_STATE = bytes([MessageKind.STATE])


def pack_prefix(kind: MessageKind, epoch: int) -> bytes:
    return _PREFIX.pack(MAGIC, MAJOR, MINOR, kind, epoch)


def pack_header(header: dict[str, object]) -> bytes:
    """Encode a header.

    Raises:
        LimitExceeded: it is longer than ``limits.MAX_HEADER_BYTES``.
    """
    packed: bytes = msgpack.packb(header, use_bin_type=True)
    if len(packed) > MAX_HEADER_BYTES:
        raise LimitExceeded(f"header is {len(packed):,} bytes, limit {MAX_HEADER_BYTES:,} (limits.MAX_HEADER_BYTES)")
    return packed


def pack(kind: MessageKind, epoch: int, header: dict[str, object], buffers: Sequence[Buffer] = ()) -> list[Buffer]:
    return [pack_prefix(kind, epoch), pack_header(header), *buffers]


def unpack(frames: Sequence[Buffer], *, max_bytes: int) -> Envelope:
    """Check the outer form of a message, cheapest checks first, and decode its header.

    Args:
        frames: all frames of one message, without ZeroMQ's routing id.
        max_bytes: how many bytes of buffers its sender may send at once.

    Raises:
        LimitExceeded: too many frames, too long a header, too many bytes.
        BadMagic: frame 0 is not ours.
        VersionMismatch: frame 0 is of another major version; the message names both.
        MalformedHeader: the header is missing or no msgpack map with string keys.
    """
    if len(frames) > MAX_FRAMES:
        raise LimitExceeded(f"message has {len(frames)} frames, limit {MAX_FRAMES} (limits.MAX_FRAMES)")
    if not frames or len(frames[0]) != _PREFIX.size:
        got = len(frames[0]) if frames else 0
        raise BadMagic(f"frame 0 is {got} bytes, expected {_PREFIX.size}")
    magic, major, minor, kind, epoch = _PREFIX.unpack(frames[0])
    if magic != MAGIC:
        raise BadMagic(f"frame 0 begins with {magic!r}, expected {MAGIC!r}")
    if major != MAJOR:
        raise VersionMismatch(f"message is of protocol {major}.{minor}, expected {MAJOR}.x")
    if len(frames) < 2:
        raise MalformedHeader("message has no header frame, expected a msgpack map in frame 1")
    if len(frames[1]) > MAX_HEADER_BYTES:
        raise LimitExceeded(f"header is {len(frames[1]):,} bytes, limit {MAX_HEADER_BYTES:,} (limits.MAX_HEADER_BYTES)")
    buffers = frames[2:]
    total = sum(map(len, buffers))
    if total > max_bytes:
        raise LimitExceeded(f"message has {total:,} bytes of buffers, limit {max_bytes:,}")
    try:
        header = msgpack.unpackb(frames[1], raw=False, strict_map_key=True)
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise MalformedHeader(f"header is not msgpack: {error}") from None
    if not isinstance(header, dict) or not all(isinstance(key, str) for key in header):
        raise MalformedHeader(f"header is {type(header).__name__}, expected a map with string keys")
    return Envelope(kind, minor, epoch, header, buffers)
