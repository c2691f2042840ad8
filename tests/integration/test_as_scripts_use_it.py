"""Programs in the style of tensorboardX's and torch's examples, run with the one import changed."""

from __future__ import annotations

import io
import wave
from pathlib import Path
from textwrap import dedent

import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from event_files import read_run
from processes import run_script

EVERYTHING = """
import os, sys
import numpy as np
import torch
import matplotlib
matplotlib.use("agg")
from matplotlib import pyplot as plt
from sidelog import SummaryWriter, make_grid

writer = SummaryWriter(sys.argv[1])
rate = 8000
freqs = [262, 294, 330, 349, 392, 440]
for n_iter in range(100):
    s1, s2 = torch.rand(1), torch.rand(1)
    writer.add_scalar("data/scalar_systemtime", s1[0], n_iter)
    writer.add_scalar("data/scalar_customtime", s1[0], n_iter, walltime=1e9 + n_iter)
    group = {"xsinx": n_iter * np.sin(n_iter), "xcosx": n_iter * np.cos(n_iter)}
    writer.add_scalars("data/scalar_group", group, n_iter)
    if n_iter % 10 == 0:
        x = torch.rand(32, 3, 16, 16)
        writer.add_image("Image", make_grid(x, normalize=True, scale_each=True), n_iter)
        writer.add_image_with_boxes("imagebox", torch.rand(3, 24, 24), torch.tensor([[4, 4, 20, 20]]), n_iter)
        sound = torch.zeros(rate // 4)
        for i in range(sound.size(0)):
            sound[i] = np.cos(freqs[n_iter // 10 % 6] * np.pi * float(i) / float(rate))
        writer.add_audio("myAudio", sound, n_iter, sample_rate=rate)
        writer.add_text("Text", "text logged at step:" + str(n_iter), n_iter)
        for name, param in torch.nn.Linear(4, 3).named_parameters():
            writer.add_histogram(name, param.clone().detach().cpu().numpy(), n_iter)
        writer.add_pr_curve("xoxo", np.random.randint(2, size=100), np.random.rand(100), n_iter)
        figure = plt.figure()
        plt.plot(np.arange(5))
        writer.add_figure("figure", figure, n_iter)
        writer.add_mesh("mesh", torch.rand(1, 20, 3), global_step=n_iter)
        writer.add_video("video", torch.rand(1, 4, 3, 8, 8), n_iter)
writer.add_custom_scalars_multilinechart(["data/scalar_group/xsinx", "data/scalar_group/xcosx"])
writer.add_embedding(torch.rand(10, 4), metadata=list("abcdefghij"), label_img=torch.rand(10, 3, 8, 8), global_step=1)
writer.export_scalars_to_json(os.path.join(sys.argv[1], "all_scalars.json"))
writer.close()
"""


def test_all_kinds_in_one_loop(runtime_dir: Path, tmp_path: Path) -> None:
    run_script(EVERYTHING, str(tmp_path / "run"))
    run = read_run(tmp_path / "run")
    assert run.steps("data/scalar_systemtime") == run.steps("data/scalar_customtime") == list(range(100))
    assert read_run(tmp_path / "run" / "data" / "scalar_group" / "xsinx").steps("data/scalar_group") == list(range(100))
    tens = list(range(0, 100, 10))
    for tag in ("Image", "imagebox", "figure", "video", "weight", "bias", "Text"):
        assert run.steps(tag) == tens, tag
    assert run.pixels("figure").shape == (480, 640, 3)
    assert Image.open(io.BytesIO(run.images["video"][0][1])).n_frames == 4  # type: ignore[attr-defined]  # of a GIF
    accumulator = EventAccumulator(str(tmp_path / "run"), size_guidance={"tensors": 0, "audio": 0})
    accumulator.Reload()
    clips = accumulator.Audio("myAudio")
    assert [clip.step for clip in clips] == tens
    with wave.open(io.BytesIO(clips[0].encoded_audio_string)) as sound:
        assert (sound.getframerate(), sound.getnframes()) == (8000, 2000)
    assert [event.step for event in accumulator.Tensors("xoxo")] == tens
    assert [event.step for event in accumulator.Tensors("mesh_1")] == tens
    assert (tmp_path / "run" / "all_scalars.json").stat().st_size > 1000
    folder = tmp_path / "run" / "00001" / "default"
    assert sorted(path.name for path in folder.iterdir()) == ["metadata.tsv", "sprite.png", "tensors.tsv"]
    assert len((folder / "tensors.tsv").read_text().splitlines()) == 10
    assert "00001/default/tensors.tsv" in (tmp_path / "run" / "projector_config.pbtxt").read_text()


