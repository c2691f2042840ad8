"""ONNX: ``SummaryWriter.add_onnx_graph``, by the package onnx and tensorboardX's own reading of the graph."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import onnx_graph
from sidelog_shared.errors import MissingExtra, SnapshotError
from sidelog_shared.records import Record


def onnx_content(record: Record) -> Content:
    """One event with the graph. The record's tag is not used; tensorboardX gives no step.

    Raises:
        MalformedHeader: not one buffer of bytes.
        SnapshotError: they are no ONNX model.
        MissingExtra: onnx is not installed.
    """
    fields.check_count(record, 1)
    data = bytes(fields.octets(record, 0, "model"))
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("onnx", "onnx", "add_onnx_graph") from error
    try:
        model = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise SnapshotError(f"{len(data):,} bytes are no ONNX model: {error}") from None
    # Of no bytes, and of many that are something else, protobuf makes an empty message.
    if not model.ir_version or not model.HasField("graph"):
        raise SnapshotError(f"{len(data):,} bytes are no ONNX model, expected a version and a graph in them")
    for index, node in enumerate(model.graph.node):
        if not node.output:
            raise SnapshotError(f"node {index} of the ONNX graph ({node.op_type!r:.80}) has no output, expected one "
                                f"to name it by")  # fmt: skip
    graph = onnx_graph.parse(model.graph)
    return Content((summaries.graph_event(graph.SerializeToString(), record.step, record.wall_time),))
