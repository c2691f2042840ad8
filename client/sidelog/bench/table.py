"""A table of text, as the terminal shows it and as a page of the documentation holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text.

    Attributes:
        title: what they are.
        head: names of the columns.
        rows: the cells.
    """

    title: str
    head: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]

    def for_terminal(self) -> str:
        widths = [max(len(row[column]) for row in (self.head, *self.rows)) for column in range(len(self.head))]
        lines = [self.title]
        for row in (self.head, *self.rows):
            cells = [cell.ljust(width) if column < 2 else cell.rjust(width)
                     for column, (cell, width) in enumerate(zip(row, widths, strict=True))]  # fmt: skip
            lines.append("  " + "  ".join(cells).rstrip())
        return "\n".join(lines)

    def for_page(self) -> str:
        lines = [f"{self.title}:", "", _row(self.head), "|---" * len(self.head) + "|"]
        return "\n".join([*lines, *(_row(row) for row in self.rows)])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
