"""``sidelog status`` for people: a table per daemon, what is wrong first."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sidelog_shared.client_view import NOTHING, ClientView, most
from sidelog_shared.records import End, Lane
from sidelog_shared.report import DaemonReport, RunReport, WorkerReport

if TYPE_CHECKING:
    from sidelog.inquiry import Answer
    from sidelog.spool_files import SpoolFile

_TOLD = 5
"""Tags, causes and runs that one line names."""
_COLUMNS = (
    "WORKER", "STATE", "LAG", "RECORDS/S", "BYTES/S", "WRITTEN", "LIGHT", "HEAVY", "PICTURE", "RENDER", "SPOOL",
)  # fmt: skip


def render(answers: Sequence[Answer], spools: Sequence[SpoolFile], *, nobody: str) -> str:
    """All of it, as lines.

    Args:
        answers: of each daemon that was asked.
        spools: what is left in the spool folder.
        nobody: what is said where there is no daemon.
    """
    lines: list[str] = []
    for answer in answers:
        lines += [*_daemon(answer), ""]
    if not answers:
        lines += [nobody, ""]
    for spool in spools:
        lines.append(f"spool {spool.path}  {size(spool.nbytes)}, written {span(spool.age_s)} ago")
        lines.append(_what_to_do(spool))
    return "\n".join(lines).rstrip() + "\n"


def _what_to_do(spool: SpoolFile) -> str:
    if spool.in_use:
        return "  in use by a living worker"
    return "  nothing in it can be replayed: it is damaged" if spool.damaged else f"  to write it: {spool.command}"


def _daemon(answer: Answer) -> list[str]:
    daemon, report = answer.daemon, answer.report
    lines = [f"daemon {daemon.endpoint}{'  (local)' if daemon.local else ''}"]
    if report is None:
        who = f"pid {daemon.ready.pid}, " if daemon.ready is not None else ""
        process = {
            "runs": "its process lives",
            "stopped": "its process is stopped (SIGCONT lets it go on)",
            "gone": "its process is gone",
        }.get(answer.process, "whether its process lives is not known")
        return [*lines, f"  {answer.why}: {who}{process}" if who else f"  {answer.why}"]
    lines.append(
        f"  pid {report.pid}, up {span(report.uptime_s)}, sidelog {report.version}, protocol 1.{report.minor}, "
        f"logdir {report.logdir}, {report.state}"
    )
    if report.render.records or report.render.nbytes:
        waiting = f"{report.render.records:,} records, {size(report.render.nbytes)}"
        lines.append(f"  waiting for a renderer: {waiting} of {size(report.budget_bytes)}")
    lines += [_failing(run) for run in report.runs if run.failing]
    if report.faults:
        lines.append(f"  faulty messages: {_counted(report.faults)}")
    lines += _workers(report)
    lines += _runs(report)
    return lines


def _failing(run: RunReport) -> str:
    whose = f" ({', '.join(run.workers[:_TOLD])})" if run.workers else ""
    return f"  FAILS for {span(run.failing_s or 0.0)}: {run.path}{whose}: {run.error}"


def _workers(report: DaemonReport) -> list[str]:
    if not report.workers:
        return ["  no workers"]
    rows = [_COLUMNS, *map(_row, report.workers)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    lines = []
    for number, row in enumerate(rows):
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        cells += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
        if number:
            lines += [f"    {line}" for line in _details(report.workers[number - 1])]
    more = report.worker_count - len(report.workers)
    return [*lines, f"  and {more:,} more workers, with less queued"] if more > 0 else lines


def _row(one: WorkerReport) -> tuple[str, ...]:
    view = one.client or ClientView()
    return (
        one.worker.label,
        one.state,
        f"{view.lag_s:.1f} s" if one.client is not None else "-",
        f"{one.records_per_s:,.0f}",
        size(one.bytes_per_s),
        f"{one.ends.get(End.WRITTEN, 0):,}",
        *(size(view.lanes[lane].nbytes) if one.client is not None else "-" for lane in Lane),
        size(one.render.nbytes),
        size(view.spool.nbytes) if one.client is not None else "-",
    )


def _details(one: WorkerReport) -> Iterable[str]:
    view = one.client or ClientView()
    if one.runs:
        yield _listed(one.runs)
    yield from (f"REFUSED {path}: {why}" for path, why in one.refused[:_TOLD])
    in_daemon = one.ends.get(End.DROPPED, 0)
    if view.dropped or in_daemon:
        tags = Counter(view.dropped_tags) + Counter(one.dropped_tags)
        yield f"dropped: {view.dropped:,} in the client, {in_daemon:,} in the daemon; of {_counted(tags)}"
    if view.lost:
        yield f"lost: {_counted(view.lost)}"
    if one.ends.get(End.REJECTED, 0):
        yield f"rejected: {one.ends[End.REJECTED]:,}"
    if view.spool != NOTHING:
        yield f"in its spool: {view.spool.records:,} records"
    if one.faults:
        yield f"faulty messages: {_counted(one.faults)}"
    if one.last_error:
        yield f"last error, {span(one.last_error_s or 0.0)} ago: {one.last_error}"


def _runs(report: DaemonReport) -> list[str]:
    if not report.run_count:
        return []
    pending = sum(run.pending_bytes for run in report.runs)
    written = sum(run.written for run in report.runs)
    more = report.run_count - len(report.runs)
    of = f" (of {len(report.runs):,} of them)" if more > 0 else ""
    return [f"  {report.run_count:,} runs open, {written:,} records written, {size(pending)} not yet on disk{of}"]


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - _TOLD
    return ", ".join(texts[:_TOLD]) + (f" and {more} more" if more > 0 else "")


def _counted(counts: Mapping[str, int]) -> str:
    shown = most(counts, _TOLD)
    more = len(counts) - len(shown)
    return ", ".join(f"{name} {count:,}" for name, count in shown.items()) + (f" and {more} more" if more > 0 else "")


def size(nbytes: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if nbytes < 1000:
            return f"{nbytes:.0f} {unit}" if unit == "B" or nbytes >= 10 else f"{nbytes:.1f} {unit}"
        nbytes /= 1024
    return f"{nbytes:.1f} GiB"


def span(seconds: float) -> str:
    """A time span for people."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 172800:
        return f"{seconds // 3600:.0f} h {seconds % 3600 / 60:.0f} min"
    return f"{seconds / 86400:.0f} days"


def clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
