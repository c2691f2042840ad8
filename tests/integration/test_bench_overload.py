"""``scripts/bench_overload.py`` once, small: the daemon was overloaded, and every picture is accounted for."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from bench_runs import run_bench
from sidelog.bench.overload.cli import NAME
from sidelog.bench.overload.load import MAPS
from sidelog.bench.pages import marks

SCRIPT = Path(__file__).parents[2] / "scripts/bench_overload.py"
BEGIN, END = marks(NAME)
DEADLINE_S = 240
QUICK = ("--quick", "--workers", "2", "--budget-mb", "256")
pytestmark = pytest.mark.timeout(DEADLINE_S + 20)


def bench(folder: Path, *arguments: str, program: Sequence[str] = (str(SCRIPT),)) -> subprocess.CompletedProcess[str]:
    return run_bench(folder, program, arguments, deadline_s=DEADLINE_S)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with what the script wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "page.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    done = bench(folder, *QUICK, "--json", "bench.json", "--plot", "bench.png", "--markdown", "page.md")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def whole(outcome: tuple[Path, str]) -> dict[str, object]:
    """The JSON."""
    return json.loads((outcome[0] / "bench.json").read_text())


def test_the_daemon_was_overloaded_and_every_picture_is_accounted_for(whole: dict) -> None:
    assert whole["objections"] == []
    *tags, totals = whole["tags"]
    assert [one["tag"] for one in tags] == list(MAPS)
    assert {one["logged"] for one in tags} == {sum(whole["seen"]["steps"])}
    assert totals["dropped_by_daemon"] > totals["written"] > 0
    for name in ("logged", "written", "dropped_by_client", "dropped_by_daemon"):
        assert totals[name] == sum(one[name] for one in tags)
    assert totals["logged"] == totals["written"] + totals["dropped_by_client"] + totals["dropped_by_daemon"]


def test_the_newest_picture_of_each_tag_is_the_last_in_the_file(whole: dict) -> None:
    assert whole["newest_in_file"] == [2 * len(MAPS), 2 * len(MAPS)]


def test_memory_was_sampled_and_stays_below_the_bound(whole: dict) -> None:
    samples = whole["seen"]["samples"]
    assert [one["at_s"] for one in samples] == sorted(one["at_s"] for one in samples)
    assert max(one["queue_bytes"] for one in samples) > 50 << 20, "the queue was full"
    assert max(one["rss_bytes"] for one in samples) <= whole["seen"]["peak_bytes"] < 256 << 20


def test_counts_grow(whole: dict) -> None:
    for name in ("logged", "written", "dropped_by_client", "dropped_by_daemon"):
        counts = [one[name] for one in whole["seen"]["samples"]]
        assert counts == sorted(counts)
    assert whole["seen"]["samples"][-1]["arrived"] > 0


def test_the_plot_shows_the_bound(outcome: tuple[Path, str]) -> None:
    picture = Image.open(outcome[0] / "bench.png").convert("RGB")
    colors = {color for count, color in picture.getcolors(1 << 24) or () if count > 500}
    assert (0xD9, 0x5F, 0x02) in colors


def test_prints_the_tables_and_puts_them_into_the_page(outcome: tuple[Path, str]) -> None:
    folder, said = outcome
    page = (folder / "page.md").read_text()
    assert page.startswith(f"before\n{BEGIN}\n`scripts/bench_overload.py --quick ")
    assert page.endswith(f"|\n{END}\nafter\n")
    assert "old" not in page
    for tag in MAPS:
        assert f"| {tag} | " in page
    assert "last picture in the file is the last logged" in said


def test_ctrl_c_in_the_middle_stops_what_it_started(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from sidelog.bench.overload.cli import main\n"
        "from sidelog.bench.overload.watch import Watch\n"
        "sample = Watch._sample\n"
        "def interrupted(watch, rig, *rest):\n"
        "    sample(watch, rig, *rest)\n"
        "    if len(rig.loaders) == 2 and watch.seen.samples[-1].dropped_by_daemon:\n"
        "        print('dropping', flush=True)\n"
        "        os.kill(os.getpid(), signal.SIGINT)\n"
        "Watch._sample = interrupted\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = bench(tmp_path, *QUICK, program=("-c", code))
    assert (done.returncode, done.stdout) == (130, "dropping\n"), done.stderr
    assert "everything that it started is stopped" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--workers", "0"], "'0', expected a whole number of at least 1"),
        (["--render-ms", "-1"], "'-1', expected a number above 0"),
        (["--json", "nowhere/b.json"], "nowhere/b.json is in a folder that is not there, expected one that is"),
        (["--markdown", "page.md"], f"page.md has no marks, expected {BEGIN} ... {END}"),
    ],
)
def test_refuses_before_it_measures(tmp_path: Path, arguments: list[str], said: str) -> None:
    (tmp_path / "page.md").write_text(f"{END} {BEGIN}\n")
    done = bench(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
