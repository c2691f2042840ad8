"""``scripts/bench_faults.py`` once, small: every fault was there, and its outcome is told. Never how long it took."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from bench_runs import run_bench
from sidelog.bench.faults.injection import DEAD, DISK_FULL, FAULTS, FROZEN, SLOW, WELL, Evidence
from sidelog.bench.faults.tables import NAME
from sidelog.bench.pages import marks

SCRIPT = Path(__file__).parents[2] / "scripts/bench_faults.py"
BEGIN, END = marks(NAME)
DEADLINE_S = 500
pytestmark = pytest.mark.timeout(DEADLINE_S + 20)


def bench(folder: Path, *arguments: str, program: Sequence[str] = (str(SCRIPT),)) -> subprocess.CompletedProcess[str]:
    return run_bench(folder, program, arguments, deadline_s=DEADLINE_S)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with what the script wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "page.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    done = bench(folder, "--quick", "--json", "bench.json", "--plot", "bench.png", "--markdown", "page.md")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def whole(outcome: tuple[Path, str]) -> dict[str, object]:
    """The JSON."""
    return json.loads((outcome[0] / "bench.json").read_text())


def test_every_fault_was_there(whole: dict) -> None:
    assert [one["fault"] for one in whole["trainings"]] == list(FAULTS)
    assert [one["fault"] for one in whole["calls"]] == [WELL, *FAULTS]
    for one in (*whole["trainings"], *whole["calls"]):
        evidence, starts = one["outcome"]["evidence"], one["outcome"]["daemon_starts"]
        states = {"well": {"running"}, "dead": {"gone"}, "frozen": {"stopped"}, "slow": {"running", "stopped"},
                  "disk full": {"running"}}  # fmt: skip
        assert set(evidence["looks"]) == states[one["fault"]]
        assert starts == (2 if one["fault"] == DEAD else 1)
        assert (evidence["disk_full"] > 0) == evidence["disk_told"] == (one["fault"] == DISK_FULL)
        if one["fault"] in (DEAD, FROZEN):
            assert evidence["spool_bytes"] > 0


def test_every_reliable_record_arrived(whole: dict) -> None:
    assert whole["objections"] == []
    for one in (*whole["trainings"], *whole["calls"]):
        counts = one["outcome"]["counts"]
        assert counts["written"] > 0
        assert counts["rejected"] == counts["spooled"] == counts["pending"] == 0


def test_the_training_was_timed_before_during_and_after(whole: dict) -> None:
    for training in whole["trainings"]:
        assert [series["phase"] for series in training["phases"]] == ["before", "during", "after"]
        for series in training["phases"]:
            blocks = sorted((block["round"], block["arm"]) for block in series["blocks"])
            assert blocks == [(pair, arm) for pair in range(len(blocks) // 2) for arm in ("off", "sidelog")]
            steps = sum(block["steps"] for block in series["blocks"])
            assert len(series["begun_s"]) == len(series["took_s"]) == len(series["arms"]) == steps
            assert series["begun_s"] == sorted(series["begun_s"])
            assert series["from_s"] <= series["begun_s"][0] < series["begun_s"][-1] <= series["to_s"]
            assert series["slowdown"]["low"] <= series["slowdown"]["mean"] <= series["slowdown"]["high"]


def test_every_call_was_timed_beside_its_copy(whole: dict) -> None:
    for calls in whole["calls"]:
        labels = [kind["label"] for kind in calls["kinds"]]
        assert [label.split(",")[0] for label in labels] == [
            "add_scalar", "add_text", "add_audio", "add_feature_map", "add_feature_map"
        ]  # fmt: skip
        assert [kind["nbytes"] for kind in calls["kinds"]] == [8, 256, 32_000, 64 * 56 * 56 * 4, 256 * 54 * 54 * 4]
        for kind in calls["kinds"]:
            assert len(kind["calls_us"]) == len(kind["copies_us"]) >= whole["settings"]["calls"]
            assert kind["limit_us"] >= max(1000.0, 1.5 * max(kind["copies_us"]))
            assert kind["is_within"] is None, "of so few calls nothing is said"


def test_processes_ended_with_everything_in_the_spool(whole: dict) -> None:
    ends = [(one["fault"], one["way"]) for one in whole["endings"]]
    assert ends == [(fault, way) for fault in (DEAD, FROZEN) for way in ("exit", "Ctrl-C twice")]
    for one in whole["endings"]:
        assert one["spooled"] == [one["logged"]]


def test_the_plot_shows_the_fault(outcome: tuple[Path, str]) -> None:
    picture = Image.open(outcome[0] / "bench.png").convert("RGB")
    colors = {color for count, color in picture.getcolors(1 << 24) or () if count > 1000}
    assert any(red > blue + 10 and red > 200 for red, _, blue in colors), "what is shaded"


def test_prints_the_tables_and_puts_them_into_the_page(outcome: tuple[Path, str]) -> None:
    folder, said = outcome
    page = (folder / "page.md").read_text()
    assert page.startswith(f"before\n{BEGIN}\n`scripts/bench_faults.py --quick ")
    assert page.endswith(f"|\n{END}\nafter\n")
    assert "old" not in page
    for fault in FAULTS:
        for phase in ("before", "during", "after"):
            assert f"| {fault} | {phase} |" in page
        assert f"| {fault} | add_scalar |" in page
    assert "of 25 kinds of calls and faults 0 are within the limit, 0 are not, 25 have too few calls" in said


def test_ctrl_c_in_the_middle_of_a_fault_stops_what_it_started(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from sidelog.bench.faults.cli import main\n"
        "from sidelog.bench.faults.injection import Fault\n"
        "look = Fault.look\n"
        "def interrupted(fault):\n"
        "    look(fault)\n"
        "    print(sorted(fault.evidence.looks), flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "Fault.look = interrupted\n"
        "sys.exit(main(['--quick', '--only', 'training', '--faults', sys.argv[1]]))\n"
    )
    for fault, states in ((FROZEN, "['stopped']"), (SLOW, "['running', 'stopped']")):
        done = bench(tmp_path, fault, program=("-c", code))
        assert (done.returncode, done.stdout) == (130, f"{states}\n"), done.stderr
        assert "everything that it started is stopped" in done.stderr


def test_a_daemon_can_be_told_that_its_disk_is_full(tmp_path: Path) -> None:
    """What is done where no file system may be mounted."""
    done = bench(tmp_path, "--quick", "--only", "training", "--faults", DISK_FULL, "--disk", "told", "--json", "b.json")
    assert done.returncode == 0, done.stdout + done.stderr
    (training,) = json.loads((tmp_path / "b.json").read_text())["trainings"]
    assert "ENOSPC" in training["summary"]
    assert training["outcome"]["evidence"]["disk_told"]
    assert training["outcome"]["objections"] == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--faults", "flood"], "'flood' names flood, expected some of dead,frozen,slow,disk full"),
        (["--calls", "1000000000"], "--calls 1,000,000,000 needs 500,000.0 GB in "),
        (["--calls", "0"], "'0', expected a whole number of at least 1"),
        (["--json", "nowhere/b.json"], "nowhere/b.json is in a folder that is not there, expected one that is"),
        (["--only", "calls", "--plot", "b.png"], "--plot shows the training, which --only calls leaves out"),
        (["--markdown", "page.md"], f"page.md has no marks, expected {BEGIN} ... {END}"),
    ],
)
def test_refuses_before_it_measures(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "page.md").write_text(f"{END} {BEGIN}\n")
    done = bench(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_plot_without_matplotlib_names_the_command_to_run(tmp_path: Path) -> None:
    code = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *rest: None if name == 'matplotlib' else find(name, *rest)\n"
        "from sidelog.bench.faults.cli import main\n"
        "sys.exit(main(['--quick', '--plot', 'b.png']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 3
    assert "matplotlib" in done.stderr
    assert 'pip install "sidelog[bench]"' in done.stderr


@pytest.mark.parametrize(
    ("fault", "looks", "is_shown"),
    [
        (DEAD, {"gone": 2}, True),
        (DEAD, {"gone": 1, "running": 1}, False),
        (FROZEN, {"stopped": 3}, True),
        (FROZEN, {}, False),
        (SLOW, {"stopped": 3}, False),
        (SLOW, {"stopped": 3, "running": 1}, True),
        (DISK_FULL, {"running": 3}, False),
        (WELL, {"running": 3}, True),
    ],
)
def test_a_fault_that_was_not_seen_does_not_count(fault: str, looks: dict[str, int], is_shown: bool) -> None:
    evidence = Evidence()
    evidence.looks.update(looks)
    assert evidence.shows(fault) is is_shown
