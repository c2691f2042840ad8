"""The report: a table for people, a map for ``--json``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone

from sidelog.bench.figures import Figure, Measurement

FORMAT = 1
"""Of the JSON; grows when a reader of an older one would misread it."""


def to_map(
    measurements: Sequence[Measurement],
    *,
    machine: dict[str, object],
    versions: dict[str, str],
    settings: dict[str, object],
) -> dict[str, object]:
    """Everything, ready for JSON."""
    return {
        "format": FORMAT,
        "made_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine,
        "versions": versions,
        "settings": settings,
        "figures": [figure.to_map() for part in measurements for figure in part.figures],
        "measurements": {part.name: {"summary": part.summary, **part.raw} for part in measurements},
    }


def render(measurements: Sequence[Measurement], machine: dict[str, object], versions: dict[str, str]) -> str:
    """The table."""
    lines = [
        ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine.items()),
        ", ".join(f"{name} {value}" for name, value in versions.items()),
    ]
    for part in measurements:
        lines += ["", f"{part.name}: {part.summary}"]
        head = ("", "off", "inline", "sidelog", "goal", "")
        rows = [head, *(_row(figure) for figure in part.figures)]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            cells = [row[0].ljust(widths[0]), *(row[column].rjust(widths[column]) for column in range(1, 5)), row[5]]
            lines.append("  " + "  ".join(cells).rstrip())
        # Said once for the measurement, as its figures mostly share them.
        for objection in dict.fromkeys(text for figure in part.figures for text in figure.objections):
            lines.append(f"  does not count: {objection}")
    judged = [figure for part in measurements for figure in part.figures if figure.goal is not None]
    if judged:
        lines += ["", _summary(judged)]
    return "\n".join(lines)


def _summary(judged: Sequence[Figure]) -> str:
    reached, missed = (sum(figure.verdict.startswith(word) for figure in judged) for word in ("reached", "missed"))
    rest = len(judged) - reached - missed
    return f"of {len(judged)} goals {reached} reached, {missed} missed" + (f", {rest} undecided" if rest else "")


def _row(figure: Figure) -> tuple[str, str, str, str, str, str]:
    sign = figure.unit == "%"
    ours = _number(figure.sidelog, sign)
    if figure.low is not None and figure.high is not None:
        ours += f" [{_number(figure.low, sign)}, {_number(figure.high, sign)}]"
    unit = f" {figure.unit}" if figure.unit else ""
    return (
        figure.label + (f" ({figure.unit})" if figure.unit else ""),
        "" if figure.off is None else _number(figure.off, False),
        "" if figure.inline is None else _number(figure.inline, sign),
        ours,
        "" if figure.goal is None else f"<= {figure.goal:,g}{unit}",
        figure.verdict,
    )


def _number(value: float, sign: bool) -> str:
    plus = "+" if sign else ""
    if float(value).is_integer() and not sign:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:{plus},.0f}"
    return f"{value:{plus},.1f}" if abs(value) >= 10 else f"{value:{plus}.2f}"
