"""What a record is: its lane, its kind, its buffers, and the worker that logged it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum

import numpy as np
import numpy.typing as npt

from sidelog_shared.dtypes import DType
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import STEP_NEXT

Buffer = bytes | bytearray | memoryview


class Lane(str, Enum):
    """One of a worker's ordered streams, each with sequence numbers of its own, from 1.

    ``LIGHT``    reliable; never waits for rendering.
    ``HEAVY``    reliable; rendered in order.
    ``PICTURE``  best effort: may be dropped under pressure; always counted, never resent.
    """

    LIGHT = "light"
    HEAVY = "heavy"
    PICTURE = "picture"

    @property
    def reliable(self) -> bool:
        return self is not Lane.PICTURE


class Kind(IntEnum):
    """What a RECORD message holds. Scalars have a message of their own: they travel in columns.

    ``docs/protocol.md`` has the table of their lanes, buffers and options; :data:`LANES` is its second column.
    """

    TEXT = 1
    PICTURE = 2
    HISTOGRAM = 3
    BOXES = 4
    HPARAMS = 5
    LAYOUT = 6
    BUCKETS = 7
    PR_COUNTS = 8
    PURGE = 9
    PR_CURVE = 10
    AUDIO = 11
    VIDEO = 12
    MESH = 13
    EMBEDDING = 14
    TENSOR = 15
    ONNX = 16
    SUMMARY = 17


_LIGHT = frozenset({Lane.LIGHT})
_HEAVY = frozenset({Lane.HEAVY})
_PICTURE = frozenset({Lane.PICTURE, Lane.HEAVY})
LANES: Mapping[Kind, frozenset[Lane]] = {
    Kind.TEXT: _LIGHT,
    Kind.PICTURE: _PICTURE,
    Kind.HISTOGRAM: _PICTURE,
    Kind.BOXES: _PICTURE,
    Kind.HPARAMS: _LIGHT,
    Kind.LAYOUT: _LIGHT,
    Kind.BUCKETS: _LIGHT,
    Kind.PR_COUNTS: _LIGHT,
    Kind.PURGE: _LIGHT,
    Kind.PR_CURVE: _HEAVY,
    Kind.AUDIO: _HEAVY,
    Kind.VIDEO: _HEAVY,
    Kind.MESH: _HEAVY,
    Kind.EMBEDDING: _HEAVY,
    Kind.TENSOR: _HEAVY,
    Kind.ONNX: _HEAVY,
    Kind.SUMMARY: _LIGHT | _HEAVY,
}
"""In which lanes a record of a kind may travel."""


class End(str, Enum):
    """How a record ended. ``WRITTEN`` is the only one in which it stands in an event file."""

    WRITTEN = "written"
    REJECTED = "rejected"
    DROPPED = "dropped"
    LOST = "lost"


class Refusal(str, Enum):
    """Why a daemon refuses a HELLO or an OPEN_RUN."""

    VERSION = "version"
    RUN_BUSY = "run-busy"
    RUN_NAME = "run-name"
    RUN_UNWRITABLE = "run-unwritable"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Worker:
    """One incarnation of one logging process.

    Attributes:
        id: 16 hexadecimal digits, new each time.
        rank: its rank in the job; None when it is not part of one.
        world_size: how many ranks the job has; None likewise.
        host: the machine's name.
        pid: the process id there.
        label: what people call it in log lines (``"rank 1 (host:4711)"``).
    """

    id: str
    host: str
    pid: int
    rank: int | None = None
    world_size: int | None = None

    @property
    def label(self) -> str:
        who = "worker" if self.rank is None else f"rank {self.rank}"
        return f"{who} ({self.host}:{self.pid})"


class ScalarForm(IntEnum):
    """How a scalar stands in the event file: as ``simple_value``, or as a tensor of one float32 or float64."""

    SIMPLE = 0
    FLOAT = 1
    DOUBLE = 2


@dataclass(frozen=True, slots=True)
class Series:
    """What the rows of a column of scalars have in common."""

    run: int
    tag: str
    display_name: str = ""
    description: str = ""
    form: ScalarForm = ScalarForm.SIMPLE


@dataclass(frozen=True, slots=True)
class BufferSpec:
    """How one buffer of a record is to be read.

    Attributes:
        dtype: element type.
        shape: dimensions, C-contiguous.
        storage: where the bytes are: ``"frame"``, a frame of the same message, or ``"parts"``, PART messages
            that follow.
        codec: how they are packed: ``"raw"``.
        nbytes: length, by type and shape.
    """

    dtype: DType
    shape: tuple[int, ...]
    storage: str = "frame"
    codec: str = "raw"
    nbytes: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nbytes", self.dtype.itemsize * math.prod(self.shape))


@dataclass(frozen=True, slots=True)
class ScalarColumns:
    """Scalars of one worker in the order of the calls; row i has sequence number ``first_seq + i``.

    Attributes:
        first_seq: sequence number of row 0 in the light lane.
        series: run and tag of the rows that name it.
        index: ``[n]`` uint32, which of ``series``.
        steps: ``[n]`` int64; ``limits.STEP_NONE`` where no step was given.
        wall_times: ``[n]`` float64, seconds since the epoch.
        values: ``[n]`` float64.
    """

    first_seq: int
    series: tuple[Series, ...]
    index: npt.NDArray[np.uint32]
    steps: npt.NDArray[np.int64]
    wall_times: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def last_seq(self) -> int:
        """Sequence number of the last row."""
        return self.first_seq + len(self) - 1

    def spans(self) -> dict[int, tuple[int, int]]:
        """For each run the lowest and the highest sequence number of its rows."""
        runs = np.array([one.run for one in self.series])
        if (runs == runs[0]).all():
            return {int(runs[0]): (self.first_seq, self.last_seq)}
        of_rows = runs[self.index]
        named, firsts = np.unique(of_rows, return_index=True)
        lasts = len(of_rows) - 1 - np.unique(of_rows[::-1], return_index=True)[1]
        return {
            run: (self.first_seq + low, self.first_seq + high)
            for run, low, high in zip(named.tolist(), firsts.tolist(), lasts.tolist(), strict=True)
        }


@dataclass(frozen=True, slots=True)
class Record:
    """One logging call with its tensors.

    Attributes:
        lane: the stream it belongs to.
        seq: its number there.
        run: id of an opened run.
        kind: what it is.
        tag: name of its series.
        step: the caller's step, or None.
        wall_time: seconds since the epoch, finite.
        options: what the kind needs beyond the buffers (a picture's recipe, a histogram's bins).
        specs: how to read each buffer.
        buffers: the bytes, in the order of ``specs``; empty while parts are still to come.
    """

    lane: Lane
    seq: int
    run: int
    kind: Kind
    tag: str
    step: int | None
    wall_time: float
    options: Mapping[str, object]
    specs: tuple[BufferSpec, ...]
    buffers: tuple[Buffer, ...] = ()

    @property
    def nbytes(self) -> int:
        return sum(spec.nbytes for spec in self.specs)

    @property
    def place(self) -> str:
        """Where it belongs, for people: ``'loss' at step 3``."""
        return f"{self.tag!r} at {'the next step' if self.step == STEP_NEXT else f'step {self.step}'}"

    @property
    def in_parts(self) -> bool:
        return any(spec.storage == "parts" for spec in self.specs)


@dataclass(slots=True)
class LaneState:
    """What a daemon says of one lane of one worker.

    Attributes:
        received: records whose tensors the daemon has taken over; the client may free its memory.
        settled: records that have reached their end.
        ends: how many ended how, since this daemon knows the worker.
    """

    received: IntervalSet = field(default_factory=IntervalSet)
    settled: IntervalSet = field(default_factory=IntervalSet)
    ends: dict[End, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunMarks:
    """What of one worker already stands in a run directory, by its markers.

    Attributes:
        light: highest sequence number of the light lane.
        heavy: highest sequence number of the heavy lane.
        picture: sequence numbers of pictures, the newest ``limits.MAX_PICTURE_RANGES`` ranges.
    """

    light: int = 0
    heavy: int = 0
    picture: tuple[tuple[int, int], ...] = ()
