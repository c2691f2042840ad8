"""MESH: ``SummaryWriter.add_mesh``."""

from __future__ import annotations

import json

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import summary, summary_pb2
from sidelog_shared.errors import MalformedHeader, SnapshotError
from sidelog_shared.records import Record

_CONTENT_TYPES = {"vertices": 1, "faces": 2, "colors": 3}
"""The mesh plugin's numbers for them (its ``plugin_data.proto``), in the order in which tensorboardX writes them."""


def mesh_content(record: Record) -> Content:
    """One event with a tensor for each of vertices, faces and colors that are given, all ``[batch, n, 3]``.

    Raises:
        MalformedHeader: parts without vertices, or a ``config`` that is no JSON.
        SnapshotError: another shape.
    """
    names = fields.parts(record, list(_CONTENT_TYPES))
    if "vertices" not in names:
        raise MalformedHeader(f"MESH.options.parts is {names}, expected 'vertices' among them")
    config = fields.options(record).text("config", len(str(record.options)))
    try:
        json.loads(config)
    except (ValueError, RecursionError) as error:
        raise MalformedHeader(f"MESH.options.config is {config!r:.80}, expected JSON: {error}") from None
    message = summary_pb2.Summary()
    for index, name in enumerate(names):
        tensor = fields.tensor(record, index)
        if tensor.ndim != 3 or tensor.shape[2] != 3:
            raise SnapshotError(f"mesh {name} have shape {list(tensor.shape)}, expected [batch, n, 3]")
        # Not summary.mesh: it would write the JSON anew, and sort keys as strings that were sorted as numbers.
        message.value.append(summary._get_tensor_summary(record.tag, tensor, _CONTENT_TYPES[name], config))
    return Content((summaries.summary_event(message, record.step, record.wall_time),))
