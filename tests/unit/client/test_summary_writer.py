"""The writer's calls as far as the outbox; what they refuse; what they do when logging is switched off."""

from __future__ import annotations

import inspect
import math
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quiet_writers import Quiet, quiet_writer
from tensorboardX.writer import SummaryWriter as TensorboardXWriter

import sidelog
from sidelog.calls import RecordCall
from sidelog.grid import make_grid
from sidelog.runs import RunHandle
from sidelog_shared.errors import ConfigError, SnapshotError
from sidelog_shared.limits import STEP_NONE
from sidelog_shared.records import Kind, Series


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Quiet:
    return quiet_writer(monkeypatch, tmp_path)


class TestScalars:
    @pytest.mark.parametrize(
        "value",
        [
            1.5, 3, True, np.float32(1.5), np.int64(7), np.array(2.5), np.array([[2.5]]), torch.tensor(1.5),
            torch.tensor([1.5]), torch.tensor([[7]]), torch.tensor(1.5, requires_grad=True) * 2,
            torch.tensor(1.5, dtype=torch.bfloat16), torch.tensor(True), torch.tensor(1.5, dtype=torch.float8_e5m2),
            np.array(2.5, ">f8"),
        ],
    )  # fmt: skip
    def test_numbers_of_any_kind(self, quiet: Quiet, value: Any) -> None:
        quiet.writer.add_scalar("loss", value, 3, 4.0)
        (call,) = quiet.light()
        assert call == (Series(1, "loss"), 3, 4.0, value.item() if hasattr(value, "item") else value)
        assert type(call[3]) is float  # type: ignore[index]

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_values_that_are_not_finite_are_logged(self, quiet: Quiet, value: float) -> None:
        quiet.writer.add_scalar("loss", value)
        (call,) = quiet.light()
        assert repr(call[3]) == repr(value)  # type: ignore[index]

    def test_steps_and_times(self, quiet: Quiet) -> None:
        before = time.time()
        quiet.writer.add_scalar("loss", 1.0)
        quiet.writer.add_scalar("loss", 1.0, np.int32(5))  # type: ignore[arg-type]
        quiet.writer.add_scalar("loss", 1.0, torch.tensor(6), 7)  # type: ignore[arg-type]
        first, second, third = quiet.light()
        assert first[1] == STEP_NONE  # type: ignore[index]
        assert before <= first[2] <= time.time()  # type: ignore[index]
        assert (second[1], third[1], third[2]) == (5, 6, 7.0)  # type: ignore[index]

    def test_titles_and_descriptions(self, quiet: Quiet) -> None:
        quiet.writer.add_scalar("loss", 1.0, 1, 2.0, "Loss", "of the *training*")
        quiet.writer.add_scalar("loss", 1.0, 1, 2.0)
        first, second = quiet.light()
        assert first[0] == Series(1, "loss", "Loss", "of the *training*")  # type: ignore[index]
        assert second[0] == Series(1, "loss")  # type: ignore[index]

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (("", 1.0), ValueError, "tag is the empty string, expected a non-empty string"),
            ((5, 1.0), TypeError, "tag is int 5, expected a non-empty string"),
            ((["a"], 1.0), TypeError, "tag is list"),
            (("x" * 1025, 1.0), ValueError, "is 1,025 bytes, limit 1,024"),
            (("a\0", 1.0), ValueError, "has a NUL character"),
            (("\ud800", 1.0), ValueError, "cannot be written as UTF-8"),
            (
                ("loss", None),
                TypeError,
                "add_scalar 'loss' is NoneType None, expected a number or a tensor of one element",
            ),
            (("loss", "1.0"), TypeError, "add_scalar 'loss' is str '1.0', expected a number"),
            (("loss", (1.0,)), TypeError, "add_scalar 'loss' is tuple (1.0,), expected a number"),
            (("loss", [1.0, 2.0]), SnapshotError, "add_scalar 'loss' is float64 [2], expected one element"),
            (("loss", 1j), TypeError, "add_scalar 'loss' is complex 1j, expected a number"),
            (("loss", object()), TypeError, "add_scalar 'loss' is object <object"),
            (("loss", 10**400), TypeError, "add_scalar 'loss' is int 1000"),
            (("loss", torch.ones(2)), SnapshotError, "add_scalar 'loss' is float32 [2], expected one element"),
            (("loss", np.ones((2, 1))), SnapshotError, "add_scalar 'loss' is float64 [2, 1], expected one element"),
            (("loss", torch.ones(0)), SnapshotError, "add_scalar 'loss' is float32 [0], expected one element"),
            (("loss", torch.ones((), device="meta")), SnapshotError, "add_scalar 'loss' is on the meta device"),
            (("loss", torch.tensor(1j)), SnapshotError, "add_scalar 'loss' has dtype torch.complex64"),
            (("loss", np.array("1")), SnapshotError, "add_scalar 'loss' has dtype <U1"),
            (("loss", 1.0, "1"), TypeError, "global_step is str '1', expected an integer"),
            (("loss", 1.0, 2**63), ValueError, "expected a 64-bit integer"),
            (("loss", 1.0, 1, float("nan")), ValueError, "walltime is nan"),
            (("loss", 1.0, 1, 1.0, "x" * 5000), ValueError, "display_name is 5,000 bytes, limit 4,096"),
            (("loss", 1.0, 1, 1.0, "", "\ud800"), ValueError, "summary_description '\\ud800' cannot be written"),
        ],
    )
    def test_mistakes(self, quiet: Quiet, arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=re.escape(message)):
            quiet.writer.add_scalar(*arguments)
        assert not quiet.light()

    def test_many_tags_are_not_remembered_for_ever(self, quiet: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sidelog.recorder.MAX_SERIES", 3)
        for step in range(6):
            quiet.writer.add_scalar(f"loss {step}", 1.0)
        assert [call[0].tag for call in quiet.light()] == [f"loss {step}" for step in range(6)]  # type: ignore[index]
        recorder = quiet.writer._recorder
        assert recorder is not None
        assert len(recorder._series) == 3

    def test_a_call_that_the_full_queue_does_not_take_is_counted(
        self, quiet: Quiet, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sidelog.recorder.MAX_LIGHT_ITEMS", 2)
        monkeypatch.setattr("sidelog.outbox.MAX_LIGHT_ITEMS", 2)
        for step in range(5):
            quiet.writer.add_scalar("loss", 1.0, step)
        assert len(quiet.light()) == 2
        assert quiet.outbox.refused == 3


class TestScalarsOfOneChart:
    def test_each_is_a_sub_run(self, quiet: Quiet, tmp_path: Path) -> None:
        for step in range(2):
            quiet.writer.add_scalars("chart", {"a": 1.0, "b/c": torch.tensor(2.0)}, step, 5.0)
        assert quiet.connection.paths == [str(tmp_path), str(tmp_path / "chart" / "a"), str(tmp_path / "chart/b/c")]
        assert quiet.light() == [
            (Series(run, "chart"), step, 5.0, value) for step in range(2) for run, value in ((2, 1.0), (3, 2.0))
        ]

    @pytest.mark.parametrize("main_tag", ["/chart", "//chart"])
    def test_a_leading_slash_does_not_leave_the_folder(self, quiet: Quiet, tmp_path: Path, main_tag: str) -> None:
        quiet.writer.add_scalars(main_tag, {"a": 1.0})
        assert quiet.connection.paths[-1] == str(tmp_path / "chart" / "a")

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (("", {"a": 1}), ValueError, "tag is the empty string"),
            (("chart", [("a", 1)]), TypeError, "tag_scalar_dict is list, expected a dict of key -> number"),
            (("chart", {"": 1}), ValueError, "tag is the empty string"),
            (("chart", {5: 1}), TypeError, "tag is int 5"),
            (("chart", {"../a": 1}), ValueError, "'chart/../a' leaves the run's folder, expected no '..' in it"),
            (("..", {"a": 1}), ValueError, "'../a' leaves the run's folder"),
            (("chart", {"a": 1.0, "b": "x"}), TypeError, "add_scalar 'chart' is str 'x', expected a number"),
            (("chart", {"a": 1.0}, "1"), TypeError, "global_step is str '1'"),
        ],
    )
    def test_mistakes_log_nothing(
        self, quiet: Quiet, arguments: tuple[Any, ...], error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=re.escape(message)):
            quiet.writer.add_scalars(*arguments)
        assert not quiet.light()


