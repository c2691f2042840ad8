"""The comparison of methods: nothing is left out, and pages hold what one run found."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import sidelog
from sidelog.bench.methods import METHODS
from sidelog.bench.methods.measure import Comparison, MethodsMeasurement
from sidelog.bench.methods.rows import Row, make_rows
from sidelog.bench.methods.tables import put_tables
from sidelog.bench.pairs import ratio_of_medians
from sidelog_shared.errors import WriterError

LOGS_NOTHING = {"get_logdir", "policy", "statistics"}
PAGE = (
    "# Costs\n\n<!-- methods: begin -->\nold\n<!-- methods: end -->\nbehind\n<!-- costs: begin --><!-- costs: end -->\n"
)


def test_every_method_of_the_writer_has_a_row(tmp_path: Path) -> None:
    public = {name for name, _ in inspect.getmembers(sidelog.SummaryWriter, callable) if not name.startswith("_")}
    rows = make_rows(tmp_path)
    assert {row.method for row in rows} == set(METHODS)
    assert set(METHODS) == public - LOGS_NOTHING | {"SummaryWriter", "GlobalSummaryWriter"}
    assert len({row.label for row in rows}) == len(rows)


def found(
    *, ours_us: float, theirs_us: float, excuse: str = "", objections: tuple[str, ...] = ()
) -> MethodsMeasurement:
    row = Row("flush", "after a scalar", lambda side, _: side.settle, excuse=excuse)
    ours, theirs = [ours_us] * 5, [theirs_us] * 5
    measurement = MethodsMeasurement("methods", "", rounds=5, pause_s=0.02)
    measurement.add(Comparison(row, ours, theirs, ratio_of_medians(ours, theirs), objections))
    return measurement


def put(page: Path, measurement: MethodsMeasurement) -> str:
    machine: dict[str, object] = {
        "cores": 2,
        "processor": "p",
        "architecture": "a",
        "system": "s",
        "load": [0.1, 0.2, 0.3],
        "torch_threads": 2,
    }
    put_tables([page], [measurement], arguments=["--only", "methods"], machine=machine, versions={"torch": "2"})
    return page.read_text()


def test_tables_stand_between_the_marks_and_twice_is_as_once(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    text = put(page, found(ours_us=1.5, theirs_us=1000.0))
    said = " ".join(text.split())  # lines are wrapped
    assert "| `flush`, after a scalar | 1.5 us | 1.5 us | 1,000 us | 1,000 us | 0.002 [0.002, 0.002] | |" in text
    assert "| `flush`, after a scalar | 1,000 us | 1.5 us | |" in text
    assert "`sidelog bench --only methods`" in said
    assert "5 rounds, 20 ms between calls" in said
    assert "load 0.1/0.2/0.3 at the start" in said
    assert text.startswith("# Costs\n")
    assert "old" not in text
    assert "-->\nbehind\n<!--" in text
    assert put(page, found(ours_us=1.5, theirs_us=1000.0)) == text


@pytest.mark.parametrize(("excuse", "remark"), [("", "**slower**"), ("it waits", "it waits")])
def test_one_that_is_slower_explains_itself_or_is_marked(tmp_path: Path, excuse: str, remark: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    measurement = found(ours_us=2.0, theirs_us=1.0, excuse=excuse)
    assert f"| 1.0 us | 2.0 us | {remark} |" in put(page, measurement)
    assert [figure.verdict for figure in measurement.figures] == ["" if excuse else "missed", ""]


def test_figures_that_do_not_count_reach_no_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    measurement = found(ours_us=1.0, theirs_us=2.0, objections=("3 records dropped",))
    assert measurement.figures[0].verdict == "does not count"
    with pytest.raises(WriterError, match="the pages keep their tables"):
        put(page, measurement)
    assert page.read_text() == PAGE
