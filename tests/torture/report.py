"""What came of a torture, for a person to read."""

from __future__ import annotations

from torture.content import LANES
from torture.faults import FAULTS
from torture.torture import Outcome

COLUMNS = {
    "logged": "logged",
    "stands": "stand once",
    "last_seconds": "killed: last 2 s",
    "os_exit": "os._exit: last 2 s",
    "deleted": "folder deleted",
    "damaged": "spool damaged",
}
"""Counters of a verdict, and how they are called."""


def report(outcome: Outcome, *, most_told: int) -> str:
    """The tables, the sums, and the first ``most_told`` violations."""
    lines = [
        "",
        f"torture: seed {outcome.seed}, {outcome.minutes:g} minutes, {sum(outcome.faults.values())} faults, "
        f"{outcome.files:,} event files with {outcome.bytes:,} bytes",
        "",
    ]
    width = max(map(len, FAULTS))
    for name, kind in FAULTS.items():
        if outcome.faults[name]:
            lines.append(f"  {name:{width}} {outcome.faults[name]:5}  {outcome.hindrances.get(name, kind.means)}")
    idle = sum(not one.done for one in outcome.injected)
    if idle:
        lines.append(f"  {idle} more had nothing to be done to (--json FILE says why)")
    lines += ["", f"  {'records':10}" + "".join(f"{title:>20}" for title in COLUMNS.values())]
    totals = {name: outcome.total(name) for name in COLUMNS}
    for lane_kind in LANES:
        lines.append(f"  {lane_kind:10}" + "".join(f"{totals[name][lane_kind]:20,}" for name in COLUMNS))
    pictures = outcome.total("pictures")
    verdicts = outcome.verdicts.values()
    lines += [
        "",
        "  pictures: " + ", ".join(f"{pictures[name]:,} {name}" for name in
                                    ("logged", "written", "dropped", "lost", "deleted", "unknown"))
        + f" (of workers that died without a word); {pictures['not known']:,} of those lost may stand, by their word",
        f"  losses: {sum(verdict.lost for verdict in verdicts):,}   "
        f"doubles: {sum(verdict.doubles for verdict in verdicts):,}   "
        f"never logged, or altered: {sum(verdict.strangers for verdict in verdicts):,}",
        f"  workers whose close() said that not all was written yet: "
        f"{sum(verdict.warned for verdict in verdicts):,}",
        "",
    ]  # fmt: skip
    if not outcome.violations:
        return "\n".join([*lines, "torture: everything stands as promised"])
    lines.append(f"torture: {len(outcome.violations):,} violations; the folder is kept: {outcome.folder}")
    lines += [f"  {text}" for text in outcome.violations[:most_told]]
    if len(outcome.violations) > most_told:
        lines.append(f"  ... and {len(outcome.violations) - most_told:,} more (--json FILE has all)")
    return "\n".join(lines)
