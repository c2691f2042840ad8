"""The two loggers that are compared, behind one face: inline tensorboardX, and sidelog."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import sidelog
from sidelog.bench.event_tail import EventTail
from sidelog_shared.errors import TransportError

if TYPE_CHECKING:
    import torch

ARRIVAL_LIMIT_S = 2.0
"""A figure counts only if the last record stands in its file so soon after its call."""
SETTLE_TIMEOUT_S = 60.0


class Logger(Protocol):
    """What a workload calls."""

    @property
    def scalar(self) -> Callable[[str, object, int], None]:
        """``(tag, value, step)``."""

    @property
    def feature_map(self) -> Callable[[str, torch.Tensor, int], None]:
        """``(tag, [C, H, W] or [B, C, H, W], step)``; of a batch the first sample is shown."""

    @property
    def tail(self) -> EventTail:
        """Reads its event files."""

    def settle(self, steps: Mapping[str, int]) -> float | None:
        """Wait until the newest records stand in the event file and nothing is under way any more.

        Args:
            steps: step of the newest record of each tag.

        Returns:
            Seconds until they stood there, without anything being done to hasten it if the logger promises as
            much; None when they did not come.
        """

    def trouble(self) -> list[str]:
        """What became of records that are not in the event files; empty if none."""

    def close(self) -> None: ...


class Inline:
    """What people write today: ``make_grid`` and tensorboardX's ``add_image`` in the training loop."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter

        self.writer = SummaryWriter(str(folder))
        self.tail = EventTail(folder)
        self.scalar: Callable[[str, object, int], None] = self.writer.add_scalar

    def feature_map(self, tag: str, feature_map: torch.Tensor, step: int) -> None:
        from torchvision.utils import make_grid

        shown = feature_map if feature_map.dim() == 3 else feature_map[0]
        self.writer.add_image(tag, make_grid(shown.detach().cpu().unsqueeze(1), normalize=True), step)

    def settle(self, steps: Mapping[str, int]) -> float | None:
        # Its flush() does not drain the queue of its thread, and its thread flushes every two minutes.
        begun = time.monotonic()
        while time.monotonic() - begun < SETTLE_TIMEOUT_S:
            self.writer.flush()
            if self.tail.wait_for(steps, deadline_s=0.02) is not None:
                return time.monotonic() - begun
        return None

    def trouble(self) -> list[str]:
        return []

    def close(self) -> None:
        self.writer.close()


class Sidelog:
    """The same calls through the sidecar."""

    def __init__(self, folder: Path) -> None:
        self.writer = sidelog.SummaryWriter(folder, rank=None)
        self.tail = EventTail(folder)
        self.scalar: Callable[[str, object, int], None] = self.writer.add_scalar
        self.feature_map: Callable[[str, torch.Tensor, int], None] = self.writer.add_feature_map

    def settle(self, steps: Mapping[str, int]) -> float | None:
        # First by looking only: flush() would wake the sender and hasten what is measured.
        arrived_s = self.tail.wait_for(steps, deadline_s=4 * ARRIVAL_LIMIT_S)
        self.writer.flush(pictures=True, timeout_s=SETTLE_TIMEOUT_S)
        self.tail.poll()
        return arrived_s

    def trouble(self) -> list[str]:
        found = self.writer.statistics()
        counts = {"dropped": found.dropped, "lost": found.lost, "rejected": found.rejected, "pending": found.pending}
        return [f"{count:,} records {name}" for name, count in counts.items() if count]

    def written(self) -> int:
        return self.writer.statistics().written

    def dropped(self) -> int:
        return self.writer.statistics().dropped

    def close(self) -> None:
        self.writer.close(timeout_s=SETTLE_TIMEOUT_S)


def wait_for_connection(logger: Sidelog) -> None:
    """Until the daemon is up and has answered: its start is measured elsewhere.

    Raises:
        TransportError: it does not.
    """
    logger.scalar("bench/connected", 1.0, 0)
    try:
        logger.writer.flush(timeout_s=30.0)
    except sidelog.SidelogError as error:
        raise TransportError(f"the bench has no daemon: {error}") from error
