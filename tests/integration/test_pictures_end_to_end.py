"""Pictures, histograms and charts through a real daemon: what TensorBoard shows, against what people call today."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX.writer import SummaryWriter as TensorboardXWriter
from torchvision.utils import make_grid

import sidelog
from event_files import RunContent, read_run
from processes import DaemonProcess, run_script

MAGENTA = [255, 0, 255]


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    """Numbers around 0 and 1, so that some are cut off."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 0.6 + 0.4


def pixels(picture: torch.Tensor) -> np.ndarray:
    """``save_image``'s rounding of a picture [C, H, W], as [H, W, C]."""
    return (picture.float() * 255 + 0.5).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def grid(tensor: Any, **options: Any) -> np.ndarray:
    return pixels(make_grid(tensor, **options))


def shown(run: RunContent, tag: str) -> np.ndarray:
    """The last picture of a tag in three channels; a grey one has three equal ones."""
    found = run.pixels(tag)
    return np.repeat(found[..., None], 3, axis=-1) if found.ndim == 2 else found


@dataclass
class Logged:
    """What one daemon made of the calls of one writer."""

    folder: Path
    expected: dict[str, np.ndarray]
    run: RunContent
    notes: RunContent


def log_everything(writer: sidelog.SummaryWriter) -> dict[str, np.ndarray]:
    """Every picture call in every form; returns what each tag must show."""
    expected: dict[str, np.ndarray] = {}
    rgb, batch = values(3, 7, 9), values(6, 3, 7, 9, seed=1)
    features, labels = values(16, 20, 5, 6, seed=2), torch.arange(35).reshape(5, 7) % 6

    def image(tag: str, given: Any, picture: np.ndarray, **options: Any) -> None:
        writer.add_image(tag, given, 3, **options)
        expected[tag] = picture

    image("chw", rgb, pixels(rgb))
    image("hwc", rgb.permute(1, 2, 0), pixels(rgb), dataformats="HWC")
    image("hw", rgb[0], np.repeat(pixels(rgb[:1]), 3, axis=-1), dataformats="HW")
    image("grey", rgb[:1], np.repeat(pixels(rgb[:1]), 3, axis=-1))
    image("numpy", rgb.numpy(), pixels(rgb))
    image("float64", rgb.double(), pixels(rgb))
    image("bfloat16", rgb.bfloat16(), pixels(rgb.bfloat16()))
    image("float16", rgb.half(), pixels(rgb.half()))
    image("transposed", rgb.transpose(1, 2), pixels(rgb.transpose(1, 2)))
    image("strided", rgb[:, ::2, 1::2], pixels(rgb[:, ::2, 1::2]))
    image("needs grad", rgb.clone().requires_grad_(), pixels(rgb))
    bytes_ = (rgb.clamp(0, 1) * 255).to(torch.uint8)
    image("uint8", bytes_, bytes_.permute(1, 2, 0).numpy())
    image("bool", rgb > 0.5, pixels((rgb > 0.5).float()))
    mean, std = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.3, 0.4])
    undone = rgb * std[:, None, None] + mean[:, None, None]
    image("undone", rgb, pixels(undone), mean=mean, std=std)
    image("list", list(batch), grid(list(batch)), padding=2)
    image("list of HW", [one[0] for one in batch], grid([one[:1] for one in batch], normalize=True), normalize=True)
    for tag, options in {
        "nrow": {"nrow": 4},
        "padding": {"padding": 5, "pad_value": 0.5},
        "normalize": {"normalize": True},
        "value_range": {"normalize": True, "value_range": (-0.5, 0.75)},
        "scale_each": {"normalize": True, "scale_each": True},
    }.items():
        image(tag, batch, grid(batch, **options), **options)
    image("range", batch, grid(batch, normalize=True, value_range=(0, 2)), normalize=True, range=(0, 2))
    image("bfloat16 grid", batch.bfloat16(), grid(batch.bfloat16().float(), normalize=True), normalize=True)

    writer.add_feature_map("map", features, 3, sample=3)
    expected["map"] = grid(features[3][:, None], normalize=True)
    writer.add_feature_map("map of one", features[0], 3, nrow=5, padding=1, scale_each=True)
    expected["map of one"] = grid(features[0][:, None], nrow=5, padding=1, normalize=True, scale_each=True)
    writer.add_feature_map("map as it is", features.transpose(2, 3), 3, normalize=False, pad_value=1)
    expected["map as it is"] = grid(features.transpose(2, 3)[0][:, None], pad_value=1)
    writer.add_feature_map("map bfloat16", features.bfloat16(), 3)
    expected["map bfloat16"] = grid(features[0].bfloat16().float()[:, None], normalize=True)

    colors = torch.tensor([[0, 0, 0], [255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 99, 199], [1, 2, 3]])
    writer.add_label_map("labels", labels, 3, palette=colors)
    expected["labels"] = colors[labels].numpy().astype(np.uint8)
    known = colors[labels].numpy().astype(np.uint8)
    known[labels == 5] = MAGENTA
    writer.add_label_map("unknown labels", labels.to(torch.uint8), 3, palette=colors, num_classes=5)
    expected["unknown labels"] = known

    broken = values(3, 1, 7, 9, seed=4)
    finite = grid(broken, normalize=True, value_range=(-1, 2))
    finite[4, 5] = finite[2 + 3, 2 + 9 + 2 + 6] = MAGENTA
    broken[0, 0, 2, 3], broken[1, 0, 3, 6] = float("nan"), float("inf")
    image("not finite", broken, finite, normalize=True, value_range=(-1, 2))
    return expected


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logged]:
    """One daemon for all questions about it."""
    folder = tmp_path_factory.mktemp("pictures")
    process = DaemonProcess("--bind", f"ipc://{folder}/d.sock", log=folder / "daemon.log")
    try:
        with sidelog.SummaryWriter(folder / "run", endpoint=process.endpoint) as writer:
            expected = log_everything(writer)
        yield Logged(folder, expected, read_run(folder / "run"), read_run(folder / "run" / "sidelog"))
    finally:
        process.stop()


