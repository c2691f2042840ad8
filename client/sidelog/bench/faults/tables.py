"""The outcome as tables: for the terminal, and between the marks of a page of the documentation."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidelog.bench.blocks import OFF, SIDELOG
from sidelog.bench.faults.call_times import ENOUGH_CALLS, CallTimes, FaultyCalls, summary_of
from sidelog.bench.faults.endings import Ending
from sidelog.bench.faults.phases import FaultyTraining, Series
from sidelog.bench.figures import Figure
from sidelog.bench.pages import made_by, read_page, with_table
from sidelog.bench.pairs import percentile
from sidelog.bench.table import Table
from sidelog_shared.errors import WriterError

SLOWDOWN_GOAL = 2.0
"""Percent: what the loop ``cpu`` of ``sidelog bench`` may be slower, also with a fault."""
NAME = "faults"
"""Of the tables, in a page's marks."""


@dataclass(slots=True)
class Found:
    """Everything that one run of the bench found.

    Attributes:
        trainings: step times, by fault.
        calls: of each fault, and of none.
        endings: of processes.
        ending_objections: why those do not count.
    """

    trainings: list[FaultyTraining] = field(default_factory=list)
    calls: list[FaultyCalls] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)
    ending_objections: list[str] = field(default_factory=list)

    @property
    def objections(self) -> list[str]:
        outcomes = [one.outcome for one in self.trainings] + [one.outcome for one in self.calls]
        return [text for outcome in outcomes for text in outcome.objections] + self.ending_objections


def make_tables(found: Found) -> list[Table]:
    """Those for which something was measured."""
    tables = [_steps(found.trainings), _calls(found.calls), _endings(found.endings)]
    return [table for table in tables if table.rows]


def slowdown_figure(training: FaultyTraining, series: Series) -> Figure:
    """The slowdown of one phase, with its verdict."""
    by = series.slowdown()
    return Figure(
        "steps", f"{training.fault}, {series.phase}", "%", 100 * by.mean, low=100 * by.low, high=100 * by.high,
        goal=SLOWDOWN_GOAL, objections=tuple(training.outcome.objections),
    )  # fmt: skip


def render(found: Found, machine: dict[str, object], versions: dict[str, str]) -> str:
    """What is printed."""
    parts = [
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()),
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    parts += [f"\n{table.for_terminal()}" for table in make_tables(found)]
    parts += [f"does not count: {text}" for text in found.objections]
    judged = [one.is_within for calls in found.calls for one in calls.times]
    if judged:
        yes, no = judged.count(True), judged.count(False)
        parts.append(f"\nof {len(judged)} kinds of calls and faults {yes} are within the limit, {no} are not, "
                     f"{judged.count(None)} have too few calls (fewer than {ENOUGH_CALLS:,})")  # fmt: skip
    return "\n".join(parts)


def put_tables(
    page: Path, found: Found, *, arguments: Sequence[str], machine: dict[str, object], versions: dict[str, str]
) -> None:
    """Replace what stands between the marks of a page.

    Raises:
        ConfigError: it cannot be read, or has no marks.
        WriterError: the figures do not count.
    """
    text = read_page(page, (NAME,))
    if found.objections:
        raise WriterError(f"the figures do not count ({found.objections[0]}), so the page keeps its tables")
    tables = "\n\n".join(table.for_page() for table in make_tables(found))
    by = made_by(f"scripts/bench_faults.py {shlex.join(arguments)}", "", machine, versions)
    page.write_text(with_table(text, NAME, by, tables))


def _steps(trainings: Sequence[FaultyTraining]) -> Table:
    rows = []
    for training in trainings:
        for series in training.series:
            figure, slowdown = slowdown_figure(training, series), series.slowdown()
            off, ours = (1e3 * sum(times) / len(times) for times in map(series.step_s, (OFF, SIDELOG)))
            worst = (1e3 * percentile(series.steps_of(arm), 99) for arm in (OFF, SIDELOG))
            rows.append((
                training.fault, series.phase, f"{off:.2f}", f"{ours:.2f}", *(f"{value:.1f}" for value in worst),
                f"{figure.sidelog:+.2f}% [{figure.low:+.2f}, {figure.high:+.2f}]", str(slowdown.pairs), figure.verdict,
            ))  # fmt: skip
    head = ("fault", "phase", "off, ms", "sidelog, ms", "off p99", "sidelog p99", "slowdown [95%]", "pairs",
            f"<= {SLOWDOWN_GOAL:g}%")  # fmt: skip
    return Table("Steps of the training, mean and p99, with logging and without it", head, rows)


def _calls(calls: Sequence[FaultyCalls]) -> Table:
    rows = [_call_row(one, faulty.outcome.objections) for faulty in calls for one in faulty.times]
    head = ("fault", "call", "n", "p50, us", "p99", "p99.9", "max", "copy p50", "p99", "p99.9", "max", "limit",
            "p99.9 within")  # fmt: skip
    return Table("Logging calls, and the bare copy of their bytes", head, rows)


def _call_row(times: CallTimes, objections: Sequence[str]) -> tuple[str, ...]:
    said = {True: "yes", False: "no", None: "too few calls"}[times.is_within]
    percentiles = [_us(value) for value in summary_of(times).values()]
    verdict = "does not count" if objections else said
    return (times.fault, times.label, f"{len(times.calls_us):,}", *percentiles, _us(times.limit_us), verdict)


def _endings(endings: Sequence[Ending]) -> Table:
    rows = [
        (one.fault, one.way, str(len(one.took_s)), f"{max(one.took_s):.2f}", f"{one.goal_s:g}",
         f"{min(one.spooled):,} of {one.logged:,}", "yes" if one.is_within else "no")
        for one in endings
    ]  # fmt: skip
    head = ("fault", "end", "n", "longest, s", "limit, s", "fewest records in the spool", "within")
    return Table("The end of the process", head, rows)


def _us(value: float) -> str:
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"
