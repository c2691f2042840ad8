"""The scripts, run as a person does: from another folder, on a machine that may lack what they need.

A stand-in for the virtual environment forwards to this interpreter and only notes what pip, pytest and the linters
are asked for, so no test installs torch.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import IMAGES, EventAccumulator

ROOT = Path(__file__).parents[2]
STEPS = 24
PICTURE_TAGS = {"batch/input", "batch/input_normalized", "batch/label_map", "batch/predicted_map", "feature_map",
                "layers/encoder2"}  # fmt: skip
SCALAR_TAGS = {"loss", "pixel_accuracy", "mean_iou"}
RECORDS = 2 * STEPS * (len(SCALAR_TAGS) + len(PICTURE_TAGS) + 11)  # with a histogram of each of 11 weights

FORWARDER = """#!/bin/sh
case "$1 $2" in
"-m pip") echo "$@" >>"{log}"; exit 0 ;;
"-m pytest" | "-m ruff" | "-m mypy") echo "$@" >>"{log}"; exit "${{STATUS:-0}}" ;;
esac
exec {python} "$@"
"""


@dataclass(frozen=True)
class StandIn:
    """A folder that looks like a virtual environment, and the commands that its Python was given."""

    folder: Path
    log: Path

    def commands(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []


@dataclass(frozen=True)
class Demo:
    """What one run of the demo left."""

    output: str
    exit_code: int
    run: Path
    runs_in_tensorboard: list[str]
    url: str


def stand_in(folder: Path) -> StandIn:
    made = StandIn(folder, folder / "commands.log")
    (folder / "bin").mkdir(parents=True)
    executable(folder / "bin/python", FORWARDER.format(log=made.log, python=sys.executable))
    executable(folder / "bin/tensorboard", f'#!/bin/sh\nexec {sys.executable} -m tensorboard.main "$@"\n')
    return made


def executable(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def environment(**settings: object) -> dict[str, str]:
    """This process's environment without what would steer sidelog, pip or the scripts."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SIDELOG_", "PIP_", "PYTHON"))}
    return {**kept, "PIP_CONFIG_FILE": os.devnull, **{key: str(value) for key, value in settings.items()}}


