"""The text that says, in a run, which of a worker's pictures it does not hold."""

from __future__ import annotations

from sidelog_daemon.actions import CloseRun
from sidelog_shared.missing import OTHER_TAGS

MISSING_TAG = "sidelog/dropped"


def missing_key(command: CloseRun) -> str:
    """What is noted in the run, so that one close is written once, however often its goodbye comes."""
    return f"{MISSING_TAG} {command.worker} {command.run}"


def missing_table(command: CloseRun) -> str:
    """Markdown: one row for each tag and cause, the largest counts first."""
    rows = sorted(command.missing, key=lambda one: (-one.count, one.tag, one.cause))
    total = sum(one.count for one in rows)
    lines = [
        f"{total:,} pictures or histograms that {command.label} logged are not in this run:",
        "",
        "| tag | not there | why |",
        "|---|---|---|",
        *(f"| {_cell(one.tag)} | {one.count:,} | {_cell(one.cause)} |" for one in rows),
    ]
    return "\n".join(lines)


def _cell(text: str) -> str:
    if text == OTHER_TAGS:
        return "(other tags)"
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
