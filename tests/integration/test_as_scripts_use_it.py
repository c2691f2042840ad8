"""Programs in the style of tensorboardX's and torch's examples: with the one import changed they log the same."""

from __future__ import annotations

import importlib
import io
import math
import wave
from pathlib import Path

import pytest
from PIL import Image
from tensorboard.backend.event_processing import plugin_event_accumulator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compared import differences
from decoded import decode_run
from event_files import read_run
from program_runs import FOLDER, PROGRAMS, ProgramRuns, programs_in_folder, with_our_import

TENS = list(range(0, 100, 10))


def test_every_program_is_run() -> None:
    assert programs_in_folder() == set(PROGRAMS)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_one_line_is_changed(path: Path) -> None:
    before = path.read_text()
    after = with_our_import(before)
    changed = [pair for pair in zip(before.splitlines(), after.splitlines(), strict=True) if pair[0] != pair[1]]
    ((line, ours),) = changed
    assert line.partition(" import ")[2] == ours.removeprefix("from sidelog import ")


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_logs_the_same(program_runs: ProgramRuns, name: str) -> None:
    program, runs = PROGRAMS[name], program_runs.of(name)
    assert [path for path in runs.ours.rglob("*tfevents*") if path.name.endswith(".sidelog")]
    assert not [path for path in runs.original.rglob("*tfevents*") if path.name.endswith(".sidelog")]
    found = differences(
        runs.ours,
        runs.original,
        since=runs.since,
        rounded=program.rounded,
        racy=program.racy,
        parallel=program.parallel,
    )
    assert not found, "\n".join(found)


def test_all_kinds(program_runs: ProgramRuns) -> None:
    """What is the same in both could still be nothing: here is what the program says that it logs."""
    folder = program_runs.of("all_kinds").ours
    run = read_run(folder)
    assert run.steps("data/loss") == run.steps("data/custom_time") == list(range(100))
    assert run.scalars["data/loss"][-1][1] < run.scalars["data/loss"][0][1]
    assert read_run(folder / "data" / "group" / "xsinx").steps("data/group") == list(range(100))
    for tag in ("picture/ramp", "picture/grey", "picture/batch", "picture/boxes", "figure/wave", "video/square"):
        assert run.steps(tag) == TENS, tag
    for tag in ("fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias", "text/plain", "text/table"):
        assert run.steps(tag) == TENS, tag
    assert run.pixels("figure/wave").shape == (300, 400, 3)
    assert Image.open(io.BytesIO(run.images["video/square"][0][1])).n_frames == 6  # type: ignore[attr-defined]  # of a GIF
    accumulator = EventAccumulator(str(folder), size_guidance={"tensors": 0, "audio": 0})
    accumulator.Reload()
    clips = accumulator.Audio("audio/note")
    assert [clip.step for clip in clips] == TENS
    with wave.open(io.BytesIO(clips[0].encoded_audio_string)) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (8000, 2000)
    assert [event.step for event in accumulator.Tensors("curve")] == TENS
    assert [event.step for event in accumulator.Tensors("mesh/cloud_1")] == TENS
    assert (folder / "all_scalars.json").stat().st_size > 1000
    points = folder / "00100" / "default"
    assert sorted(path.name for path in points.iterdir()) == ["metadata.tsv", "sprite.png", "tensors.tsv"]
    assert len((points / "tensors.tsv").read_text().splitlines()) == 100
    assert "00100/default/tensors.tsv" in (folder / "projector_config.pbtxt").read_text()


def test_purge_and_resume(program_runs: ProgramRuns) -> None:
    """TensorBoard shows the second attempt from the checkpoint on."""
    curve = read_run(program_runs.of("purge_and_resume").ours).scalars["loss"]
    expected = [(step, 1 / (1 + step)) for step in range(42)] + [(step, 0.5 / (1 + step)) for step in range(42, 100)]
    assert [step for step, _ in curve] == list(range(100))
    assert [value for _, value in curve] == pytest.approx([value for _, value in expected])


def test_the_slow_reader_hides_what_was_purged_in_ours_alone(program_runs: ProgramRuns) -> None:
    """It takes a run's first session start for its beginning: tensorboardX writes none before that of the purge."""
    runs = program_runs.of("purge_and_resume")
    found = []
    for folder in (runs.original, runs.ours):
        accumulator = plugin_event_accumulator.EventAccumulator(str(folder))
        accumulator.Reload()
        found.append([event.step for event in accumulator.Tensors("loss")])
    assert found == [[*range(60), *range(42, 100)], list(range(100))]


def test_the_pool_counts_together(program_runs: ProgramRuns) -> None:
    run = read_run(program_runs.of("global_writer").ours)
    assert run.steps("pool/job") == run.steps("pool/noise") == run.steps("pool/log") == list(range(40))
    assert sorted(value for _, value in run.scalars["pool/job"]) == list(range(40))
    assert run.steps("pool/picture") == list(range(4))


def test_hogwild_training(program_runs: ProgramRuns) -> None:
    """The losses are each run's own, but there is one for each step of each worker, and they fall."""
    folder = program_runs.of("hogwild").ours
    for rank in range(3):
        curve = read_run(folder / f"worker{rank}").scalars["loss"]
        assert [step for step, _ in curve] == list(range(20))
        assert all(math.isfinite(value) for _, value in curve)
    assert read_run(folder).texts["result"] == [(20, "3 workers trained")]


def test_torchs_add_scalars_names_its_folders_otherwise(runtime_dir: Path, tmp_path: Path) -> None:
    """The one thing in which torch's writer and tensorboardX's cannot both be met: ours are named as tensorboardX's."""
    found = []
    for module in ("sidelog", "tensorboardX.writer", "torch.utils.tensorboard"):
        with importlib.import_module(module).SummaryWriter(str(tmp_path / module)) as writer:
            writer.add_scalars("loss/parts", {"a": 1, "b": 2}, 3, 1e9)
        found.append(decode_run(tmp_path / module, since=2e9))
    ours, tensorboardx, torchs = found
    assert set(ours) == {"loss/parts/a", "loss/parts/b"}
    assert ours == tensorboardx
    assert ours == {directory.replace("_", "/"): values for directory, values in torchs.items()}


def test_calls_after_close(program_runs: ProgramRuns) -> None:
    folder = program_runs.of("after_close").ours
    assert read_run(folder).steps("loss") == list(range(30))
    assert read_run(folder / "epoch" / "index").steps("epoch") == list(range(30))
