"""The outcome as tables: for the terminal, and between the marks of a page of the documentation."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from sidelog.bench.overload.cli import NAME
from sidelog.bench.overload.findings import OVERLOAD, Findings
from sidelog.bench.pages import made_by, read_page, with_table
from sidelog.bench.table import Table
from sidelog_shared.errors import WriterError


def make_tables(found: Findings) -> list[Table]:
    rows = [
        (one.label, one.group, f"{one.sidelog:,.2f} {one.unit}",
         "-" if one.goal is None else f"{one.goal:,g} {one.unit}", one.verdict)
        for one in found.figures
    ]  # fmt: skip
    right, of = found.newest_in_file
    rows.append(("last picture in the file is the last logged", "tags", f"{right} of {of}", f"{of}",
                 "reached" if right == of else "missed"))  # fmt: skip
    return [
        Table("Pictures a second while the workers logged", ("", "a second"), [
            ("drawn of one worker, as fast as it goes", f"{found.alone_per_s:,.0f}"),
            (f"drawn of one worker, {found.render_ms:g} ms longer each", f"{found.drawn_per_s:,.0f}"),
            *((name.replace("_", " "), f"{value:,.0f}") for name, value in found.rates.items()),
            ("arrived for each that was written", f"{found.overload:,.1f}"),
        ]),
        Table("Memory, latency, what is newest", ("figure", "of", "sidelog", "goal", ""), rows),
        Table("Pictures by tag, of all workers, in the end", (
            "tag", "logged", "written", "dropped by client", "dropped by daemon",
        ), [
            (one.tag, f"{one.logged:,}", f"{one.written:,}", f"{one.dropped_by_client:,}", f"{one.dropped_by_daemon:,}")
            for one in (*found.tags, found.totals)
        ]),
    ]  # fmt: skip


def render(found: Findings, machine: Mapping[str, object], versions: Mapping[str, str]) -> str:
    """What is printed."""
    parts = [
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()),
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    parts += [f"\n{table.for_terminal()}" for table in make_tables(found)]
    parts += [f"does not count: {text}" for text in found.objections]
    if found.overload < OVERLOAD:
        parts.append(f"note: {found.overload:.1f} pictures came to the daemon for each that it drew, fewer than "
                     f"{OVERLOAD:g}: give a longer --render-ms, or more cores")  # fmt: skip
    return "\n".join(parts)


def put_tables(
    page: Path, found: Findings, *, arguments: Sequence[str], machine: Mapping[str, object], versions: Mapping[str, str]
) -> None:
    """Put the tables between the marks of a page.

    Raises:
        ConfigError: the page has none.
        WriterError: it cannot be written.
    """
    how = f"{found.workers} workers, {found.logged_s:,.0f} s"
    heading = made_by(shlex.join(["scripts/bench_overload.py", *arguments]), how, machine, versions)
    body = "\n\n".join(table.for_page() for table in make_tables(found))
    if found.objections:
        body += "\n\n" + "\n".join(f"* does not count: {text}" for text in found.objections)
    text = with_table(read_page(page, (NAME,)), NAME, heading, body)
    try:
        page.write_text(text)
    except OSError as error:
        raise WriterError(f"{page} cannot be written: {error.strerror}") from error
