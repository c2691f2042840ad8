"""Which component may import which; what the daemon's process never loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sidelog
from processes import DaemonProcess

ROOT = Path(__file__).parents[2]
SOURCES = {
    "client": ROOT / "client" / "sidelog",
    "daemon": ROOT / "daemon" / "sidelog_daemon",
    "shared": ROOT / "shared" / "sidelog_shared",
}
FORBIDDEN = {
    "client": {"sidelog_daemon"},
    "daemon": {"sidelog"},
    "shared": {"sidelog", "sidelog_daemon", "torch", "torchvision", "zmq"},
}
DAEMON_MODULES = sorted(
    ".".join(path.relative_to(ROOT / "daemon").with_suffix("").parts).removesuffix(".__init__")
    for path in SOURCES["daemon"].rglob("*.py")
)


def imported(source: str) -> set[str]:
    """Top-level names of all packages that a module imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            names.add((node.module or "").partition(".")[0])
    return names


@pytest.mark.parametrize("component", SOURCES)
def test_no_component_imports_what_it_must_not(component: str) -> None:
    paths = sorted(SOURCES[component].rglob("*.py"))
    assert paths
    for path in paths:
        found = imported(path.read_text()) & FORBIDDEN[component]
        assert not found, f"{path.relative_to(ROOT)} imports {found}"


def test_importing_any_module_of_the_daemon_does_not_import_torch() -> None:
    code = f"""
import importlib, sys
for name in {DAEMON_MODULES!r}:
    importlib.import_module(name)
    assert not {{"torch", "torchvision", "sidelog"}} & set(sys.modules), name
"""
    assert "sidelog_daemon.render.picture" in DAEMON_MODULES
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_sidelog_does_not_import_torch_or_the_daemon() -> None:
    code = """
import sys, sidelog
assert not {"torch", "torchvision", "tensorboardX", "cv2", "sidelog_daemon"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_call_with_arrays_imports_no_part_of_numpy_that_was_not_there() -> None:
    """A signal handler that logs while that import is under way would run into the half of it."""
    code = """
import sys
import numpy as np
from sidelog.arrays import as_array
before = set(sys.modules)
as_array(np.zeros((1, 4, 4), np.float32), "x")
as_array([1.0, 2.0], "x")
assert set(sys.modules) == before, set(sys.modules) - before
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_daemon_never_loads_torch(daemon: Callable[..., DaemonProcess], tmp_path: Path) -> None:
    process = daemon("--bind", f"ipc://{tmp_path}/d.sock", "--logdir", str(tmp_path))

    def loaded() -> list[str]:
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        return [line for line in maps.splitlines() if "torch" in line]

    assert loaded() == []
    with sidelog.SummaryWriter(tmp_path / "run", endpoint=process.endpoint) as writer:
        writer.add_feature_map("map", np.random.default_rng(0).normal(size=(4, 5, 6)), 0)
        writer.add_histogram("values", np.arange(10.0), 0)
        writer.add_label_map("labels", np.arange(12).reshape(3, 4) % 5, 0)
    assert writer.statistics().pending == 0
    assert loaded() == []


def test_the_daemon_has_no_threads_but_its_own(daemon: Callable[..., DaemonProcess], tmp_path: Path) -> None:
    """numpy's linear algebra would start one for each further core, which spins after each sum of squares."""
    process = daemon("--logdir", str(tmp_path))
    with sidelog.SummaryWriter(tmp_path / "run") as writer:
        writer.add_histogram("values", np.arange(50_000.0), 0, bins="auto")
        writer.flush(pictures=True)
        names = sorted(path.read_text().strip() for path in Path(f"/proc/{process.pid}/task").glob("*/comm"))
    # The receiver is the main thread; the writer, and one renderer for each of both lanes; two of ZeroMQ.
    zmq = [name for name in names if name.startswith("ZMQ")]
    assert len(zmq) == 2
    assert len(names) == 4 + len(zmq)
