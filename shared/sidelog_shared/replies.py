"""Messages from daemon to client. Each is a statement of state, so that a lost or doubled one does no harm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from sidelog_shared.documents import pack_document, read_document
from sidelog_shared.errors import MalformedHeader
from sidelog_shared.frames import MINOR, Envelope, MessageKind, pack
from sidelog_shared.header import HeaderReader, plain
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import KIB, MAX_TAG_BYTES, Limits
from sidelog_shared.records import Buffer, End, Lane, LaneState, Refusal, RunMarks
from sidelog_shared.report import DaemonReport
from sidelog_shared.requests import FEATURES

_UINT31 = 2**31 - 1
_UINT63 = 2**63 - 1
MAX_STATE_RANGES = 256
"""Ranges of one lane in one STATE, the lowest; what else has settled is said by SETTLED. Keeps the header under its
limit."""
MAX_SETTLED_RANGES = 1024
"""Ranges of all lanes in one SETTLED: 18 kB at most."""
_MAX_TAGS = 64
_MAX_TAGS_BYTES = 12 * KIB
"""Dropped tags in one STATE: with 6 x 256 ranges (29 kB) and 8 troubles (16 kB) they stay under the header's limit."""
_MAX_TEXT = 4096


@dataclass(frozen=True, slots=True)
class Trouble:
    """A record that could not be written, for the client to tell its user.

    Attributes:
        serial: counts up per worker, so that the client says each once.
        text: what happened, with tag and step.
    """

    serial: int
    text: str


@dataclass(frozen=True, slots=True)
class Status:
    """What a daemon knows of a worker's records; said in WELCOME and in every STATE."""

    lanes: dict[Lane, LaneState] = field(default_factory=lambda: {lane: LaneState() for lane in Lane})
    dropped_tags: dict[str, int] = field(default_factory=dict)
    troubles: tuple[Trouble, ...] = ()

    def to_map(self) -> dict[str, object]:
        return {
            "lanes": {
                lane.value: {
                    "received": state.received.ranges(MAX_STATE_RANGES),
                    "settled": state.settled.ranges(MAX_STATE_RANGES),
                    "ends": {end.value: count for end, count in state.ends.items()},
                }
                for lane, state in self.lanes.items()
            },
            "dropped_tags": self._first_dropped_tags(),
            "troubles": [[trouble.serial, plain(trouble.text, 500)] for trouble in self.troubles[-8:]],
        }

    def _first_dropped_tags(self) -> dict[str, int]:
        chosen: dict[str, int] = {}
        size = 0
        for tag, count in self.dropped_tags.items():
            size += len(tag.encode()) + 12
            if size > _MAX_TAGS_BYTES or len(chosen) == _MAX_TAGS:
                break
            chosen[tag] = count
        return chosen

    @classmethod
    def read(cls, reader: HeaderReader) -> Status:
        lanes = {}
        for lane in Lane:
            state = reader.reader("lanes").reader(lane.value)
            ends = state.reader("ends")
            lanes[lane] = LaneState(
                IntervalSet(state.ranges("received")),
                IntervalSet(state.ranges("settled")),
                {end: ends.optional_integer(end.value, 0, _UINT63) or 0 for end in End},
            )
        tags = {tag: count for tag, count in reader.mapping("dropped_tags").items() if isinstance(count, int)}
        troubles = tuple(
            Trouble(item[0], item[1])
            for item in reader.items("troubles", 1024)
            if isinstance(item, list) and len(item) == 2 and type(item[0]) is int and isinstance(item[1], str)
        )
        return cls(lanes, tags, troubles)


@dataclass(frozen=True, slots=True)
class Welcome:
    """The answer to HELLO.

    Attributes:
        instance: which start of which daemon this is; a new one means that its memory of the worker is gone.
        known: the daemon knew this worker before this HELLO.
        logdir: folder for runs that are given by name.
        limits: what it grants.
        status: what it holds of the worker, before it gave up on what HELLO said will never come.
        features: what both can do.
    """

    kind: ClassVar = MessageKind.WELCOME
    instance: str
    known: bool
    logdir: str
    limits: Limits
    status: Status
    features: tuple[str, ...] = FEATURES

    def frames(self, epoch: int) -> list[Buffer]:
        header: dict[str, object] = {
            "minor": MINOR,
            "instance": self.instance,
            "known": self.known,
            "logdir": plain(self.logdir, 8192),
            "features": list(self.features),
            "limits": {
                "max_record_bytes": self.limits.max_record_bytes,
                "session_budget_bytes": self.limits.session_budget_bytes,
            },
            "status": self.status.to_map(),
        }
        return pack(self.kind, epoch, header)

    @classmethod
    def read(cls, envelope: Envelope) -> Welcome:
        reader = HeaderReader("WELCOME", envelope.header)
        limits = reader.reader("limits")
        return cls(
            instance=reader.text("instance", 64),
            known=reader.flag("known"),
            logdir=reader.text("logdir", 8192),
            limits=Limits(
                limits.integer("max_record_bytes", 1 << 20, _UINT63),
                limits.integer("session_budget_bytes", 1 << 20, _UINT63),
            ),
            status=Status.read(reader.reader("status")),
            features=tuple(item for item in reader.items("features", 256) if isinstance(item, str)),
        )