RESUME = """
import sys
from sidelog import SummaryWriter

with SummaryWriter(sys.argv[1]) as writer:
    for i in range(100):
        writer.add_scalar("purgetest", i, i)
with SummaryWriter(sys.argv[1], purge_step=42) as writer:
    for i in range(42, 100):
        writer.add_scalar("purgetest", 42, i)
"""


def test_purge_and_resume(runtime_dir: Path, tmp_path: Path) -> None:
    run_script(RESUME, str(tmp_path / "run"))
    curve = read_run(tmp_path / "run").scalars["purgetest"]
    assert curve == [(i, i) for i in range(42)] + [(i, 42) for i in range(42, 100)]


HPARAMS = """
import random, sys, time
from sidelog import SummaryWriter

with SummaryWriter(sys.argv[1]) as writer:
    for i in range(5):
        writer.add_hparams({"lr": 0.1 * i, "bsize": i, "n_hidden": 100, "bn": bool(i % 2)},
                           {"accuracy": 10 * i, "loss": 10 * i}, name=f"trial{i}")
"""


def test_hparams(runtime_dir: Path, tmp_path: Path) -> None:
    run_script(HPARAMS, str(tmp_path / "run"))
    for index in range(5):
        trial = tmp_path / "run" / f"trial{index}"
        assert read_run(trial).scalars["accuracy"] == [(0, 10 * index)]
        accumulator = EventAccumulator(str(trial))
        accumulator.Reload()
        assert set(accumulator.PluginTagToContent("hparams")) == {
            "_hparams_/experiment", "_hparams_/session_start_info", "_hparams_/session_end_info",
        }  # fmt: skip


HOGWILD = """
import sys
import torch
import torch.multiprocessing as mp
from sidelog import SummaryWriter


def train(rank, model, logdir):
    writer = SummaryWriter(logdir + "/worker" + str(rank))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(20):
        loss = model(torch.rand(8, 4)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        writer.add_scalar("loss", loss, step)
    writer.close()


if __name__ == "__main__":
    torch.set_num_threads(1)
    model = torch.nn.Linear(4, 2)
    model.share_memory()
    processes = [mp.get_context("fork").Process(target=train, args=(rank, model, sys.argv[1])) for rank in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
"""


def test_hogwild_training(runtime_dir: Path, tmp_path: Path) -> None:
    run_script(HOGWILD, str(tmp_path))
    for rank in range(4):
        assert read_run(tmp_path / f"worker{rank}").steps("loss") == list(range(20))


@pytest.mark.parametrize("module", ["tensorboardX", "torch.utils.tensorboard"])
def test_the_same_program_with_the_original_import_writes_the_same(
    runtime_dir: Path, tmp_path: Path, module: str
) -> None:
    program = dedent(
        """
        import sys
        import numpy as np
        from MODULE import SummaryWriter

        writer = SummaryWriter(sys.argv[1])
        r = 5
        for i in range(100):
            writer.add_scalar("line/y", i * 2, i, 1e9 + i)
            writer.add_histogram("distribution", np.random.RandomState(i).random(100) + i, i, walltime=1e9 + i)
        img = np.zeros((3, 20, 20))
        img[0] = np.arange(0, 400).reshape(20, 20) / 400
        img[1] = 1 - np.arange(0, 400).reshape(20, 20) / 400
        writer.add_image("my_image", np.uint8(img * 255), 0, 1e9)
        writer.add_text("lstm", "This is an lstm", 0, 1e9)
        writer.close()
        """
    )
    found = []
    for name in (module, "sidelog"):
        run_script(program.replace("MODULE", name), str(tmp_path / name))
        run = read_run(tmp_path / name)
        found.append((run.scalars, run.histograms, run.texts, run.pixels("my_image").tolist()))
    assert found[0] == found[1]
