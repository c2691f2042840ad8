"""What the reception asks of the other threads, and what they report back. Plain values, no behaviour."""

from __future__ import annotations

from dataclasses import dataclass, field

from sidelog_shared.missing import Missing
from sidelog_shared.records import Buffer, End, Lane, Record, Refusal, RunMarks, ScalarColumns

Ranges = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Send:
    """To the socket: a message to a client."""

    peer: bytes
    frames: list[Buffer]


@dataclass(frozen=True, slots=True)
class OpenRun:
    """To the writer: open a run directory for a worker; answered by RunOpened, RunRefused or RunPaused.

    Attributes:
        wall_time: when the worker opened it; None where nobody knows.
    """

    worker: str
    run: int
    path: str
    wall_time: float | None = None


@dataclass(frozen=True, slots=True)
class CloseRun:
    """To the writer: a worker is done with a run; answered by RunClosed.

    Attributes:
        forget: the worker said goodbye with nothing outstanding, so it may leave the markers.
        label: what people call the worker; for them alone.
        missing: what of its pictures the run does not hold.
    """

    worker: str
    run: int
    forget: bool
    label: str = field(default="", compare=False)
    missing: tuple[Missing, ...] = ()


@dataclass(frozen=True, slots=True)
class WriteScalars:
    """To the writer: rows of a batch, all of opened runs.

    Attributes:
        rows: which rows, as ranges ``first..last`` of row numbers from 0.
    """

    worker: str
    columns: ScalarColumns
    rows: Ranges


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """To the writer: a record of the light lane."""

    worker: str
    record: Record


@dataclass(frozen=True, slots=True)
class Render:
    """To a renderer: a record of the heavy lane or of the picture lane."""

    worker: str
    record: Record


@dataclass(frozen=True, slots=True)
class Commit:
    """To the writer: write what you hold now."""


Action = Send | OpenRun | CloseRun | WriteScalars | WriteRecord | Render | Commit


@dataclass(frozen=True, slots=True)
class Settled:
    """Records have reached their end."""

    worker: str
    lane: Lane
    ranges: Ranges
    end: End = End.WRITTEN


@dataclass(frozen=True, slots=True)
class Dropped:
    """A picture was dropped under pressure."""

    worker: str
    record: Record


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record cannot be written; ``why`` says what, got and expected."""

    worker: str
    record: Record
    why: str


@dataclass(frozen=True, slots=True)
class Noted:
    """Something about a worker's records that its user should read; they are written all the same.

    Attributes:
        run: which run it is about, where ``text`` does not say.
        logged: whether who reports it has logged it.
    """

    worker: str
    text: str
    run: int | None = field(default=None, compare=False)
    logged: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class RunOpened:
    worker: str
    run: int
    marks: RunMarks


@dataclass(frozen=True, slots=True)
class RunRefused:
    worker: str
    run: int
    code: Refusal
    text: str
    endpoint: str = ""


@dataclass(frozen=True, slots=True)
class RunPaused:
    """An open run cannot be written: what came of it is kept and tried again, more is not wanted until RunOpened."""

    worker: str
    run: int
    text: str


@dataclass(frozen=True, slots=True)
class RunClosed:
    """A worker's run is closed.

    Attributes:
        written: how many of its records this daemon wrote into it.
    """

    worker: str
    run: int
    written: int = field(default=0, compare=False)


Outcome = Settled | Dropped | Rejected | Noted | RunOpened | RunRefused | RunPaused | RunClosed
