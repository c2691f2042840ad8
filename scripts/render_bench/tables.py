"""The outcome as tables: for the terminal, and between the marks of a page of the documentation."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from render_bench.arms import SIDELOG, TENSORBOARDX, TORCH
from render_bench.cli import TABLES
from render_bench.memory import GOAL as PEAK_GOAL
from render_bench.memory import SHAPE, Peak
from render_bench.pool import SCALING_GOAL, Scaling
from render_bench.scalars import CROSSINGS, RATE_GOAL, RATIO_GOAL, ScalarRates
from render_bench.stages import STAGES, Profile
from render_bench.timing import SIZE_GOAL, Comparison
from render_bench.whole_path import WholeCost
from sidelog.bench.pages import made_by, read_page, with_table
from sidelog.bench.pairs import Ratio
from sidelog.bench.table import Table


@dataclass(slots=True)
class Found:
    """Everything that one run of the bench found; None or empty for what was not measured.

    Attributes:
        comparisons: end to end, one core.
        profiles: stages.
        scalars: per second.
        whole: from the call to the file.
        scaling: threads.
        peak: memory of one map.
    """

    comparisons: list[Comparison] = field(default_factory=list)
    profiles: list[Profile] = field(default_factory=list)
    scalars: ScalarRates | None = None
    whole: list[WholeCost] = field(default_factory=list)
    scaling: list[Scaling] = field(default_factory=list)
    peak: Peak | None = None

    def to_map(self) -> dict[str, object]:
        """For JSON."""
        return {
            "comparisons": [one.to_map() for one in self.comparisons],
            "stages": [one.to_map() for one in self.profiles],
            "scalars": self.scalars and self.scalars.to_map(),
            "whole_path": [one.to_map() for one in self.whole],
            "scaling": [one.to_map() for one in self.scaling],
            "memory": self.peak and self.peak.to_map(),
        }


def make_tables(found: Found) -> list[Table]:
    """Those for which something was measured."""
    tables = []
    if found.comparisons:
        tables.append(_comparisons(found.comparisons))
    if found.profiles:
        tables.append(_stages(found.profiles))
    if found.scalars is not None:
        tables += [_scalars(found.scalars), _ways(found.scalars)]
    if found.whole:
        tables.append(_whole(found.whole))
    if found.scaling:
        tables.append(_scaling(found.scaling))
    if found.peak is not None:
        tables.append(_memory(found.peak))
    return tables


def render(found: Found, machine: dict[str, object], versions: dict[str, str]) -> str:
    """What is printed."""
    parts = [
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()),
        ", ".join(f"{name} {version}" for name, version in versions.items()),
    ]
    return "\n".join([*parts, *(f"\n{table.for_terminal()}" for table in make_tables(found))])


def put_tables(
    page: Path, found: Found, *, arguments: Sequence[str], machine: dict[str, object], versions: dict[str, str]
) -> None:
    """Replace what stands between the marks of a page.

    Raises:
        ConfigError: it cannot be read, or has no marks.
    """
    text = read_page(page, (TABLES,))
    tables = "\n\n".join(table.for_page() for table in make_tables(found))
    by = made_by(f"scripts/bench_render.py {shlex.join(arguments)}".rstrip(), "", machine, versions)
    page.write_text(with_table(text, TABLES, by, tables))


def _comparisons(comparisons: Sequence[Comparison]) -> Table:
    rows = []
    for one in comparisons:
        size = "" if one.size_ratio is None else f"{one.size_ratio:.2f}"
        rows.append((
            one.case.name, *(_ms(one.median_ms(arm)) for arm in (TENSORBOARDX, TORCH, SIDELOG)),
            _times(one.ratio), _goal(one), one.verdict, f"{one.over_torch.value:.1f}",
            f"{one.file_bytes[SIDELOG] / one.file_bytes[TENSORBOARDX]:.2f}", size,
        ))  # fmt: skip
    head = ("one call, one core", "tensorboardX, ms", "torch, ms", "sidelog, ms", "tensorboardX / sidelog [95%]",
            "goal", "", "torch / sidelog", "bytes, times tensorboardX's",
            f"PNG, times Pillow's level 6 (goal <= {SIZE_GOAL:g})")  # fmt: skip
    return Table("CPU time from the tensor to the bytes in the event file, medians of blocks", head, rows)


def _goal(one: Comparison) -> str:
    if one.case.goal is None:
        return ""
    return f">= {one.case.goal:g}" + (f", better {one.case.aim:g}" if one.case.aim is not None else "")


def _stages(profiles: Sequence[Profile]) -> Table:
    rows = [
        (f"{one.case.name}, {arm}", *(_ms(of_arm[stage]) if stage in of_arm else "" for stage in STAGES),
         _ms(sum(of_arm.values())))
        for one in profiles
        for arm, of_arm in one.cpu_ms.items()
    ]  # fmt: skip
    return Table("The same, stage by stage, CPU ms (with the stopwatches' own time)", ("", *STAGES, "sum"), rows)


def _scalars(rates: ScalarRates) -> Table:
    rows = []
    for arm in rates.per_s:
        ratio, verdict = "", ""
        if arm in rates.ratios:
            ratio = _times(rates.ratios[arm])
            good = rates.median(arm) >= RATE_GOAL and rates.ratios[arm].value >= RATIO_GOAL
            verdict = "reached" if good else "missed"
        rows.append((arm, f"{rates.median(arm):,.0f}", ratio, verdict))
    head = ("scalars into event files", "per second of CPU", "times tensorboardX's [95%]",
            f">= {RATE_GOAL:,.0f} and >= {RATIO_GOAL:g} times")  # fmt: skip
    return Table(f"Scalars; ours by how many come at once, {rates.rows:,} in a block", head, rows)


def _ways(rates: ScalarRates) -> Table:
    rows = [(name, *(_us(value) for value in values)) for name, values in rates.ways_us.items()]
    return Table("Two ways for a batch of scalars, us by its rows", ("", *map(str, CROSSINGS)), rows)


def _whole(whole: Sequence[WholeCost]) -> Table:
    rows = [(one.name, *(_us(value) for value in one.medians_us()), _times(one.ratio)) for one in whole]
    head = ("one call", "inline, us", "training process, us", "daemon, us", "inline / both of ours [95%]")
    return Table("CPU time of the whole way, both processes, all threads", head, rows)


def _scaling(scaling: Sequence[Scaling]) -> Table:
    rows = [
        (one.case.name, *(f"{one.median(threads):.0f}" for threads in (1, 2)), _times(one.ratio),
         "reached" if one.ratio.value >= SCALING_GOAL else "missed")
        for one in scaling
    ]  # fmt: skip
    head = ("pictures per second of wall time", "1 thread", "2 threads", "ratio [95%]", f">= {SCALING_GOAL:g}")
    return Table("Rendering on two threads", head, rows)


def _memory(peak: Peak) -> Table:
    shape = ",".join(map(str, SHAPE))
    row = (f"[{shape}] float32", f"{peak.tensor_bytes / 1e6:.1f}", f"{peak.added_bytes / 1e6:.1f}", f"{peak.times:.2f}",
           "reached" if peak.times <= PEAK_GOAL else "missed")  # fmt: skip
    return Table("Memory that rendering one map adds at its highest",
                 ("map", "its MB", "added MB", "times", f"<= {PEAK_GOAL:g}"), [row])  # fmt: skip


def _times(ratio: Ratio) -> str:
    return f"{ratio.value:.1f} [{ratio.low:.1f}, {ratio.high:.1f}]"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _us(value: float) -> str:
    return f"{value:,.1f}" if value < 10 else f"{value:,.0f}"
