"""What a daemon tells of itself in REPORT: its workers, their queues and rates, its runs, and what went wrong.

Everything in it is bounded: of many workers those with the most queued are named, of many runs the failing ones first,
and ``worker_count`` and ``run_count`` say how many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from sidelog_shared.client_view import MAX_TAGS, NOTHING, Backlog, ClientView, most
from sidelog_shared.documents import pack_document
from sidelog_shared.header import HeaderReader, plain
from sidelog_shared.limits import KIB, MAX_RUN_NAME_BYTES
from sidelog_shared.records import End, Worker

_UINT31 = 2**31 - 1
_UINT63 = 2**63 - 1
_MAX_TEXT = 500
_MAX_PATH = 2 * MAX_RUN_NAME_BYTES
_MAX_LIST = 16
"""Runs of one worker, and workers of one run, that are named."""
_MAX_ITEMS = 65536
_WORKERS_BYTES = 768 * KIB
_RUNS_BYTES = 256 * KIB
"""What is said of workers and of runs; with both a report stays far below what ZeroMQ may take for one frame."""
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One worker, as its daemon sees it.

    Attributes:
        worker: who it is.
        state: ``live``; ``silent``, nothing was heard of it for some seconds; ``leaving``, it said goodbye; ``gone``,
            it died, and what it sent is still being written.
        known_s: how long the daemon has known it.
        heard_s: how long ago its last message came.
        runs: paths of the runs that it has open.
        received_records: records that came from it so far.
        received_bytes: bytes that came from it so far.
        records_per_s: the first of these, as a rate over the last seconds.
        bytes_per_s: the second.
        ends: how many of its records ended how.
        unsettled: records that the daemon has received and not settled.
        render: what of them waits for a renderer, or is in one.
        dropped_tags: pictures that the daemon dropped, by tag; those with the most.
        refused: runs that it asked for and did not get: path and why.
        faults: messages of it that were not taken, by why.
        last_error: what its user was told last; empty where nothing was.
        last_error_s: how long ago that was.
        client: what it says of itself; None before it has.
        client_s: how long ago it said so.
    """

    worker: Worker
    state: str
    known_s: float = 0.0
    heard_s: float = 0.0
    runs: Sequence[str] = ()
    received_records: int = 0
    received_bytes: int = 0
    records_per_s: float = 0.0
    bytes_per_s: float = 0.0
    ends: Mapping[End, int] = field(default_factory=dict)
    unsettled: int = 0
    render: Backlog = NOTHING
    dropped_tags: Mapping[str, int] = field(default_factory=dict)
    refused: Sequence[tuple[str, str]] = ()
    faults: Mapping[str, int] = field(default_factory=dict)
    last_error: str = ""
    last_error_s: float | None = None
    client: ClientView | None = None
    client_s: float | None = None

    @property
    def queued_bytes(self) -> int:
        """What waits, in the client and here."""
        return self.render.nbytes + (self.client.waiting.nbytes if self.client is not None else 0)

    def to_map(self) -> dict[str, object]:
        worker = self.worker
        return {
            "id": worker.id,
            "label": worker.label,
            "host": worker.host,
            "pid": worker.pid,
            "rank": worker.rank,
            "world_size": worker.world_size,
            "state": self.state,
            "known_s": round(self.known_s, 3),
            "heard_s": round(self.heard_s, 3),
            "runs": [plain(path, _MAX_PATH) for path in self.runs[:_MAX_LIST]],
            "received_records": self.received_records,
            "received_bytes": self.received_bytes,
            "records_per_s": round(self.records_per_s, 3),
            "bytes_per_s": round(self.bytes_per_s, 3),
            "ends": {end.value: self.ends.get(end, 0) for end in End},
            "unsettled": self.unsettled,
            "render": self.render.to_map(),
            "dropped_tags": most(self.dropped_tags),
            "refused": [[plain(path, _MAX_PATH), plain(text, _MAX_TEXT)] for path, text in self.refused[:_MAX_LIST]],
            "faults": most(self.faults),
            "last_error": plain(self.last_error, _MAX_TEXT),
            "last_error_s": None if self.last_error_s is None else round(self.last_error_s, 3),
            "client": None if self.client is None else self.client.to_map(),
            "client_s": None if self.client_s is None else round(self.client_s, 3),
        }

    @classmethod
    def read(cls, reader: HeaderReader) -> WorkerReport:
        ends = reader.reader("ends")
        client = reader.optional_reader("client")
        return cls(
            worker=Worker(
                id=reader.text("id", 16),
                host=reader.text("host", 256),
                pid=reader.integer("pid", 0, _UINT63),
                rank=reader.optional_integer("rank", 0, _UINT31),
                world_size=reader.optional_integer("world_size", 1, _UINT31),
            ),
            state=reader.text("state", 64),
            known_s=reader.number("known_s"),
            heard_s=reader.number("heard_s"),
            runs=reader.texts("runs", _MAX_LIST, _MAX_PATH),
            received_records=reader.integer("received_records", 0, _UINT63),
            received_bytes=reader.integer("received_bytes", 0, _UINT63),
            records_per_s=reader.number("records_per_s"),
            bytes_per_s=reader.number("bytes_per_s"),
            ends={end: ends.optional_integer(end.value, 0, _UINT63) or 0 for end in End},
            unsettled=reader.integer("unsettled", 0, _UINT63),
            render=Backlog.read(reader.reader("render")),
            dropped_tags=reader.counts("dropped_tags", MAX_TAGS),
            refused=reader.pairs("refused", _MAX_LIST),
            faults=reader.counts("faults", MAX_TAGS),
            last_error=reader.text("last_error", _MAX_TEXT),
            last_error_s=reader.optional_number("last_error_s"),
            client=None if client is None else ClientView.read(client),
            client_s=reader.optional_number("client_s"),
        )


