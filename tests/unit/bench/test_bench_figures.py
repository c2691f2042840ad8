"""Verdicts, and the report made of them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from sidelog.bench import report
from sidelog.bench.blocks import INLINE, OFF, SIDELOG, Block, Blocks
from sidelog.bench.daemon_cost import size_ratio
from sidelog.bench.figures import Figure, Measurement
from sidelog.bench.memory import objections, second_half_growth
from sidelog.bench.slowdown import measure_slowdown
from sidelog.bench.workloads import Workload


class Loop:
    """A workload that is never run."""

    name = "device"
    summary = "a loop"
    slowdown_goal = 1.0
    beyond_calls_goal = None


@pytest.mark.parametrize(
    ("value", "low", "high", "verdict"),
    [
        (0.5, None, None, "reached"),
        (1.0, None, None, "reached"),
        (1.5, None, None, "missed"),
        (0.5, 0.2, 0.9, "reached"),
        (0.5, -0.1, 1.1, "reached, within its error"),
        (1.5, 1.2, 1.8, "missed"),
        (1.5, 0.9, 2.1, "missed, within its error"),
        (-24.0, -45.0, -4.0, "undecided: too few pairs, or too much else runs"),
    ],
)
def test_verdict(value: float, low: float | None, high: float | None, verdict: str) -> None:
    assert Figure("device", "slowdown", "%", value, low=low, high=high, goal=1.0).verdict == verdict


def test_a_figure_with_an_objection_does_not_count() -> None:
    figure = Figure("device", "slowdown", "%", 0.1, goal=1.0, objections=("3 records dropped",))
    assert figure.verdict == "does not count"
    table = report.render([Measurement("device", "a loop", [figure])], {"cores": 2}, {"torch": "2"})
    assert "does not count: 3 records dropped" in table
    assert "of 1 goals 0 reached, 0 missed, 1 undecided" in table


def test_report_shows_goals_and_all_three_arms() -> None:
    figures = [
        Figure("device", "slowdown", "%", 0.42, inline=195.0, low=0.3, high=0.55, goal=1.0),
        Figure("device", "step", "ms", 50.2, inline=150.0, off=50.0),
    ]
    measured = Measurement("device", "a loop", figures, {"blocks": []})
    table = report.render([measured], {"cores": 2}, {"torch": "2"})
    assert "+0.42 [+0.30, +0.55]" in table
    assert "<= 1 %" in table
    assert "of 1 goals 1 reached, 0 missed" in table
    whole = json.loads(json.dumps(report.to_map([measured], machine={"cores": 2}, versions={}, settings={"seed": 0})))
    assert whole["figures"][0]["verdict"] == "reached"
    assert whole["measurements"]["device"]["blocks"] == []


def _blocks(off_s: float, ours_s: float, inline_s: float, calls_ns: int) -> Blocks:
    found = Blocks()
    for number in range(4):
        slower = 1 + number  # the machine becomes slower and slower
        for arm, step_s in ((OFF, off_s), (SIDELOG, ours_s), (INLINE, inline_s)):
            calls = [] if arm == OFF else [calls_ns] * 10
            found.blocks.append(Block(arm, number, 10, wall_s=10 * step_s * slower, calls_ns=calls))
    return found


def test_slowdown_is_of_each_pair(workload: Workload) -> None:
    measured = measure_slowdown(workload, _blocks(0.050, 0.051, 0.150, 0))
    slowdown = next(figure for figure in measured.figures if figure.label == "slowdown")
    assert slowdown.sidelog == pytest.approx(2.0)
    assert slowdown.inline == pytest.approx(200.0)
    assert slowdown.verdict == "missed"


def test_stalls_of_single_calls_are_not_the_calls_own_time(workload: Workload) -> None:
    blocks = _blocks(0.002, 0.0022, 0.1, 100_000)
    for block in blocks.of(SIDELOG):
        block.wall_s /= 1 + block.round
        block.calls_ns[:2] = [1_000_000] * 2
    for block in blocks.of(OFF):
        block.wall_s /= 1 + block.round
    rest = next(figure for figure in measure_slowdown(workload, blocks).figures if "beyond" in figure.label)
    assert rest.sidelog == pytest.approx(100 * (0.0022 - 0.0001) / 0.002 - 100)


@pytest.fixture
def workload() -> Workload:
    return Loop()  # type: ignore[return-value]


def test_growth_of_the_second_half() -> None:
    start, flat = list(np.linspace(100.0, 200.0, 100)), [200.0] * 100
    assert second_half_growth(start + flat) == pytest.approx(0.0, abs=1e-9)
    assert second_half_growth(list(np.linspace(0.0, 100.0, 200))) == pytest.approx(50.0, abs=1.0)
    assert second_half_growth([*start, *flat[:-1], 201.0]) < 0.1  # one sample says little
    assert second_half_growth([1.0]) == 0.0


def test_memory_counts_only_with_every_record_in_time() -> None:
    said: dict[str, object] = {"dropped": 0, "lost": 0, "rejected": 0, "pending": 0, "arrival_s": 0.2}
    said["counts"] = {"loss": 10, "layer1": 10, "layer2": 10}
    assert objections(said, 10) == []
    assert objections({**said, "dropped": 2}, 10) == ["2 records dropped"]
    assert len(objections({**said, "arrival_s": None}, 10)) == 1
    assert len(objections({**said, "arrival_s": 2.5}, 10)) == 1
    assert len(objections(said, 11)) == 3


def test_size_is_compared_with_the_same_pixels_and_charges_the_text_chunk() -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8))
    plain, told = io.BytesIO(), io.BytesIO()
    text = PngImagePlugin.PngInfo()
    text.add_text("recipe", "x" * 1000)
    picture.save(plain, "PNG", compress_level=6)
    picture.save(told, "PNG", compress_level=6, pnginfo=text)
    assert size_ratio([plain.getvalue()]) == 1.0
    assert size_ratio([told.getvalue()]) > 1.2
    colored = io.BytesIO()
    picture.convert("RGB").save(colored, "PNG")
    with pytest.raises(ValueError, match="RGB, expected L"):
        size_ratio([colored.getvalue()])
    with pytest.raises(ValueError, match="at least one"):
        size_ratio([])
