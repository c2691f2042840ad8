"""What ``add_scalars`` has logged, for ``export_scalars_to_json``."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from sidelog_shared.limits import STEP_NONE

if TYPE_CHECKING:
    from sidelog.cuda_snapshot import PendingScalar

_ROW = struct.Struct("=dqd")


class _Series:
    """One series, compact: a training logs hundreds of thousands.

    Attributes:
        rows: wall time, step and value of each scalar, packed.
        on_device: those of which the sender fetches the value.
    """

    __slots__ = ("on_device", "rows")

    def __init__(self) -> None:
        self.rows = bytearray()
        self.on_device: list[tuple[float, int, PendingScalar]] = []


class ScalarHistory:
    """Series by name. Any thread may add: each addition is one append."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}

    def add(self, name: str, wall_time: float, step: int, value: float | PendingScalar) -> None:
        """Remember one scalar.

        Args:
            step: ``limits.STEP_NONE`` for none.
        """
        series = self._series.get(name) or self._series.setdefault(name, _Series())
        if isinstance(value, float):
            series.rows.extend(_ROW.pack(wall_time, step, value))
        else:
            series.on_device.append((wall_time, step, value))

    def take(self) -> dict[str, list[list[float | int | None]]]:
        """All of it, by name: ``[wall time, step, value]``; then it is empty. Waits for values on a device."""
        taken, self._series = self._series, {}
        return {name: _rows(series) for name, series in taken.items()}


def _rows(series: _Series) -> list[list[float | int | None]]:
    rows = list(_ROW.iter_unpack(series.rows))
    if series.on_device:
        from sidelog.cuda_snapshot import fetch_scalars

        values = fetch_scalars([pending for _, _, pending in series.on_device])
        rows += [(wall, step, value) for (wall, step, _), value in zip(series.on_device, values, strict=True)]
        rows.sort(key=lambda row: row[0])
    return [[wall, None if step == STEP_NONE else step, value] for wall, step, value in rows]
