"""docs/differences.md, Steps and wall times of a block, and Life of a writer."""

from __future__ import annotations

import gc
import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import tensorboardX.event_file_writer
import tensorboardX.global_writer
import tensorboardX.onnx_graph
import tensorboardX.writer
from differences import row
from every_method import model_file
from pair import PEERS, Pair
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import SessionLog

import sidelog
from decoded import in_the_order_of_the_file, messages
from processes import wait_until
from sidelog import scalar_history
from sidelog_shared.errors import SnapshotError

Pairs = Callable[..., Pair]
pytestmark = pytest.mark.usefixtures("on_the_daemon")
OURS, THEIRS = 0, 1
FORK = "ignore:This process .* is multi-threaded, use of fork:DeprecationWarning"


@row("a missing wall time in `use_metadata(global_step=...)`")
def test_a_missing_wall_time(pair: Pair) -> None:
    for writer in (pair.ours, pair.theirs):
        with writer.use_metadata(global_step=7):
            writer.add_scalar("loss", 0.5)
    assert [[(value.step, value.wall_time) for value in values] for values in pair.values()] == [[(7, "now")], [(7, 0)]]


@row("`purge_step` read by TensorBoard's slow reader (`--load_fast=false`)")
@pytest.mark.usefixtures("a_second_each")
def test_purge_step_in_the_slow_reader(pair: Pair) -> None:
    for writer in (pair.ours, pair.theirs):
        for step in range(4):
            writer.add_scalar("loss", float(step), step)
    pair.close()
    makers = (sidelog.SummaryWriter, tensorboardX.writer.SummaryWriter)
    found = []
    for make, folder in zip(makers, pair.folders, strict=True):
        with make(str(folder), purge_step=2) as writer:
            writer.add_scalar("loss", 0.5, 2)
        accumulator = EventAccumulator(str(folder))
        accumulator.Reload()
        found.append([event.step for event in accumulator.Tensors("loss")])
    assert found == [[0, 1, 2], [0, 1, 2, 3, 2]]


@row("`use_metadata` when its block raises")
def test_use_metadata_ends(pair: Pair) -> None:
    def train(writer: Any) -> None:
        with writer.use_metadata(global_step=7, walltime=1e9):
            raise KeyError("of the training")

    for writer in (pair.ours, pair.theirs):
        with pytest.raises(KeyError):
            train(writer)
        writer.add_scalar("loss", 0.5)
    assert [[value.step for value in values] for values in pair.values()] == [[0], [7]]


@row("`purge_step` after `close()` and a further call")
@pytest.mark.usefixtures("a_second_each")
def test_purge_step_after_close(pairs: Pairs) -> None:
    found = {}
    for name, peer in PEERS.items():
        pair = pairs(peer=peer, purge_step=5)
        for step in (5, 6):
            pair.call("add_scalar", "loss", 0.5, step)
            pair.close()
        purges = [[value.content for value in values].count(("start",)) for values in pair.values()]
        assert purges[OURS] == 1
        found[name] = purges[THEIRS]
    assert found == {"tensorboardX": 2, "torch": 1}


@row("`purge_step` and `add_scalars`")
@pytest.mark.usefixtures("a_second_each")
def test_purge_step_and_add_scalars(pair: Pair) -> None:
    for writer in (pair.ours, pair.theirs):
        for step in range(4):
            writer.add_scalars("curves", {"a": float(step)}, step)
    pair.close()
    makers = (sidelog.SummaryWriter, tensorboardX.writer.SummaryWriter)
    found = []
    for make, folder in zip(makers, pair.folders, strict=True):
        with make(str(folder), purge_step=2) as writer:
            writer.add_scalars("curves", {"a": 0.5}, 2)
        accumulator = EventAccumulator(str(folder / "curves" / "a"))
        accumulator.Reload()
        found.append([event.step for event in accumulator.Tensors("curves")])
    assert found == [[0, 1, 2], [0, 1, 2, 3, 2]]


@row("`add_hparams` after `close()`")
def test_add_hparams_after_close(pair: Pair) -> None:
    pair.close()
    pair.ours_alone("add_hparams", {"lr": 0.1}, {"loss": 1.0}, "trial")
    with pytest.raises(AttributeError, match="NoneType"):
        pair.theirs_alone("add_hparams", {"lr": 0.1}, {"loss": 1.0}, "trial")
    ours, theirs = pair.decoded()
    assert len(ours["trial"]) == 4
    assert theirs == {}


