"""The life of a writer: constructor arguments, ``purge_step``, flush, close, the context manager, the global writer."""

from __future__ import annotations

import gc
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorboardX.global_writer
import tensorboardX.writer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pair import PEERS, Pair
from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader
from values import tags

import sidelog
from decoded import decode_run

Pairs = Callable[..., Pair]
pytestmark = pytest.mark.usefixtures("on_the_daemon")
often = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
CONSTRUCTORS = {"ours": sidelog.SummaryWriter, "tensorboardX": PEERS["tensorboardX"], "torch": PEERS["torch"]}


@often
@given(step=st.integers(-9, 2**40).filter(bool), position=st.booleans(), torchs=st.booleans())
def test_purge_step(pairs: Pairs, step: int, position: bool, torchs: bool) -> None:
    pair = pairs(purge_step=step, peer=PEERS["torch" if torchs else "tensorboardX"])
    pair.call("add_scalar", "loss", 0.5, step, 1e9)
    pair.check()


def test_purge_step_0(pairs: Pairs) -> None:
    """Readers see the same: a run that begins at 0 begins with such an event anyway."""
    pair = pairs(purge_step=0)
    pair.call("add_scalar", "loss", 0.5, 0, 1e9)
    pair.check()


ARGUMENTS: list[dict[str, Any]] = [
    {"comment": "without effect"},
    {"max_queue": 1, "flush_secs": 1},
    {"max_queue": 1000, "flush_secs": 0.5, "filename_suffix": ".x"},
]


@pytest.mark.parametrize("arguments", ARGUMENTS)
def test_arguments_that_change_nothing(pairs: Pairs, peer: Any, arguments: dict[str, Any]) -> None:
    pair = pairs(peer=peer, **arguments)
    pair.call("add_scalar", "loss", 0.5, 1, 1e9)
    pair.check()


def test_every_argument_by_position(tmp_path: Path) -> None:
    found = []
    for name, make in (("ours", sidelog.SummaryWriter), ("theirs", PEERS["tensorboardX"])):
        with make(str(tmp_path / name), "", 5, 10, 120, "", True, "ignored", {"disabled": True}) as writer:
            writer.add_scalar("loss", 0.5, 5, 1e9)
        found.append(decode_run(tmp_path / name, since=1.1e9))
    assert len(found[0]["."]) == 2  # the purge is one
    assert [value.content for value in found[0]["."]] == [value.content for value in found[1]["."]]
    assert not (tmp_path / "ignored").exists()


WAYS: dict[str, Callable[[Any, Path], Any]] = {
    "logdir": lambda make, folder: make(logdir=str(folder)),
    "log_dir": lambda make, folder: make(log_dir=str(folder)),
    "position": lambda make, folder: make(str(folder)),
    "path": lambda make, folder: make(folder),
    "trailing slash": lambda make, folder: make(f"{folder}/"),
    "nothing but log_dir": lambda make, folder: make(None, log_dir=folder),
}


@pytest.mark.parametrize("way", WAYS)
def test_how_a_folder_is_given(tmp_path: Path, way: str) -> None:
    for name, make in CONSTRUCTORS.items():
        if name == "torch" and way in ("logdir", "nothing but log_dir"):  # it has no such argument
            continue
        with WAYS[way](make, tmp_path / name) as writer:
            writer.add_scalar("loss", 0.5, 1, 1e9)
        assert list((tmp_path / name).glob("events.out.tfevents.*")), name


