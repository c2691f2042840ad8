"""LAYOUT: ``SummaryWriter.add_custom_scalars``, which charts TensorBoard's page of custom scalars shows."""

from __future__ import annotations

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import summary
from sidelog_shared.errors import MalformedHeader
from sidelog_shared.records import Record

_CHARTS = ("Multiline", "Margin")
_MARGIN_TAGS = 3
"""Value, lower, upper."""

Chart = list[object]
"""As tensorboardX takes it: its type and its tags."""


def layout_content(record: Record) -> Content:
    """One event. The record's tag is not used.

    Raises:
        MalformedHeader: not one document ``[[category, [[chart, type, [tag, ...]], ...]], ...]``.
    """
    fields.check_count(record, 1)
    layout: dict[str, dict[str, Chart]] = {}
    for index, item in enumerate(fields.as_list("LAYOUT", fields.document(record, 0, "document"))):
        path = f"LAYOUT[{index}]"
        category, charts = fields.as_list(path, item, 2)
        title = fields.as_text(f"{path}[0]", category)
        if title in layout:
            raise MalformedHeader(f"{path}[0] is {title!r:.80} again, expected each category once")
        layout[title] = _charts(f"{path}[1]", charts)
    return Content((summaries.summary_event(summary.custom_scalars(layout), record.step, record.wall_time),))


def _charts(path: str, items: object) -> dict[str, Chart]:
    charts: dict[str, Chart] = {}
    for index, item in enumerate(fields.as_list(path, items)):
        name, kind, tags = fields.as_list(f"{path}[{index}]", item, 3)
        title = fields.as_text(f"{path}[{index}][0]", name)
        if title in charts:
            raise MalformedHeader(f"{path}[{index}][0] is {title!r:.80} again, expected each chart once")
        if kind not in _CHARTS:
            raise MalformedHeader(f"{path}[{index}][1] is {kind!r:.80}, expected one of {list(_CHARTS)}")
        length = _MARGIN_TAGS if kind == "Margin" else None
        charts[title] = [kind, fields.as_texts(f"{path}[{index}][2]", tags, length)]
    return charts
