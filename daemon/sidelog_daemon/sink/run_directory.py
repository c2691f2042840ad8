"""One run directory and the one writer it has: appends records to its event files, each exactly once.

Used by exactly one thread. Records collect in a group in memory; a commit writes the group and its marker at once.
What the marker covers is skipped when it comes again, after any number of restarts (``marker.py``, ``recovery.py``).

A directory that somebody removed while it is open is made again by the next commit that has something to write.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from sidelog_daemon.sink.event_file import (
    GroupFile,
    Write,
    event_file_names,
    framed,
    next_name,
    record_writer_into,
)
from sidelog_daemon.sink.projector import ProjectorEntry, ProjectorFiles
from sidelog_daemon.sink.recovery import Recovery
from sidelog_daemon.sink.step_order import StepOrder
from sidelog_daemon.sink.summaries import file_version_event, session_start_event
from sidelog_daemon.sink.taking import WrittenMeanwhile, recovered, take
from sidelog_shared.errors import WriterError
from sidelog_shared.leases import DirectoryLock, LeaseFile
from sidelog_shared.limits import MIB
from sidelog_shared.records import RunMarks

MAX_FILE_BYTES = 1024 * MIB

_FULL_MARKER_AFTER = 4
_FULL_MARKER_FLOOR = 4096


class EventMessage(Protocol):
    """tensorboardX's ``Event``, as far as we use it."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802  # protobuf's name


