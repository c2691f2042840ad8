"""Steps, wall times, folders, bins: what is taken, and what a mistake is told."""

from __future__ import annotations

import os
import re
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sidelog.arguments import (
    absolute_folder,
    check_bins,
    check_step,
    check_timeout,
    check_words,
    check_writable,
    optional_step,
    run_folder,
    wall_time_or_now,
)
from sidelog_shared.errors import ConfigError


class TestSteps:
    @pytest.mark.parametrize(
        "step",
        [
            0, 7, -3, True, np.int32(5), np.uint8(5), torch.tensor(9), torch.tensor([9]), 2**63 - 1, -(2**63) + 2,
            1.0, 7.9, -0.5, np.float32(3.5), torch.tensor(2.75), np.array(4), Fraction(7, 2),
        ],
    )  # fmt: skip
    def test_numbers_of_any_kind(self, step: Any) -> None:
        found = check_step(step)
        assert type(found) is int
        assert found == int(step)
        assert optional_step(step) == found

    @pytest.mark.parametrize("step", ["1", b"1", None, 1j, float("nan"), float("inf"), torch.tensor([1, 2]), [1]])
    def test_what_is_no_integer(self, step: Any) -> None:
        with pytest.raises(TypeError, match=f"^global_step is {type(step).__name__} .*, expected an integer$"):
            check_step(step)

    @pytest.mark.parametrize("step", [2**63, -(2**63), 10**30])
    def test_what_is_too_large(self, step: int) -> None:
        with pytest.raises(ValueError, match=f"^global_step is {step}, expected a 64-bit integer$"):
            check_step(step)

    def test_none_is_no_step(self) -> None:
        assert optional_step(None) is None


class TestWallTimes:
    @pytest.mark.parametrize("wall_time", [0, 1.5, np.float64(2), torch.tensor(3.0), -1])
    def test_numbers(self, wall_time: Any) -> None:
        assert wall_time_or_now(wall_time) == float(wall_time)

    def test_none_is_now(self) -> None:
        before = time.time()
        assert before <= wall_time_or_now(None) <= time.time()

    @pytest.mark.parametrize("wall_time", [float("nan"), float("inf"), -float("inf"), np.float32("nan")])
    def test_what_would_end_an_event_file(self, wall_time: Any) -> None:
        with pytest.raises(ValueError, match="expected finite seconds since the epoch"):
            wall_time_or_now(wall_time)

    @pytest.mark.parametrize("wall_time", ["yesterday", [1], {}, object()])
    def test_what_is_no_number(self, wall_time: Any) -> None:
        with pytest.raises(TypeError, match=f"^walltime is {type(wall_time).__name__} .*, expected seconds$"):
            wall_time_or_now(wall_time)


class TestWords:
    def test_titles_and_descriptions(self) -> None:
        assert check_words("display_name", "größer") == "größer"
        assert check_words("display_name", "x" * 4096)

    @pytest.mark.parametrize(
        ("text", "error", "message"),
        [
            (5, TypeError, "display_name is int 5, expected a string"),
            ("ö" * 2049, ValueError, "display_name is 4,098 bytes, limit 4,096: add_text takes longer texts"),
            ("\ud800", ValueError, "cannot be written as UTF-8 (surrogates not allowed)"),
        ],
    )
    def test_what_a_header_cannot_hold(self, text: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=re.escape(message)):
            check_words("display_name", text)


