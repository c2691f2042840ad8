"""Records of every kind as they come from the wire, and what the daemon makes of them."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from sidelog_daemon.kinds import make_content
from sidelog_shared import dtypes
from sidelog_shared.documents import pack_document
from sidelog_shared.records import LANES, Buffer, BufferSpec, Kind, Lane, Record
from tensorboardx_events import parsed

NOW = 1_700_000_000.25
TAG = "a tag/ü"


def record(
    kind: Kind,
    *buffers: np.ndarray | torch.Tensor | bytes,
    tag: str = TAG,
    step: int | None = 3,
    **options: object,
) -> Record:
    """A record of ``kind``; bytes become a buffer of uint8."""
    specs, contents = [], []
    for buffer in buffers:
        spec, content = _wire(buffer)
        specs.append(spec)
        contents.append(content)
    lane = Lane.LIGHT if Lane.LIGHT in LANES[kind] else Lane.HEAVY
    return Record(lane, 1, 1, kind, tag, step, NOW, options, tuple(specs), tuple(contents))


def documented(kind: Kind, value: object, **options: Any) -> Record:
    """A record of ``kind`` with one document."""
    return record(kind, pack_document(value), **options)


def events(one: Record) -> list[Any]:
    """The decoded events of a record that has nothing to be warned of."""
    content = make_content(one)
    assert content.warning == ""
    return parsed(*content.events)


def pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(encoded)))


def files_below(directory: Path) -> dict[str, bytes]:
    """Everything but event files and locks, by path."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and "tfevents" not in path.name and path.name != ".sidelog.lock"
    }


def _wire(buffer: np.ndarray | torch.Tensor | bytes) -> tuple[BufferSpec, Buffer]:
    if isinstance(buffer, bytes):
        return BufferSpec(dtypes.UINT8, (len(buffer),)), buffer
    if isinstance(buffer, torch.Tensor):
        name = str(buffer.dtype).removeprefix("torch.")
        data = buffer.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return BufferSpec(dtypes.BY_NAME[name], tuple(buffer.shape)), data
    return BufferSpec(dtypes.BY_NAME[buffer.dtype.name], buffer.shape), buffer.tobytes()
