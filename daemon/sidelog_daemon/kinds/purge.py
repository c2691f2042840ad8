"""PURGE: ``SummaryWriter(purge_step=...)``, a training that begins again at a step."""

from __future__ import annotations

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.sink import summaries
from sidelog_shared.records import Record


def purge_content(record: Record) -> Content:
    """Two events, as tensorboardX writes them: the file's version and ``SessionLog.START``, both with the step.

    Raises:
        MalformedHeader: buffers, or no step.
    """
    fields.check_count(record, 0)
    step = fields.step(record)
    return Content(
        (
            summaries.file_version_event(record.wall_time, step),
            summaries.session_start_event(step, record.wall_time),
        )
    )
