"""Every row of docs/differences.md has its test, and every such test its row."""

from __future__ import annotations

import importlib
from pathlib import Path

from differences import proofs, titles


def test_every_row_is_proved_and_nothing_else() -> None:
    for path in sorted(Path(__file__).parent.glob("test_differences_*.py")):
        importlib.import_module(path.stem)
    rows = titles()
    assert len(rows) > 50, "the page's tables are read wrongly"
    assert len(set(rows)) == len(rows), "two rows have one title"
    assert set(rows) - set(proofs) == set(), "rows without a test"
    assert set(proofs) - set(rows) == set(), "tests without a row"
