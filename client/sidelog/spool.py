"""The spool: what no daemon has taken in time, on disk. One file for each worker, which can be replayed later.

A :mod:`recording <sidelog_shared.recording>` that begins with HELLO and OPEN_RUN, so that it says whose records they
are and where they belong; both are repeated in it, since without them all of it would be lost. It is made when
something first has to be kept; written anew when it is full and most of it has settled, or when somebody has removed or
moved it; and removed when everything in it has settled. It survives the process: also SIGKILL, but not a loss of power.

Used by the sender thread alone; bounded in bytes. Full: nothing more is kept here, what waits stays in memory, and the
outbox says what becomes of calls when that is full too.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidelog.runs import RunHandle
from sidelog.spool_path import free_path, made
from sidelog_shared import recording, requests
from sidelog_shared.descriptors import close_private
from sidelog_shared.errors import SidelogError
from sidelog_shared.limits import MIB
from sidelog_shared.locks import is_at
from sidelog_shared.records import Buffer, Lane, Worker

FULL_S = 1.0
"""So long a spool that had no room is not asked again: what waits need not be put into messages for nothing."""
REPEAT_BYTES = 1 * MIB
"""HELLO and OPEN_RUN of all runs stand behind the first records, again when the file is twice as long, and from here on
at such distances: whatever else is damaged, they are near, also in a file of some hundred bytes; and what a tool zeroes
or a disk loses is rarely a mebibyte at each place where they stand."""
REPEAT_PART = 16
"""They are at most about one part in so many of the file: a training may have a thousand runs."""
MAX_MOVED = 16
"""So many files that were moved away stay locked; a descriptor each."""
SUFFIX = ".spool"
DRAFT = ".new"


class DamagedSpool(SidelogError):
    """What was kept in the spool cannot be read back."""


@dataclass(slots=True, eq=False)
class Place:
    """Where messages stand in the spool; it moves when the file is written anew.

    Attributes:
        offset: where the first begins.
        end: where the last does.
        is_damaged: some that stood there do not any more.
    """

    offset: int
    end: int
    is_damaged: bool = False

    @property
    def nbytes(self) -> int:
        return self.end - self.offset


class Spool:
    """A worker's spool.

    Args:
        paths: where its file may be; the first at which one can be made, when it is first needed, with its folder.
        worker: whose records they are.
        budget_bytes: how long the file may become; 0 keeps nothing.
        say: tells the user something, once per text.
        endpoint: the daemon that is to write it; empty for the local one.

    Attributes:
        path: where the file is, or would be.
        was_used: it held something once: a copy of it may be somewhere.
        damages: how often it was seen that what was kept is not there any more; the places say which.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        worker: Worker,
        *,
        budget_bytes: int,
        say: Callable[[str], None],
        endpoint: str = "",
    ) -> None:
        self.path = paths[0]
        self._paths = paths
        self._worker = worker
        self._endpoint = endpoint
        self._budget_bytes = budget_bytes
        self._say = say
        self._runs: dict[int, RunHandle] = {}
        self._undeclared: list[RunHandle] = []
        self._fd: int | None = None
        self._size = 0
        self._places: dict[Place, None] = {}  # in the order of the file
        self._is_ours = True
        self._full_until = float("-inf")
        self._repeat_at = 0
        self._mend_at = float("-inf")
        self._moved: list[int] = []
        self.was_used = False
        self.damages = 0

    @classmethod
    def adopt(
        cls, path: Path, fd: int, worker: Worker, places: Iterable[Place], *, say: Callable[[str], None]
    ) -> Spool:
        """A spool that another process left, to be emptied.

        Args:
            path: its file.
            fd: the same, open and locked.
            worker: whose records they are.
            places: where what is to be written stands in it.
            say: tells the user something.
        """
        spool = cls([path], worker, budget_bytes=0, say=say)
        spool._fd, spool._size, spool._places = fd, os.fstat(fd).st_size, dict.fromkeys(places)
        spool._is_ours = False
        spool.was_used = True
        return spool

    @property
    def nbytes(self) -> int:
        """How long the file is; 0 while there is none."""
        return self._size

    @property
    def exists(self) -> bool:
        return self._size > 0

    @property
    def keeps(self) -> bool:
        """Whether it ever keeps anything."""
        return self._budget_bytes > 0

    @property
    def takes(self) -> bool:
        """Whether there may be room: something was kept when it was last asked, or that was a while ago."""
        return self.keeps and time.monotonic() >= self._full_until

    def declare(self, run: RunHandle) -> None:
        """Records of this run may come."""
        self._runs[run.id] = run
        self._undeclared.append(run)

    def forget(self, run: RunHandle) -> None:
        """None of this run will come any more."""
        self._runs.pop(run.id, None)
        if run in self._undeclared:
            self._undeclared.remove(run)

    def keep(self, messages: Sequence[Sequence[Buffer]], epoch: int) -> Place | None:
        """Append messages; None when there is no room for them, or no file can be written, which is said."""
        if not self._budget_bytes:
            return None
        self.tend(epoch)
        needed = _recorded_bytes(messages)
        before, behind = self._around(needed, epoch)
        if self._size + _recorded_bytes(before) + needed > self._budget_bytes and self._write_anew(epoch):
            before, behind = self._around(needed, epoch)
        room = self._budget_bytes - self._size - _recorded_bytes(before) - needed
        if room < 0:
            self._say(
                f"the spool {self.path} is full ({self._size / MIB:,.0f} MiB of {self._budget_bytes / MIB:,.0f}, "
                "SIDELOG_SPOOL_MB): what else is logged waits in memory, and is then lost and counted"
            )
            self._full_until = time.monotonic() + FULL_S
            return None
        if _recorded_bytes(behind) > room:
            behind = []
        try:
            size = recording.append(self._open(), self._size, [*before, *messages, *behind])
        except OSError as error:
            self._say(f"the spool {self.path} cannot be written: {error.strerror}")
            self._full_until = time.monotonic() + FULL_S
            return None
        self._undeclared.clear()
        end = size - _recorded_bytes(behind)
        place = Place(end - needed, end)
        self._size, self.was_used = size, True
        self._places[place] = None
        if self._repeat_at <= end:
            self._repeat_from(size, behind)
        return place

    def _around(self, nbytes: int, epoch: int) -> tuple[list[list[Buffer]], list[list[Buffer]]]:
        """What must stand before records of so many bytes, and what is repeated behind them."""
        before = self._opened(self._undeclared, epoch)
        if not self._size:
            before.insert(0, self._hello(epoch))
        if self._size + _recorded_bytes(before) + nbytes >= self._repeat_at:
            return before, self._beginning(epoch)
        return before, self._opened(self._undeclared, epoch)

    def _repeat_from(self, size: int, repeated: Sequence[Sequence[Buffer]]) -> None:
        """When to repeat what has just been written down again, at the end of ``size`` bytes."""
        self._repeat_at = size + max(min(size, REPEAT_BYTES), REPEAT_PART * _recorded_bytes(repeated))

    def _beginning(self, epoch: int) -> list[list[Buffer]]:
        """Whose records they are, and where they belong."""
        return [self._hello(epoch), *self._opened(self._runs.values(), epoch)]

    def _hello(self, epoch: int) -> list[Buffer]:
        return requests.Hello(self._worker, next_seq=dict.fromkeys(Lane, 1), endpoint=self._endpoint).frames(epoch)

    def _opened(self, runs: Iterable[RunHandle], epoch: int) -> list[list[Buffer]]:
        return [requests.OpenRun(run.id, run.path, run.opened_at).frames(epoch) for run in runs]

    def tend(self, epoch: int, *, at_last: bool = False) -> None:
        """See whether the file is what was written, and where it was; if not, mend it.

        Args:
            epoch: the current one.
            at_last: also where that failed just now.
        """
        if self._fd is None or not self._is_ours:
            return
        try:
            self._go_on_where_it_was_cut()
            was_removed = os.fstat(self._fd).st_nlink == 0
        except OSError:  # the file system does not answer any more: what is written next says so
            return
        now = time.monotonic()
        if is_at(self._fd, self.path) or (now < self._mend_at and not at_last):
            return
        path, known = self.path, self.damages
        if not self._copy(epoch):
            self._mend_at = now + FULL_S
            return
        how = "removed" if was_removed else "moved"
        where = "written again" if self.path == path else f"written again as {self.path}"
        self._say(f"the spool {path} was {how}: it is {where}" + ", nothing of it is lost" * (self.damages == known))

    def _go_on_where_it_was_cut(self) -> None:
        """Somebody has made the file shorter. What is whole of it stays, what is cut off is lost.

        Raises:
            OSError: the file cannot be read, or not be cut.
        """
        assert self._fd is not None
        size = os.fstat(self._fd).st_size
        if size >= self._size:
            return
        cut = [place for place in self._places if place.end > size]
        ends = [place.end for place in self._places if place.end <= size]
        for place in cut:
            ends += [one.end for one in recording.read(self._fd, place.offset, size) if _is_message(one)]
        whole = max(ends, default=0)
        os.ftruncate(self._fd, whole)
        self._say(f"the spool {self.path} was cut to {size:,} bytes: it goes on behind what is whole of it")
        for place in cut:
            place.end, place.is_damaged = max(place.offset, whole), True
        self._size, self._repeat_at = whole, 0
        self._undeclared = list(self._runs.values())
        self.damages += 1

    @property
    def is_there(self) -> bool:
        """Whether the file is where it is said to be; one that is emptied is not said to be anywhere."""
        return not self._is_ours or (self._fd is not None and is_at(self._fd, self.path))

    def _write_anew(self, epoch: int) -> bool:
        """Leave what has settled behind, if that is more than half; False where it is not, or cannot be done."""
        kept_bytes = sum(place.nbytes for place in self._places)
        return self._fd is not None and 2 * kept_bytes <= self._size and self._copy(epoch)

    def _copy(self, epoch: int) -> bool:
        """Write what has not settled, and is whole, into a new file, in the place of the old one; False where that
        cannot be done."""
        assert self._fd is not None
        draft = self.path.with_name(f"{self.path.name}{DRAFT}")
        old, fd = self._fd, None
        moved: dict[Place, tuple[int, int]] = {}
        damaged: set[Place] = set()
        try:
            fd = made(draft)
            size = recording.append(fd, 0, self._beginning(epoch))
            for place in self._places:
                begin = size
                for found in recording.read(old, place.offset, place.end):
                    if isinstance(found, recording.Unreadable):
                        damaged.add(place)
                    else:
                        size = recording.append(fd, size, [found.frames])
                moved[place] = begin, size
            again = self._beginning(epoch)
            size = recording.append(fd, size, again)
            path = free_path(self.path, old)
            draft.rename(path)
        except OSError as error:
            if fd is not None:
                draft.unlink(missing_ok=True)
                close_private(fd)
            self._say(f"the spool {self.path} cannot be written anew: {error}")
            return False
        for place, (begin, end) in moved.items():
            place.offset, place.end = begin, end
        for place in damaged:
            place.is_damaged = True
        self.damages += bool(damaged)
        self._fd, self._size, self.path = fd, size, path
        self._undeclared.clear()
        self._repeat_from(size, again)
        self._let_go(old)
        return True

    def _let_go(self, fd: int) -> None:
        """Of a file that another one replaces. If it still is somewhere, it stays locked: a replay of it would speak in
        the name of a worker that lives."""
        if os.fstat(fd).st_nlink == 0:
            close_private(fd)
            return
        self._moved.append(fd)
        if len(self._moved) > MAX_MOVED:
            close_private(self._moved.pop(0))

    def read(self, place: Place) -> list[list[bytes]]:
        """The messages that stand at a place.

        Raises:
            DamagedSpool: they are not what was kept, or cannot be read.
        """
        assert self._fd is not None
        if place.is_damaged:
            raise DamagedSpool(f"a part of {self.path} is cut off or damaged")
        messages = []
        try:
            for found in recording.read(self._fd, place.offset, place.end):
                if isinstance(found, recording.Unreadable):
                    raise DamagedSpool(f"bytes {found.offset:,} to {found.end:,} of {self.path} are damaged")
                messages.append(found.frames)
        except OSError as error:
            raise DamagedSpool(f"{self.path} cannot be read: {error.strerror}") from error
        return messages

    def release(self, place: Place) -> None:
        """Everything at a place has settled; with the last one the file goes."""
        del self._places[place]
        if not self._places and self._is_ours:
            self.remove()

    def remove(self) -> None:
        """Remove the file: nothing in it is needed any more."""
        fd, self._fd, self._size = self._fd, None, 0
        if fd is None:
            return
        try:
            if is_at(fd, self.path):  # it may have been moved, and another one be there
                self.path.unlink(missing_ok=True)
        except OSError as error:
            # Harmless: whoever replays it writes nothing twice.
            self._say(f"the spool {self.path} is not needed any more and cannot be removed: {error.strerror}")
        close_private(fd)
        self._undeclared, self._repeat_at = list(self._runs.values()), 0

    def close(self, epoch: int = 0) -> None:
        """Let go of the file; what stands in it stays."""
        self.tend(epoch, at_last=True)
        if self._fd is not None and not self._size:
            self.remove()  # it was made, and then nothing could be written
        fd, self._fd, self._size = self._fd, None, 0
        for one in self._moved if fd is None else [*self._moved, fd]:
            close_private(one)
        self._moved.clear()

    def _open(self) -> int:
        if self._fd is None:
            *others, last = self._paths
            for path in others:
                with contextlib.suppress(OSError):  # the last one says why
                    self._fd = made(path)
                    self.path = path
                    return self._fd
            self._fd = made(last)
            self.path = last
        return self._fd


def _is_message(found: recording.Recorded | recording.Unreadable) -> bool:
    return isinstance(found, recording.Recorded)


def _recorded_bytes(messages: Iterable[Sequence[Buffer]]) -> int:
    return sum(map(recording.recorded_bytes, messages))
