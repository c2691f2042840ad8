"""TEXT: ``SummaryWriter.add_text``."""

from __future__ import annotations

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.sink import summaries
from sidelog_shared.records import Record


def text_content(record: Record) -> Content:
    """One event; the tag gets ``/text_summary``.

    Raises:
        MalformedHeader: not one buffer of UTF-8.
    """
    fields.check_count(record, 1)
    text = fields.text(record, 0, "text")
    return Content((summaries.text_event(record.tag, text, record.step, record.wall_time),))
