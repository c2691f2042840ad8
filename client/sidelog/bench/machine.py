"""Where and with what a measurement was made."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "sidelog",
    "torch",
    "torchvision",
    "tensorboardX",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "isal",
    "pyzmq",
)


def machine(device: str) -> dict[str, object]:
    """Processor, cores, load at the start, operating system, and the device if there is one."""
    import torch

    found: dict[str, object] = {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "load": [round(load, 2) for load in os.getloadavg()],
        "torch_threads": torch.get_num_threads(),
    }
    if device == "cuda":
        found["device"] = torch.cuda.get_device_name()
    return found


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Python's and those of packages, whether they are there or not."""
    found = {"python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not found"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
