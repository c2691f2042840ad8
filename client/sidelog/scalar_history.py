"""What ``add_scalars`` has logged, for ``export_scalars_to_json``."""

from __future__ import annotations

import contextlib
import logging
import struct
from collections import deque
from typing import TYPE_CHECKING

from sidelog_shared.limits import STEP_NONE

if TYPE_CHECKING:
    from sidelog.cuda_snapshot import PendingScalar

log = logging.getLogger("sidelog")

MAX_VALUES = 1_000_000
"""So many values of all series of a writer are kept, 24 MB; beyond it the older half of each series goes, which is
counted, and told of at the export. Most trainings never export: they must not pay for it with memory without end."""

_ROW = struct.Struct("=dqd")


class _Series:
    """One series, compact: a training logs hundreds of thousands.

    Attributes:
        rows: wall time, step and value of each scalar, packed.
        on_device: those of which the sender has not fetched the value; they join the others when it has.
        is_mixed: some were on a device, so that the rows do not stand in the order of the calls.
    """

    __slots__ = ("is_mixed", "on_device", "rows")

    def __init__(self) -> None:
        self.rows = bytearray()
        self.on_device: deque[tuple[float, int, PendingScalar]] = deque()
        self.is_mixed = False

    def take_fetched(self) -> None:
        with contextlib.suppress(IndexError):  # no more, or another thread took the last one
            while True:
                wall_time, step, scalar = first = self.on_device.popleft()
                if scalar.value is None:
                    self.on_device.appendleft(first)
                    return
                self.rows.extend(_ROW.pack(wall_time, step, scalar.value))

    def forget_older_half(self) -> int:
        """Returns how many went; of one, that one."""
        rows, on_device = len(self.rows) // _ROW.size, len(self.on_device)
        oldest = (rows + 1) // 2, (on_device + 1) // 2
        del self.rows[: oldest[0] * _ROW.size]
        with contextlib.suppress(IndexError):
            for _ in range(oldest[1]):
                self.on_device.popleft()
        return sum(oldest)


class ScalarHistory:
    """Series by name. Any thread may add, also a signal handler within :meth:`add`: no lock is held."""

    def __init__(self) -> None:
        self._series: dict[str, _Series] = {}
        self._room = MAX_VALUES
        self._forgotten = 0

    def add(self, name: str, wall_time: float, step: int, value: float | PendingScalar) -> None:
        """Remember one scalar.

        Args:
            step: ``limits.STEP_NONE`` for none.
        """
        if self._room <= 0:
            # Half of each series, rounded up, leaves at most half of all. Set first: another thread need not do it too.
            self._room = MAX_VALUES // 2
            self._forgotten += sum(series.forget_older_half() for series in list(self._series.values()))
        self._room -= 1
        series = self._series.get(name) or self._series.setdefault(name, _Series())
        if isinstance(value, float):
            series.rows.extend(_ROW.pack(wall_time, step, value))
        else:
            series.is_mixed = True
            series.on_device.append((wall_time, step, value))
            series.take_fetched()

    def take(self) -> dict[str, list[list[float | int | None]]]:
        """All that is kept, by name: ``[wall time, step, value]``; then it is empty. Waits for values on a device."""
        taken, self._series = self._series, {}
        forgotten, self._forgotten = self._forgotten, 0
        self._room = MAX_VALUES
        if forgotten:
            log.warning(
                "sidelog: the oldest %s values of add_scalars are not exported: a writer keeps %s at most, for its "
                "export_scalars_to_json; export earlier (the event files hold them all)", f"{forgotten:,}",
                f"{MAX_VALUES:,}",
            )  # fmt: skip
        return {name: rows for name, series in taken.items() if (rows := _rows(series))}


def _rows(series: _Series) -> list[list[float | int | None]]:
    rows = list(_ROW.iter_unpack(series.rows))
    if series.on_device:
        from sidelog.cuda_snapshot import fetch_scalars

        values = fetch_scalars([pending for _, _, pending in series.on_device])
        rows += [(wall, step, value) for (wall, step, _), value in zip(series.on_device, values, strict=True)]
    if series.is_mixed:
        rows.sort(key=lambda row: row[0])
    return [[wall, None if step == STEP_NONE else step, value] for wall, step, value in rows]
