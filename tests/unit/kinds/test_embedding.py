"""Embeddings: the files that tensorboardX writes for the projector, byte by byte."""

from __future__ import annotations

import importlib
import time

import numpy as np
import pytest
import torch
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from kind_records import files_below, pixels, record
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from sidelog_daemon.kinds import make_content
from sidelog_daemon.sink.projector import ProjectorEntry
from sidelog_shared.documents import pack_document
from sidelog_shared.errors import SidelogError, SnapshotError
from sidelog_shared.records import Kind, Record


def embedding(
    matrix: np.ndarray | torch.Tensor,
    rows: object = None,
    header: object = None,
    sprites: np.ndarray | torch.Tensor | None = None,
    **options: object,
) -> Record:
    buffers: list[np.ndarray | torch.Tensor | bytes] = [matrix]
    parts = []
    if rows is not None:
        buffers.append(pack_document({"header": header, "rows": rows}))
        parts.append("metadata")
    if sprites is not None:
        buffers.append(sprites)
        parts.append("sprites")
    return record(Kind.EMBEDDING, *buffers, **{"parts": parts, **options})  # type: ignore[arg-type]


def entry(one: Record) -> ProjectorEntry:
    content = make_content(one)
    assert content.events == ()
    assert content.projector is not None
    return content.projector


def written(one: ProjectorEntry) -> dict[str, bytes]:
    """As it stands in a run directory, by path."""
    files = {f"{one.folder}/{name}": content for name, content in one.files.items()}
    return {**files, "projector_config.pbtxt": one.block}


LABELS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"]), max_size=5)


