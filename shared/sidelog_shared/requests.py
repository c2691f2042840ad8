"""Messages from client to daemon: their fields, how they are written and how they are checked when read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import ClassVar

from sidelog_shared.client_view import ClientView
from sidelog_shared.errors import LimitExceeded, MalformedHeader
from sidelog_shared.frames import MINOR, Envelope, MessageKind, pack
from sidelog_shared.header import HeaderReader, plain
from sidelog_shared.limits import MAX_RUN_NAME_BYTES, MAX_TAG_BYTES
from sidelog_shared.missing import Missing, from_header, to_header
from sidelog_shared.record_messages import Part, RecordMessage, Scalars, part_messages, read_position
from sidelog_shared.records import Buffer, Lane, Worker

__all__ = [
    "FEATURES",
    "Bye",
    "CloseRun",
    "Flush",
    "Heartbeat",
    "Hello",
    "Inquire",
    "OpenRun",
    "Part",
    "RecordMessage",
    "Request",
    "Scalars",
    "part_messages",
    "read_position",
    "read_request",
    "read_run",
]

_UINT31 = 2**31 - 1
_UINT63 = 2**63 - 1
FEATURES: tuple[str, ...] = ("parts",)
"""What this implementation can do beyond the bare protocol; the intersection of both sides counts."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of each connection epoch.

    Attributes:
        worker: who speaks.
        features: what it can do.
        next_seq: per lane, the lowest sequence number that may still be sent or sent again. Whatever is below
            it and was not received will never come.
        endpoint: in a recording: where its messages were to go; empty for the local daemon.
    """

    kind: ClassVar = MessageKind.HELLO
    worker: Worker
    features: tuple[str, ...] = FEATURES
    next_seq: dict[Lane, int] = field(default_factory=dict)
    endpoint: str = ""

    def frames(self, epoch: int) -> list[Buffer]:
        header: dict[str, object] = {
            "minor": MINOR,
            "worker": asdict(self.worker),
            "features": list(self.features),
            "next_seq": {lane.value: seq for lane, seq in self.next_seq.items()},
        }
        if self.endpoint:
            header["endpoint"] = plain(self.endpoint, MAX_TAG_BYTES)
        return pack(self.kind, epoch, header)

    @classmethod
    def read(cls, envelope: Envelope) -> Hello:
        reader = HeaderReader("HELLO", envelope.header)
        worker = reader.reader("worker")
        identity = worker.text("id", 16)
        if len(identity) != 16 or not all(letter in "0123456789abcdef" for letter in identity):
            raise MalformedHeader(f"HELLO.worker.id is {identity!r}, expected 16 hexadecimal digits")
        first = reader.reader("next_seq")
        return cls(
            worker=Worker(
                id=identity,
                host=worker.text("host", 256),
                pid=worker.integer("pid", 0, _UINT63),
                rank=worker.optional_integer("rank", 0, _UINT31),
                world_size=worker.optional_integer("world_size", 1, _UINT31),
            ),
            features=tuple(item for item in reader.items("features", 256) if isinstance(item, str)),
            next_seq={lane: first.integer(lane.value, 1, _UINT63) for lane in Lane},
            endpoint=reader.text("endpoint", MAX_TAG_BYTES, ""),
        )


@dataclass(frozen=True, slots=True)
class OpenRun:
    """Open a run directory for this worker; answered by OPENED or REFUSED.

    Attributes:
        run: the id by which records name it, chosen by the client, stable for the worker's life.
        path: absolute on the daemon's own machine, or a name relative to the daemon's logdir.
        wall_time: when its writer was made, seconds since the epoch; None where nobody knows.
    """

    kind: ClassVar = MessageKind.OPEN_RUN
    run: int
    path: str
    wall_time: float | None = None

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, {"run": self.run, "path": self.path, "wall": self.wall_time})

    @classmethod
    def read(cls, envelope: Envelope) -> OpenRun:
        reader = HeaderReader("OPEN_RUN", envelope.header)
        return cls(
            reader.integer("run", 0, _UINT31), reader.text("path", MAX_RUN_NAME_BYTES), reader.optional_number("wall")
        )


@dataclass(frozen=True, slots=True)
class CloseRun:
    """This worker logs nothing more into a run; nothing answers.

    Attributes:
        missing: what of its pictures were dropped or lost before a daemon had them.
    """

    kind: ClassVar = MessageKind.CLOSE_RUN
    run: int
    missing: tuple[Missing, ...] = ()

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, {"run": self.run, **to_header(self.missing)})

    @classmethod
    def read(cls, envelope: Envelope) -> CloseRun:
        reader = HeaderReader("CLOSE_RUN", envelope.header)
        return cls(reader.integer("run", 0, _UINT31), from_header(reader))


@dataclass(frozen=True, slots=True)
class Flush:
    """Write what has been received now; STATE follows when it is settled."""

    kind: ClassVar = MessageKind.FLUSH

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, {})

    @classmethod
    def read(cls, envelope: Envelope) -> Flush:
        return cls()


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The client is alive; answered by STATE.

    Attributes:
        view: how things stand with it, for who asks the daemon; None where it says nothing of that.
    """

    kind: ClassVar = MessageKind.HEARTBEAT
    view: ClientView | None = None

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, {} if self.view is None else {"view": self.view.to_map()})

    @classmethod
    def read(cls, envelope: Envelope) -> Heartbeat:
        view = HeaderReader("HEARTBEAT", envelope.header).optional_reader("view")
        return cls(None if view is None else ClientView.read(view))


