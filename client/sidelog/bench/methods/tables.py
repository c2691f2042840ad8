"""The tables of the documentation: the literal outcome of one run, put between marks in a page.

``<!-- methods: begin -->`` ... ``<!-- methods: end -->`` holds every figure, ``<!-- costs: begin -->`` ... what a user
of tensorboardX wants to know.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from sidelog.bench.cli import TABLES
from sidelog.bench.figures import Measurement
from sidelog.bench.methods.measure import Comparison, MethodsMeasurement
from sidelog.bench.pages import made_by, read_page, with_table
from sidelog.bench.pairs import percentile
from sidelog_shared.errors import WriterError

_BESIDE = {"tensorboardX": "", "torch": "beside torch's writer, for tensorboardX has none", "global": ""}


def put_tables(
    pages: Sequence[Path],
    measurements: Sequence[Measurement],
    *,
    arguments: Sequence[str],
    machine: dict[str, object],
    versions: dict[str, str],
) -> None:
    """Replace what stands between the marks of pages.

    Args:
        pages: where marks are.
        measurements: the one of the methods is taken.
        arguments: of ``sidelog bench``.
        machine: where it ran.
        versions: with what.

    Raises:
        ConfigError: a page cannot be read, or has no marks.
        WriterError: not everything was written, so the figures do not count.
    """
    found = next(part for part in measurements if isinstance(part, MethodsMeasurement))
    if any(one.objections for one in found.comparisons):
        raise WriterError("not everything that was logged is written, so the pages keep their tables")
    how = f"{found.rounds:,} rounds, {found.pause_s * 1e3:g} ms between calls"
    by = made_by(f"sidelog bench {shlex.join(arguments)}", how, machine, versions)
    tables = {"methods": _methods(found), "costs": _costs(found)}
    for page in pages:
        text = read_page(page, TABLES)
        for name, table in tables.items():
            text = with_table(text, name, by, table)
        page.write_text(text)


def _methods(found: MethodsMeasurement) -> str:
    lines = [
        "| method | sidelog p50 | p99 | tensorboardX p50 | p99 | ratio of medians [95%] | |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in found.comparisons:
        times = [_us(percentile(us, which)) for us in (one.sidelog_us, one.theirs_us) for which in (50, 99)]
        ratio = f"{one.ratio.value:.3f} [{one.ratio.low:.3f}, {one.ratio.high:.3f}]"
        lines.append(f"| {_name(one)} | {' | '.join(times)} | {ratio} | {_remark(one)} |".replace("|  |", "| |"))
    return "\n".join([*lines, *_skipped(found)])


def _costs(found: MethodsMeasurement) -> str:
    lines = ["| call | tensorboardX | sidelog | |", "|---|---|---|---|"]
    for one in found.comparisons:
        theirs, ours = (_us(percentile(us, 50)) for us in (one.theirs_us, one.sidelog_us))
        lines.append(f"| {_name(one)} | {theirs} | {ours} | {_remark(one)} |".replace("|  |", "| |"))
    return "\n".join([*lines, *_skipped(found)])


def _skipped(found: MethodsMeasurement) -> list[str]:
    return ["", "Not measured: " + "; ".join(found.skipped) + "."] if found.skipped else []


def _name(one: Comparison) -> str:
    method, _, given = one.row.label.partition(", ")
    return f"`{method}`, {given}" if given else f"`{method}`"


def _remark(one: Comparison) -> str:
    remarks = [remark for remark in (_BESIDE[one.row.peer], one.row.note, one.row.excuse) if remark]
    if one.is_slower and not one.row.excuse:
        remarks.append("**slower**")
    return "; ".join(remarks)


def _us(value: float) -> str:
    return f"{value:,.1f} us" if value < 10 else f"{value:,.0f} us"