class TestFolders:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize("address", ["s3://bucket/run", "gs://bucket/run", "HDFS://host/run", "file:///tmp/run"])
    def test_cloud_storage_is_not_written(self, address: str) -> None:
        with pytest.raises(ConfigError, match="expected a folder of this machine"):
            self.folder(address)

    def folder(self, given: Any, *, comment: str = "", rank: Any = None, over_tcp: bool = False) -> str:
        return run_folder(given, comment=comment, rank=rank, over_tcp=over_tcp)

    def test_local_ones_are_absolute_on_their_way(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", "/home/me")
        assert absolute_folder("runs/a") == str(tmp_path / "runs/a")
        assert absolute_folder("~/runs") == "/home/me/runs"
        assert absolute_folder("/abs/../runs/") == "/runs"

    def test_to_their_user_they_are_as_given(self) -> None:
        assert self.folder("runs/a") == "runs/a"
        assert self.folder(Path("runs/a")) == "runs/a"
        assert self.folder("~/runs") == "~/runs"

    def test_over_tcp_they_are_names(self) -> None:
        assert self.folder("exp1/a", over_tcp=True) == "exp1/a"
        assert self.folder("exp1", rank=2, over_tcp=True) == os.path.join("exp1", "rank_2")
        assert "/" not in self.folder(None, over_tcp=True)

    @pytest.mark.parametrize("given", [None, ""])
    def test_the_default_is_dated_and_has_the_comment(self, given: Any) -> None:
        folder = self.folder(given, comment="_lr0.1")
        assert re.fullmatch(r"runs/[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d_.+_lr0\.1", folder)

    def test_ranks(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.folder("a", rank=0) == "a"
        assert self.folder("a", rank=3) == "a/rank_3"
        assert self.folder("a", rank="auto") == "a"
        monkeypatch.setenv("RANK", "3")
        monkeypatch.setenv("WORLD_SIZE", "4")
        assert self.folder("a", rank="auto") == "a/rank_3"
        assert self.folder("a", rank=None) == "a"

    @pytest.mark.parametrize("rank", [-1, True, "3", 1.0])
    def test_what_is_no_rank(self, rank: Any) -> None:
        with pytest.raises(ConfigError, match=r"rank is .*, expected an integer of at least 0, None or 'auto'"):
            self.folder("a", rank=rank)

    @pytest.mark.parametrize("given", [5, ["a"], object()])
    def test_what_is_no_path(self, given: Any) -> None:
        with pytest.raises(ConfigError, match=f"logdir is {type(given).__name__} .*, expected a path"):
            self.folder(given)

    def test_a_name_that_is_no_text(self) -> None:
        with pytest.raises(ConfigError, match="cannot be written as UTF-8"):
            self.folder(os.fsdecode(b"run-\xff"))

    def test_it_is_made(self, tmp_path: Path) -> None:
        check_writable(str(tmp_path / "a" / "b"))
        assert (tmp_path / "a" / "b").is_dir()
        check_writable(str(tmp_path / "a" / "b"))

    def test_what_cannot_be_made(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(ConfigError, match=r"file/run cannot be made \(Not a directory\), expected a folder that"):
            check_writable(str(tmp_path / "file" / "run"))

    def test_what_cannot_be_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anything
        with pytest.raises(ConfigError, match="cannot be written by this user, expected a folder that can"):
            check_writable(str(tmp_path))


class TestBins:
    @pytest.mark.parametrize(
        "bins", ["tensorflow", "auto", "fd", "doane", "scott", "rice", "sturges", "sqrt", 1, 65536]
    )
    def test_names_and_numbers(self, bins: Any) -> None:
        assert check_bins(bins, None, "x") == ({"bins": bins}, None)

    @pytest.mark.parametrize("bins", [[0, 1, 2], (0.0, 1.0, 2.0), np.array([0, 1, 2]), torch.tensor([0, 1, 2])])
    def test_edges(self, bins: Any) -> None:
        options, edges = check_bins(bins, 10, "x")
        assert options == {"max_bins": 10}
        assert edges is not None
        assert edges.dtype == np.float64
        np.testing.assert_array_equal(edges, [0, 1, 2])

    def test_they_are_a_copy(self) -> None:
        given = np.array([0.0, 1.0])
        edges = check_bins(given, None, "x")[1]
        given[0] = 9
        assert edges is not None
        assert edges[0] == 0

    def test_a_bound_above_all_bins_is_no_bound(self) -> None:
        assert check_bins("auto", 2**80, "x")[0]["max_bins"] == 65536

    @pytest.mark.parametrize(
        ("bins", "max_bins", "message"),
        [
            ("stone", None, "x: bins is 'stone', expected one of tensorflow, auto"),
            (0, None, "x: bins is 0, expected 1 to 65,536"),
            (65537, None, "x: bins is 65537, expected 1 to 65,536"),
            (True, None, "x: bins is True, expected a name, a number, or 2 to 65,537 ascending edges"),
            (None, None, "x: bins is None, expected a name"),
            ([1], None, "x: bins is [1], expected a name"),
            ([2, 1], None, "x: bins is [2, 1], expected a name, a number, or 2 to 65,537 ascending edges"),
            ([0, float("nan")], None, "ascending edges"),
            ([[0, 1], [2, 3]], None, "ascending edges"),
            (["a", "b"], None, "ascending edges"),
            (np.arange(65538), None, "ascending edges"),
            ("auto", 0, "x: max_bins is 0, expected an integer of at least 1"),
            ("auto", 2.5, "x: max_bins is 2.5, expected an integer of at least 1"),
            ("auto", True, "x: max_bins is True, expected an integer"),
        ],
    )
    def test_bins_that_cannot_be(self, bins: Any, max_bins: Any, message: str) -> None:
        with pytest.raises(ConfigError, match=re.escape(message)):
            check_bins(bins, max_bins, "x")


class TestTimeouts:
    @pytest.mark.parametrize("seconds", [0, 0.5, 10, np.float32(2.5), np.int64(3), float("inf")])
    def test_seconds(self, seconds: Any) -> None:
        found = check_timeout(seconds)
        assert type(found) is float
        assert found == seconds

    @pytest.mark.parametrize("seconds", ["10", None, True, -1, -0.5, float("nan"), float("-inf"), 1j, [1.0]])
    def test_what_is_no_time(self, seconds: Any) -> None:
        message = f"timeout_s is {seconds!r}, expected a number of seconds of at least 0"
        with pytest.raises(ConfigError, match=f"^{re.escape(message)}$"):
            check_timeout(seconds)
