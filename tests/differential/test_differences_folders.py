"""docs/differences.md, Embeddings, and Folders and files: what stands where."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorboardX.writer
import torch
from differences import row
from google.protobuf import text_format
from pair import Pair
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

import sidelog
from decoded import messages
from sidelog_shared.errors import ConfigError, SnapshotError

Pairs = Callable[..., Pair]
pytestmark = pytest.mark.usefixtures("on_the_daemon")
MATRIX = np.eye(2)
OURS, THEIRS = 0, 1


def projector_configs(pair: Pair) -> list[str]:
    pair.close()
    return [(folder / "projector_config.pbtxt").read_text() for folder in pair.folders]


@row("an embedding logged twice with one step and tag")
def test_an_embedding_twice(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        pair.call("add_embedding", MATRIX, None, None, 3, "points")
    assert capsys.readouterr().out.count("Embedding dir exists") == 1
    assert [config.count("embeddings {") for config in projector_configs(pair)] == [1, 2]


@row("an embedding's step that is no integer")
@pytest.mark.parametrize(("step", "theirs"), [(torch.tensor(5), "tensor(5)"), (5.5, "005.5"), (True, "0True")])
def test_an_embeddings_step(pair: Pair, step: Any, theirs: str) -> None:
    pair.call("add_embedding", MATRIX, None, None, step, "points")
    pair.close()
    assert (pair.folders[OURS] / f"{int(step):05}" / "points" / "tensors.tsv").exists()
    assert (pair.folders[THEIRS] / theirs / "points" / "tensors.tsv").exists()


@row("an embedding's tag with quotation marks or backslashes")
@pytest.mark.parametrize("tag", ['a"b', "a\\b"])
def test_an_embeddings_tag_is_quoted(pair: Pair, tag: str) -> None:
    pair.call("add_embedding", MATRIX, None, None, 1, tag)

    def name_in(config: str) -> str | None:
        try:
            return text_format.Parse(config, ProjectorConfig()).embeddings[0].tensor_name
        except text_format.ParseError:
            return None

    ours, theirs = map(name_in, projector_configs(pair))
    assert ours == f"{tag}:00001"
    assert theirs == {'a"b': None, "a\\b": "a\b:00001"}[tag]


@row("an embedding named `.` or `..`")
@pytest.mark.parametrize(("tag", "theirs"), [(".", "00001/tensors.tsv"), ("..", "tensors.tsv")])
def test_an_embedding_named_as_its_folder(pair: Pair, tag: str, theirs: str) -> None:
    pair.call("add_embedding", MATRIX, None, None, 1, tag)
    pair.close()
    assert (pair.folders[THEIRS] / theirs).exists()
    assert not (pair.folders[OURS] / theirs).exists()
    assert len(list(pair.folders[OURS].glob("00001/*/tensors.tsv"))) == 1


@row("rows of labels with more or fewer columns than their header")
def test_rows_of_other_lengths(pair: Pair) -> None:
    rows = [["a", 1], ["b"]]
    with pytest.raises(SnapshotError, match=r"has the row \['b'\], expected 2 columns, as the header"):
        pair.ours_alone("add_embedding", MATRIX, rows, None, 1, "points", ["name", "number"])
    pair.theirs_alone("add_embedding", MATRIX, rows, None, 1, "points", ["name", "number"])
    pair.close()
    assert (pair.folders[THEIRS] / "00001/points/metadata.tsv").read_text() == "name\tnumber\na\t1\nb\n"
    assert not (pair.folders[OURS] / "00001").exists()


@row("event files")
def test_event_files(pairs: Pairs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorboardX.event_file_writer.time.time", lambda: 1.7e9)  # one second
    pair = pairs()
    for step in range(3):
        pair.call("add_scalar", "loss", 0.5, step, 1e9)
        pair.close()
    assert [[value.step for value in values] for values in pair.values()] == [[0, 1, 2], [2]]


@row("a run's folder that is removed while it is open")
def test_a_removed_folder(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    pair.call("add_scalar", "loss", 0.5, 1, 1e9)
    for writer, folder in zip((pair.ours, pair.theirs), pair.folders, strict=True):
        writer.flush()
        shutil.rmtree(folder)
    pair.call("add_scalar", "loss", 0.5, 2, 1e9)
    pair.ours.flush()
    pair.close()
    assert not pair.folders[THEIRS].exists()
    pair.folders[THEIRS].mkdir()  # for the comparison
    assert [[value.step for value in values] for values in pair.values()] == [[2], []]
    assert caplog.text.count("was removed or moved while it was written") == 1


@row("ranks")
def test_ranks(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    folders = []
    for rank, choice in (("0", {}), ("2", {}), ("2", {"rank": None})):
        monkeypatch.setenv("RANK", rank)
        with sidelog.SummaryWriter(pair.folders[OURS], **choice) as writer:
            folders.append(Path(writer.logdir))
        with tensorboardX.writer.SummaryWriter(str(pair.folders[THEIRS])) as theirs:
            assert theirs.logdir == str(pair.folders[THEIRS])
    assert folders == [pair.folders[OURS], pair.folders[OURS] / "rank_2", pair.folders[OURS]]


@row("a `logdir` that begins with `~`")
def test_the_users_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(tmp_path)
    sidelog.SummaryWriter("~/ours").close()
    tensorboardX.writer.SummaryWriter("~/theirs").close()
    assert os.listdir(home) == ["ours"]
    assert os.listdir(tmp_path / "~") == ["theirs"]


@row("a `logdir` of a cloud storage (`s3://`, `gs://`)")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # their writer, half made
def test_cloud_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tensorboardX.record_writer.S3_ENABLED", False)
    with pytest.raises(ConfigError, match="no cloud storage is written"):
        sidelog.SummaryWriter("s3://bucket/run")
    with pytest.raises(ImportError, match="boto3"):  # with it, it would go there
        tensorboardX.writer.SummaryWriter("s3://bucket/run")
    assert os.listdir(tmp_path) == []


@row("the attribute `logdir` of a path object")
def test_the_attribute_logdir(tmp_path: Path) -> None:
    with sidelog.SummaryWriter(tmp_path / "ours") as ours, tensorboardX.writer.SummaryWriter(tmp_path / "b") as theirs:
        assert ours.logdir == ours.log_dir == ours.get_logdir() == str(tmp_path / "ours")
        assert theirs.logdir == tmp_path / "b"


@row("names that leave the run's folder")
def test_names_that_leave(pair: Pair, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    pair.ours_alone("add_scalars", str(outside), {"a": 1.0})
    pair.ours_alone("add_hparams", {}, {"loss": 1.0}, str(outside))
    for call in (("add_scalars", "chart", {"../../up": 1.0}), ("add_hparams", {}, {"loss": 1.0}, "../up")):
        with pytest.raises(ValueError, match=r"leaves the run's folder, expected no '\.\.' in it"):
            pair.ours_alone(*call)
    pair.close()
    assert not outside.exists()
    assert not (pair.folders[OURS].parent / "up").exists()
    assert list((pair.folders[OURS] / str(outside)[1:]).glob("*tfevents*"))
    pair.theirs_alone("add_scalars", str(outside), {"a": 1.0})
    pair.theirs_alone("add_scalars", "chart", {"../../up": 1.0})
    pair.close()
    assert (outside / "a").exists()
    assert (pair.folders[THEIRS].parent / "up").exists()


@row("`write_to_disk=False`")
def test_write_to_disk_false(tmp_path: Path) -> None:
    for name, make in (("ours", sidelog.SummaryWriter), ("theirs", tensorboardX.writer.SummaryWriter)):
        with make(str(tmp_path / name), write_to_disk=False) as writer:
            writer.add_hparams({"lr": 0.1}, {"loss": 1.0}, "trial")
            writer.add_embedding(MATRIX, None, None, 1)
    assert not (tmp_path / "ours").exists()
    assert sorted(os.listdir(tmp_path / "theirs")) == ["00001", "projector_config.pbtxt", "trial"]


@row("`max_queue`, `flush_secs`, `filename_suffix`")
def test_arguments_without_effect(pairs: Pairs) -> None:
    pair = pairs(max_queue=1, flush_secs=3600, filename_suffix=".mine")
    pair.call("add_scalar", "loss", 0.5, 1)
    pair.ours.flush()
    assert len(messages(pair.folders[OURS])) == 1  # an hour early
    pair.close()
    endings = [[path.suffix for path in folder.glob("*tfevents*")] for folder in pair.folders]
    assert endings == [[".sidelog"], [".mine"]]


@row("`comet_config`")
def test_comet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tensorboardX.comet_utils.comet_installed", False)
    enabled = {"disabled": False}
    with pytest.raises(ConfigError, match="sidelog writes event files alone"):
        sidelog.SummaryWriter(tmp_path / "ours", comet_config=enabled)
    with tensorboardX.writer.SummaryWriter(str(tmp_path / "theirs"), comet_config=enabled) as theirs:
        with pytest.raises(Exception, match=r"Comet .* not installed"):  # with it, it would go there
            theirs.add_scalar("loss", 0.5, 1)
        monkeypatch.setattr(theirs, "_comet_config", {"disabled": True})
    sidelog.SummaryWriter(tmp_path / "ours", comet_config={"disabled": True}).close()
