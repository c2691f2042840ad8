"""``scripts/bench_render.py`` and ``bench_encode.py`` once, small: every part measures. Never how long it took."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from bench_runs import run_bench
from sidelog.bench.pages import marks

SCRIPTS = Path(__file__).parents[2] / "scripts"
BEGIN, END = marks("render")
DEADLINE_S = 240
pytestmark = pytest.mark.timeout(DEADLINE_S + 20)
CASES = [
    "resnet18 layer2, 16 channels [16, 28, 28]",
    "photograph, bytes [3, 224, 224]",
    "weights of resnet50 [1,000,000]",
]


def run(script: str, arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return run_bench(folder, [str(SCRIPTS / script)], arguments, deadline_s=DEADLINE_S)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with what the script wrote, and what it printed."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "page.md").write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    words = ("--quick", "--json", "bench.json", "--plot", "bench.png", "--markdown", "page.md")
    done = run("bench_render.py", words, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout


@pytest.fixture(scope="module")
def whole(outcome: tuple[Path, str]) -> dict:
    """The JSON."""
    return json.loads((outcome[0] / "bench.json").read_text())


def test_every_case_is_compared_with_both_writers(whole: dict) -> None:
    assert [one["case"] for one in whole["comparisons"]] == CASES
    for one in whole["comparisons"]:
        assert list(one["cpu_ms"]) == ["tensorboardX", "torch", "sidelog"]
        assert {len(blocks) for blocks in one["cpu_ms"].values()} == {2}
        assert one["ratio"]["low"] <= one["ratio"]["value"] <= one["ratio"]["high"]
    # What stands in the files does not depend on the load of the machine.
    sizes = [one["size_ratio"] for one in whole["comparisons"]]
    assert sizes[2] is None
    assert 0.5 < sizes[0] < 1.3
    assert 0.5 < sizes[1] < 1.3


def test_the_stages_are_those_of_the_pipeline(whole: dict) -> None:
    grid, photograph, histogram = (one["cpu_ms"] for one in whole["stages"])
    ending = ["protobuf", "CRC", "write", "the rest"]
    assert list(grid["sidelog"]) == ["layout", "normalize", "tile", "color", "encode", *ending]
    assert list(photograph["sidelog"]) == ["layout", "tile", "color", "encode", *ending]
    assert list(histogram["sidelog"]) == ["count", *ending]
    assert list(grid["tensorboardX"]) == ["layout", "normalize", "encode", *ending]
    for stages in (grid, photograph, histogram):
        assert all(value >= 0 for arm in stages.values() for value in arm.values())
    assert grid["tensorboardX"]["encode"] > 0


def test_scalars_threads_memory_and_the_whole_way_are_measured(whole: dict) -> None:
    rates = whole["scalars"]["per_s"]
    assert list(rates) == [
        "tensorboardX", "torch", "sidelog, 50 at once", "sidelog, 500 at once", "sidelog, 5,000 at once"
    ]  # fmt: skip
    assert all(value > 0 for arm in rates.values() for value in arm)
    assert {len(values) for values in whole["scalars"]["ways_us"].values()} == {8}
    assert [one["name"] for one in whole["whole_path"]] == [CASES[0], "a scalar, 50 tags in each step"]
    assert [list(one["per_s"]) for one in whole["scaling"]] == [["1", "2"]]
    memory = whole["memory"]
    assert memory["tensor_bytes"] == 2048 * 56 * 56 * 4
    assert 0.2 < memory["times"] <= 2.5, "the promise, which no load changes: the picture itself is a quarter"


def test_the_tables_are_printed_and_stand_in_the_page(outcome: tuple[Path, str]) -> None:
    folder, said = outcome
    page = (folder / "page.md").read_text()
    assert page.startswith(f"before\n{BEGIN}\n`scripts/bench_render.py --quick ")
    assert page.endswith(f"|\n{END}\nafter\n")
    assert "old" not in page
    for name in CASES:
        assert f"| {name} |" in page
        assert name in said
    for title in ("CPU time from the tensor", "stage by stage", "Scalars;", "whole way", "two threads", "Memory that"):
        assert title in page


def test_the_plot_has_a_bar_for_each_case(outcome: tuple[Path, str]) -> None:
    picture = Image.open(outcome[0] / "bench.png").convert("RGB")
    green = sum(count for count, color in picture.getcolors(1 << 24) or () if color == (27, 158, 119))
    assert green > 1000


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--rows", "7"], 2, "--rows is 7, expected a multiple of 5,000"),
        (["--only", "threads", "--plot", "x.png"], 2, "--plot shows end-to-end, which --only threads leaves out"),
        (["--json", "nowhere/x.json"], 2, "is in a folder that is not there"),
        (["--markdown", "page.md"], 2, "page.md cannot be read"),
        (["--only", "everything"], 2, "expected some of end-to-end,stages,scalars,whole-path,threads,memory"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_measured(
    tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    done = run("bench_render.py", arguments, tmp_path)
    assert done.returncode == code
    assert words in done.stderr


def test_encoders_are_compared(tmp_path: Path) -> None:
    done = run("bench_encode.py", ["--rounds", "1", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {(row["encoder"], row["picture"]): row for row in json.loads(done.stdout)["rows"]}
    pictures = {picture for _, picture in rows}
    assert pictures == {"conv1", "layer1", "layer4", "small", "smooth", "noise", "photograph", "labels"}
    for picture in pictures - {"labels"}:
        ours, theirs = (rows[name, picture]["bytes"] for name in ("sidelog", "Pillow, level 6"))
        assert ours <= 1.3 * theirs, picture
    assert rows["the same, a palette", "labels"]["bytes"] < rows["Pillow, level 6", "labels"]["bytes"]
