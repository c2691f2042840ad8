"""What is in the outbox: logging calls as they were made, and fences between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from sidelog.reentry import Flag
from sidelog.runs import RunHandle
from sidelog.snapshot import Snapshot
from sidelog_shared.errors import SidelogError
from sidelog_shared.limits import PART_BYTES
from sidelog_shared.records import BufferSpec, Kind, Lane, Record, Series

if TYPE_CHECKING:
    from sidelog.cuda_snapshot import PendingScalar

ScalarCall: TypeAlias = "tuple[Series, int, float, float | PendingScalar]"
"""series, step (``limits.STEP_NONE`` for none), wall time, value (which may still be on a device)."""


@dataclass(slots=True, eq=False)
class RecordCall:
    """Any call but ``add_scalar``, with its snapshots.

    Attributes:
        ordinal: counts the pictures that the sender takes, from 1; 0 while this one waits.
    """

    run: int
    kind: Kind
    tag: str
    step: int | None
    wall_time: float
    options: dict[str, object]
    snapshots: tuple[Snapshot, ...]
    ordinal: int = 0

    @property
    def nbytes(self) -> int:
        return sum([snapshot.spec.nbytes for snapshot in self.snapshots])

    def record(self, lane: Lane, seq: int) -> Record:
        """What goes over the wire; in parts where it is large. May wait for a device."""
        storage = "parts" if self.nbytes > PART_BYTES else "frame"
        return Record(
            lane=lane,
            seq=seq,
            run=self.run,
            kind=self.kind,
            tag=self.tag,
            step=self.step,
            wall_time=self.wall_time,
            options=self.options,
            specs=tuple(BufferSpec(one.spec.dtype, one.spec.shape, storage) for one in self.snapshots),
            buffers=tuple(snapshot.data() for snapshot in self.snapshots),
        )


@dataclass(slots=True, eq=False, kw_only=True)
class Fence:
    """A place in the queue: something is to happen once everything before it is settled.

    Attributes:
        light_target: number of the newest light record before it.
        heavy_target: number of the newest heavy record before it.
        picture_target: ordinal of the newest picture before it, if none is dropped.
    """

    light_target: int = 0
    heavy_target: int = 0
    picture_target: int = 0


@dataclass(slots=True, eq=False)
class FlushRequest(Fence):
    """A caller waits.

    Attributes:
        everything: whether the heavy and the picture lane count too.
        runs: ids of the runs whose records count; None for all.
        done: set when it is so, or when it cannot be.
        error: why it cannot be.
        asked: the daemon was asked to write at once, when the light records were sent.
        asked_again: the same, when everything was.
    """

    everything: bool
    runs: frozenset[int] | None = None
    done: Flag = field(default_factory=Flag)
    error: SidelogError | None = None
    asked: bool = False
    asked_again: bool = False

    def fail(self, error: SidelogError) -> None:
        self.error = error
        self.done.set()


@dataclass(slots=True, eq=False)
class RunEnd(Fence):
    """The last writer of a run has closed: the daemon may let go of it.

    Attributes:
        run: which.
        number: which time it was closed; only the newest counts.
    """

    run: RunHandle
    number: int


LightCall: TypeAlias = "ScalarCall | RecordCall | Fence"