@pytest.mark.parametrize("arguments", [(), (None, "_comment"), ("", "_comment")])
def test_the_default_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[Any, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    folders = []
    for make in CONSTRUCTORS.values():
        with make(*arguments) as writer:
            folders.append(str(getattr(writer, "logdir", None) or writer.log_dir))
    stems = {folder.split("_", 2)[0] + "_" + folder.split("_", 2)[2] for folder in folders}  # less the time of the day
    assert len(stems) == 1
    assert all((tmp_path / folder).is_dir() for folder in folders)
    assert folders[0].endswith(arguments[1] if arguments else "")


def test_the_folder_is_told_as_it_was_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with sidelog.SummaryWriter("runs/a") as writer, PEERS["torch"]("runs/b") as torchs:
        assert (writer.logdir, writer.log_dir, writer.get_logdir()) == ("runs/a",) * 3
        assert (torchs.log_dir, torchs.get_logdir()) == ("runs/b",) * 2
        writer.add_scalar("loss", 1.0, 1)
        monkeypatch.chdir("/")
    assert list((tmp_path / "runs" / "a").glob("*tfevents*"))
    assert writer.purge_step is None


def test_write_to_disk_false_writes_nothing(tmp_path: Path) -> None:
    for name in ("ours", "tensorboardX"):
        with CONSTRUCTORS[name](str(tmp_path / name), write_to_disk=False) as writer:
            writer.add_scalar("loss", 0.5, 1)
            writer.add_scalars("chart", {"a": 1.0}, 1)
            writer.add_text("note", "text")
            writer.add_image("picture", np.zeros((3, 4, 5), np.uint8))
            with writer.use_metadata(global_step=1):
                writer.add_histogram("values", np.arange(5.0))
            writer.flush()
        assert not (tmp_path / name).exists()


def test_an_exception_of_the_block_comes_through_and_what_was_logged_stands(pairs: Pairs, peer: Any) -> None:
    pair = pairs(peer=peer)

    def train(writer: Any) -> None:
        with writer as entered:
            assert entered is writer
            writer.add_scalar("loss", 0.5, 1, 1e9)
            raise KeyError("of the training")

    for writer in (pair.ours, pair.theirs):
        with pytest.raises(KeyError, match="of the training"):
            train(writer)
    pair.check()


def test_a_writer_that_logs_nothing(pairs: Pairs, peer: Any) -> None:
    pair = pairs(peer=peer)
    pair.call("flush")
    assert pair.decoded() == ({}, {})
    pair.call("flush")


def test_runs_are_listed_in_the_order_in_which_their_writers_were_made(pair: Pair) -> None:
    """TensorBoard goes by the first event, and gives colors in that order."""
    pair.call("add_hparams", {"lr": 0.1}, {"loss": 0.5}, "trial")
    pair.call("add_scalars", "chart", {"a": 0.5})
    pair.close()
    for folder in pair.folders:
        runs = [folder, folder / "trial", folder / "chart" / "a"]
        begun = [min(event.wall_time for event in events_of(run)) for run in runs]
        assert begun == sorted(set(begun))


def events_of(run: Path) -> list[Any]:
    (path,) = run.glob("*tfevents*")
    return list(LegacyEventFileLoader(str(path)).Load())


def test_two_writers_of_one_process(pairs: Pairs) -> None:
    pair, other = pairs(), pairs()
    for step in range(3):
        pair.call("add_scalar", "loss", 0.5, step, 1e9)
        other.call("add_scalar", "loss", 0.25, step, 1e9)
    pair.check()
    other.check()


def their_global_writer(logdir: str) -> Any:
    return tensorboardX.global_writer.GlobalSummaryWriter(logdir)


@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["add_scalar", "add_text", "add_image"]), st.sampled_from(["a", "b/c", "ü x"]) | tags
        ),
        min_size=5,
        max_size=20,
    )
)
def test_the_global_writer(tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[str, str]]) -> None:
    folder = tmp_path_factory.mktemp("global")
    values = {"add_scalar": 0.5, "add_text": "text", "add_image": np.full((3, 4, 5), 99, np.uint8)}
    found = []
    for name, make in (("ours", sidelog.GlobalSummaryWriter), ("theirs", their_global_writer)):
        writer = make(str(folder / name))
        for index, (call, tag) in enumerate(calls):
            getattr(writer, call)(tag, values[call], 1e6 + index)
        writer.add_image("formats", np.full((4, 5), 9, np.uint8), None, "HW")
        writer.add_scalar(tag="named", scalar_value=1, walltime=1e9)
        writer.close()
        del writer
        gc.collect()  # their processes end with it
        found.append(decode_run(folder / name, since=1.1e9))
    assert found[0] == found[1]


def test_the_global_writers_arguments() -> None:
    theirs = inspect.signature(tensorboardX.global_writer.GlobalSummaryWriter).parameters
    ours = inspect.signature(sidelog.GlobalSummaryWriter).parameters
    given_names = [name for name in theirs if name != "kwargs"]
    assert list(ours)[: len(given_names)] == given_names
    assert all(ours[name].default == theirs[name].default for name in given_names)
    for method in ("add_scalar", "add_image", "add_text", "close", "getSummaryWriter"):
        makers = (sidelog.GlobalSummaryWriter, tensorboardX.global_writer.GlobalSummaryWriter)
        mine, other = (list(inspect.signature(getattr(make, method)).parameters) for make in makers)
        assert mine == other
