"""Structured values that are too long for a header: msgpack in a uint8 buffer of a record."""

from __future__ import annotations

import threading

import msgpack

from sidelog_shared.errors import MalformedHeader
from sidelog_shared.limits import MAX_DOCUMENT_BYTES
from sidelog_shared.records import Buffer

_KEPT_BYTES = 1 << 20
"""A packer that has grown beyond it is not kept."""


def pack_document(value: object) -> bytes:
    """Maps with string keys, lists, strings, numbers, booleans and None, as msgpack.

    Raises:
        TypeError: something else.
    """
    data: bytes = _packers.packer.pack(value)
    if len(data) > _KEPT_BYTES:
        _packers.packer = msgpack.Packer(use_bin_type=True)
    return data


class _Packers(threading.local):
    """One packer per thread: a new one allocates 256 KiB or more, which costs more than packing a small document."""

    def __init__(self) -> None:
        self.packer = msgpack.Packer(use_bin_type=True)


_packers = _Packers()


def read_document(buffer: Buffer) -> object:
    """What :func:`pack_document` packed; lists come back as lists.

    Raises:
        MalformedHeader: it is not msgpack, or too long.
    """
    if len(buffer) > MAX_DOCUMENT_BYTES:
        raise MalformedHeader(f"document is {len(buffer):,} bytes, limit {MAX_DOCUMENT_BYTES:,}")
    try:
        return msgpack.unpackb(buffer, raw=False, strict_map_key=True)
    except (ValueError, msgpack.UnpackException, TypeError) as error:
        raise MalformedHeader(f"document is not msgpack: {error!r:.200}") from None
