"""What a connection says at its end: how it went, and what the event files do not hold."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from sidelog.statistics import Statistics

MAX_TAGS_TOLD = 8
MAX_RUNS_TOLD = 3


def summary(end: Statistics, paths: list[str], took_s: float) -> str:
    """One line on how it went."""
    more = f" and {len(paths) - MAX_RUNS_TOLD:,} other runs" if len(paths) > MAX_RUNS_TOLD else ""
    return (
        f"{', '.join(paths[:MAX_RUNS_TOLD])}{more}: {end.written:,} records written, {end.dropped:,} dropped, "
        f"{end.spooled:,} spooled, {_missing(end):,} lost, in {took_s:.1f} s"
    )


def warnings(end: Statistics, *, spool_path: Path, why: Exception | None) -> list[str]:
    """What the event files do not hold, where the rest is, and why.

    Args:
        end: what became of the records.
        spool_path: where those are that are spooled.
        why: what the connection failed of, where it did.
    """
    told = []
    if end.spooled:
        told.append(
            f"{end.spooled:,} of {end.logged:,} records are not known to be in the event files; they are kept: "
            f"sidelog replay {spool_path}"
        )
    causes = [f"{count:,} {cause}" for cause, count in end.lost_causes.items()]
    if end.rejected:
        causes.append(f"{end.rejected:,} rejected, for the reasons above")
    if end.pending:
        causes.append(f"{end.pending:,} not settled")
    if causes:
        because = f" ({why})" if why is not None else ""
        told.append(
            f"{_missing(end):,} of {end.logged:,} records are not in the event files: {'; '.join(causes)}{because}"
        )
    if end.dropped:
        told.append(f"{end.dropped:,} pictures and histograms were dropped under pressure: {_most_dropped(end)}")
    return told


def _missing(end: Statistics) -> int:
    return end.lost + end.rejected + end.pending


def _most_dropped(end: Statistics) -> str:
    counts = Counter(end.dropped_tags)
    tags = ", ".join(f"{tag} {count:,}" for tag, count in counts.most_common(MAX_TAGS_TOLD))
    more = len(counts) - MAX_TAGS_TOLD
    return f"{tags} and {more:,} other tags" if more > 0 else tags
