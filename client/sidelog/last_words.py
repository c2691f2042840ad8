"""What a connection says at its end: how it went, and what the event files do not hold."""

from __future__ import annotations

import shlex
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from sidelog.runs import MAX_PATHS, Runs
from sidelog.statistics import NOT_KNOWN, Statistics

MAX_TAGS_TOLD = 8
MAX_RUNS_TOLD = 3


@dataclass(frozen=True, slots=True)
class Kept:
    """A connection's spool.

    Attributes:
        path: its file.
        exists: whether something stands in it.
    """

    path: Path
    exists: bool = True

    @property
    def words(self) -> str:
        """The end of an error's message: where the records are that it is about. Pictures are not kept there."""
        return f"; reliable records are kept in {self.path} (sidelog replay writes what this process does not)"

    @property
    def command(self) -> str:
        """What writes it into the event files."""
        return replay_command(self.path)


def replay_command(path: Path) -> str:
    """What writes a spool into the event files, to be pasted into a shell."""
    return f"sidelog replay {shlex.quote(str(path))}"


def summary(end: Statistics, runs: Runs, took_s: float) -> str:
    """One line on how it went.

    Args:
        end: what became of the records.
        runs: where they went.
        took_s: how long there was a connection.
    """
    paths = list(runs.first_paths)
    count = len(paths) if len(paths) < MAX_PATHS else runs.openings
    more = f" and {count - MAX_RUNS_TOLD:,} other runs" if count > MAX_RUNS_TOLD else ""
    return (
        f"{', '.join(paths[:MAX_RUNS_TOLD])}{more}: {end.written:,} records written, {end.dropped:,} dropped, "
        f"{end.spooled:,} spooled, {_missing(end):,} lost, in {took_s:.1f} s"
    )


def warnings(end: Statistics, *, spool: Kept, why: Exception | None) -> list[str]:
    """What the event files do not hold, where the rest is, and why.

    Args:
        end: what became of the records.
        spool: where those are that are spooled.
        why: what the connection failed of, where it did.
    """
    told = []
    if end.spooled:
        told.append(
            f"{end.spooled:,} of {end.logged:,} records are not known to be in the event files; they are kept: "
            f"{spool.command}"
        )
    causes = [f"{count:,} {cause}" for cause, count in end.lost_causes.items()]
    if end.rejected:
        causes.append(f"{end.rejected:,} rejected, for the reasons above")
    if end.pending:
        kept = f", some of them kept: {spool.command}" if spool.exists else ""
        causes.append(f"{end.pending:,} not settled{kept}")
    if causes:
        because = f" ({why})" if why is not None else ""
        are = "may not be" if NOT_KNOWN in end.lost_causes else "are not"
        told.append(
            f"{_missing(end):,} of {end.logged:,} records {are} in the event files: {'; '.join(causes)}{because}"
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
