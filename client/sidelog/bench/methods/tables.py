"""The tables of the documentation: the literal outcome of one run, put between marks in a page.

``<!-- methods: begin -->`` ... ``<!-- methods: end -->`` holds every figure, ``<!-- costs: begin -->`` ... what a user
of tensorboardX wants to know.
"""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from sidelog.bench.figures import Measurement
from sidelog.bench.methods.measure import Comparison, MethodsMeasurement
from sidelog.bench.pairs import percentile
from sidelog_shared.errors import ConfigError, WriterError

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
    made_by = _made_by(found, arguments, machine, versions)
    tables = {"methods": _methods(found), "costs": _costs(found)}
    for page in pages:
        text = read_page(page)
        for name, table in tables.items():
            begin, end = _marks(name)
            if begin in text and end in text:
                before, rest = text.split(begin, 1)
                text = f"{before}{begin}\n{made_by}\n\n{table}\n{end}{rest.split(end, 1)[1]}"
        page.write_text(text)


def read_page(page: Path) -> str:
    """A page that has a place for a table.

    Raises:
        ConfigError: it cannot be read, or has none.
    """
    try:
        text = page.read_text()
    except OSError as error:
        raise ConfigError(f"{page} cannot be read ({error.strerror}), expected a page with marks") from None
    names = ("methods", "costs")
    if not any(text.find(begin) < text.find(end) and begin in text for begin, end in map(_marks, names)):
        raise ConfigError(f"{page} has no marks, expected {' ... '.join(_marks('methods'))} or those of 'costs'")
    return text


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def _made_by(
    found: MethodsMeasurement, arguments: Sequence[str], machine: dict[str, object], versions: dict[str, str]
) -> str:
    day = datetime.now(timezone.utc).date().isoformat()
    load = "/".join(map(str, machine["load"]))  # type: ignore[call-overload]  # three numbers
    where = (
        f"{machine['cores']} cores of {machine['processor']} ({machine['architecture']}), load {load} at the start, "
        f"{machine['system']}"
    )
    with_what = ", ".join(f"{name} {version}" for name, version in versions.items())
    line = (
        f"`sidelog bench {shlex.join(arguments)}`, {day}: {found.rounds:,} rounds, {found.pause_s * 1e3:g} ms between "
    )
    return textwrap.fill(f"{line}calls. {where}; {with_what}.", 118, break_long_words=False, break_on_hyphens=False)


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
