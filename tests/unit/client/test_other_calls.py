"""Calls that are never dropped: what they queue, and what they refuse, at the call, in words."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from quiet_writers import Quiet, quiet_writer
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary

from sidelog.calls import RecordCall
from sidelog_shared.documents import read_document
from sidelog_shared.dtypes import FLOAT64
from sidelog_shared.errors import ConfigError, SnapshotError
from sidelog_shared.limits import STEP_NEXT, STEP_NONE
from sidelog_shared.records import Kind


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Quiet:
    return quiet_writer(monkeypatch, tmp_path / "run")


def heavy(quiet: Quiet) -> RecordCall:
    call = quiet.outbox.take_heavy()
    assert call is not None
    return call


def document(call: Any) -> Any:
    return read_document(call.snapshots[-1].data())


class TestHeavyCalls:
    def test_a_tensor_is_copied_in_one_piece(self, quiet: Quiet) -> None:
        samples = torch.linspace(-1, 1, 10)
        quiet.writer.add_audio("clip", samples.view(5, 2).T[:, 1], 3, 8000, 4.0)
        samples.zero_()
        call = heavy(quiet)
        assert (call.kind, call.tag, call.step, call.wall_time) == (Kind.AUDIO, "clip", 3, 4.0)
        assert call.options == {"sample_rate": 8000}
        (snapshot,) = call.snapshots
        data = np.frombuffer(snapshot.data(), np.float32)
        np.testing.assert_array_equal(data, torch.linspace(-1, 1, 10)[2:4].numpy())
        assert quiet.connection.pool.used_bytes == 0  # it does not take the pictures' memory

    def test_one_that_there_is_no_room_for_is_counted_not_raised(self, quiet: Quiet) -> None:
        quiet.writer.add_tensor("large", np.zeros(1 << 19, np.uint8))
        quiet.writer.add_tensor("larger", np.zeros((1 << 19) + 1, np.uint8))
        assert quiet.outbox.refused == 1
        assert heavy(quiet).tag == "large"
        assert quiet.outbox.take_heavy() is None

    def test_an_embedding_with_labels_and_sprites(self, quiet: Quiet) -> None:
        rows = [["a", 1], ["b", None]]
        quiet.writer.add_embedding(np.eye(2), rows, np.zeros((2, 3, 4, 4)), metadata_header=["name", "number"])
        call = heavy(quiet)
        assert (call.kind, call.tag, call.step) == (Kind.EMBEDDING, "default", 0)
        assert call.options == {"parts": ["metadata", "sprites"]}
        assert [snapshot.spec.shape for snapshot in call.snapshots][::2] == [(2, 2), (2, 3, 4, 4)]
        labels = read_document(call.snapshots[1].data())
        assert labels == {"header": ["name", "number"], "rows": [["a", "1"], ["b", "None"]]}

    def test_a_mesh_names_its_parts(self, quiet: Quiet) -> None:
        vertices = np.zeros((1, 4, 3))
        quiet.writer.add_mesh("mesh", vertices, faces=np.zeros((1, 2, 3), np.int32), config_dict={"b": 1, "a": 2})
        call = heavy(quiet)
        assert call.options == {"parts": ["vertices", "faces"], "config": '{"a": 2, "b": 1}'}
        assert json.loads(str(call.options["config"])) == {"a": 2, "b": 1}

    def test_an_onnx_file_travels_as_it_is(self, quiet: Quiet, tmp_path: Path) -> None:
        (tmp_path / "model.onnx").write_bytes(b"model")
        quiet.writer.add_onnx_graph(tmp_path / "model.onnx")
        call = heavy(quiet)
        assert (call.kind, bytes(call.snapshots[0].data())) == (Kind.ONNX, b"model")


NUMBERS: list[tuple[object, list[float]]] = [
    ([1, 2.5, True], [1.0, 2.5, 1.0]),
    ((2**53 + 1, -0.0), [2.0**53, -0.0]),
    ([np.float32(0.1), np.int64(3)], [float(np.float32(0.1)), 3.0]),
    ([[1, 2], [3, 4]], [1.0, 2.0, 3.0, 4.0]),
    ([torch.tensor(1), torch.tensor(2)], [1.0, 2.0]),
    (np.arange(6, dtype=">i2").reshape(2, 3)[:, ::2], [0.0, 2.0, 3.0, 5.0]),
    (torch.tensor([1.5, 2.5], dtype=torch.bfloat16), [1.5, 2.5]),
    ([], []),
]


class TestCountedAlready:
    @pytest.mark.parametrize(("given", "expected"), NUMBERS)
    def test_columns_of_a_histogram_are_float64(self, quiet: Quiet, given: object, expected: list[float]) -> None:
        quiet.writer.add_histogram_raw("counted", 0, 1, np.int64(2), torch.tensor(3.0), 4, given, given)
        (call,) = quiet.light()
        assert isinstance(call, RecordCall)
        assert [one.spec.shape for one in call.snapshots] == [(len(expected),), (len(expected),), (5,)]
        columns = [np.frombuffer(one.data(), np.float64).tolist() for one in call.snapshots]
        assert columns == [expected, expected, [0.0, 1.0, 2.0, 3.0, 4.0]]

    def test_columns_of_a_curve_stand_one_after_the_other(self, quiet: Quiet) -> None:
        columns = [[1, 2], (3.0, 4.0), np.array([5, 6]), torch.tensor([7, 8]), [[9], [10]], [11, np.float32(12)]]
        quiet.writer.add_pr_curve_raw("curve", *columns)
        (call,) = quiet.light()
        assert isinstance(call, RecordCall)
        assert (call.snapshots[0].spec.shape, call.snapshots[0].spec.dtype) == ((6, 2), FLOAT64)
        assert np.frombuffer(call.snapshots[0].data(), np.float64).tolist() == list(range(1, 13))


MISTAKES: list[tuple[str, tuple[Any, ...], type[Exception], str]] = [
    ("add_audio", ("a", np.zeros((3, 4))), SnapshotError, "expected [frames] or [frames, channels], 1 or 2 channels"),
    ("add_audio", ("a", np.zeros(0)), SnapshotError, "which is empty"),
    ("add_audio", ("a", np.zeros(3), 1, 0), ConfigError, "sample_rate is 0, expected an integer of at least 1"),
    ("add_audio", ("a", "song.wav"), SnapshotError, "is str, expected a torch tensor, a numpy array or a list"),
    ("add_video", ("a", np.zeros((2, 3, 4, 4))), SnapshotError, "expected 5 dimensions: N, T, C, H, W"),
    ("add_video", ("a", np.zeros((1, 2, 2, 4, 4))), SnapshotError, "has 2 channels, expected 1, 3 or 4"),
    ("add_video", ("a", np.zeros((1, 2, 3, 4, 4)), 1, 0), ConfigError, "fps is 0, expected a number above 0"),
    ("add_video", ("a", np.zeros((1, 2, 3, 4, 4)), 1, 4, None, "NTHW"), ConfigError, "an order of the letters NTCHW"),
    ("add_mesh", ("a", np.zeros((4, 3))), SnapshotError, "vertices is float64 [4, 3], expected [batch, n, 3]"),
    ("add_mesh", ("a", None), SnapshotError, "vertices is None"),
    (
        "add_mesh",
        ("a", np.zeros((1, 4, 3)), np.zeros((1, 4, 2))),
        SnapshotError,
        "colors is float64 [1, 4, 2], expected [batch, n, 3]",
    ),
    ("add_mesh", ("a", np.zeros((1, 4, 3)), None, None, {1: set()}), ConfigError, "cannot be written as JSON"),
    ("add_mesh", ("a", np.zeros((1, 4, 3)), None, None, "x" * 40_000), ConfigError, "limit 32,768"),
    ("add_embedding", (np.zeros(3),), SnapshotError, "expected [n, dimensions]"),
    ("add_embedding", (np.zeros((3, 2)), ["a"]), SnapshotError, "metadata has 1 labels, expected 3"),
    ("add_embedding", (np.zeros((1, 2)), 5), ConfigError, "metadata is int, expected a list of labels"),
    (
        "add_embedding",
        (np.zeros((1, 2)), ["a"], None, 1, "t", ["x", "y"]),
        SnapshotError,
        "has the row 'a', expected 2",
    ),
    ("add_embedding", (np.zeros((2, 2)), None, np.zeros((2, 3, 4, 5))), SnapshotError, "square pictures"),
    ("add_tensor", ("a", "x"), SnapshotError, "is str"),
    ("add_pr_curve", ("a", np.zeros(3), np.zeros(4)), SnapshotError, "expected as many"),
    ("add_pr_curve", ("a", np.zeros(3), np.zeros(3), 1, 0), ConfigError, "num_thresholds is 0"),
    ("add_pr_curve", ("a", np.zeros(3), np.zeros(3), 1, 9, np.zeros(2)), SnapshotError, "expected 3 elements or one"),
    ("add_pr_curve_raw", ("a", [1], [1], [1], [1], [1], [1, 2]), ValueError, "columns of [1, 1, 1, 1, 1, 2]"),
    ("add_histogram_raw", ("a", 0, 1, 1, 1, 1, ["1"], [1]), SnapshotError, "bucket_limits has dtype"),
    ("add_histogram_raw", ("a", 0, 1, 1, 1, 1, [1, "2"], [1, 2]), SnapshotError, "bucket_limits has dtype"),
    ("add_histogram_raw", ("a", 0, 1, 1, 1, 1, [1, None], [1, 2]), SnapshotError, "bucket_limits has dtype object"),
    ("add_histogram_raw", ("a", 0, 1, 1, 1, 1, [1, [2]], [1, 2]), SnapshotError, "cannot be made an array"),
    ("add_histogram_raw", ("a", 0, 1, 1, 1, 1, "12", [1, 2]), SnapshotError, "bucket_limits is str"),
    ("add_histogram_raw", ("a", 0, 1, 1, 1, 1, [1, 2], [1]), ValueError, "2 bucket_limits and 1 bucket_counts"),
    ("add_image_with_boxes", ("a", np.zeros((3, 4, 5)), np.zeros((2, 3))), SnapshotError, "expected [n, 4]"),
    ("add_image_with_boxes", ("a", np.zeros((5, 4, 5)), np.zeros((2, 4))), SnapshotError, "1, 3 or 4 channels"),
    ("add_image_with_boxes", ("a", np.zeros((4, 5)), np.zeros((2, 4))), SnapshotError, "one letter of CHW, HW or NCHW"),
    ("add_figure", ("a", 5), SnapshotError, "is int, expected a matplotlib figure"),
    ("add_figure", ("a", []), SnapshotError, "expected a matplotlib figure"),
    ("add_onnx_graph", ("/nowhere/model.onnx",), FileNotFoundError, "model.onnx"),
    ("add_hparams", ([], {}), TypeError, "hparam_dict is list, expected a dict"),
    ("add_hparams", ({}, {1: 2.0}), TypeError, "metric_dict has the key 1, expected strings"),
    ("add_hparams", ({"lr": 1.0}, {}, {"lr": ["a"]}), TypeError, "expected a list of values of the type of"),
    ("add_hparams", ({"lr": 1.0}, {"loss": "x"}, "trial"), TypeError, "expected a number"),
    ("add_hparams", ({"lr": 1.0}, {}, "../trial"), ValueError, "leaves the run's folder"),
    ("add_custom_scalars", (["a"],), ConfigError, "layout is list, expected a dict"),
    ("add_custom_scalars", ({"a": 1},), ConfigError, "layout['a'] is int"),
    ("add_custom_scalars", ({"a": {"b": ["Pie", []]}},), ConfigError, "expected ['Multiline', tags]"),
    ("add_custom_scalars", ({"a": {"b": ["Multiline", "tag"]}},), ConfigError, "expected a list of strings"),
    ("add_custom_scalars_marginchart", (["a"],), ConfigError, "are 1, expected 3: value, lower, upper"),
]


@pytest.mark.parametrize(("name", "arguments", "error", "message"), MISTAKES)
def test_a_mistake_is_told_at_the_call_and_logs_nothing(
    quiet: Quiet, name: str, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=re.escape(message)):
        getattr(quiet.writer, name)(*arguments)
    assert not quiet.light()
    assert quiet.outbox.take_heavy() is None
    assert quiet.outbox.take_picture() is None


@pytest.mark.parametrize("name", ["add_audio", "add_video", "add_mesh", "add_tensor", "add_pr_curve", "add_figure"])
@pytest.mark.parametrize("tag", ["", 5, "//"])
def test_tags_are_checked_first(quiet: Quiet, name: str, tag: Any) -> None:
    with pytest.raises((TypeError, ValueError), match=r"^tag "):
        getattr(quiet.writer, name)(tag, *([object()] * (2 if name == "add_pr_curve" else 1)))


class TestHparams:
    def test_what_a_value_becomes(self, quiet: Quiet) -> None:
        values = {"s": "a", "b": True, "i": 3, "f": 0.5, "call": torch.relu, "none": None, "odd": [1]}
        quiet.writer.add_hparams(values, {"loss": 1.5}, "trial", 7)
        record, scalar, end = quiet.light()
        assert isinstance(record, RecordCall)
        assert document(record) == {
            "hparams": [["s", "a"], ["b", True], ["i", 3.0], ["f", 0.5], ["call", "relu"], ["odd", None]],
            "metrics": ["loss"],
        }
        assert quiet.connection.paths[-1].endswith("/run/trial")
        assert isinstance(scalar, tuple)
        assert (scalar[0].tag, scalar[1], scalar[3]) == ("loss", 7, 1.5)
        assert end == "the run is closed"

    @pytest.mark.parametrize(
        ("arguments", "run", "step"),
        [
            (("trial", 7), "trial", 7),  # tensorboardX: name, global_step
            (({"lr": [0.1]}, "trial", 7), "trial", 7),  # torch: hparam_domain_discrete, run_name, global_step
            ((None, "trial", 7), "trial", 7),
            (({"lr": [0.1]}, "trial"), "trial", STEP_NONE),
            ((None, 7), None, 7),
        ],
    )
    def test_both_orders_of_arguments(self, quiet: Quiet, arguments: Any, run: str | None, step: int) -> None:
        quiet.writer.add_hparams({"lr": 0.1}, {"loss": 1.5}, *arguments)
        record, scalar, _ = quiet.light()
        assert isinstance(scalar, tuple)
        assert scalar[1] == step
        assert document(record).get("domains", {"lr": [0.1]}) == {"lr": [0.1]}
        name = Path(quiet.connection.paths[-1]).name
        assert name == run or (run is None and float(name) > 1e9)


@pytest.mark.parametrize(
    "arguments",
    [
        ("HWC", ["cat"], 2),  # tensorboardX: dataformats, labels; rescale is a keyword of it
        (2, "HWC", ["cat"]),  # torch: rescale, dataformats, labels
    ],
)
def test_boxes_in_both_orders_of_arguments(quiet: Quiet, arguments: Any) -> None:
    quiet.writer.add_image_with_boxes("a", np.zeros((4, 5, 3)), np.zeros((1, 4)), 1, 2.0, *arguments)
    assert quiet.picture().options == {"dataformats": "HWC", "labels": ["cat"], "rescale": 2}


class TestFileWriter:
    @pytest.mark.parametrize(
        ("event", "message"),
        [
            (Event(step=3, session_log=SessionLog(status=SessionLog.START)), "session_log in it, expected a summary"),
            (Event(file_version="brain.Event:2"), "file_version in it, expected a summary"),
            (Event(), "nothing in it, expected a summary"),
            ("loss", "is given str, expected an Event message"),
        ],
    )
    def test_other_events_are_refused(self, quiet: Quiet, event: Any, message: str) -> None:
        with pytest.raises(SnapshotError, match=message):
            quiet.writer.file_writer.add_event(event)
        assert not quiet.light()

    @pytest.mark.parametrize(
        ("summary", "message"),
        [
            (Summary(), "a Summary message without values, expected at least one"),
            (Summary.Value(tag="loss"), "is given Value, expected a Summary message"),
            (b"loss", "is given bytes, expected a Summary message"),
        ],
    )
    def test_other_things_than_summaries_are_refused(self, quiet: Quiet, summary: Any, message: str) -> None:
        with pytest.raises(SnapshotError, match=message):
            quiet.writer.file_writer.add_summary(summary)
        assert not quiet.light()

    def test_a_large_one_is_heavy(self, quiet: Quiet, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sidelog.writer.file_writer.PART_BYTES", 1000)
        for size in (100, 2000):
            image = Summary.Image(encoded_image_string=bytes(size))
            quiet.writer.file_writer.add_summary(Summary(value=[Summary.Value(tag="picture", image=image)]), 3, 4.0)
        (small,) = quiet.light()
        assert isinstance(small, RecordCall)
        for call in (small, heavy(quiet)):
            assert (call.kind, call.step, call.wall_time) == (Kind.SUMMARY, 3, 4.0)

    def test_of_a_writer_that_is_off_it_is_off(self, tmp_path: Path) -> None:
        import sidelog

        writer = sidelog.SummaryWriter(tmp_path / "off", write_to_disk=False)
        writer.file_writer.add_summary(Summary(value=[Summary.Value(tag="loss", simple_value=1)]))
        writer.file_writer.flush()
        writer.file_writer.close()
        assert writer.file_writer.get_logdir() == str(tmp_path / "off")
        assert not (tmp_path / "off").exists()


class TestMetadata:
    def test_it_is_for_calls_that_give_none_and_ends_with_the_block(self, quiet: Quiet) -> None:
        def fail() -> None:
            with quiet.writer.use_metadata(global_step=3, walltime=4.0):
                quiet.writer.add_scalar("a", 1.0)
                quiet.writer.add_scalar("a", 1.0, 5, 6.0)
                raise KeyError("of the training")

        with pytest.raises(KeyError):
            fail()
        quiet.writer.add_scalar("a", 1.0, 7)
        moments = [call[1:3] for call in quiet.light() if isinstance(call, tuple)]
        assert moments[:2] == [(3, 4.0), (5, 6.0)]
        assert moments[2][0] == 7
        assert moments[2][1] > 1e9

    def test_mistakes(self, quiet: Quiet) -> None:
        with pytest.raises(ConfigError, match="expected at least one"), quiet.writer.use_metadata():
            pass
        with quiet.writer.use_metadata(global_step=1):  # noqa: SIM117  # the inner one is what fails
            with pytest.raises(ConfigError, match="one block at a time"), quiet.writer.use_metadata(global_step=2):
                pass


def test_purge_step_comes_before_everything_else(quiet: Quiet, tmp_path: Path) -> None:
    import sidelog

    writer = sidelog.SummaryWriter(tmp_path / "b", purge_step=7, endpoint="ipc:///nobody")
    writer.add_scalar("loss", 1.0, 7)
    writer._recorder = None  # as after a close, or in a forked child
    writer.add_scalar("loss", 1.0, 8)
    first, *rest = quiet.light()
    assert isinstance(first, RecordCall)
    assert (first.kind, first.step, first.snapshots) == (Kind.PURGE, 7, ())
    assert [type(call) for call in rest] == [tuple, tuple]


def test_write_to_disk_false_is_off(tmp_path: Path) -> None:
    import sidelog

    writer = sidelog.SummaryWriter(tmp_path / "off", write_to_disk=False)
    writer.add_scalar("loss", 1.0, 1)
    writer.add_audio("clip", np.zeros(4))
    writer.export_scalars_to_json(tmp_path / "scalars.json")
    writer.close()
    assert not (tmp_path / "off").exists()
    assert writer.statistics().logged == 0


def test_comet_is_not_what_this_is(tmp_path: Path) -> None:
    import sidelog

    sidelog.SummaryWriter(tmp_path, comet_config={"disabled": True}, write_to_disk=False)
    with pytest.raises(ConfigError, match="sidelog writes event files alone"):
        sidelog.SummaryWriter(tmp_path, comet_config={"project_name": "a"}, write_to_disk=False)


def test_the_global_writer_leaves_the_steps_to_the_daemon(
    monkeypatch: pytest.MonkeyPatch, quiet: Quiet, tmp_path: Path
) -> None:
    import sidelog

    writer = sidelog.GlobalSummaryWriter(tmp_path / "global", endpoint="ipc:///nobody")
    writer.add_scalar("a", 1.0, 3.0)
    writer.add_text("note", "text", 3.0)
    writer.add_image("picture", np.zeros((3, 4, 5), np.uint8), 3.0)
    scalar, text = quiet.light()
    assert isinstance(scalar, tuple)
    assert isinstance(text, RecordCall)
    assert {scalar[1], text.step, quiet.picture().step} == {STEP_NEXT}


def test_trials_are_forgotten_once_they_are_written_but_for_those_that_are_refused(quiet: Quiet) -> None:
    recorder = quiet.writer._recorder
    assert recorder is not None
    quiet.writer.add_hparams({"lr": 0.1}, {"loss": 1.0}, "refused")
    (refused,) = recorder._trials
    refused.refused = "the disk is full"
    for trial in range(1000):
        quiet.writer.add_hparams({"lr": 0.1}, {"loss": 1.0}, f"trial{trial}")
        quiet.connection.settled.update(quiet.connection.paths[:-10])
        assert len(recorder._trials) <= 64
    awaited = [Path(run.path).name for run in recorder.awaited]
    assert awaited == ["run", "refused", *(f"trial{trial}" for trial in range(990, 1000))]