@settings(max_examples=60)
@given(
    count=st.integers(1, 9),
    width=st.integers(0, 4),
    dtype=st.sampled_from([np.float16, np.float32, np.float64, np.int64, np.uint8, np.bool_]),
    columns=st.integers(0, 3),
    labels=st.lists(LABELS, min_size=27, max_size=27),
    sprites=st.sampled_from([None, (1, 1), (3, 5), (3, 8)]),
    step=st.sampled_from([0, 3, 123_456, -1]),
    tag=st.sampled_from(["default", "a/b\\c", "50% ü", "."]),
    seed=st.integers(0, 99),
)
def test_files(
    tmp_path_factory: pytest.TempPathFactory,
    count: int,
    width: int,
    dtype: type[np.generic],
    columns: int,
    labels: list[str],
    sprites: tuple[int, int] | None,
    step: int,
    tag: str,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    matrix = (random.normal(size=(count, width)) * 100).astype(dtype)
    header = None if columns < 2 else [f"column {index}" for index in range(columns)]
    rows: list[object] | None = None
    if columns:
        cells = iter(labels)
        rows = [next(cells) if header is None else [next(cells) for _ in header] for _ in range(count)]
    whole = None if sprites is None else random.integers(0, 256, (count, sprites[0], sprites[1], sprites[1]))
    run = tmp_path_factory.mktemp("x")
    with importlib.import_module("tensorboardX.writer").SummaryWriter(str(run)) as writer:
        label_img = None if whole is None else (whole + 0.25) / 255
        with np.errstate(all="ignore"):  # the tiles that it does not fill are what memory held, and it multiplies them
            writer.add_embedding(matrix, rows, label_img, step, tag, header)
    expected = files_below(run)
    # There a backslash is an escape that protobuf does not know, and TensorBoard does not read the list.
    expected["projector_config.pbtxt"] = expected["projector_config.pbtxt"].replace(b"\\", b"\\\\")
    pictures = None if whole is None else whole.astype(np.uint8)
    got = written(entry(embedding(matrix, rows, header, pictures, tag=tag, step=step)))
    if tag == ".":  # tensorboardX's files of it lie in the step's own folder
        got = {path.replace("%2e", "."): content.replace(b"%2e", b".") for path, content in got.items()}
        expected = {path.replace("/", "/./") if "/" in path else path: content for path, content in expected.items()}
    assert got.keys() == expected.keys()
    for path in expected:
        if not path.endswith(".png"):
            assert got[path] == expected[path], path
            continue
        sheet, sheet_of_theirs = pixels(got[path]), pixels(expected[path])
        assert sheet.shape == sheet_of_theirs.shape
        filled = -(-count // (sheet.shape[1] // sprites[1])) * sprites[1]  # below, theirs is what memory held
        np.testing.assert_array_equal(sheet[:filled], sheet_of_theirs[:filled])
        assert not sheet[filled:].any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
def test_small_floats_are_written_as_their_values(dtype: torch.dtype) -> None:
    matrix = torch.tensor([[0.1, 2.0], [-3.5, 0.0]]).to(dtype)
    lines = entry(embedding(matrix)).files["tensors.tsv"].decode().splitlines()
    assert [[float(cell) for cell in line.split("\t")] for line in lines] == matrix.float().tolist()


def test_sprites_are_rounded_and_clamped() -> None:
    sprites = torch.tensor([-1.0, 0.25, 0.5, 2.0]).reshape(1, 1, 2, 2)
    sheet = pixels(entry(embedding(np.zeros((1, 2)), sprites=sprites)).files["sprite.png"])
    assert sheet[..., 0].tolist() == [[0, 64], [128, 255]]


def test_a_nan_in_a_sprite_is_said() -> None:
    sprites = np.full((1, 1, 2, 2), np.nan, np.float32)
    assert make_content(embedding(np.zeros((1, 2)), sprites=sprites)).warning == "4 values are NaN, shown in black"


@pytest.mark.parametrize("tag", ["..", ".", 'a"b', "back\\slash", "new\nline", "../../etc", "/abs", "ü%"])
def test_no_tag_leaves_its_folder_or_breaks_the_list(tag: str) -> None:
    one = entry(embedding(np.zeros((1, 2)), ["label"], tag=tag, step=7))
    step, folder = one.folder.split("/")
    assert step == "00007"
    assert folder not in (".", "..")
    config = text_format.Parse(one.block.decode(), ProjectorConfig())
    assert config.embeddings[0].tensor_name == f"{tag}:00007"
    assert config.embeddings[0].tensor_path == f"{one.folder}/tensors.tsv"
    assert config.embeddings[0].metadata_path == f"{one.folder}/metadata.tsv"


def test_a_large_matrix_takes_seconds() -> None:
    matrix = np.random.default_rng(0).random((10_000, 256), np.float32)
    began = time.monotonic()
    one = entry(embedding(matrix))
    assert time.monotonic() - began < 30  # 1.3 s on one quiet core
    assert one.files["tensors.tsv"].count(b"\n") == 10_000


MATRIX = np.zeros((2, 3))


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (embedding(np.zeros(3)), r"embedding has shape \[3\], expected \[n, dimensions\]"),
        (embedding(MATRIX, step=None), r"EMBEDDING\.step is not given, expected an integer"),
        (embedding(MATRIX, ["a"]), r"EMBEDDING\.metadata\.rows has 1 items, expected 2"),
        (embedding(MATRIX, ["a", 5]), r"rows\[1\] is 5, expected a string"),
        (embedding(MATRIX, ["a", "b"], ["x", "y"]), r"rows\[0\] is 'a', expected a list"),
        (embedding(MATRIX, [["a", "b"], ["c"]], ["x", "y"]), r"rows\[1\] has 1 items, expected 2"),
        (embedding(MATRIX, [["a"], ["c"]]), r"rows\[0\] is \['a'\], expected a string"),
        (embedding(MATRIX, ["a", "b"], [3]), r"header\[0\] is 3, expected a string"),
        (
            embedding(MATRIX, ["a", "b"], parts=["sprites", "metadata"]),
            r"expected some of \['metadata', 'sprites'\], in",
        ),
        (embedding(MATRIX, ["a", "b"], parts=[]), "EMBEDDING has 2 buffers, expected 1"),
        (embedding(MATRIX, parts=None), r"EMBEDDING\.options\.parts is None, expected a list"),
        (record(Kind.EMBEDDING, MATRIX, b"\x80", parts=["metadata"]), r"metadata\.rows is None, expected a list"),
        (record(Kind.EMBEDDING, MATRIX, b"\x90", parts=["metadata"]), r"metadata is \[\], expected a map"),
        (record(Kind.EMBEDDING, MATRIX, b"\xc1", parts=["metadata"]), r"metadata: document is not msgpack"),
        (record(Kind.EMBEDDING, MATRIX, MATRIX, parts=["metadata"]), r"metadata is float64 \[2, 3\], expected uint8"),
        (embedding(MATRIX, sprites=np.zeros((2, 3, 4, 5))), r"sprites have shape .* expected \[n, C, H, H\]"),
        (embedding(MATRIX, sprites=np.zeros((2, 4, 5, 5))), r"of 1 or 3 channels"),
        (embedding(MATRIX, sprites=np.zeros((1, 3, 5, 5))), r"expected 2, one for each row"),
        (embedding(MATRIX, sprites=np.zeros((2, 1, 4097, 4097), np.uint8)), r"8,194 x 8,194 pixels, expected at most"),
        (embedding(MATRIX, tag="x" * 256), r"names a folder of 256 bytes, limit 255"),
        (embedding(MATRIX, tag="/" * 100 + "x"), r"names a folder of 301 bytes"),
    ],
)
def test_what_is_no_embedding_is_refused(one: Record, message: str) -> None:
    with pytest.raises(SidelogError, match=message):
        make_content(one)


def test_an_embedding_of_nothing_is_one() -> None:
    assert entry(embedding(np.zeros((0, 3)), [])).files == {"tensors.tsv": b"", "metadata.tsv": b""}
    with pytest.raises(SnapshotError, match="sprites have shape"):
        make_content(embedding(np.zeros((0, 3)), sprites=np.zeros((0, 3, 4, 4))))
