"""Second step: undo the ``Normalize`` that the network's input went through."""

from __future__ import annotations

import numpy as np

from sidelog_daemon.render.tensors import Floats
from sidelog_shared.errors import SnapshotError


def check_channels(mean: tuple[float, ...], channels: int) -> None:
    """Check that there is one mean (and so one std) per channel.

    Raises:
        SnapshotError: there is not.
    """
    if len(mean) != channels:
        raise SnapshotError(f"mean and std have {len(mean)} values, expected {channels}: one per channel")


def denormalize(values: Floats, mean: tuple[float, ...], std: tuple[float, ...], out: Floats) -> Floats:
    """``values * std + mean`` per channel, each operation rounded to float32 as torch does.

    Args:
        values: ``[n, C, h, w]``.
        mean: C numbers.
        std: C numbers.
        out: of the shape of ``values``; may be ``values`` itself.

    Returns:
        ``out``.
    """
    np.multiply(values, np.asarray(std, np.float32)[:, None, None], out=out)
    return np.add(out, np.asarray(mean, np.float32)[:, None, None], out=out)