@contextmanager
def their_thread_is_held() -> Iterator[None]:
    """Of tensorboardX's writers nothing reaches the file meanwhile."""
    go_on = threading.Event()
    write = tensorboardX.event_file_writer.EventsWriter.write_event

    def when_told(self: Any, event: Any) -> Any:
        if isinstance(threading.current_thread(), tensorboardX.event_file_writer._EventLoggerThread):
            assert go_on.wait(30)
        return write(self, event)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tensorboardX.event_file_writer.EventsWriter.write_event", when_told)
        try:
            yield
        finally:
            go_on.set()


@row("`flush()`")
def test_flush(pair: Pair) -> None:
    with their_thread_is_held():
        pair.call("add_scalar", "loss", 0.5, 1)
        pair.call("flush")
        assert [len(messages(folder)) for folder in pair.folders] == [1, 0]
    assert [len(values) for values in pair.values()] == [1, 1]


@row("`flush()`")
def test_flush_with_pictures(pair: Pair) -> None:
    pair.ours.add_image("picture", np.zeros((3, 4, 5), np.uint8), 1)
    pair.ours.flush(pictures=True)
    assert len(messages(pair.folders[OURS])) == 1


@row("`GlobalSummaryWriter`")
@pytest.mark.filterwarnings(FORK)
def test_the_global_writer(tmp_path: Path) -> None:
    started = []
    for name, make in (
        ("ours", sidelog.GlobalSummaryWriter), ("theirs", tensorboardX.global_writer.GlobalSummaryWriter),
    ):  # fmt: skip
        before = len(psutil.Process().children())
        writer = make(str(tmp_path / name))
        started.append(len(psutil.Process().children()) - before)
        for _ in range(3):
            writer.add_scalar("loss", 0.5)
        writer.close()
        del writer
        gc.collect()
    assert started[OURS] == 0
    assert started[THEIRS] > 1
    assert len(messages(tmp_path / "ours")) == 3


@row("the order of events of different tags or kinds")
def test_the_order_of_events(pair: Pair) -> None:
    # Half a second of work, of which a scalar's way takes some thousandths.
    large = np.random.default_rng(0).integers(0, 255, (1, 30, 3, 128, 128), np.uint8)
    for writer in (pair.ours, pair.theirs):
        writer.add_video("large", large, 1)
        writer.add_scalar("small", 0.5, 1)
        writer.flush()
        if writer is pair.ours:
            assert in_the_order_of_the_file(pair.folders[OURS]) == ["small"]  # it did not wait
    pair.close()
    orders = [in_the_order_of_the_file(folder) for folder in pair.folders]
    assert orders == [["small", "large"], ["large", "small"]]


@row("pictures and raw histograms under pressure")
def test_pressure(on_the_daemon: None, tmp_path: Path, pairs: Pairs) -> None:
    pair = pairs(max_queue=2)
    before = pair.ours.statistics()
    with sidelog.paused():  # the sender stands still
        for step in range(1100):  # more than the outbox has room for
            pair.ours.add_histogram("values", np.arange(3.0), step)
        pair.ours.add_scalar("last", 0.5, 1)
    with their_thread_is_held():
        for step in range(3):  # one is with the thread
            pair.theirs.add_scalar("loss", 0.5, step)
        waiting = pair.theirs.file_writer.event_writer._event_queue
        wait_until(waiting.full)
        with pytest.raises(queue.Full):
            waiting.put(None, block=False)  # so that the next call waits
    ours, theirs = pair.values()
    dropped = pair.ours.statistics().dropped - before.dropped
    steps = [value.step for value in ours if value.tag == "values"]
    assert dropped > 0
    assert len(steps) == 1100 - dropped
    assert steps[-1] == 1099  # the oldest went
    assert ours[0].tag == "last"
    assert len(theirs) == 3