class TestPixels:
    def test_every_picture_is_its_oracle(self, logged: Logged) -> None:
        assert sorted(logged.run.images) == sorted(tag.replace(" ", "_") for tag in logged.expected)
        wrong = [
            tag
            for tag, expected in logged.expected.items()
            if not np.array_equal(shown(logged.run, tag.replace(" ", "_")), expected)
        ]
        assert wrong == []

    def test_every_picture_stands_at_its_step(self, logged: Logged) -> None:
        assert {tag: [step for step, _ in images] for tag, images in logged.run.images.items()} == {
            tag: [3] for tag in logged.run.images
        }

    def test_the_recipe_stands_in_the_png(self, logged: Logged) -> None:
        text = Image.open(io.BytesIO(logged.run.images["map"][0][1])).text["sidelog"]  # type: ignore[attr-defined]
        description = json.loads(text)
        assert description["layout"] == "grid"
        assert description["normalize"] is True
        assert description["source"] == "sample 3 of 16"

    def test_the_recipe_stands_once_per_tag_in_a_sub_run(self, logged: Logged) -> None:
        (_, note), = logged.notes.texts["map"]  # fmt: skip
        assert '| source | `"sample 3 of 16"` |' in note
        assert "undone" in logged.notes.texts
        assert "chw" not in logged.notes.texts  # tensorboardX has that call too

    def test_grey_stays_grey(self, logged: Logged) -> None:
        assert logged.run.pixels("map").ndim == 2
        assert logged.run.pixels("grey").ndim == 2


