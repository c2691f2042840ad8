"""``sidelog bench --only methods`` once, small: every row is measured, in both loggers. Never how long it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil

from sidelog.bench.methods.rows import make_rows


def test_it_times_every_method_of_both_and_fills_the_pages(tmp_path: Path) -> None:
    page, figures = tmp_path / "page.md", tmp_path / "figures.json"
    page.write_text("<!-- methods: begin --><!-- methods: end -->\n<!-- costs: begin --><!-- costs: end -->\n")
    done = subprocess.run(
        [sys.executable, "-m", "sidelog.cli", "bench", "--only", "methods", "--rounds", "2", "--pause-ms", "1",
         "--json", str(figures), "--markdown", str(page)],
        env=os.environ | {"SIDELOG_MODE": "off", "MPLBACKEND": "Agg"},  # the user's settings do not reach it
        cwd=tmp_path, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(figures.read_text())["measurements"]["methods"]
    assert found["skipped"] == []
    labels = [row.label for row in make_rows(tmp_path)]
    assert [row["label"] for row in found["rows"]] == labels
    table = page.read_text()
    for row in found["rows"]:
        assert row["objections"] == []
        assert (len(row["sidelog_us"]), len(row["theirs_us"])) == (2, 2)
        assert all(us > 0 for us in row["sidelog_us"] + row["theirs_us"])
        assert f"{row['label']}, p50 (us)" in done.stdout
        assert table.count(f"| `{row['method']}") >= 2
    left = [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(tmp_path)]
    assert left == []  # neither a daemon nor one of tensorboardX's manager processes
