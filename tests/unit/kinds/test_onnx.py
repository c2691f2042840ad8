"""ONNX models: the graph that tensorboardX reads of them."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest
from kind_records import events, record
from onnx import TensorProto, helper

from sidelog_daemon.kinds import make_content
from sidelog_shared.errors import MissingExtra, SnapshotError
from sidelog_shared.records import Kind
from tensorboardx_events import theirs, untimed


def model() -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("Gemm", ["x", "w"], ["y"], alpha=0.5, transB=1),
        helper.make_node("Relu", ["y"], ["z"]),
    ]
    graph = helper.make_graph(
        nodes, "net", [value("x", TensorProto.FLOAT, [2, 3])], [value("z", TensorProto.FLOAT, [2, 4])]
    )
    return helper.make_model(graph)


def test_a_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(model(), path)
    got = untimed(events(record(Kind.ONNX, path.read_bytes(), step=None)))
    assert capsys.readouterr().out == ""  # tensorboardX prints every node
    assert got == untimed(theirs(tmp_path / "run", lambda writer: writer.add_onnx_graph(str(path))))
    assert b"Gemm" in got[0].graph_def


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "0 bytes are no ONNX model, expected a version and a graph in them"),
        (b"no model at all", "15 bytes are no ONNX model"),
        (model().SerializeToString()[:-5], "are no ONNX model"),
    ],
)
def test_what_is_no_model_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        make_content(record(Kind.ONNX, data, step=None))


def test_a_node_without_output_is_refused() -> None:
    broken = model()
    del broken.graph.node[1].output[:]
    with pytest.raises(SnapshotError, match=r"node 1 of the ONNX graph \('Relu'\) has no output"):
        make_content(record(Kind.ONNX, broken.SerializeToString(), step=None))


def test_without_onnx_the_command_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtra, match=r'^add_onnx_graph needs .*: run  pip install "sidelog\[onnx\]"$'):
        make_content(record(Kind.ONNX, b"", step=None))
