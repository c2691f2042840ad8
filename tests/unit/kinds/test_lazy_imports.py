"""What a daemon loads only when a record needs it, and what it never does."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
import numpy as np
from sidelog_daemon import daemon
from sidelog_daemon.kinds import make_content
from sidelog_shared import dtypes
from sidelog_shared.records import BufferSpec, Kind, Lane, Record

def loaded(*names):
    return sorted(set(names) & set(sys.modules))

assert not loaded("torch", "torchvision", "PIL", "soundfile", "onnx", "moviepy", "imageio"), loaded("PIL", "soundfile")

def make(kind, *arrays, step=0, **options):
    specs = tuple(BufferSpec(dtypes.BY_NAME[one.dtype.name], one.shape) for one in arrays)
    buffers = tuple(one.tobytes() for one in arrays)
    assert make_content(Record(Lane.HEAVY, 1, 1, kind, "tag", step, 0.0, options, specs, buffers))

make(Kind.VIDEO, np.zeros((1, 2, 3, 4, 4), np.uint8), dataformats="NTCHW", fps=4)
make(Kind.BOXES, np.zeros((3, 4, 4), np.uint8), np.zeros((1, 4)), dataformats="CHW", labels=["one"])
make(Kind.AUDIO, np.zeros(4, np.float32), sample_rate=8000)
make(Kind.EMBEDDING, np.zeros((2, 2)), np.zeros((2, 3, 4, 4), np.uint8), parts=["sprites"])
make(Kind.PR_CURVE, np.zeros(3), np.zeros(3), num_thresholds=9)
make(Kind.MESH, np.zeros((1, 2, 3)), parts=["vertices"], config="null")
make(Kind.TENSOR, np.zeros(3))
assert not loaded("torch", "torchvision", "moviepy", "imageio"), loaded("torch", "torchvision", "moviepy", "imageio")
"""


def test_encoders_are_loaded_when_they_are_needed_and_torch_never() -> None:
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
