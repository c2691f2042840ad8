"""A spool that another process left: whose records are in it, and where each stands."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import stat
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sidelog.kept_records import PLACE_BYTES, Entry, Span, read_kept, scalars_bytes
from sidelog.runs import RunHandle
from sidelog.spool import DRAFT, SUFFIX, DamagedSpool, Place, Spool
from sidelog_shared import recording, requests
from sidelog_shared.descriptors import close_private, open_private
from sidelog_shared.errors import ConfigError, ProtocolError, TransportError
from sidelog_shared.frames import Envelope, MessageKind
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.leases import STALE_S, process_started_at
from sidelog_shared.limits import MIB
from sidelog_shared.records import BufferSpec, Lane, Record, Worker

SEARCHED_BYTES = 8 * MIB
"""So far a file is searched for what makes it worth a replay, where it does not begin with it: it is named by each
training that starts, and by a status that is shown every second. Of a longer one the replay itself finds out."""
_HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES})


class NothingWhole(ConfigError):
    """A file of which nothing can be replayed."""


@dataclass(frozen=True, slots=True)
class LeftSpool:
    """What a spool holds.

    Attributes:
        worker: whose records they are.
        runs: where they belong; a run of which nothing is here is not opened for nothing.
        entries: the records of each reliable lane, in the file's order.
        spool: the file, open and locked.
        endpoint: the daemon that was to write it; empty for the local one.
        nameless: how many records there are of each run of which nothing says where it is; they are in no entry.
        damaged_bytes: bytes that are no message: what stood there is lost.
        torn_bytes: bytes of a last message that was never whole: its process was killed while it wrote them.
    """

    worker: Worker
    runs: tuple[RunHandle, ...]
    entries: dict[Lane, list[Entry]]
    spool: Spool
    damaged_bytes: int
    torn_bytes: int
    endpoint: str = ""
    nameless: Mapping[int, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many records it holds; some may stand in the event files already."""
        return sum(_count(entry) for entries in self.entries.values() for entry in entries)


def left_spools(folders: Iterable[Path]) -> list[Path]:
    """The spools in these folders whose processes are gone and that may be replayed, the oldest first."""
    found: list[tuple[float, Path]] = []
    for path in [path for folder in folders for path in folder.glob(f"*{SUFFIX}")]:
        with contextlib.suppress(OSError):  # it is gone by now, or nobody can read it
            if not is_in_use(path) and may_be_replayed(path):
                found.append((path.stat().st_mtime, path))
    return [path for _, path in sorted(found)]


def remove_drafts(folders: Iterable[Path]) -> None:
    """Remove spools that were being written anew when their processes were killed: the old ones are still there."""
    for path in [path for folder in folders for path in folder.glob(f"*{SUFFIX}{DRAFT}")]:
        with contextlib.suppress(OSError):
            if not is_in_use(path):
                path.unlink()


