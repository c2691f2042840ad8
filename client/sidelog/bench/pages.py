"""Pages of the documentation in which a bench puts its tables, between marks, with what made them."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path

from sidelog_shared.errors import ConfigError


def marks(name: str) -> tuple[str, str]:
    """What stands before and behind the table of that name."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"


def read_page(page: Path, names: Sequence[str]) -> str:
    """A page that has a place for one of the tables.

    Raises:
        ConfigError: it cannot be read, or has none.
    """
    try:
        text = page.read_text()
    except OSError as error:
        raise ConfigError(f"{page} cannot be read ({error.strerror}), expected a page with marks") from None
    if not any(-1 < text.find(begin) < text.find(end) for begin, end in map(marks, names)):
        others = f" or those of {', '.join(map(repr, names[1:]))}" if names[1:] else ""
        raise ConfigError(f"{page} has no marks, expected {' ... '.join(marks(names[0]))}{others}")
    return text


def with_table(text: str, name: str, made_by: str, table: str) -> str:
    """A page's text with another table of that name; the same where it has no place for it."""
    begin, end = marks(name)
    if not -1 < text.find(begin) < text.find(end):
        return text
    before, rest = text.split(begin, 1)
    return f"{before}{begin}\n{made_by}\n\n{table}\n{end}{rest.split(end, 1)[1]}"


def made_by(command: str, how: str, machine: Mapping[str, object], versions: Mapping[str, str]) -> str:
    """Which command made a table, when, how, and where.

    Args:
        command: as somebody types it.
        how: more about it; may be empty.
        machine: see :func:`sidelog.bench.machine.machine`.
        versions: of the packages that matter.
    """
    day = datetime.now(timezone.utc).date().isoformat()
    load = "/".join(map(str, machine["load"]))  # type: ignore[call-overload]  # three numbers
    where = (
        f"{machine['cores']} cores of {machine['processor']} ({machine['architecture']}), load {load} at the start, "
        f"{machine['system']}, {machine['torch_threads']} threads of torch"
    )
    with_what = ", ".join(f"{name} {version}" for name, version in versions.items())
    line = f"`{command}`, {day}{f': {how}' if how else ''}. {where}; {with_what}."
    return textwrap.fill(line, 118, break_long_words=False, break_on_hyphens=False)
