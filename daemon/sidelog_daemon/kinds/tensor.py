"""TENSOR: ``add_tensor`` of ``torch.utils.tensorboard``; tensorboardX has none."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.render.tensors import Array
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import summary_pb2
from sidelog_shared import dtypes
from sidelog_shared.dtypes import DType
from sidelog_shared.errors import SnapshotError
from sidelog_shared.records import BufferSpec, Record

_FIELDS: dict[DType, tuple[str, str]] = {
    dtypes.FLOAT64: ("DT_DOUBLE", "double_val"),
    dtypes.FLOAT32: ("DT_FLOAT", "float_val"),
    dtypes.FLOAT16: ("DT_HALF", "half_val"),
    dtypes.BFLOAT16: ("DT_BFLOAT16", "half_val"),
    dtypes.INT64: ("DT_INT64", "int64_val"),
    dtypes.INT32: ("DT_INT32", "int_val"),
    dtypes.INT16: ("DT_INT16", "int_val"),
    dtypes.INT8: ("DT_INT8", "int_val"),
    dtypes.UINT8: ("DT_UINT8", "int_val"),
    dtypes.BOOL: ("DT_BOOL", "bool_val"),
}
"""torch's ``_TENSOR_TYPE_MAP``, where it is right. It writes halves as the bits of float32, and uint8 into
``uint32_val``: TensorBoard's ``make_ndarray`` cannot read either. Here a half is its own 16 bits, and uint8 stands
where ``tensor.proto`` says."""
_CHUNK = 1 << 16
"""Numbers that are handed over at once: the lock of the interpreter is free in between."""


def tensor_content(record: Record) -> Content:
    """One event with the whole tensor, for those who read event files by program; TensorBoard shows it nowhere.

    Raises:
        MalformedHeader: not one buffer.
        SnapshotError: a dtype that a ``TensorProto`` cannot hold as torch writes it.
    """
    fields.check_count(record, 1)
    spec = record.specs[0]
    if spec.dtype not in _FIELDS:
        known = ", ".join(dtype.name for dtype in _FIELDS)
        raise SnapshotError(f"tensor is {spec.dtype.name}, expected one of {known}")
    type_name, field = _FIELDS[spec.dtype]
    message = summary_pb2.Summary()
    value = message.value.add(tag=record.tag)
    value.metadata.plugin_data.plugin_name = "tensor"
    value.tensor.dtype = type_name
    value.tensor.tensor_shape.SetInParent()  # of a single number it is empty, and there
    for size in spec.shape:
        value.tensor.tensor_shape.dim.add(size=size)
    numbers = getattr(value.tensor, field)
    for chunk in _chunks(spec, record):
        numbers.extend(chunk.tolist())
    return Content((summaries.summary_event(message, record.step, record.wall_time),))


def _chunks(spec: BufferSpec, record: Record) -> Iterator[Array]:
    if spec.dtype in (dtypes.FLOAT16, dtypes.BFLOAT16):
        values: Array = np.frombuffer(record.buffers[0], "<u2")
    else:
        values = fields.tensor(record, 0).reshape(-1)
    for start in range(0, values.size, _CHUNK):
        yield values[start : start + _CHUNK]
