"""The scripts of the benches, run as a person does, in an environment without a user's settings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psutil


def run_bench(
    folder: Path, program: Sequence[str], arguments: Sequence[str], *, deadline_s: float
) -> subprocess.CompletedProcess[str]:
    """Run one, and see that it leaves nothing.

    Args:
        folder: where it runs, and where its files go.
        program: what Python runs.
        arguments: of it.
        deadline_s: it is killed then.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SIDELOG_")}
    temporary = Path(tempfile.mkdtemp(prefix="slt-"))  # pytest's folders are too long for a socket's path
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        env=environment | {"SIDELOG_MODE": "off", "MPLBACKEND": "Agg", "TMPDIR": str(temporary)},
        cwd=folder, capture_output=True, text=True, timeout=deadline_s, check=False,
    )  # fmt: skip
    assert str(temporary) not in Path("/proc/mounts").read_text()
    assert list(temporary.glob("sidelog-bench-*")) == []
    shutil.rmtree(temporary)
    assert [one for one in psutil.process_iter(["cwd"]) if one.info["cwd"] == str(folder)] == []
    return done