@row("steps that do not grow")
def test_steps_that_do_not_grow(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    for writer in (pair.ours, pair.theirs):
        for step in (1, 3, 3, 2):
            writer.add_scalar("loss", float(step), step)
    assert [[value.step for value in values] for values in pair.values()] == [[1, 3, 3, 2]] * 2
    wait_until(lambda: "steps of 'loss'" in caplog.text)
    assert caplog.text.count("do not grow: 3 follows 3") == 1


MISTAKES: list[tuple[str, tuple[Any, ...], str]] = [
    ("add_image", ("picture", np.zeros((4, 5))), "expected 3 dimensions (CHW): give dataformats='HW'"),
    ("add_image", ("picture", np.zeros((7, 5, 3))), "give dataformats='HWC' if the channels come last"),
    ("add_audio", ("clip", np.zeros((3, 4))), "expected [frames] or [frames, channels], 1 or 2 channels"),
    ("add_embedding", (np.zeros((3, 2)), ["a"]), "metadata has 1 labels, expected 3, one per row of the matrix"),
    ("add_scalar", ("loss", np.zeros(2)), "add_scalar 'loss' is float64 [2], expected one element"),
]


@row("mistakes in the arguments")
@pytest.mark.parametrize(("name", "arguments", "message"), MISTAKES)
def test_mistakes(pair: Pair, name: str, arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(SnapshotError) as ours:
        pair.ours_alone(name, *arguments)
    assert message in str(ours.value)
    with pytest.raises((AssertionError, TypeError)) as theirs:
        pair.theirs_alone(name, *arguments)
    assert message not in str(theirs.value)


@row("mistakes in the arguments")
def test_a_call_that_is_half_done(pair: Pair) -> None:
    for writer, error in ((pair.ours, TypeError), (pair.theirs, NotImplementedError)):
        with pytest.raises(error):
            writer.add_scalars("chart", {"a": 1.0, "b": None}, 1)
    ours, theirs = pair.decoded()
    assert ours == {}
    assert list(theirs) == ["chart/a"]


@row("`export_scalars_to_json` after more than a million values of `add_scalars`")
def test_export_after_very_many(
    pair: Pair, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scalar_history.MAX_VALUES == 1_000_000
    monkeypatch.setattr(scalar_history, "MAX_VALUES", 10)
    monkeypatch.setattr(pair.ours, "_history", scalar_history.ScalarHistory())
    steps = []
    for writer in (pair.ours, pair.theirs):
        for step in range(15):
            writer.add_scalars("chart", {"a": 0.5}, step)
        writer.export_scalars_to_json(tmp_path / "scalars.json")
        (rows,) = json.loads((tmp_path / "scalars.json").read_text()).values()
        steps.append([step for _, step, _ in rows])
    assert steps == [list(range(5, 15)), list(range(15))]
    assert "the oldest 5 values of add_scalars are not exported" in caplog.text
    assert [len(values) for values in pair.values("chart/a")] == [15, 15]


@row("what the writer has inside")
def test_what_is_inside(pair: Pair) -> None:
    inside = ["all_writers", "scalar_dict", "default_bins", "kwargs"]
    assert [hasattr(pair.theirs, name) for name in inside] == [True] * 4
    assert [hasattr(pair.ours, name) for name in inside] == [False] * 4
    for name in ("add_summary", "add_event", "get_logdir", "flush", "close", "reopen"):
        assert callable(getattr(pair.ours.file_writer, name))
        assert callable(getattr(pair.theirs.file_writer, name))


@row("the class")
@pytest.mark.parametrize("peer", PEERS.values(), ids=PEERS)
def test_the_class(peer: type) -> None:
    assert not issubclass(sidelog.SummaryWriter, peer)


@row("events that no page shows")
def test_events_that_no_page_shows(pair: Pair) -> None:
    pair.call("add_scalar", "loss", 0.5, 1)
    pair.close()
    found = []
    for folder in pair.folders:
        (path,) = folder.glob("*tfevents*")
        events = list(LegacyEventFileLoader(str(path)).Load())
        found.append([event.session_log.status for event in events if event.HasField("session_log")])
    start, *marks = found[OURS]
    assert start == SessionLog.START
    assert set(marks) == {SessionLog.CHECKPOINT}
    assert found[THEIRS] == []


@row("what is printed")
@pytest.mark.filterwarnings(FORK)
def test_what_is_printed(
    pair: Pair, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = model_file(tmp_path)
    # The daemon's tests, in this process, have silenced it.
    monkeypatch.delitem(vars(tensorboardX.onnx_graph), "print", raising=False)

    def calls(writer: Any) -> str:
        writer.add_onnx_graph(model)
        writer.add_audio("clip", np.array([2.0]))
        for _ in range(2):
            writer.add_embedding(np.eye(2))
        return capsys.readouterr().out

    assert calls(pair.ours) == ""
    assert [line.split(":")[0] for line in calls(pair.theirs).splitlines()] == ["x", "y", "y", "warning", "warning"]
    monkeypatch.setattr("sidelog.writer.global_writer._shared", None)
    monkeypatch.setattr(tensorboardX.global_writer, "_writer", None)
    sidelog.GlobalSummaryWriter.getSummaryWriter().close()
    assert capsys.readouterr().out == ""
    tensorboardX.global_writer.GlobalSummaryWriter.getSummaryWriter().close()
    assert capsys.readouterr().out.startswith("Using the global logger in: runs/")
    monkeypatch.undo()
    gc.collect()


@row("`add_graph`, `add_openvino_graph`")
@pytest.mark.parametrize("name", ["add_graph", "add_openvino_graph"])
def test_what_is_not_there(name: str) -> None:
    assert not hasattr(sidelog.SummaryWriter, name)
    assert hasattr(PEERS["tensorboardX"], name)