class Peers:
    """The same calls to tensorboardX and to sidelog."""

    def __init__(self, folder: Path, endpoint: str) -> None:
        self._folder = folder
        self.theirs = TensorboardXWriter(str(folder / "theirs"))
        self.ours = sidelog.SummaryWriter(folder / "ours", endpoint=endpoint)

    def __getattr__(self, name: str) -> Callable[..., None]:
        def call(*arguments: Any, **options: Any) -> None:
            getattr(self.theirs, name)(*arguments, **options)
            getattr(self.ours, name)(*arguments, **options)

        return call

    def read(self, run: str = ".") -> tuple[EventAccumulator, EventAccumulator]:
        self.theirs.close()
        self.ours.close()
        found = []
        for who in ("theirs", "ours"):
            everything = {"tensors": 0, "scalars": 0, "images": 0, "histograms": 0}
            accumulator = EventAccumulator(str(self._folder / who / run), size_guidance=everything)
            accumulator.Reload()
            found.append(accumulator)
        return found[0], found[1]


@pytest.fixture
def peers(daemon: Callable[..., DaemonProcess], tmp_path: Path) -> Peers:
    return Peers(tmp_path, daemon("--bind", f"ipc://{tmp_path}/d.sock").endpoint)


class TestAgainstTensorboardX:
    def test_scalars_of_one_chart_are_the_same_sub_runs(self, peers: Peers) -> None:
        for step in range(3):
            peers.add_scalars("curves", {"a": step / 2, "b": torch.tensor(step / 4)}, step, 100.0 + step)
        for key in ("a", "b"):
            theirs, ours = peers.read(f"curves/{key}")
            assert ours.Scalars("curves") == theirs.Scalars("curves")
            assert len(ours.Scalars("curves")) == 3

    def test_texts(self, peers: Peers) -> None:
        peers.add_text("a note", "größer **als**\n\n| a | b |", 5, 100.0)
        theirs, ours = peers.read()
        assert ours.Tags()["tensors"] == theirs.Tags()["tensors"] == ["a note/text_summary"]
        assert ours.Tensors("a note/text_summary") == theirs.Tensors("a note/text_summary")

    @pytest.mark.parametrize("bins", ["tensorflow", "auto", "fd", 30, [-2.0, -1.0, 0.0, 0.5, 3.0]])
    def test_histograms(self, peers: Peers, bins: Any) -> None:
        peers.add_histogram("weights", values(1000).numpy(), 5, bins, 100.0)
        peers.add_histogram("few", values(7, 9), 6, bins, 100.0, max_bins=10)
        theirs, ours = peers.read()
        for tag in ("weights", "few"):
            assert ours.Histograms(tag) == theirs.Histograms(tag)

    def test_a_mosaic_has_the_same_layout(self, peers: Peers) -> None:
        """Eighths of 255 are whole numbers after truncation and rounding alike."""
        batch = torch.randint(0, 2, (11, 3, 5, 6), generator=torch.Generator().manual_seed(0)).float()
        peers.add_images("batch", batch.numpy(), 1)
        peers.add_images("last", batch.permute(0, 2, 3, 1).numpy(), 1, dataformats="NHWC")
        peers.add_image("one", batch[0].numpy(), 1)
        theirs, ours = peers.read()
        for tag in ("batch", "last", "one"):
            (their_image,), (our_image,) = theirs.Images(tag), ours.Images(tag)
            decoded = [np.asarray(Image.open(io.BytesIO(one.encoded_image_string))) for one in (their_image, our_image)]
            np.testing.assert_array_equal(*decoded)
            assert (our_image.width, our_image.height) == (their_image.width, their_image.height)

    def test_a_scalar_with_a_title(self, peers: Peers) -> None:
        peers.add_scalar("loss", 0.5, 3, 100.0, "Loss", "of the training")
        theirs, ours = peers.read()
        assert ours.Tags() == theirs.Tags()
        assert ours.summary_metadata == theirs.summary_metadata