@dataclass(frozen=True, slots=True)
class RunReport:
    """One run directory.

    Attributes:
        path: where it is.
        workers: labels of those who have it open.
        written: records that this daemon has written into it since it opened it.
        pending_bytes: the open group, not yet on disk.
        error: why it cannot be written; empty where it can.
        failing_s: for how long it could not; None where it can.
    """

    path: str
    workers: Sequence[str] = ()
    written: int = 0
    pending_bytes: int = 0
    error: str = ""
    failing_s: float | None = None

    @property
    def failing(self) -> bool:
        return self.failing_s is not None

    def to_map(self) -> dict[str, object]:
        return {
            "path": plain(self.path, _MAX_PATH),
            "workers": list(self.workers[:_MAX_LIST]),
            "written": self.written,
            "pending_bytes": self.pending_bytes,
            "failing": self.failing,
            "error": plain(self.error, _MAX_TEXT),
            "failing_s": None if self.failing_s is None else round(self.failing_s, 3),
        }

    @classmethod
    def read(cls, reader: HeaderReader) -> RunReport:
        return cls(
            path=reader.text("path", _MAX_PATH),
            workers=reader.texts("workers", _MAX_LIST, 512),
            written=reader.integer("written", 0, _UINT63),
            pending_bytes=reader.integer("pending_bytes", 0, _UINT63),
            error=reader.text("error", _MAX_TEXT),
            failing_s=reader.optional_number("failing_s"),
        )


@dataclass(frozen=True, slots=True)
class DaemonReport:
    """A daemon, its workers and its runs.

    Attributes:
        instance: which start of which daemon this is.
        pid: its process.
        version: of the package.
        minor: of the protocol.
        logdir: folder of runs that are given by name.
        state: ``serving``, or ``draining``: it was told to stop.
        uptime_s: how long it has run.
        render: what waits for its renderers, of all workers.
        budget_bytes: how much that may be.
        faults: messages that were not taken, by why; of all who sent any.
        workers: those with the most queued first.
        worker_count: how many there are; more than ``workers`` where not all are named.
        runs: those that cannot be written first, then those with the most pending.
        run_count: how many there are.
    """

    instance: str
    pid: int
    version: str
    minor: int
    logdir: str
    state: str = "serving"
    uptime_s: float = 0.0
    render: Backlog = NOTHING
    budget_bytes: int = 0
    faults: Mapping[str, int] = field(default_factory=dict)
    workers: Sequence[WorkerReport] = ()
    worker_count: int = 0
    runs: Sequence[RunReport] = ()
    run_count: int = 0

    def to_map(self) -> dict[str, object]:
        workers = sorted(self.workers, key=lambda one: (-one.queued_bytes, -one.unsettled, one.worker.label))
        runs = sorted(self.runs, key=lambda one: (not one.failing, -one.pending_bytes, one.path))
        return {
            "instance": self.instance,
            "pid": self.pid,
            "version": self.version,
            "minor": self.minor,
            "logdir": plain(self.logdir, _MAX_PATH),
            "state": self.state,
            "uptime_s": round(self.uptime_s, 3),
            "render": self.render.to_map(),
            "budget_bytes": self.budget_bytes,
            "faults": most(self.faults),
            "workers": _that_fit(workers, WorkerReport.to_map, _WORKERS_BYTES),
            "worker_count": self.worker_count,
            "runs": _that_fit(runs, RunReport.to_map, _RUNS_BYTES),
            "run_count": self.run_count,
        }

    @classmethod
    def read(cls, reader: HeaderReader) -> DaemonReport:
        return cls(
            instance=reader.text("instance", 64),
            pid=reader.integer("pid", 0, _UINT63),
            version=reader.text("version", 64),
            minor=reader.integer("minor", 0, 255),
            logdir=reader.text("logdir", _MAX_PATH),
            state=reader.text("state", 64),
            uptime_s=reader.number("uptime_s"),
            render=Backlog.read(reader.reader("render")),
            budget_bytes=reader.integer("budget_bytes", 0, _UINT63),
            faults=reader.counts("faults", MAX_TAGS),
            workers=tuple(map(WorkerReport.read, reader.readers("workers", _MAX_ITEMS))),
            worker_count=reader.integer("worker_count", 0, _UINT63),
            runs=tuple(map(RunReport.read, reader.readers("runs", _MAX_ITEMS))),
            run_count=reader.integer("run_count", 0, _UINT63),
        )


def _that_fit(items: Sequence[_T], to_map: Callable[[_T], dict[str, object]], limit_bytes: int) -> list[object]:
    """The first of ``items`` that take no more than ``limit_bytes`` together."""
    maps: list[object] = []
    size = 0
    for item in items:
        one = to_map(item)
        size += len(pack_document(one))
        if size > limit_bytes:
            break
        maps.append(one)
    return maps