class RunDirectory:
    """The writer of one run directory; made by :meth:`open`.

    Attributes:
        path: the directory.
        recovery: what an earlier daemon had left, and what of it was cut off.
        steps: which steps did not grow.
        removal_found: the directory or its event file was found removed. Whoever tells the user of it, once a commit
            has made it again, sets it back.
    """

    def __init__(
        self,
        path: Path,
        lock: DirectoryLock,
        recovery: Recovery,
        *,
        owner_note: bytes,
        clock: Callable[[], float],
        max_file_bytes: int,
        write: Write,
    ) -> None:
        self.path = path
        self.recovery = recovery
        self._lock = lock
        self._owner_note = owner_note
        self.steps = StepOrder()
        self._table = recovery.table
        self._clock = clock
        self._max_file_bytes = max_file_bytes
        self._file = GroupFile(path, write=write)
        self._records = record_writer_into(self._file)
        self._projector = ProjectorFiles(path, write=write)
        self._files_begun = 0
        self._begun_at: float | None = None
        self._last_marker: int | None = None
        self._full_marker_bytes = 0
        self._bytes_since_full = 0
        self.removal_found = False
        self._closed = False

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        owner_note: bytes,
        clock: Callable[[], float] = time.time,
        max_file_bytes: int = MAX_FILE_BYTES,
        write: Write = os.write,
    ) -> RunDirectory:
        """Make the directory, take its lock, read what stands in it and cut off what is half written.

        No event file is begun before there is something to write, or :meth:`begin` asks for one.

        Args:
            path: the run directory.
            owner_note: JSON that names this daemon to others: ``endpoint``, ``pid``, ``host``.
            clock: seconds since the epoch, for names and markers.
            max_file_bytes: a file that has reached it is followed by a new one.
            write: stands for ``os.write``.

        Raises:
            RunBusy: another daemon writes it; carries that daemon's endpoint.
            WriterError: it cannot be made, locked, read or written.
        """
        lock, recovery = take(path, owner_note)
        return cls(path, lock, recovery, owner_note=owner_note, clock=clock, max_file_bytes=max_file_bytes, write=write)

    def begin(self, wall_time: float | None = None) -> None:
        """Have the next commit begin the directory's first event file, even if nothing else is to be written.

        So it does where the directory was removed since: whoever opens it anew finds it listed.

        TensorBoard lists a run by its event file, and runs in the order of their first events. tensorboardX's and
        torch's writers begin it when they are made.

        Args:
            wall_time: when that was, seconds since the epoch; None takes now.
        """
        if self._begun_at is None and (not self._files_begun or self.is_removed):
            self._begun_at = self._clock() if wall_time is None else wall_time

    @property
    def pending_bytes(self) -> int:
        """What the open group holds in memory; the caller commits before it is too much."""
        return self._file.pending_bytes + self._projector.pending_bytes

    @property
    def file(self) -> Path | None:
        """The event file that the last commit wrote to; None before the first."""
        return self._file.path

    @property
    def is_removed(self) -> bool:
        """Whether the directory or its open event file was removed or moved away, and is not made again yet."""
        return self._file.is_gone or not self._lock.is_in_place()

    @property
    def is_leased(self) -> bool:
        """Whether a lease keeps others out, which wants heartbeats: the file system has no locks."""
        return isinstance(self._lock, LeaseFile)

    def heartbeat(self) -> None:
        """Tell other daemons that this one lives. Whether the lease was lost the next commit finds out.

        Raises:
            OSError: it cannot be told.
        """
        if isinstance(self._lock, LeaseFile):
            self._lock.heartbeat()

    def written(self, worker_id: str) -> RunMarks:
        """What of a worker was written to disk. What the open group holds does not count."""
        return self._table.written(worker_id)

    def has(self, worker_id: str, lane: str, seq: int) -> bool:
        """Whether a record stands already or is in the open group."""
        return self._table.has(worker_id, lane, seq)

    def count_known(self, worker_id: str, lane: str, seqs: npt.NDArray[np.int64]) -> int:
        """How many of ``seqs``, ascending numbers of an ordered lane, stand already or are in the open group."""
        return int(np.searchsorted(seqs, self._table.highest(worker_id, lane), side="right"))

    def next_step(self, kind: str, tag: str) -> int:
        """The next step of a tag, from 0; for an event that is appended right after.

        Counters stand with the group that is open now: if that dies with the process, so do they.
        """
        return self._table.next_step(kind, tag)

    def append(
        self,
        worker_id: str,
        lane: str,
        seq: int,
        events: Iterable[EventMessage | bytes],
        projector: ProjectorEntry | None = None,
    ) -> bool:
        """Add one record's events to the open group.

        Records of the light and of the heavy lane come in the order of their sequence numbers; not all of a lane's
        numbers come to every directory. A record without events (one that was rejected) is marked all the same.

        Args:
            worker_id: whose record it is.
            lane: ``"light"``, ``"heavy"`` or ``"picture"``.
            seq: its number in that lane, from 1 on.
            events: serialized events, or messages.
            projector: an embedding; its files are written before the group that says that it stands.

        Returns:
            False when it stands already or is in the open group; nothing was added. Either way it is on disk after
            the next commit.
        """
        if self._table.has(worker_id, lane, seq):
            return False
        # All of them before the first is added: an error in the middle must not leave half a record.
        for data in [event if isinstance(event, bytes) else event.SerializeToString() for event in events]:
            self._records.write(data)
        if projector is not None:
            self._projector.add(projector)
        self._table.mark(worker_id, lane, seq)
        return True

    def append_framed(self, worker_id: str, lane: str, last_seq: int, records: bytes | bytearray) -> None:
        """Add many records of an ordered lane that stand neither here nor in the open group.

        Args:
            worker_id: whose records they are.
            lane: ``"light"`` or ``"heavy"``.
            last_seq: the highest of their numbers.
            records: their events, framed (:func:`~sidelog_daemon.sink.event_file.framed`).
        """
        self._file.write(records)
        self._table.mark(worker_id, lane, last_seq)

    def note(self, key: str, events: Iterable[EventMessage | bytes] = ()) -> bool:
        """Remember ``key`` in this directory, for good: what belongs to a tag is written once.

        Where it stood in a directory that was removed it is new, and the directory is made again.

        Args:
            key: such as a tag.
            events: added to the open group if the key is new, so that both stand, or neither; else not even made,
                where this is an iterator.

        Returns:
            Whether the key is new.

        Raises:
            RunBusy, WriterError: the directory was removed and cannot be made again.
        """
        if self._table.is_noted(key):
            self._make_again_if_removed()
        if self._table.knows(key):
            return False
        serialized = [event if isinstance(event, bytes) else event.SerializeToString() for event in events]
        self._table.note(key)
        for data in serialized:
            self._records.write(data)
        return True

    def forget(self, worker_id: str) -> None:
        """The worker said goodbye and nothing of it will come again: the next marker drops it."""
        self._table.forget(worker_id)

    def commit(self) -> None:
        """Write the open group and its marker, at once, embeddings before it; nothing if nothing was added.

        The first event file counts as added, if :meth:`begin` asked for it and no writer has made one. Where the
        directory or its event file was removed, it is made again first, and what was in it stays marked as written.

        Raises:
            RunBusy: the directory was removed, and another daemon has made it again. The group is kept.
            WriterError: a ``CommitError`` with the ``errno``. What stood in the directory stands, the group is
                still in memory, and the next commit puts it into a new file.
        """
        if self._closed:
            raise WriterError(f"run directory {self.path} is closed, expected an open one")
        begins = self._begun_at is not None and (self.is_removed or not self._event_file_names())
        if not (self.pending_bytes or self._table.changed or begins):
            self._begun_at = None
            return
        is_worth_a_file = bool(self.pending_bytes) or not self._table.only_goodbyes or begins
        if is_worth_a_file:
            self._make_again_if_removed()
        self._projector.commit()
        if self._file.can_append(self._max_file_bytes):
            self._commit_to_open_file()
        elif is_worth_a_file:
            self._commit_to_new_file()
        else:  # a goodbye alone is not, and makes no directory again
            return
        self._begun_at = None
        self._table.settle()

    def close(self) -> None:
        """Commit, bring the file to the disk, let go of the directory. Idempotent.

        Raises:
            WriterError: the last group cannot be written. The directory stays open: close again, or
                :meth:`abandon`.
        """
        if self._closed:
            return
        self.commit()
        self._closed = True
        try:
            self._file.close()
        finally:
            self._lock.release()

    def abandon(self) -> None:
        """Let go of the directory as it stands on disk; the open group is lost. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self._file.drop()
        self._projector.drop()
        self._lock.release()

    def _make_again_if_removed(self) -> None:
        """Have the directory, its lock and a place for a new event file, as at first; nothing if all are there.

        Raises:
            RunBusy, WriterError: see :meth:`open`. The old lock stays, and the next call tries again.
            WrittenMeanwhile: another daemon had it, and wrote records that wait here.
        """
        if not self.is_removed:
            return
        self.removal_found |= self._file.is_gone or not self.path.exists()
        if self._lock.is_in_place():
            lock, recovery = self._lock, recovered(self.path)
        else:
            lock, recovery = take(self.path, self._owner_note)
        if self._table.stands_in(recovery.table):
            lock.release()
            raise WrittenMeanwhile(
                f"run directory {self.path} was another daemon's meanwhile, which wrote records that are in the open "
                f"group here: the group must not be written, and who logged it sends what is missing again"
            )
        self._table.files_removed(recovery.table)
        old, self._lock = self._lock, lock
        try:
            self._file.close()
        finally:
            if old is not lock:
                old.release()

    def _commit_to_open_file(self) -> None:
        at = self._file.size + self._file.pending_bytes
        # Changes alone keep a marker small; a full one now and then keeps the way back to one short at recovery.
        is_full = self._bytes_since_full > _FULL_MARKER_FLOOR + _FULL_MARKER_AFTER * self._full_marker_bytes
        marker = (self._table.full if is_full else self._table.changes)(at=at, previous=self._last_marker)
        tail = framed([marker.to_event(self._clock())])
        self._file.commit(tail)
        self._last_marker = at
        self._count_marker_bytes(len(tail), is_full=is_full)

    def _commit_to_new_file(self) -> None:
        now = self._clock()
        begun_at = now if self._begun_at is None else self._begun_at
        beginning = [file_version_event(begun_at)]
        if not self._event_file_names():
            # Only a directory's first file: a second START(0) makes TensorBoard drop all that came before it.
            beginning.append(session_start_event(0, begun_at))
        head = framed(beginning)
        at = len(head) + self._file.pending_bytes
        tail = framed([self._table.full(at=at).to_event(now)])
        self._file.commit_to_new_file(head, tail, self._next_name)
        self._files_begun += 1
        self._last_marker = at
        self._count_marker_bytes(len(tail), is_full=True)

    def _event_file_names(self) -> list[str]:
        try:
            return event_file_names(self.path)
        except OSError as error:
            raise WriterError(
                f"run directory {self.path} cannot be read: got {error.strerror}, expected it to stay where it is "
                f"while it is written"
            ) from error

    def _next_name(self) -> str:
        # Behind one that was removed, too: a reader may still stand on it.
        last = [] if self.file is None else [self.file.name]
        return next_name([*event_file_names(self.path), *last], now=self._clock(), number=self._files_begun)

    def _count_marker_bytes(self, size: int, *, is_full: bool) -> None:
        if is_full:
            self._full_marker_bytes, self._bytes_since_full = size, 0
        else:
            self._bytes_since_full += size