@dataclass(frozen=True, slots=True)
class Bye:
    """The worker logs nothing more; answered by GOODBYE once everything is settled and its runs are closed.

    Attributes:
        missing: as in :class:`CloseRun`, of the runs that are still open.
        remember: its records stand in a recording that may be played again: the directories must know them for good.
    """

    kind: ClassVar = MessageKind.BYE
    missing: tuple[Missing, ...] = ()
    remember: bool = False

    def frames(self, epoch: int) -> list[Buffer]:
        header = to_header(self.missing)
        if self.remember:
            header["remember"] = True
        return pack(self.kind, epoch, header)

    @classmethod
    def read(cls, envelope: Envelope) -> Bye:
        reader = HeaderReader("BYE", envelope.header)
        return cls(from_header(reader), reader.optional_flag("remember"))


@dataclass(frozen=True, slots=True)
class Inquire:
    """How do things stand? Answered by REPORT, whoever asks: it needs no HELLO, and no worker."""

    kind: ClassVar = MessageKind.INQUIRE

    def frames(self, epoch: int) -> list[Buffer]:
        return pack(self.kind, epoch, {})

    @classmethod
    def read(cls, envelope: Envelope) -> Inquire:
        return cls()


def read_run(envelope: Envelope) -> int:
    """The run of an OPEN_RUN that is otherwise unreadable, so that it can be refused.

    Raises:
        MalformedHeader: not even that can be read.
    """
    return HeaderReader("OPEN_RUN", envelope.header).integer("run", 0, _UINT31)


Request = Hello | OpenRun | CloseRun | Scalars | RecordMessage | Part | Flush | Heartbeat | Bye | Inquire

_READERS: dict[int, Callable[[Envelope], Request]] = {
    message.kind: message.read
    for message in (Hello, OpenRun, CloseRun, Scalars, RecordMessage, Part, Flush, Heartbeat, Bye, Inquire)
}


def read_request(envelope: Envelope, *, max_record_bytes: int) -> Request:
    """Decode a message from a client.

    Raises:
        MalformedHeader: an unknown kind or a field that does not say what it must.
        LimitExceeded: a record that is larger than ``max_record_bytes``.
    """
    reader = _READERS.get(envelope.kind)
    if reader is None:
        raise MalformedHeader(f"message kind is {envelope.kind}, expected one of {sorted(map(int, _READERS))}")
    request = reader(envelope)
    if isinstance(request, RecordMessage) and request.record.nbytes > max_record_bytes:
        raise LimitExceeded(
            f"RECORD is {request.record.nbytes:,} bytes, limit {max_record_bytes:,} (limits.max_record_bytes)"
        )
    return request
