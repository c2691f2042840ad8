"""``sidelog bench`` once, small: that it works and that what it logged arrived. Never how long anything took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from event_files import read_run
from sidelog.bench.cli import PARTS

MEASURED = [part for part in PARTS if part != "methods"]
"""Those have a test of their own."""
SMALL = ["--only", ",".join(MEASURED), "--pairs", "1", "--block-steps", "3", "--launch-steps", "4", "--step-ms", "2",
         "--calls", "4", "--maps", "8", "--starts", "1", "--memory-steps", "10"]  # fmt: skip


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with what the command wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("bench")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIDELOG_")}
    done = subprocess.run(
        [sys.executable, "-m", "sidelog.cli", "bench", "--quick", *SMALL, "--json", str(folder / "bench.json"),
         "--plot", str(folder / "bench.png"), "--logdir", str(folder / "runs")],
        env=environment | {"SIDELOG_MODE": "off", "MPLBACKEND": "Agg"},  # the user's settings do not reach it
        cwd=folder, capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


def test_prints_every_part_and_a_verdict(outcome: tuple[Path, str]) -> None:
    _, said = outcome
    for part in MEASURED:
        assert f"\n{part}: " in said
    assert "goals" in said.splitlines()[-1]


def test_json_holds_figures_blocks_machine_and_versions(outcome: tuple[Path, str]) -> None:
    folder, _ = outcome
    whole = json.loads((folder / "bench.json").read_text())
    assert whole["machine"]["cores"] >= 1
    assert set(whole["versions"]) >= {"sidelog", "torch", "torchvision", "tensorboardX", "python"}
    assert whole["settings"]["seed"] == 0
    labels = {(figure["group"], figure["label"]) for figure in whole["figures"]}
    assert {("device", "slowdown"), ("cpu", "slowdown"), ("launch", "slowdown beyond the calls' own time")} <= labels
    for part in ("device", "cpu", "launch"):
        blocks = whole["measurements"][part]["blocks"]
        assert [block["arm"] for block in blocks] == ["off", "sidelog", "inline"]
        assert all(block["wall_s"] > 0 for block in blocks)


def test_every_record_arrived(outcome: tuple[Path, str]) -> None:
    """The bench says so by its own reader; TensorBoard's agrees."""
    folder, _ = outcome
    whole = json.loads((folder / "bench.json").read_text())
    lost = [text for figure in whole["figures"] for text in figure["objections"] if "later than" not in text]
    assert lost == []
    for arm in ("sidelog", "inline"):
        content = read_run(folder / "runs" / "device" / arm)
        for tag in ("loss", "layer1", "layer2"):
            assert content.steps(tag) == list(range(6)), (arm, tag)  # the warm-up's three, then the pair's
    assert read_run(folder / "runs" / "memory" / "sidelog").steps("layer2") == list(range(10))


def test_draws_the_plot(outcome: tuple[Path, str]) -> None:
    folder, _ = outcome
    assert (folder / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_leaves_no_process_behind(outcome: tuple[Path, str]) -> None:
    folder, _ = outcome  # its daemons were started from there, and say so on their command line
    left = [
        process
        for process in psutil.process_iter(["cmdline"])
        if str(folder) in " ".join(process.info["cmdline"] or [])
    ]
    assert left == []
