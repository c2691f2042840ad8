"""Figures and their goals: what was measured, what it must reach, and whether it counts."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        group: the measurement it comes from.
        label: what was measured.
        unit: ``us``, ``ms``, ``s``, ``MB``, ``x`` or ``%``; values are in it.
        sidelog: its value with sidelog.
        inline: with inline tensorboardX; None where there is no such thing.
        off: without logging; None where there is no such thing.
        low: lower end of the 95% confidence interval of ``sidelog``; None where there is none.
        high: its upper end.
        goal: ``sidelog`` must be at most so much; None where nothing was promised.
        objections: why the figure does not count; empty when it does.
    """

    group: str
    label: str
    unit: str
    sidelog: float
    inline: float | None = None
    off: float | None = None
    low: float | None = None
    high: float | None = None
    goal: float | None = None
    objections: tuple[str, ...] = field(default=())

    @property
    def verdict(self) -> str:
        """Reached or missed, by the value itself; how sure that is, by its interval."""
        if self.objections:
            return "does not count"
        if self.goal is None:
            return ""
        said = "reached" if self.sidelog <= self.goal else "missed"
        if self.low is None or self.high is None:
            return said
        if self.high - self.low > 4 * abs(self.goal):
            return "undecided: too few pairs, or too much else runs"
        sure = (self.high <= self.goal) if said == "reached" else (self.low > self.goal)
        return said if sure else f"{said}, within its error"

    def to_map(self) -> dict[str, object]:
        return asdict(self) | {"verdict": self.verdict}


@dataclass(slots=True)
class Measurement:
    """What one part of the bench found.

    Attributes:
        name: as on the command line.
        summary: one line for people.
        figures: for the table.
        raw: everything that they were made of, for ``--json``.
    """

    name: str
    summary: str
    figures: list[Figure] = field(default_factory=list)
    raw: dict[str, object] = field(default_factory=dict)