def is_in_use(path: Path) -> bool:
    """Whether its worker lives, or somebody replays it.

    Raises:
        OSError: it cannot be opened.
    """
    fd = open_private(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError as error:
        return error.errno in _HELD or _worker_lives(path, fd)
    else:
        return False
    finally:
        close_private(fd)


def may_be_replayed(path: Path) -> bool:
    """Whether a spool says whose records it holds, as far as that can be seen quickly.

    Raises:
        OSError: it cannot be read.
    """
    fd = open_private(path, os.O_RDONLY)
    try:
        size = os.fstat(fd).st_size
        if size > SEARCHED_BYTES or recording.is_of_another_version(fd):
            return True
        return any(_is_hello(found) for found in recording.read(fd, 0, size))
    finally:
        close_private(fd)


def _is_hello(found: recording.Recorded | recording.Unreadable) -> bool:
    try:
        return isinstance(found, recording.Recorded) and read_kept(found.frames).kind == MessageKind.HELLO
    except DamagedSpool:
        return False


def worker_may_live(path: Path) -> bool:
    """Whether a spool is in use, or its process lives: it may have made it just now, and not locked it yet.

    Raises:
        OSError: it cannot be opened.
    """
    fd = open_private(path, os.O_RDONLY)
    try:
        return is_in_use(path) or _worker_lives(path, fd)
    finally:
        close_private(fd)


def _worker_lives(path: Path, fd: int) -> bool:
    """Whether the process that writes a spool lives, where the file system has no locks to tell it.

    By its name, which has the host and the process id. A process that was started after the file was last written is
    another one that got the same id. Of another host nobody can tell: there a file that was written just now counts.
    """
    written_at = os.fstat(fd).st_mtime
    host, _, rest = path.name.rpartition("-")[0].rpartition("-")
    if host != socket.gethostname() or not rest.isdigit():
        return time.time() - written_at < STALE_S
    started_at = process_started_at(int(rest))
    return started_at is not None and started_at <= written_at


def open_left_spool(path: Path, *, say: Callable[[str], None]) -> LeftSpool:
    """Lock a spool and see what is in it. It is read once through; what it holds stays on disk.

    Args:
        path: the file.
        say: tells the user something.

    Raises:
        NothingWhole: it is no spool, or too little of it is whole.
        ConfigError: it is of another version, or cannot be opened.
        TransportError: the process that writes it lives.
    """
    try:
        fd = open_private(path, os.O_RDWR)
    except OSError as error:
        raise ConfigError(f"spool {path} cannot be opened: {error.strerror}") from error
    try:
        _lock(fd, path)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise ConfigError(f"{path} is no spool, expected a regular file")
        if recording.is_of_another_version(fd):
            raise ConfigError(f"{path} is no spool of this version, expected a file that begins with "
                              f"{recording.FILE_HEADER!r}")  # fmt: skip
        index = _Index()
        for found in recording.read(fd):
            index.take(found)
        if index.worker is None:
            raise NothingWhole(f"{path} is no spool, or too little of it is whole: it does not say whose records it "
                               "holds, expected a HELLO somewhere in it")  # fmt: skip
        nameless = index.leave_out_nameless()
        places = [entry.place for entries in index.entries.values() for entry in entries if entry.place is not None]
        spool = Spool.adopt(path, fd, index.worker, places, say=say)
    except OSError as error:
        close_private(fd)
        raise ConfigError(f"spool {path} cannot be read: {error.strerror}") from error
    except BaseException:
        close_private(fd)
        raise
    named = {run for entries in index.entries.values() for entry in entries for run in entry.spans}
    return LeftSpool(
        index.worker,
        tuple(run for run in index.runs.values() if run.id in named),
        index.entries,
        spool,
        index.damaged_bytes,
        index.torn_bytes,
        index.endpoint,
        nameless,
    )


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            raise TransportError(
                f"spool {path} is in use: its training still runs, or somebody replays it already"
            ) from error
        # A file system without locks. Two that replay it at once write nothing twice, the event files know.
        if _worker_lives(path, fd):
            raise TransportError(f"spool {path} is in use: its training still runs") from error


@dataclass(slots=True)
class _Index:
    """What was found so far; of what stands in the file more than once, what came first."""

    worker: Worker | None = None
    endpoint: str = ""
    runs: dict[int, RunHandle] = field(default_factory=dict)
    entries: dict[Lane, list[Entry]] = field(default_factory=lambda: {Lane.LIGHT: [], Lane.HEAVY: []})
    damaged_bytes: int = 0
    torn_bytes: int = 0
    _seen: dict[Lane, IntervalSet] = field(default_factory=dict)
    _record: Record | None = None
    _begun_at: int = 0
    _missing_bytes: int = 0

    def take(self, found: recording.Recorded | recording.Unreadable) -> None:
        if isinstance(found, recording.Unreadable):
            self._break_off()
            if found.torn:
                self.torn_bytes += found.end - found.offset
            else:
                self.damaged_bytes += found.end - found.offset
            return
        try:
            self._read(found, read_kept(found.frames))
        except (ProtocolError, DamagedSpool):
            self._break_off()
            self.damaged_bytes += found.end - found.offset

    def _read(self, found: recording.Recorded, envelope: Envelope) -> None:
        place = Place(found.offset, found.end)
        if envelope.kind == MessageKind.PART:
            self._part(requests.Part.read(envelope), found.end)
            return
        self._break_off()
        match envelope.kind:
            case MessageKind.HELLO:
                hello = requests.Hello.read(envelope)
                if self.worker is None:
                    self.worker, self.endpoint = hello.worker, hello.endpoint
            case MessageKind.OPEN_RUN:
                run = requests.OpenRun.read(envelope)
                opened_at = 0.0 if run.wall_time is None else run.wall_time
                self.runs.setdefault(run.run, RunHandle(run.run, run.path, opened_at))
            case MessageKind.SCALARS:
                columns = requests.Scalars.read(envelope).columns
                nbytes = scalars_bytes(columns)
                self._add(Lane.LIGHT, columns.first_seq, columns.last_seq, columns.spans(), nbytes, place)
            case MessageKind.RECORD:
                record = requests.RecordMessage.read(envelope).record
                if record.in_parts:
                    self._record, self._begun_at, self._missing_bytes = record, found.offset, record.nbytes
                else:
                    self._add_record(record, place)

    def leave_out_nameless(self) -> dict[int, int]:
        """Leave out the records of runs that nothing opens; returns how many there are of each."""
        nameless: Counter[int] = Counter()
        for lane, entries in self.entries.items():
            for entry in entries:
                if unknown := entry.spans.keys() - self.runs.keys():
                    # A worker writes messages of one run each; of another's with several none of it is sent.
                    nameless[min(unknown)] += _count(entry)
            self.entries[lane] = [entry for entry in entries if entry.spans.keys() <= self.runs.keys()]
        return dict(nameless)

    def _part(self, part: requests.Part, end: int) -> None:
        record = self._record
        if record is None or part.seq != record.seq or part.lane is not record.lane:
            return  # the rest of a record whose beginning is damaged
        self._missing_bytes -= len(part.data)
        if not self._missing_bytes:
            self._record = None
            self._add_record(record, Place(self._begun_at, end))

    def _break_off(self) -> None:
        """The record that has begun is not whole: what there is of it is not sent."""
        self._record = None

    def _add_record(self, record: Record, place: Place) -> None:
        nbytes = sum(BufferSpec(spec.dtype, spec.shape).nbytes for spec in record.specs)
        self._add(record.lane, record.seq, record.seq, {record.run: (record.seq, record.seq)}, nbytes, place)

    def _add(self, lane: Lane, first: int, last: int, spans: dict[int, Span], nbytes: int, place: Place) -> None:
        seen = self._seen.setdefault(lane, IntervalSet())
        if not seen.missing(first, last):
            return  # it was read back once, and put there again
        seen.add(first, last)
        entries = self.entries[lane]
        before = entries[-1] if entries else None
        if (
            before is None
            or before.place is None
            or before.place.end != place.offset
            or before.last >= first
            or spans.keys() != before.spans.keys()
            or (len(spans) > 1 and before.last + 1 != first)
            or before.nbytes + nbytes > PLACE_BYTES
        ):
            entries.append(Entry(first, last, spans, nbytes, 0.0, None, place, numbers=[(first, last)]))
            return
        assert isinstance(before.numbers, list)
        if before.last + 1 == first:
            before.numbers[-1] = (before.numbers[-1][0], last)
        else:
            before.numbers.append((first, last))
        before.last = last
        before.spans = {run: (before.spans[run][0], spans[run][1]) for run in spans}
        before.nbytes += nbytes
        before.place = Place(before.place.offset, place.end)


def _count(entry: Entry) -> int:
    return sum(last - first + 1 for first, last in entry.ranges)
