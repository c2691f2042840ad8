"""SUMMARY: ``SummaryWriter.file_writer.add_summary``, a message that the caller has put together already."""

from __future__ import annotations

from google.protobuf.message import DecodeError

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import summary_pb2
from sidelog_shared.errors import SnapshotError
from sidelog_shared.records import Record


def summary_content(record: Record) -> Content:
    """One event with the message as it is. The record's tag is not used: each value has its own.

    Raises:
        MalformedHeader: not one buffer of bytes.
        SnapshotError: they are no ``Summary``, or one without values.
    """
    fields.check_count(record, 1)
    data = bytes(fields.octets(record, 0, "summary"))
    try:
        message = summary_pb2.Summary.FromString(data)
    except DecodeError as error:
        raise SnapshotError(f"{len(data):,} bytes are no Summary message: {error}") from None
    if not message.value:
        raise SnapshotError(f"the Summary message of {len(data):,} bytes has no value, expected at least one")
    return Content((summaries.summary_event(message, record.step, record.wall_time),))
