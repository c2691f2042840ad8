"""EMBEDDING: ``SummaryWriter.add_embedding``: files beside the event files, which the projector page reads."""

from __future__ import annotations

import math

import numpy as np

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.render.channels import interleave, to_pixels
from sidelog_daemon.render.png import write_png
from sidelog_daemon.render.tensors import Array
from sidelog_daemon.sink.projector import ProjectorEntry
from sidelog_daemon.tensorboardx import embedding, utils
from sidelog_shared.errors import MalformedHeader, SnapshotError
from sidelog_shared.records import Record

_ROWS = 256
"""Rows of a matrix that are made into text at once: a list of Python's numbers takes much more than an array."""
_MAX_NAME_BYTES = 255
"""``NAME_MAX`` of the file systems in use."""


def embedding_content(record: Record) -> Content:
    """No event: a matrix ``[n, dimensions]``, and with it labels and square pictures for its rows.

    Raises:
        MalformedHeader: no step, or buffers and parts that do not fit.
        SnapshotError: shapes that do not fit, a sprite sheet larger than TensorBoard shows, or a tag too long for
            the name of a folder.
    """
    step = fields.step(record)
    names = fields.parts(record, ("metadata", "sprites"), after=1)
    matrix = fields.tensor(record, 0)
    if matrix.ndim != 2:
        raise SnapshotError(f"embedding has shape {list(matrix.shape)}, expected [n, dimensions]")
    folder = f"{str(step).zfill(5)}/{_folder_name(record.tag)}"
    files = {"tensors.tsv": _matrix_tsv(matrix)}
    lines = [
        "embeddings {",
        f'tensor_name: "{_quoted(record.tag)}:{str(step).zfill(5)}"',
        f'tensor_path: "{_quoted(folder)}/tensors.tsv"',
    ]
    warning = ""
    if "metadata" in names:
        files["metadata.tsv"] = _metadata_tsv(fields.document(record, 1, "metadata"), len(matrix))
        lines.append(f'metadata_path: "{_quoted(folder)}/metadata.tsv"')
    if "sprites" in names:
        sprites = fields.tensor(record, len(names))
        files["sprite.png"], nans = _sprite_sheet(sprites, len(matrix))
        warning = f"{nans:,} values are NaN, shown in black" if nans else ""
        lines += ["sprite {", f'image_path: "{_quoted(folder)}/sprite.png"']
        lines += [f"single_image_dim: {sprites.shape[3]}", f"single_image_dim: {sprites.shape[2]}", "}"]
    block = "".join(f"{line}\n" for line in [*lines, "}"])
    return Content(projector=ProjectorEntry(folder, files, block.encode()), warning=warning)


def _folder_name(tag: str) -> str:
    """The tag as one part of a path, by tensorboardX's ``_encode``; ``.`` and ``..`` are escaped too."""
    name = tag.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")
    if name in (".", ".."):
        name = name.replace(".", "%2e")
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise SnapshotError(f"tag {tag[:40]!r}... names a folder of {len(name.encode()):,} bytes, "
                            f"limit {_MAX_NAME_BYTES}")  # fmt: skip
    return name


def _quoted(text: str) -> str:
    """As it stands between quotation marks in protobuf's text format; tensorboardX's file is broken by them."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")


def _matrix_tsv(matrix: Array) -> bytes:
    """Each number as Python writes it (of float32, that of its float64): tensorboardX's ``make_mat``."""
    return b"".join(
        "".join("\t".join(map(str, row)) + "\n" for row in matrix[start : start + _ROWS].tolist()).encode()
        for start in range(0, len(matrix), _ROWS)
    )


def _metadata_tsv(document: object, count: int) -> bytes:
    """tensorboardX's ``make_tsv``."""
    if not isinstance(document, dict):
        raise MalformedHeader(f"EMBEDDING.metadata is {document!r:.80}, expected a map")
    rows = fields.as_list("EMBEDDING.metadata.rows", document.get("rows"), count)
    header = document.get("header")
    header = [] if header is None else fields.as_texts("EMBEDDING.metadata.header", header)
    if not header:
        lines = fields.as_texts("EMBEDDING.metadata.rows", rows)
    else:
        cells = [
            fields.as_texts(f"EMBEDDING.metadata.rows[{index}]", row, len(header)) for index, row in enumerate(rows)
        ]
        lines = ["\t".join(row) for row in [header, *cells]]
    return "".join(f"{line}\n" for line in lines).encode()


def _sprite_sheet(sprites: Array, count: int) -> tuple[bytes, int]:
    """The pictures in rows on a black square, as tensorboardX's ``make_sprite`` lays them out.

    uint8 are pixels (there they come out white), of everything else 0..1 is black to white, rounded and clamped.

    Returns:
        A PNG, and how many numbers were NaN.
    """
    if sprites.ndim != 4 or not sprites.size or sprites.shape[1] not in (1, 3) or sprites.shape[2] != sprites.shape[3]:
        raise SnapshotError(f"sprites have shape {list(sprites.shape)}, expected [n, C, H, H] of 1 or 3 channels")
    if len(sprites) != count:
        raise SnapshotError(f"sprites have shape {list(sprites.shape)}, expected {count:,}, one for each row")
    side = sprites.shape[3]
    columns = math.ceil((count * side * side) ** 0.5 / side)
    size = side * min(count, columns)
    if size > embedding.TB_MAX_SPRITE_SIZE:
        raise SnapshotError(f"sprites make a sheet of {size:,} x {size:,} pixels, expected at most "
                            f"{embedding.TB_MAX_SPRITE_SIZE:,}: fewer or smaller ones")  # fmt: skip
    pixels, nans = to_pixels(sprites)
    grid = utils.make_grid(pixels, ncols=columns)
    sheet = np.zeros((1, 3, size, size), np.uint8)
    sheet[0, :, : grid.shape[1]] = grid
    return write_png(interleave(sheet)[0]), nans