VERBATIM = """
import builtins, sys
import numpy as np
import torch
from sidelog import SummaryWriter, make_grid

imported = builtins.__import__
def watched(name, *arguments, **options):
    assert not name.startswith("torchvision"), f"{name} is imported in the training process"
    return imported(name, *arguments, **options)
builtins.__import__ = watched

torch.manual_seed(0)
writer = SummaryWriter(sys.argv[1])
f1, f2, f3 = (torch.rand(1, 8, 10) for _ in range(3))
feature_map = torch.rand(2, 7, 6, 5, requires_grad=True) * 1.5
step = 4

writer.add_image("feature_map", make_grid([f1, f2, f3], padding=20, normalize=True, scale_each=True, pad_value=1), step)
writer.add_image("grid", make_grid(feature_map[0].detach().cpu().unsqueeze(dim=1), nrow=5, padding=20, normalize=False, pad_value=1), step)

f1.zero_()  # what happens to the tensors later does not show
writer.close()
assert not any(name.split(".")[0] == "torchvision" for name in sys.modules)
assert writer.statistics().written == 2
"""  # noqa: E501  # the lines are as people wrote them


def test_the_lines_that_people_write_today(runtime_dir: Path, tmp_path: Path) -> None:
    run_script(VERBATIM, str(tmp_path / "run"))
    torch.manual_seed(0)
    f1, f2, f3 = (torch.rand(1, 8, 10) for _ in range(3))
    feature_map = torch.rand(2, 7, 6, 5) * 1.5
    run = read_run(tmp_path / "run")
    np.testing.assert_array_equal(
        shown(run, "feature_map"), grid([f1, f2, f3], padding=20, normalize=True, scale_each=True, pad_value=1)
    )
    np.testing.assert_array_equal(
        shown(run, "grid"), grid(feature_map[0].unsqueeze(dim=1), nrow=5, padding=20, normalize=False, pad_value=1)
    )
    assert [step for step, _ in run.images["grid"]] == [4]


PLAIN_NUMPY = """
import sys
import numpy as np
import sidelog
with sidelog.SummaryWriter(sys.argv[1]) as writer:
    writer.add_feature_map("map", np.arange(60.0).reshape(3, 4, 5), 1)
    writer.add_scalar("loss", np.float32(0.5), 1)
assert "torch" not in sys.modules
"""


def test_a_process_without_torch_logs_arrays(runtime_dir: Path, tmp_path: Path) -> None:
    run_script(PLAIN_NUMPY, str(tmp_path / "run"))
    expected = grid(torch.arange(60.0).reshape(3, 1, 4, 5), normalize=True)
    np.testing.assert_array_equal(shown(read_run(tmp_path / "run"), "map"), expected)


def test_changes_after_the_call_do_not_show(runtime_dir: Path, tmp_path: Path) -> None:
    tensor = values(3, 40, 50)
    expected = []
    with sidelog.SummaryWriter(tmp_path / "run") as writer:
        for step in range(20):
            writer.add_image("a", tensor, step)
            expected.append(pixels(tensor))
            tensor.mul_(0.9)
    run = read_run(tmp_path / "run")
    assert len(run.images["a"]) == 20
    for index, picture in enumerate(expected):
        np.testing.assert_array_equal(run.pixels("a", index), picture)


def test_what_could_not_be_shown_is_told(runtime_dir: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with sidelog.SummaryWriter(tmp_path / "run") as writer:
        writer.add_image("nan", torch.full((1, 2, 3), float("nan")), 1)
        writer.add_histogram("all nan", torch.full((3,), float("nan")), 1)
        writer.add_label_map("labels", torch.full((2, 3), 99), 1, num_classes=2)
        writer.flush(pictures=True)
        assert writer.statistics().rejected == 1
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert "'nan' at step 1: 6 values are NaN or infinite, shown in magenta" in told
    assert "'labels' at step 1: 6 labels are out of range, shown in magenta" in told
    assert "histogram 'all nan' at step 1: histogram values are all NaN or infinite" in told
    assert shown(read_run(tmp_path / "run"), "nan").tolist() == [[MAGENTA] * 3] * 2
