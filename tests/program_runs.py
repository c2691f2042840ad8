"""The programs of ``tests/programs``, run twice: as they are, and unchanged but for the import of the writer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from processes import finish, foreign_variables, stop_local_daemon

FOLDER = Path(__file__).with_name("programs")
ORIGINAL, OURS = "original", "sidelog"
_IMPORT = re.compile(r"^from (tensorboardX|torch\.utils\.tensorboard) import (\w+)$", re.MULTILINE)
_DEADLINE_S = 100.0


@dataclass(frozen=True)
class Program:
    """What is to be known of a program before its two runs can be compared.

    Attributes:
        name: its file, without the suffix.
        rounded: tags of its pictures, and its files of pictures, whose pixels are made of floats: those are truncated
            there and rounded here.
        parallel: its processes log into one run: in which order is open.
        racy: tags whose values no two runs of it have in common.
        alone: it cannot share TensorBoard's pages with others: of two searches over hyperparameters in one folder, one
            names the columns, which one is open.
    """

    name: str
    rounded: frozenset[str] = field(default=frozenset())
    parallel: bool = False
    racy: frozenset[str] = field(default=frozenset())
    alone: bool = False

    @property
    def has_pages(self) -> bool:
        """Whether TensorBoard's pages are compared: they can be the same."""
        return not (self.parallel or self.racy or self.alone)


_ALL = (
    Program(
        "all_kinds",
        rounded=frozenset({"picture/ramp", "picture/grey", "picture/boxes", "00100/default/sprite.png"}),
    ),
    Program("histograms"),
    Program("pr_curves"),
    Program("hparams"),
    Program("custom_scalars"),
    Program("embeddings", rounded=frozenset({"00000/pixels/sprite.png"})),
    Program("meshes"),
    Program("purge_and_resume"),
    Program("after_close"),
    Program("onnx_graph"),
    Program("torch_style", rounded=frozenset({"images", "batch"})),
    Program("torch_hparams", alone=True),
    Program("global_writer_in_two_modules"),
    Program("global_writer", parallel=True),
    Program("hogwild", racy=frozenset({"loss"})),
)
PROGRAMS: Mapping[str, Program] = {program.name: program for program in _ALL}


@dataclass(frozen=True)
class Runs:
    """Where the two runs of a program logged.

    Attributes:
        original: folder of the writer that it imports.
        ours: folder of the same with sidelog's.
        since: when they began, in seconds since the epoch.
    """

    original: Path
    ours: Path
    since: float


def programs_in_folder() -> set[str]:
    """Names of the files that are run; the others are modules of theirs."""
    return {path.stem for path in FOLDER.glob("*.py") if '\nif __name__ == "__main__":\n' in path.read_text()}


def with_our_import(source: str) -> str:
    """The program with its one import of a writer changed.

    Raises:
        AssertionError: it has none, or several.
    """
    changed, count = _IMPORT.subn(r"from sidelog import \2", source)
    assert count == 1, f"{count} lines import a writer, expected one"
    return changed


class ProgramRuns:
    """Runs each program at most once a side, and remembers where.

    Args:
        folder: ``<folder>/<side>/<program>`` are the log folders of programs that have pages to compare,
            ``<folder>/others/<side>/<program>`` those of the others.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._done: dict[str, Runs] = {}
        self._ours = folder / "programs"
        self._ours.mkdir()
        for path in FOLDER.glob("*.py"):
            (self._ours / path.name).write_text(with_our_import(path.read_text()))

    def of(self, name: str) -> Runs:
        """Both runs of a program.

        Raises:
            AssertionError: one of them failed.
        """
        if name not in self._done:
            root = self.folder if PROGRAMS[name].has_pages else self.folder / "others"
            runs = Runs(root / ORIGINAL / name, root / OURS / name, time.time() - 1)
            with pytest.MonkeyPatch.context() as patch:  # also for fixtures that live longer than a test
                for variable in foreign_variables():
                    patch.delenv(variable)
                _run(name, runs, self._ours, patch)
            self._done[name] = runs
        return self._done[name]


def _run(name: str, runs: Runs, our_programs: Path, patch: pytest.MonkeyPatch) -> None:
    """Both at once: they share nothing."""
    runtime_dir = tempfile.mkdtemp(prefix="sl-", dir="/tmp")  # short: the path of a socket is at most 107 bytes
    patch.setenv("SIDELOG_RUNTIME_DIR", runtime_dir)
    patch.setenv("OMP_NUM_THREADS", "1")
    sides = ((FOLDER, runs.original), (our_programs, runs.ours))
    started = [_start(programs / f"{name}.py", logdir) for programs, logdir in sides]
    try:
        for process in started:
            status, out, err = finish(process, _DEADLINE_S)
            assert status == 0, f"{process.args} ended with {status}: {out}{err}"
    finally:
        for process in started:
            if process.poll() is None:
                process.kill()
                process.communicate()
        stop_local_daemon()
        shutil.rmtree(runtime_dir)


def _start(script: Path, logdir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(script), str(logdir)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
