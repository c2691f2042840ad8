"""Mistakes: each is told by what, got and expected; none hangs, and nothing that was logged is lost by one."""

from __future__ import annotations

import logging
import math
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import sidelog
from event_files import read_run
from processes import DaemonProcess, finish, start_script

StartDaemon = Callable[..., DaemonProcess]


@pytest.fixture
def run_directory(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def writer(daemon: StartDaemon, tmp_path: Path, run_directory: Path) -> Iterator[sidelog.SummaryWriter]:
    process = daemon("--bind", f"ipc://{tmp_path}/d.sock")
    with sidelog.SummaryWriter(run_directory, endpoint=process.endpoint) as one:
        yield one


Call = Callable[[sidelog.SummaryWriter], None]

MISTAKES: dict[str, tuple[Call, type[Exception], list[str]]] = {
    "twenty channels": (
        lambda w: w.add_image("x", torch.zeros(20, 5, 6)),
        sidelog.SnapshotError,
        ["add_image 'x'", "[20, 5, 6]", "expected", "add_feature_map"],
    ),
    "a batch": (
        lambda w: w.add_image("x", torch.zeros(2, 3, 5, 6)),
        sidelog.SnapshotError,
        ["add_image 'x'", "[2, 3, 5, 6]", "expected"],
    ),
    "no dimensions": (
        lambda w: w.add_image("x", torch.tensor(1.0)),
        sidelog.SnapshotError,
        ["add_image 'x'", "[]", "expected"],
    ),
    "two channels": (
        lambda w: w.add_image("x", np.zeros((2, 5, 6))),
        sidelog.SnapshotError,
        ["add_image 'x'", "[2, 5, 6]", "expected", "add_feature_map"],
    ),
    "an order that does not fit": (
        lambda w: w.add_image("x", np.zeros((5, 6)), dataformats="CHW"),
        sidelog.SnapshotError,
        ["add_image 'x'", "[5, 6]", "expected", "CHW"],
    ),
    "an order that is none": (
        lambda w: w.add_image("x", np.zeros((3, 5, 6)), dataformats="XYZ"),
        sidelog.SidelogError,
        ["XYZ", "expected"],
    ),
    "an empty picture": (
        lambda w: w.add_image("x", torch.zeros(3, 0, 6)),
        sidelog.SnapshotError,
        ["add_image 'x'", "[3, 0, 6]", "empty"],
    ),
    "an empty feature map": (
        lambda w: w.add_feature_map("x", torch.zeros(0, 5, 6)),
        sidelog.SnapshotError,
        ["add_feature_map 'x'", "[0, 5, 6]", "empty"],
    ),
    "an empty histogram": (
        lambda w: w.add_histogram("x", torch.zeros(0)),
        sidelog.SnapshotError,
        ["add_histogram 'x'", "[0]", "empty, expected at least one value"],
    ),
    "a feature map of two dimensions": (
        lambda w: w.add_feature_map("x", torch.zeros(5, 6)),
        sidelog.SnapshotError,
        ["add_feature_map 'x'", "[5, 6]", "expected"],
    ),
    "a sample that is not there": (
        lambda w: w.add_feature_map("x", torch.zeros(2, 3, 5, 6), sample=2),
        sidelog.SidelogError,
        ["sample", "2", "expected"],
    ),
    "a list of different shapes": (
        lambda w: w.add_image("x", [torch.zeros(5, 6), torch.zeros(6, 5)]),
        sidelog.SnapshotError,
        ["add_image 'x'", "[5, 6]", "[6, 5]", "expected"],
    ),
    "complex numbers": (
        lambda w: w.add_image("x", torch.zeros(3, 5, 6, dtype=torch.complex64)),
        sidelog.SnapshotError,
        ["complex64", "expected one of float64, float32"],
    ),
    "a numpy array of strings": (
        lambda w: w.add_image("x", np.full((3, 5, 6), "a")),
        sidelog.SnapshotError,
        ["add_image 'x'", "expected"],
    ),
    "no picture at all": (
        lambda w: w.add_image("x", "picture.png"),
        (sidelog.SnapshotError, TypeError),  # type: ignore[dict-item]
        ["add_image 'x'", "str", "expected"],
    ),
    "None": (
        lambda w: w.add_image("x", None),
        (sidelog.SnapshotError, TypeError),  # type: ignore[dict-item]
        ["add_image 'x'", "NoneType", "expected"],
    ),
    "a sparse tensor": (
        lambda w: w.add_image("x", torch.zeros(5, 6).to_sparse()),
        sidelog.SnapshotError,
        ["add_image 'x'", "sparse", "expected"],
    ),
    "labels that are scores": (
        lambda w: w.add_label_map("x", torch.zeros(5, 6)),
        sidelog.SnapshotError,
        ["add_label_map 'x'", "float32", "expected", "argmax"],
    ),
    "a palette of two colors in one": (
        lambda w: w.add_label_map("x", torch.zeros(5, 6, dtype=torch.int64), palette=[(0, 0)]),
        sidelog.SidelogError,
        ["palette", "(0, 0)", "expected"],
    ),
    "a grid of no columns": (
        lambda w: w.add_images("x", torch.zeros(2, 3, 5, 6), nrow=0),
        sidelog.ConfigError,
        ["nrow is 0, expected at least 1"],
    ),
    "mean without std": (
        lambda w: w.add_image("x", torch.zeros(3, 5, 6), mean=[0.5, 0.5, 0.5]),
        sidelog.ConfigError,
        ["mean is given without std, expected both"],
    ),
    "bins that are none": (
        lambda w: w.add_histogram("x", torch.zeros(5), bins="many"),
        sidelog.ConfigError,
        ["add_histogram 'x': bins is 'many', expected one of tensorflow, auto"],
    ),
    "an empty tag": (
        lambda w: w.add_scalar("", 1.0),
        ValueError,
        ["tag is the empty string, expected a non-empty string such as 'train/loss'"],
    ),
    "an empty tag of a picture": (
        lambda w: w.add_image("", torch.zeros(3, 5, 6)),
        ValueError,
        ["tag is the empty string, expected"],
    ),
    "a tag that is no string": (
        lambda w: w.add_scalar(7, 1.0),  # type: ignore[arg-type]
        TypeError,
        ["tag is int 7, expected a non-empty string"],
    ),
    "a tag that cannot be hashed": (
        lambda w: w.add_scalar(["loss"], 1.0),  # type: ignore[arg-type]
        TypeError,
        ["tag is list ['loss'], expected a non-empty string"],
    ),
    "a tag of a text that is no string": (
        lambda w: w.add_text(None, "x"),  # type: ignore[arg-type]
        TypeError,
        ["tag is NoneType None, expected a non-empty string"],
    ),
    "a tag that is too long": (
        lambda w: w.add_scalar("x" * 2000, 1.0),
        ValueError,
        ["is 2,000 bytes, limit 1,024"],
    ),
    "a key that leaves the folder": (
        lambda w: w.add_scalars("x", {"../../y": 1.0}),
        ValueError,
        ["x/../../y", "expected no '..' in it"],
    ),
    "curves that are no dict": (
        lambda w: w.add_scalars("x", [1.0, 2.0]),  # type: ignore[arg-type]
        TypeError,
        ["tag_scalar_dict is list, expected a dict of key -> number"],
    ),
    "a step that is a text": (
        lambda w: w.add_scalar("x", 1.0, "1"),  # type: ignore[arg-type]
        TypeError,
        ["global_step is str '1', expected an integer"],
    ),
    "a step of a picture that is a string": (
        lambda w: w.add_image("x", torch.zeros(3, 5, 6), "7"),  # type: ignore[arg-type]
        TypeError,
        ["global_step is str '7', expected an integer"],
    ),
    "a step that is too large": (
        lambda w: w.add_scalar("x", 1.0, 2**63),
        ValueError,
        ["global_step is 9223372036854775808, expected a 64-bit integer"],
    ),
    "a wall time that is NaN": (
        lambda w: w.add_scalar("x", 1.0, 1, float("nan")),
        ValueError,
        ["walltime is nan, expected finite seconds since the epoch"],
    ),
    "a scalar that is a vector": (
        lambda w: w.add_scalar("x", torch.zeros(2)),
        sidelog.SnapshotError,
        ["add_scalar 'x'", "[2]", "expected one element"],
    ),
    "a scalar that is a word": (
        lambda w: w.add_scalar("x", "low"),
        TypeError,
        ["add_scalar 'x' is str 'low', expected a number or a tensor of one element"],
    ),
    "a scalar that is complex": (
        lambda w: w.add_scalar("x", 1j),
        TypeError,
        ["add_scalar 'x' is complex 1j, expected a number"],
    ),
    "a text that is bytes": (
        lambda w: w.add_text("x", b"hello"),  # type: ignore[arg-type]
        TypeError,
        ["text_string is bytes, expected a string"],
    ),
    "a flush for a word": (
        lambda w: w.flush(timeout_s="soon"),  # type: ignore[arg-type]
        sidelog.ConfigError,
        ["timeout_s is 'soon', expected a number of seconds of at least 0"],
    ),
    "a close for no number": (
        lambda w: w.close(timeout_s=math.nan),
        sidelog.ConfigError,
        ["timeout_s is nan, expected a number of seconds of at least 0"],
    ),
}


def test_mistakes_in_a_call_raise_there_and_harm_nothing(writer: sidelog.SummaryWriter, run_directory: Path) -> None:
    for step, (what, (call, error, words)) in enumerate(MISTAKES.items()):
        writer.add_scalar("loss", float(step), step)
        with pytest.raises(error) as caught:
            call(writer)
        for word in words:
            assert word in str(caught.value), f"{what}: {caught.value}"
        writer.add_image("map", torch.full((1, 4, 4), 0.5), step)
    writer.flush(pictures=True, timeout_s=math.inf)
    run = read_run(run_directory)
    assert run.steps("loss") == run.steps("map") == list(range(len(MISTAKES)))
    assert set(run.scalars) | set(run.images) | set(run.texts) == {"loss", "map"}
    writer.add_scalar("loss", 0.0, len(MISTAKES))
    writer.close(timeout_s=math.inf)
    assert read_run(run_directory).steps("loss") == list(range(len(MISTAKES) + 1))
    assert writer.statistics().rejected == 0


def test_steps_and_scalars_of_numpy_and_torch_are_no_mistake(
    writer: sidelog.SummaryWriter, run_directory: Path
) -> None:
    writer.add_scalar("loss", np.float32(0.5), np.int64(1))  # type: ignore[arg-type]
    writer.add_scalar("loss", torch.tensor([0.25]), torch.tensor(2))  # type: ignore[arg-type]
    writer.add_scalar("loss", True)
    writer.add_scalar("loss", float("nan"), 4)
    writer.add_scalar("loss", float("inf"), 5)
    writer.flush()
    loss = read_run(run_directory).scalars["loss"]
    assert loss[:3] == [(1, 0.5), (2, 0.25), (0, 1.0)]
    assert np.isnan(loss[3][1])
    assert loss[4] == (5, float("inf"))


def test_nan_and_inf_are_shown_and_warned_of(
    writer: sidelog.SummaryWriter, run_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    image = torch.full((3, 4, 5), 0.5)
    image[0, 1, 2] = float("nan")
    image[1, 2, 3] = float("inf")
    maps = torch.rand(4, 6, 6, generator=torch.Generator().manual_seed(0))
    maps[2, 0, 0] = float("nan")
    writer.add_image("picture", image, 3)
    writer.add_feature_map("maps", maps, 3, padding=0)
    writer.add_histogram("values", torch.tensor([1.0, float("nan"), 2.0]), 3)
    with caplog.at_level(logging.WARNING, "sidelog"):
        writer.flush(pictures=True)
    run = read_run(run_directory)
    pixels = run.pixels("picture")
    assert tuple(pixels[1, 2]) == tuple(pixels[2, 3]) == (255, 0, 255)
    assert tuple(pixels[0, 0]) == (128, 128, 128)
    assert tuple(run.pixels("maps")[0, 12]) == (255, 0, 255)
    assert run.histograms["values"] == [(3, 2.0)]
    warnings = " / ".join(record.getMessage() for record in caplog.records)
    assert "'picture' at step 3: 2 values are NaN or infinite, shown in magenta" in warnings
    assert "'maps' at step 3: 1 values are NaN or infinite, shown in magenta" in warnings
    assert "'values' at step 3: 1 values are NaN or infinite, left out" in warnings


def test_a_record_that_the_daemon_cannot_write_is_told_of_and_harms_no_other(
    writer: sidelog.SummaryWriter, run_directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    writer.add_scalar("loss", 1.0, 1)
    writer.add_histogram("values", torch.tensor([float("nan")] * 3), 2)
    writer.add_histogram("values", torch.tensor([1.0]), 3)
    with caplog.at_level(logging.WARNING, "sidelog"):
        writer.flush(pictures=True)
    assert "histogram 'values' at step 2: histogram values are all NaN or infinite (3 of them), expected at least" in (
        caplog.text
    )
    assert writer.statistics().rejected == 1
    run = read_run(run_directory)
    assert (run.steps("loss"), run.steps("values")) == ([1], [3])


class TestLogdir:
    def test_below_a_file_raises_in_the_constructor(self, runtime_dir: Path, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(sidelog.ConfigError) as caught:
            sidelog.SummaryWriter(tmp_path / "file" / "run")
        assert str(caught.value) == (
            f"logdir {tmp_path}/file/run cannot be made (Not a directory), expected a folder that you may write"
        )

    def test_that_the_kernel_refuses_raises_in_the_constructor(self, runtime_dir: Path) -> None:
        with pytest.raises(sidelog.ConfigError, match=r"logdir /proc/run cannot be made \(No such file or directory\)"):
            sidelog.SummaryWriter("/proc/run")

    def test_that_is_no_path_raises_in_the_constructor(self, runtime_dir: Path) -> None:
        with pytest.raises(sidelog.ConfigError, match="logdir is int 5, expected a path"):
            sidelog.SummaryWriter(5)  # type: ignore[arg-type]

    def test_that_leaves_the_daemons_folder_raises_in_the_constructor(self) -> None:
        with pytest.raises(sidelog.ConfigError, match=r"run name is '/runs/a', expected a path relative to the daemon"):
            sidelog.SummaryWriter("/runs/a", endpoint="tcp://127.0.0.1:5557")
        with pytest.raises(sidelog.ConfigError, match=r"expected no '..' in it"):
            sidelog.SummaryWriter("a/../../b", endpoint="tcp://127.0.0.1:5557")

    def test_that_cannot_be_written_on_the_daemons_side_is_told_at_flush_and_close(
        self, daemon: StartDaemon, tmp_path: Path
    ) -> None:
        process = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        (tmp_path / "file").write_text("")
        good = sidelog.SummaryWriter("good", endpoint=process.endpoint)
        bad = sidelog.SummaryWriter("file/run", endpoint=process.endpoint)
        for writer in (good, bad):
            writer.add_scalar("loss", 1.0, 1)
        expected = (
            f"run directory {tmp_path}/file/run cannot be opened: got Not a directory at {tmp_path}/file/run, "
            "expected a directory that this user may write"
        )
        for settle in (bad.flush, bad.close):
            with pytest.raises(sidelog.WriterError) as caught:
                settle()
            assert str(caught.value).startswith(expected)
        good.close()
        assert read_run(tmp_path / "good").steps("loss") == [1]


class TestEndpoint:
    @pytest.mark.parametrize(
        "endpoint", ["5557", "http://localhost:5557", "tcp://localhost", "tcp://localhost:99999", "ipc://", "tcp://:1"]
    )
    def test_that_is_none_raises_in_the_constructor(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(sidelog.ConfigError) as caught:
            sidelog.SummaryWriter("run", endpoint=endpoint)
        assert str(caught.value) == (
            f"endpoint is {endpoint!r}, expected tcp://HOST:PORT (port 1 to 65535) or ipc://PATH"
        )
        monkeypatch.setenv("SIDELOG_ENDPOINT", endpoint)
        with pytest.raises(sidelog.ConfigError):
            sidelog.SummaryWriter("run")

    @pytest.mark.parametrize("scheme", ["tcp", "ipc"])
    def test_where_nobody_listens_is_told_at_flush_and_close(self, scheme: str, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        endpoint = f"tcp://127.0.0.1:{port}" if scheme == "tcp" else f"ipc://{tmp_path}/nobody.sock"
        writer = sidelog.SummaryWriter("run" if scheme == "tcp" else tmp_path / "run", endpoint=endpoint)
        for step in range(10):
            writer.add_scalar("loss", float(step), step)
        for settle in (lambda: writer.flush(timeout_s=1.0), lambda: writer.close(timeout_s=1.0)):
            with pytest.raises(sidelog.TransportError) as caught:
                settle()
            assert str(caught.value).startswith(
                f"10 records are not written: no daemon answers at {endpoint}; "
                f"to start one: sidelog daemon --bind {endpoint} --logdir DIR"
            )

    def test_where_something_else_listens_is_told_too(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
            writer = sidelog.SummaryWriter("run", endpoint=endpoint)
            writer.add_scalar("loss", 1.0, 1)
            with pytest.raises(sidelog.TransportError, match=endpoint):
                writer.close(timeout_s=1.0)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SIDELOG_MODE", "maybe", "SIDELOG_MODE is 'maybe', expected 'on' or 'off'"),
        ("SIDELOG_ARENA_MB", "lots", "SIDELOG_ARENA_MB is 'lots', expected a number from 1 to 65536"),
        ("SIDELOG_EXIT_TIMEOUT", "-1", "SIDELOG_EXIT_TIMEOUT is '-1', expected a number from 0 to 86400"),
        ("RANK", "first", "RANK is 'first' and WORLD_SIZE '2', expected integers with 0 <= RANK < WORLD_SIZE"),
        ("RANK", "2", "RANK is '2' and WORLD_SIZE '2', expected integers with 0 <= RANK < WORLD_SIZE"),
    ],
)
def test_an_environment_that_cannot_work_raises_in_the_constructor(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, runtime_dir: Path
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv(name, value)
    with pytest.raises(sidelog.ConfigError) as caught:
        sidelog.SummaryWriter(tmp_path / "run")
    assert message in str(caught.value)


class TestRunOfAnotherDaemon:
    def test_is_refused_by_the_name_of_its_owner(self, daemon: StartDaemon, tmp_path: Path) -> None:
        first = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        second = daemon("--bind", "tcp://127.0.0.1:*", "--logdir", str(tmp_path))
        owner = sidelog.SummaryWriter("run", endpoint=first.endpoint)
        owner.add_scalar("loss", 1.0, 1)
        owner.flush()
        late = sidelog.SummaryWriter("run", endpoint=second.endpoint)
        late.add_scalar("loss", 9.0, 9)
        expected = (
            f"run directory {tmp_path}/run is written by another daemon at {first.endpoint}, expected no other writer"
        )
        for settle in (late.flush, late.close):
            with pytest.raises(sidelog.WriterError) as caught:
                settle()
            assert str(caught.value).startswith(expected)
        owner.add_scalar("loss", 2.0, 2)
        owner.close()
        assert read_run(tmp_path / "run").scalars == {"loss": [(1, 1.0), (2, 2.0)]}
        with sidelog.SummaryWriter("run", endpoint=second.endpoint) as again:  # now that it is free
            again.add_scalar("loss", 3.0, 3)
        assert read_run(tmp_path / "run").steps("loss") == [1, 2, 3]


MISSING = """
from importlib.machinery import PathFinder

find_spec = PathFinder.find_spec
PathFinder.find_spec = staticmethod(
    lambda name, path=None, target=None: (
        None if name.partition(".")[0] == {package!r} else find_spec(name, path, target)
    )
)
"""


@pytest.mark.parametrize("package", ["tensorboardX", "crc32c", "cv2", "sidelog_daemon"])
def test_an_extra_that_is_not_installed_is_named_with_the_command_that_installs_it(
    package: str, runtime_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub = tmp_path / "stub"
    stub.mkdir()
    (stub / "sitecustomize.py").write_text(MISSING.format(package=package))
    monkeypatch.setenv("PYTHONPATH", str(stub))
    install = 'pip install "sidelog[daemon]"'
    command = "import sys; from sidelog.cli import main; sys.argv = ['sidelog', 'daemon']; sys.exit(main())"
    status, out, err = finish(start_script(command))
    assert (status, out) == (3, "")
    (line,) = err.splitlines()
    assert line.startswith("sidelog")
    assert install in line

    code = """
import logging, sys, sidelog
logging.basicConfig(format="%(message)s")
writer = sidelog.SummaryWriter(sys.argv[1])
writer.add_scalar("loss", 1.0, 1)
for settle in (writer.flush, writer.close):
    try:
        settle()
    except sidelog.SidelogError as error:
        print(type(error).__name__, error)
"""
    status, out, err = finish(start_script(code, str(tmp_path / "run")))
    assert status == 0, err
    raised = out.splitlines()
    assert len(raised) == 2, out + err
    for line in raised:
        assert install in line
        assert line.split()[0] in ("MissingExtra", "DaemonStartError", "TransportError")
    assert "sidelog: nothing is written for now: " in err
    assert install in err
