"""What this process holds open, by its path."""

from __future__ import annotations

import os
from pathlib import Path


def kept_open_below(folder: Path) -> list[str]:
    """Files below a folder that are open, removed ones too.

    By path and not by count: other libraries open and close descriptors in threads of their own.
    """
    kept = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:  # the listing's own
            continue
        if Path(target).is_relative_to(folder):
            kept.append(target)
    return kept