def run(command: list[object], cwd: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def wait_until(predicate: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not predicate():
        assert time.monotonic() < deadline, f"not within {timeout_s} s"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def runtime() -> Iterator[Path]:
    """A folder for a sidecar of our own, which is ended afterwards. Its path is short: sockets need that."""
    folder = Path(tempfile.mkdtemp(prefix="sl-"))
    yield folder
    for ready in folder.glob("sidelog/daemon-*.ready"):
        with contextlib.suppress(FileNotFoundError, psutil.NoSuchProcess):  # it went by itself just now
            daemon = psutil.Process(json.loads(ready.read_text())["pid"])
            daemon.terminate()
            wait_until(lambda daemon=daemon: not daemon.is_running() or daemon.status() == psutil.STATUS_ZOMBIE)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def demo(runtime: Path, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """`scripts/demo --tensorboard` for a few steps, from another folder, until Ctrl-C."""
    elsewhere = tmp_path_factory.mktemp("demo")
    venv = stand_in(elsewhere / "venv")
    process = subprocess.Popen(
        [ROOT / "scripts/demo", "--steps", str(STEPS), "--logdir", "run", "--tensorboard"],
        cwd=elsewhere,
        env=environment(SIDELOG_RUNTIME_DIR=runtime, SIDELOG_VENV=venv.folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    url, runs = "", []
    try:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "TensorBoard: http" in line:
                url = line.split()[-1]
            if "until Ctrl-C" in line:
                with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{url}data/runs") as answer:
                    runs = json.load(answer)
                break
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=20)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return Demo("".join(lines) + rest, process.returncode, elsewhere / "run", runs, url)


def events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={IMAGES: 0}).Reload()


def last_picture(accumulator: EventAccumulator, tag: str) -> Image.Image:
    return Image.open(io.BytesIO(accumulator.Images(tag)[-1].encoded_image_string)).convert("RGB")


def test_the_demo_says_what_became_of_every_record(demo: Demo) -> None:
    figures = re.search(r"records +([\d,]+) written, ([\d,]+) dropped, ([\d,]+) missing otherwise", demo.output)
    assert figures is not None, demo.output
    written, dropped, missing = (int(figure.replace(",", "")) for figure in figures.groups())
    assert (written + dropped, missing) == (RECORDS, 0)
    for rank in (0, 1):
        assert re.search(rf"rank {rank} +\d+\.\d+% of the time in logging calls", demo.output), demo.output
    assert f"run      {demo.run}" in demo.output


@pytest.mark.parametrize("rank_folder", [".", "rank_1"])
def test_every_worker_of_the_demo_wrote_its_own_run(demo: Demo, rank_folder: str) -> None:
    accumulator = events(demo.run / rank_folder)
    tags = accumulator.Tags()
    assert set(tags["scalars"]) == SCALAR_TAGS
    assert set(tags["images"]) == PICTURE_TAGS
    assert len(tags["histograms"]) == 11
    for tag in SCALAR_TAGS:
        assert [event.step for event in accumulator.Scalars(tag)] == list(range(STEPS))
    loss = [event.value for event in accumulator.Scalars("loss")]
    assert sum(loss[-3:]) < 0.8 * sum(loss[:3]), f"the network learned nothing: {loss}"


def test_the_demo_shows_the_pictures_that_it_promises(demo: Demo) -> None:
    accumulator = events(demo.run)
    sizes = {tag: last_picture(accumulator, tag).size for tag in PICTURE_TAGS}
    assert sizes["feature_map"] == (3 * (64 + 20) + 20, 64 + 2 * 20)
    assert sizes["layers/encoder2"] == (5 * (32 + 2) + 2, 8 * (32 + 2) + 2)
    assert sizes["batch/input"] == sizes["batch/label_map"] == sizes["batch/predicted_map"] == (64, 64)
    for tag in ("batch/label_map", "batch/predicted_map"):
        colors = last_picture(accumulator, tag).getcolors()
        assert colors is not None, f"{tag} has more colors than classes"
        assert 2 <= len(colors) <= 11
    # Undone, the picture has the brightness of the scene: the shade of its left edge is darker than its right.
    grey = last_picture(accumulator, "batch/input").convert("L")
    left, right = (grey.crop(box).resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
                   for box in ((0, 0, 4, 64), (60, 0, 64, 64)))  # fmt: skip
    assert 20 < left < 100
    assert right > left


def test_the_demo_opens_tensorboard_and_ends_with_ctrl_c(demo: Demo) -> None:
    assert {".", "rank_1"} <= set(demo.runs_in_tensorboard)
    assert demo.exit_code in (-signal.SIGINT, 128 + signal.SIGINT)
    with pytest.raises(OSError, match="refused"):
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(demo.url)


def test_the_demo_leaves_a_contact_sheet(demo: Demo) -> None:
    sheet = Image.open(demo.run / "contact_sheet.png").convert("RGB")
    labels = last_picture(events(demo.run / "rank_1"), "batch/label_map")
    for _, color in labels.getcolors() or ():
        assert color in {found for _, found in sheet.getcolors(1 << 24) or ()}


LOG_TWO_PICTURES = """
import sys, numpy as np, sidelog
with sidelog.SummaryWriter(sys.argv[1]) as writer:
    for step, color in enumerate([(255, 0, 0), (0, 0, 255)]):
        writer.add_image("color", np.full((32, 48, 3), color, np.uint8), step, dataformats="HWC")
        writer.add_image("wide", np.full((20, 4000), 60 + step, np.uint8), step, dataformats="HW")
        writer.add_scalar("once", float("nan"), step)
"""


def test_a_contact_sheet_shows_the_last_picture_of_every_tag(runtime: Path, tmp_path: Path) -> None:
    logged = run([sys.executable, "-c", LOG_TWO_PICTURES, "run"], tmp_path, SIDELOG_RUNTIME_DIR=runtime)
    assert logged.returncode == 0, logged.stderr
    done = run([sys.executable, ROOT / "scripts/contact_sheet.py", "run", "--output", "sheet.png"], tmp_path)
    assert done.returncode == 0, done.stderr
    assert "3 figures in sheet.png" in done.stdout
    areas = {color: area for area, color in Image.open(tmp_path / "sheet.png").getcolors(1 << 24) or ()}
    assert areas[(0, 0, 255)] == 32 * 48 * 9**2, "the last picture, enlarged by a whole number"
    assert (255, 0, 0) not in areas, "an earlier picture"
    assert areas[(61, 61, 61)] > 1000, "the wide one, reduced"


def test_a_contact_sheet_of_nothing_is_refused_in_one_line(tmp_path: Path) -> None:
    done = run([sys.executable, ROOT / "scripts/contact_sheet.py", tmp_path], tmp_path)
    assert (done.returncode, done.stderr) == (1, f"contact_sheet: no picture and no scalar in {tmp_path}\n")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The scripts and the configuration, copied to where they may be changed."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    shutil.copytree(ROOT / "scripts", folder / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_a_second_run_reuses_the_environment_until_pyproject_changes(checkout: Path, tmp_path: Path) -> None:
    venv = stand_in(checkout / ".venv")

    def pip_installs() -> int:
        done = run([checkout / "scripts/lint"], tmp_path)
        assert done.returncode == 0, done.stderr
        return sum(" install " in command for command in venv.commands())

    assert [pip_installs(), pip_installs()] == [1, 1]
    with (checkout / "pyproject.toml").open("a") as pyproject:
        pyproject.write("# another dependency\n")
    assert [pip_installs(), pip_installs()] == [2, 2]
    assert f"--editable {checkout}[test,lint]" in venv.commands()[1]


@pytest.mark.parametrize(
    ("flags", "selection", "extras", "said"),
    [
        ([], "not browser and not gpu", "test", "browser (scripts/test --browser), gpu (scripts/test --gpu)"),
        (["--browser"], "not gpu", "test,browser", "gpu (scripts/test --gpu)"),
        (["--gpu", "--browser"], "", "test,browser", "no group was deselected"),
    ],
)
def test_the_test_script_says_what_it_deselects(
    tmp_path: Path, flags: list[str], selection: str, extras: str, said: str
) -> None:
    venv = stand_in(tmp_path / "venv")
    done = run([ROOT / "scripts/test", *flags, "-k", "grid"], tmp_path, SIDELOG_VENV="venv", STATUS=3)
    assert done.returncode == 3, "pytest's exit code"
    *_, installed, tested = venv.commands()
    assert installed.endswith(f"[{extras}]")
    assert tested == f"-m pytest -n 2 --dist loadfile -m {selection} -k grid"
    assert said in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("script", ["demo", "test", "lint"])
def test_an_old_python_is_refused_in_one_line(tmp_path: Path, script: str) -> None:
    old = executable(tmp_path / "python3", "#!/bin/sh\necho 3.8\n")
    path = f"{tmp_path}:{os.environ['PATH']}"
    by_path = run([ROOT / "scripts" / script], tmp_path, SIDELOG_VENV=tmp_path / "venv", PATH=path)
    by_name = run([ROOT / "scripts" / script], tmp_path, SIDELOG_VENV=tmp_path / "venv", PYTHON=old)
    message = "is Python 3.8, expected 3.10 or newer: set PYTHON to one\n"
    assert (by_path.returncode, by_path.stderr) == (1, f"{script}: python3 {message}")
    assert (by_name.returncode, by_name.stderr) == (1, f"{script}: {old} {message}")
    assert not (tmp_path / "venv").exists()


def test_a_missing_python_is_told_in_one_line(tmp_path: Path) -> None:
    done = run([ROOT / "scripts/demo"], tmp_path, SIDELOG_VENV=tmp_path / "venv", PYTHON="python-of-nobody")
    assert done.returncode == 1
    assert done.stderr == (
        "demo: there is no python-of-nobody here: install Python 3.10 or newer, or set PYTHON to one\n"
    )


def test_a_python_without_venv_is_told_in_one_line(tmp_path: Path) -> None:
    bare = executable(tmp_path / "bare", '#!/bin/sh\ncase "$2" in *version_info*) echo 3.11 ;; *) exit 1 ;; esac\n')
    done = run([ROOT / "scripts/test"], tmp_path, SIDELOG_VENV=tmp_path / "venv", PYTHON=bare)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"test: {bare} has no venv: install it (Debian, Ubuntu: apt-get install python3-venv)"
    )
    assert done.stderr.count("\n") == 1


def test_a_failing_pip_is_told_in_one_line_and_tried_again(tmp_path: Path) -> None:
    settings = {
        "SIDELOG_VENV": tmp_path / "venv",
        "PYTHON": sys.executable,
        "PIP_INDEX_URL": "http://127.0.0.1:1/simple",  # nobody listens there
        "PIP_RETRIES": 0,
    }
    first, second = (run([ROOT / "scripts/demo"], tmp_path, **settings) for _ in range(2))
    for done in (first, second):
        assert done.returncode == 1
        assert "about 2 minutes" in done.stdout
        assert re.fullmatch(r"demo: pip cannot install sidelog\[bench\]: No matching .* for hatchling.*\n", done.stderr)
    assert "making" in first.stdout
    assert "making" not in second.stdout


@pytest.mark.parametrize("arguments", [["--steps"], ["--steps", "many"], ["--logdir"], ["--nope"]])
def test_the_demo_refuses_a_wrong_argument_in_one_line(tmp_path: Path, arguments: list[str]) -> None:
    done = run([ROOT / "scripts/demo", *arguments], tmp_path)
    assert done.returncode == 1
    assert re.fullmatch(r"demo: .*(expects|expected|unknown).*\n", done.stderr)