def test_threads_that_use_a_key_first_open_its_run_once(quiet: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
    open_run = quiet.connection.open_run
    together = threading.Barrier(4)

    def open_slowly(path: str) -> RunHandle:
        time.sleep(0.001)  # lets the others in, were they let
        return open_run(path)

    monkeypatch.setattr(quiet.connection, "open_run", open_slowly)

    def log() -> None:
        together.wait()
        for key in "abcdefgh":
            quiet.writer.add_scalars("chart", {key: 1.0}, 1)

    threads = [threading.Thread(target=log) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(quiet.connection.paths) == len(set(quiet.connection.paths)) == 1 + 8


class TestText:
    def test_it_is_utf_8(self, quiet: Quiet) -> None:
        quiet.writer.add_text("note", "größer", 3, 4.0)
        quiet.writer.add_text("note", "\ud800", None, 4.0)
        calls = [call for call in quiet.light() if isinstance(call, RecordCall)]
        assert [(call.run, call.kind, call.tag, call.step, call.wall_time) for call in calls] == [
            (1, Kind.TEXT, "note", 3, 4.0),
            (1, Kind.TEXT, "note", None, 4.0),
        ]
        assert [bytes(call.snapshots[0].data()) for call in calls] == ["größer".encode(), b"?"]

    @pytest.mark.parametrize(
        ("arguments", "error", "message"),
        [
            (("", "a"), ValueError, "tag is the empty string"),
            (("note", 5), TypeError, "text_string is int, expected a string"),
            (("note", b"a"), TypeError, "text_string is bytes, expected a string"),
            (("note", "a", "1"), TypeError, "global_step is str '1'"),
            (("note", "a", 1, "now"), TypeError, "walltime is str 'now', expected seconds"),
        ],
    )
    def test_mistakes(self, quiet: Quiet, arguments: tuple[Any, ...], error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=re.escape(message)):
            quiet.writer.add_text(*arguments)
        assert not quiet.light()


class TestHistograms:
    @pytest.mark.parametrize(
        "values", [torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(3, 2).t(), np.arange(6.0, dtype="f4")]
    )
    def test_the_values_travel_flat(self, quiet: Quiet, values: Any) -> None:
        quiet.writer.add_histogram("w", values, 3)
        call = quiet.picture()
        (snapshot,) = call.snapshots
        assert (call.kind, call.step, call.options) == (Kind.HISTOGRAM, 3, {"bins": "tensorflow"})
        assert snapshot.spec.shape == (6,)
        assert bytes(snapshot.data()) == np.asarray(values, order="C").tobytes()

    def test_of_any_number_of_dimensions(self, quiet: Quiet) -> None:
        quiet.writer.add_histogram("w", torch.zeros((1,) * 12))  # the wire has room for 8
        assert quiet.shown()[0].shape == (1,)

    def test_edges_are_a_second_buffer(self, quiet: Quiet) -> None:
        quiet.writer.add_histogram("w", [1, 2, 3], 0, [0, 2, 4], max_bins=5)
        call = quiet.picture()
        assert call.options == {"max_bins": 5}
        assert np.frombuffer(call.snapshots[1].data()).tolist() == [0, 2, 4]

    @pytest.mark.parametrize(
        ("values", "bins", "error", "message"),
        [
            (torch.ones(0), "tensorflow", SnapshotError, "add_histogram 'w' is float32 [0], which is empty"),
            ([], "tensorflow", SnapshotError, "add_histogram 'w' is float64 [0], which is empty"),
            ("abc", "tensorflow", SnapshotError, "add_histogram 'w' is str, expected a torch tensor"),
            (torch.ones(3), "stone", ConfigError, "add_histogram 'w': bins is 'stone'"),
            (torch.ones(3).to_sparse(), "auto", SnapshotError, "add_histogram 'w' is of layout torch.sparse_coo"),
        ],
    )
    def test_mistakes(self, quiet: Quiet, values: Any, bins: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=re.escape(message)):
            quiet.writer.add_histogram("w", values, bins=bins)
        assert quiet.outbox.picture_count == 0


class TestPictures:
    def test_a_lazy_grid_travels_as_its_source_without_a_copy(self, quiet: Quiet) -> None:
        values = torch.rand(6, 1, 4, 5)
        grid: Any = make_grid(values, nrow=3, normalize=True)
        quiet.writer.add_image("grid", grid, 1)
        spec, data, options = quiet.shown()
        assert spec.shape == (6, 1, 4, 5)
        assert data == values.numpy().tobytes()
        assert options == {"recipe": {"layout": "grid", "nrow": 3, "normalize": True}}
        assert not grid.is_drawn
        assert quiet.connection.pool.used_bytes == 0

    def test_when_memory_is_full_the_oldest_of_the_tag_goes(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=3 * 4096)
        for tag in ("other", "map", "map", "map"):
            quiet.writer.add_feature_map(tag, torch.rand(1, 2, 2))
        assert quiet.outbox.drops() == {"map": 1}
        assert quiet.outbox.picture_count == 3

    def test_when_others_are_under_way_the_new_one_is_a_counted_drop(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        quiet = quiet_writer(monkeypatch, tmp_path, budget_bytes=4096)
        quiet.writer.add_histogram("w", torch.rand(10))
        quiet.picture()
        quiet.writer.add_histogram("w", torch.rand(10))
        assert quiet.outbox.drops() == {"w": 1}
        assert quiet.outbox.picture_count == 0

    @pytest.mark.parametrize("method", ["add_image", "add_images", "add_feature_map", "add_label_map"])
    def test_mistakes_name_the_call_and_the_tag(self, quiet: Quiet, method: str) -> None:
        call: Callable[..., None] = getattr(quiet.writer, method)
        with pytest.raises(SnapshotError, match=f"^{method} 'x' is NoneType, expected a torch tensor"):
            call("x", None)
        with pytest.raises(ValueError, match="tag is the empty string"):
            call("", torch.rand(3, 4, 5))
        with pytest.raises(TypeError, match="global_step is str"):
            call("x", torch.ones(2, 3, 4, 5)[:, :1].to(torch.uint8)[0 if method == "add_image" else slice(None)], "1")
        assert quiet.outbox.picture_count == 0


class TestOff:
    @pytest.fixture
    def writer(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> sidelog.SummaryWriter:
        monkeypatch.setenv("SIDELOG_MODE", "off")
        return sidelog.SummaryWriter(tmp_path / "run")

    def test_there_is_no_thread_and_no_folder(self, writer: sidelog.SummaryWriter, tmp_path: Path) -> None:
        with writer:
            writer.add_scalar("loss", 1.0, 1)
            writer.add_image("map", torch.rand(3, 4, 5))
            writer.flush(pictures=True)
        assert not (tmp_path / "run").exists()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("sidelog")]

    def test_every_call_does_nothing_whatever_it_is_given(self, writer: sidelog.SummaryWriter) -> None:
        for method in ("add_scalar", "add_scalars", "add_text", "add_image", "add_images", "add_feature_map",
                       "add_label_map", "add_histogram"):  # fmt: skip
            getattr(writer, method)(5, object(), "step", walltime=math.nan)
        writer.flush()
        writer.close()
        writer.close()
        assert writer.statistics() == sidelog.Statistics()
        assert writer.statistics().logged == 0

    def test_its_own_arguments_are_checked_all_the_same(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("SIDELOG_MODE", "off")
        with pytest.raises(ConfigError, match="endpoint is 'nowhere'"):
            sidelog.SummaryWriter(tmp_path, endpoint="nowhere")
        with pytest.raises(ConfigError, match="rank is -1"):
            sidelog.SummaryWriter(tmp_path, rank=-1)


class TestSignatures:
    """Whoever comes from tensorboardX changes one import."""

    CALLS = sorted(
        name
        for name, _ in inspect.getmembers(TensorboardXWriter, inspect.isfunction)
        if not name.startswith("_") and name not in ("add_graph", "add_openvino_graph", "add_image_with_boxes")
    )

    @pytest.mark.parametrize("name", CALLS)
    def test_the_parameters_of_a_call_begin_with_tensorboardx(self, name: str) -> None:
        theirs = list(inspect.signature(getattr(TensorboardXWriter, name)).parameters.values())
        ours = list(inspect.signature(getattr(sidelog.SummaryWriter, name)).parameters.values())
        assert [(one.name, one.kind, one.default) for one in ours[: len(theirs)]] == [
            (one.name, one.kind, one.default) for one in theirs
        ]

    @pytest.mark.parametrize("name", [*CALLS, "add_feature_map", "add_label_map"])
    def test_what_we_add_can_be_left_out(self, name: str) -> None:
        call = getattr(sidelog.SummaryWriter, name)
        known = inspect.signature(getattr(TensorboardXWriter, name, call)).parameters
        added = [one for one in inspect.signature(call).parameters.values() if one.name not in known]
        assert all(one.default is not inspect.Parameter.empty for one in added)

    def test_the_constructor(self) -> None:
        theirs = inspect.signature(TensorboardXWriter.__init__).parameters
        ours = inspect.signature(sidelog.SummaryWriter.__init__).parameters
        assert list(ours)[: len(theirs) - 1] == list(theirs)[:-1]
        assert list(theirs)[-1] == "kwargs"  # which it hands to a class that takes none
        changed = {name for name in theirs if name in ours and ours[name].default != theirs[name].default}
        assert changed == {"comet_config"}
        assert set(ours) - set(theirs) == {"endpoint", "rank"}
