"""The command line: what it refuses, in one line."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from sidelog.bench.arguments import Progress
from sidelog.bench.cli import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "nonsense"], "'nonsense' names nonsense, expected some of start,calls,methods,device"),
        (["--only", ","], "names nothing"),
        (["--pairs", "0"], "'0', expected a whole number of at least 1"),
        (["--step-ms", "-1"], "'-1', expected a number above 0"),
        (["--step-ms", "nan"], "expected a number above 0"),
        (["--maps", "2"], "--maps is 2, expected at least 4"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
    ],
)
def test_refuses_arguments(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


def test_refuses_a_folder_that_is_not_there_before_it_measures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--quick", "--json", str(tmp_path / "none" / "bench.json")]) == 2
    assert "is in a folder that is not there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--only", "methods", "--method", "add_nothing"], "--method is add_nothing, expected some of SummaryWriter"),
        (["--only", "start", "--method", "flush"], "which --only start leaves out"),
        (["--markdown", "/nowhere/page.md"], "/nowhere/page.md cannot be read"),
        (["--markdown", __file__], "has no marks, expected <!-- methods: begin -->"),
    ],
)
def test_refuses_what_the_methods_cannot_do_before_it_measures(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--quick", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_a_missing_package_is_one_line_that_says_what_to_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else find_spec(name))
    assert main(["--quick"]) == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert 'pip install "sidelog[bench]"' in said
    assert "'sklearn'" in said


def test_a_log_file_gets_a_line_for_each_part(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    for text in ("calls, dead: 0 of 40", "calls, dead: 20 of 40", "calls, frozen: 0 of 40", ""):
        progress(text)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["calls, dead", "calls, frozen"]
