"""Whatever comes as any kind, it becomes content or an error that says what, got and expected; nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kind_records import documented, record

from sidelog_daemon.kinds import Content, make_content
from sidelog_shared import dtypes
from sidelog_shared.documents import pack_document
from sidelog_shared.errors import MalformedHeader, SidelogError
from sidelog_shared.limits import STEP_NEXT
from sidelog_shared.records import BufferSpec, Kind, Record

N = np.zeros


@pytest.mark.parametrize(
    ("one", "message"),
    [
        (record(Kind.TEXT), "TEXT has 0 buffers, expected 1"),
        (record(Kind.TEXT, b"\xff"), "TEXT.text is not UTF-8: "),
        (record(Kind.TEXT, N(1)), r"TEXT.text is float64 \[1\], expected uint8 \[n\]"),
        (record(Kind.PICTURE, N((1, 2, 3)), N(1)), "PICTURE has 2 buffers, expected 1"),
        (record(Kind.PICTURE, N((1, 2, 3))), "recipe is NoneType, expected a map"),
        (record(Kind.HISTOGRAM, N(1), N(2), N(3)), "HISTOGRAM has 3 buffers, expected 1 or 2"),
        (record(Kind.HISTOGRAM, N(1), bins=None), "bins is None, expected a name, a number of bins, or a second"),
        (record(Kind.HISTOGRAM, N(1), max_bins=True), "HISTOGRAM.options.max_bins is True, expected an integer"),
        (record(Kind.HPARAMS), "HPARAMS has 0 buffers, expected 1"),
        (documented(Kind.HPARAMS, []), r"HPARAMS is \[\], expected a map"),
        (documented(Kind.HPARAMS, {"hparams": [], "metrics": "m"}), "HPARAMS.metrics is 'm', expected a list"),
        (
            documented(Kind.HPARAMS, {"hparams": [["a"]], "metrics": []}),
            r"HPARAMS.hparams\[0\] has 1 items, expected 2",
        ),
        (documented(Kind.HPARAMS, {"hparams": [[1, 2]], "metrics": []}), r"HPARAMS.hparams\[0\]\[0\] is 1, expected a"),
        (
            documented(Kind.HPARAMS, {"hparams": [["a", []]], "metrics": []}),
            r"\[1\] is \[\], expected a string, a bool",
        ),
        (
            documented(Kind.HPARAMS, {"hparams": [["a", 1], ["a", 2]], "metrics": []}),
            "is 'a' again, expected each name",
        ),
        (
            documented(Kind.HPARAMS, {"hparams": [], "metrics": [[]]}),
            r"HPARAMS.metrics\[0\] is \[\], expected a string",
        ),
        (
            documented(Kind.HPARAMS, {"hparams": [["a", 1]], "metrics": [], "domains": []}),
            r"HPARAMS.domains is \[\], expected a map",
        ),
        (
            documented(Kind.HPARAMS, {"hparams": [["a", 1]], "metrics": [], "domains": {"b": [1]}}),
            r"domains\['b'\] is of no hyperparameter",
        ),
        (
            documented(Kind.HPARAMS, {"hparams": [["a", 1]], "metrics": [], "domains": {"a": 1}}),
            r"domains\['a'\] is 1, expected a list",
        ),
        (
            documented(Kind.HPARAMS, {"hparams": [["a", 1]], "metrics": [], "domains": {"a": [None]}}),
            r"domains\['a'\]\[0\] is None, expected a string, a bool",
        ),
        (documented(Kind.LAYOUT, {}), "LAYOUT is {}, expected a list"),
        (
            documented(Kind.LAYOUT, [["a", []], ["a", []]]),
            r"LAYOUT\[1\]\[0\] is 'a' again, expected each category once",
        ),
        (
            documented(Kind.LAYOUT, [["a", [["c", "Pie", []]]]]),
            r"\[1\] is 'Pie', expected one of \['Multiline', 'Margin'",
        ),
        (documented(Kind.LAYOUT, [["a", [["c", [], []]]]]), r"\[1\] is \[\], expected one of"),
        (documented(Kind.LAYOUT, [["a", [["c", "Margin", ["x"]]]]]), r"\[2\] has 1 items, expected 3"),
        (documented(Kind.LAYOUT, [["a", [["c", "Margin", "xyz"]]]]), r"\[2\] is 'xyz', expected a list"),
        (documented(Kind.LAYOUT, [["a", [["c", "Multiline", [3]]]]]), r"\[2\]\[0\] is 3, expected a string"),
        (documented(Kind.LAYOUT, [["a", [["c", "Multiline", []]] * 2]]), "is 'c' again, expected each chart once"),
        (record(Kind.BUCKETS, N(3), N(3)), "BUCKETS has 2 buffers, expected 3"),
        (
            record(Kind.BUCKETS, N(3), N(2), N(5)),
            r"BUCKETS has limits \[3\] and counts \[2\], expected \[n\] and \[n\]",
        ),
        (record(Kind.BUCKETS, N((3, 1)), N((3, 1)), N(5)), r"BUCKETS has limits \[3, 1\]"),
        (record(Kind.BUCKETS, N(3), N(3), N(4)), r"BUCKETS.numbers has shape \[4\], expected \[5\]"),
        (record(Kind.BUCKETS, N(3), N(3, np.int64), N(5)), "BUCKETS.counts is int64, expected float64"),
        (
            record(Kind.PR_COUNTS, N((5, 3)), num_thresholds=3),
            r"PR_COUNTS.counts has shape \[5, 3\], expected \[6, n\]",
        ),
        (record(Kind.PR_COUNTS, N((6, 3)), num_thresholds=0), "PR_COUNTS.options.num_thresholds is 0, expected"),
        (record(Kind.PR_COUNTS, N((6, 3))), "PR_COUNTS.options.num_thresholds is missing, expected"),
        (record(Kind.PURGE, N(1)), "PURGE has 1 buffers, expected 0"),
        (record(Kind.PURGE, step=None), "PURGE.step is not given, expected an integer"),
        (record(Kind.PURGE, step=STEP_NEXT), "PURGE.step is not given, expected an integer"),
        (record(Kind.PR_CURVE, N(1), num_thresholds=9), "PR_CURVE has 1 buffers, expected 2 or 3"),
        (record(Kind.PR_CURVE, N(1), N(1), num_thresholds=0), "PR_CURVE.options.num_thresholds is 0, expected"),
        (record(Kind.PR_CURVE, N(1), N(2), num_thresholds=9), "labels have 1 elements and predictions 2, expected"),
        (record(Kind.PR_CURVE, N(3), N(3), N(2), num_thresholds=9), "weights have 2 elements, expected 3 or 1"),
        (record(Kind.AUDIO, N(3)), "AUDIO.options.sample_rate is missing, expected an integer"),
        (record(Kind.AUDIO, N(3), sample_rate=44.1), "AUDIO.options.sample_rate is 44.1, expected an integer"),
        (record(Kind.VIDEO, N((1, 1, 1, 1, 1)), fps=4), "VIDEO.options.dataformats is missing, expected"),
        (record(Kind.VIDEO, N((1, 1, 1, 1, 1)), dataformats="NTCHH", fps=4), "is 'NTCHH', expected an order of"),
        (record(Kind.VIDEO, N((1, 1, 1, 1, 1)), dataformats="NTCHW", fps=0), "VIDEO.options.fps is 0.0, expected more"),
        (record(Kind.VIDEO, N((1, 1, 1, 1, 1)), dataformats="NTCHW", fps="4"), "VIDEO.options.fps is '4', expected"),
        (record(Kind.MESH, N((1, 2, 3)), config="{}"), r"MESH.options.parts is None, expected a list"),
        (record(Kind.MESH, N((1, 2, 3)), config="{}", parts=["faces"]), "expected 'vertices' among them"),
        (record(Kind.MESH, N((1, 2, 3)), config="{}", parts=["vertices"] * 2), "expected some of"),
        (record(Kind.MESH, N((1, 2, 3)), config="{}", parts=["edges"]), r"parts is \['edges'\], expected some of"),
        (record(Kind.TENSOR, N(1), N(1)), "TENSOR has 2 buffers, expected 1"),
        (record(Kind.ONNX, N(1)), r"ONNX.model is float64 \[1\], expected uint8 \[n\]"),
        (record(Kind.SUMMARY, N(1)), r"SUMMARY.summary is float64 \[1\], expected uint8 \[n\]"),
        (record(Kind.SUMMARY, b"\x0a\xff"), "2 bytes are no Summary message"),
        (record(Kind.SUMMARY, b""), "of 0 bytes has no value, expected at least one"),
        (record(Kind.BOXES, N((2, 3)), dataformats="HW"), "BOXES has 1 buffers, expected 2"),
    ],
)
def test_what_cannot_be_written_says_why(one: Record, message: str) -> None:
    with pytest.raises(SidelogError, match=message):
        make_content(one)


WORDS = st.sampled_from(
    ["vertices", "faces", "colors", "metadata", "sprites", "CHW", "HW", "NTCHW", "NCHW", "auto", "Margin", "grid", ""]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 300) | st.floats(-2, 1e3) | WORDS | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=6,
)
OPTIONS = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        (
            "bins",
            "max_bins",
            "dataformats",
            "labels",
            "rescale",
            "num_thresholds",
            "sample_rate",
            "fps",
            "parts",
            "config",
            "recipe",
        ),
        VALUES,
    ),
)
PLAUSIBLE = st.sampled_from(
    [
        {"dataformats": "CHW"},
        {"dataformats": "NTCHW", "fps": 4.0},
        {"sample_rate": 8000},
        {"num_thresholds": 9},
        {"parts": ["vertices"], "config": "{}"},
        {"parts": []},
        {"parts": ["metadata"]},
        {"parts": ["sprites"]},
        {"recipe": {"layout": "grid"}},
        {"recipe": {"layout": "image", "dataformats": "CHW"}},
    ]
)


@st.composite
def buffers(draw: st.DrawFn) -> tuple[BufferSpec, bytes]:
    if draw(st.booleans()):
        data = pack_document(draw(VALUES)) if draw(st.booleans()) else draw(st.binary(max_size=20))
        return BufferSpec(dtypes.UINT8, (len(data),)), data
    spec = BufferSpec(draw(st.sampled_from(dtypes.ALL)), tuple(draw(st.lists(st.integers(0, 4), max_size=6))))
    if spec.dtype is dtypes.BOOL:
        return spec, bytes(value & 1 for value in draw(st.binary(min_size=spec.nbytes, max_size=spec.nbytes)))
    # Both of any bits and of plain zeros: not everything is stopped by the first NaN.
    return spec, draw(st.binary(min_size=spec.nbytes, max_size=spec.nbytes)) if draw(st.booleans()) else bytes(
        spec.nbytes
    )


@settings(max_examples=1500)
@given(
    kind=st.sampled_from(Kind),
    some=st.lists(buffers(), max_size=4),
    options=OPTIONS | PLAUSIBLE,
    step=st.none() | st.just(STEP_NEXT) | st.integers(-(2**63) + 2, 2**63 - 1),
)
def test_anything_is_content_or_an_error_of_ours(
    kind: Kind, some: list[tuple[BufferSpec, bytes]], options: dict[str, Any], step: int | None
) -> None:
    specs, contents = zip(*some, strict=True) if some else ((), ())
    one = dataclasses.replace(record(kind, step=step, **options), specs=specs, buffers=contents)
    try:
        content = make_content(one)
    except SidelogError:
        return
    assert isinstance(content, Content)
    assert content.events or content.projector


def test_a_document_may_not_hold_ext_types() -> None:
    with pytest.raises(MalformedHeader, match=r"HPARAMS\.document|HPARAMS"):
        make_content(record(Kind.HPARAMS, b"\xc7\x00\x05"))