@dataclass(frozen=True, slots=True)
class Opened:
    """A run directory is open for this worker; ``marks`` says what of the worker already stands in it."""

    kind: ClassVar = MessageKind.OPENED
    run: int
    marks: RunMarks

    def frames(self, epoch: int) -> list[Buffer]:
        header: dict[str, object] = {
            "run": self.run,
            "light": self.marks.light,
            "heavy": self.marks.heavy,
            "picture": list(self.marks.picture),
        }
        return pack(self.kind, epoch, header)

    @classmethod
    def read(cls, envelope: Envelope) -> Opened:
        reader = HeaderReader("OPENED", envelope.header)
        return cls(
            reader.integer("run", 0, _UINT31),
            RunMarks(
                light=reader.integer("light", 0, _UINT63),
                heavy=reader.integer("heavy", 0, _UINT63),
                picture=tuple(reader.ranges("picture")),
            ),
        )


@dataclass(frozen=True, slots=True)
class Refused:
    """A HELLO (``run`` is None) or an OPEN_RUN is refused.

    Attributes:
        code: why, for programs.
        text: why, for people: what, got, expected.
        run: which run, or None.
        endpoint: who has what was asked for, where that is known.
    """

    kind: ClassVar = MessageKind.REFUSED
    code: Refusal
    text: str
    run: int | None = None
    endpoint: str = ""

    def frames(self, epoch: int) -> list[Buffer]:
        header: dict[str, object] = {
            "code": self.code.value,
            "text": plain(self.text, _MAX_TEXT),
            "run": self.run,
            "endpoint": self.endpoint,
        }
        return pack(self.kind, epoch, header)

    @classmethod
    def read(cls, envelope: Envelope) -> Refused:
        reader = HeaderReader("REFUSED", envelope.header)
        code = reader.text("code", 64)
        try:
            refusal = Refusal(code)
        except ValueError:
            raise MalformedHeader(
                f"REFUSED.code is {code!r}, expected one of {[known.value for known in Refusal]}"
            ) from None
        return cls(
            refusal,
            reader.text("text", _MAX_TEXT),
            reader.optional_integer("run", 0, _UINT31),
            reader.text("endpoint", MAX_TAG_BYTES),
        )


@dataclass(frozen=True, slots=True)
class State:
    """What became of the worker's records so far."""

    kind: ClassVar = MessageKind.STATE
    status: Status

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, self.status.to_map())

    @classmethod
    def read(cls, envelope: Envelope) -> State:
        return cls(Status.read(HeaderReader("STATE", envelope.header)))


@dataclass(frozen=True, slots=True)
class Settled:
    """Records that have settled, for which a STATE has no room: runs that wait leave many holes in the numbers.

    Attributes:
        lanes: at most ``MAX_SETTLED_RANGES`` ranges together.
    """

    kind: ClassVar = MessageKind.SETTLED
    lanes: dict[Lane, tuple[tuple[int, int], ...]]

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, {lane.value: list(ranges) for lane, ranges in self.lanes.items() if ranges})

    @classmethod
    def read(cls, envelope: Envelope) -> Settled:
        reader = HeaderReader("SETTLED", envelope.header)
        return cls({lane: tuple(reader.ranges(lane.value)) for lane in Lane if lane.value in envelope.header})


@dataclass(frozen=True, slots=True)
class Reset:
    """The daemon has no session for whoever sent that; say HELLO with a higher epoch."""

    kind: ClassVar = MessageKind.RESET

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, {})

    @classmethod
    def read(cls, envelope: Envelope) -> Reset:
        return cls()


@dataclass(frozen=True, slots=True)
class Draining:
    """The daemon is going down: it takes nothing more, writes what it has, and then lets go of its runs."""

    kind: ClassVar = MessageKind.DRAINING

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, {})

    @classmethod
    def read(cls, envelope: Envelope) -> Draining:
        return cls()


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Everything of this worker is settled and its runs are closed; ``status`` is the last word on both."""

    kind: ClassVar = MessageKind.GOODBYE
    status: Status

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, self.status.to_map())

    @classmethod
    def read(cls, envelope: Envelope) -> Goodbye:
        return cls(Status.read(HeaderReader("GOODBYE", envelope.header)))


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to INQUIRE: how things stand with the daemon, its workers and its runs."""

    kind: ClassVar = MessageKind.REPORT
    report: DaemonReport

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, {}, [pack_document(self.report.to_map())])

    @classmethod
    def read(cls, envelope: Envelope) -> Report:
        if len(envelope.buffers) != 1:
            raise MalformedHeader(f"REPORT has {len(envelope.buffers)} buffers, expected 1")
        return cls(DaemonReport.read(HeaderReader("REPORT", read_document(envelope.buffers[0]))))


Reply = Welcome | Opened | Refused | State | Settled | Reset | Draining | Goodbye | Report

_MESSAGES = (Welcome, Opened, Refused, State, Settled, Reset, Draining, Goodbye, Report)
_READERS: dict[int, Callable[[Envelope], Reply]] = {message.kind: message.read for message in _MESSAGES}


def read_reply(envelope: Envelope) -> Reply | None:
    """Decode a message from a daemon; None for a kind that a newer minor version may have added.

    Raises:
        MalformedHeader: a field that does not say what it must.
    """
    reader = _READERS.get(envelope.kind)
    return None if reader is None else reader(envelope)
