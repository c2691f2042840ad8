"""The script that compares every method with tensorboardX's runs, and measures them all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_methods.py"


def test_it_times_every_method_of_both(runtime_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), "--rounds", "2", "--pause", "0", "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())["methods"]
    assert len(figures) == 17
    for row in figures:
        assert f"`{row['method']}`" in done.stdout
        assert all(value > 0 for name, value in row.items() if name != "method")
