"""HISTOGRAM and BUCKETS: ``SummaryWriter.add_histogram`` and ``add_histogram_raw``."""

from __future__ import annotations

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.render import count_histogram
from sidelog_daemon.render.tensors import Array
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import summary
from sidelog_shared.errors import MalformedHeader
from sidelog_shared.records import Record


def histogram_content(record: Record) -> Content:
    """Values, counted here. Those that are NaN or infinite are left out, and warned of.

    Raises:
        MalformedHeader: not one or two buffers, or options that cannot be.
        SnapshotError: values or bins that cannot be counted.
    """
    fields.check_count(record, 1, 2)
    values = fields.tensor(record, 0)
    max_bins = fields.options(record).optional_integer("max_bins", 1, 2**63 - 1)
    bins = record.options.get("bins", "tensorflow")
    edges: str | int | Array
    if len(record.specs) > 1:
        edges = fields.tensor(record, 1)
    elif isinstance(bins, (str, int)) and not isinstance(bins, bool):
        edges = bins
    else:
        raise MalformedHeader(f"bins is {bins!r}, expected a name, a number of bins, or a second buffer of edges")
    counted = count_histogram(values, edges, max_bins)
    event = summaries.histogram_event(record.tag, counted.message, record.step, record.wall_time)
    warning = f"{counted.nonfinite:,} values are NaN or infinite, left out" if counted.nonfinite else ""
    return Content((event,), warning=warning)


def buckets_content(record: Record) -> Content:
    """A histogram that was counted already: limits ``[n]``, counts ``[n]``, and five numbers. All float64.

    Raises:
        MalformedHeader: other buffers.
    """
    fields.check_count(record, 3)
    limits, counts, numbers = (
        fields.doubles(record, index, name) for index, name in enumerate(("limits", "counts", "numbers"))
    )
    if limits.ndim != 1 or limits.shape != counts.shape:
        raise MalformedHeader(f"BUCKETS has limits {list(limits.shape)} and counts {list(counts.shape)}, "
                              f"expected [n] and [n]")  # fmt: skip
    if numbers.shape != (5,):
        raise MalformedHeader(f"BUCKETS.numbers has shape {list(numbers.shape)}, expected [5]: smallest, largest, how "
                              f"many, sum, sum of squares")  # fmt: skip
    message = summary.histogram_raw(record.tag, *numbers.tolist(), limits.tolist(), counts.tolist())
    return Content((summaries.summary_event(message, record.step, record.wall_time),))
