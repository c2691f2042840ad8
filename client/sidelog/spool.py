"""The spool: what no daemon has taken in time, on disk. One file for each worker, which can be replayed later.

A :mod:`recording <sidelog_shared.recording>` that begins with HELLO and OPEN_RUN, so that it says whose records they
are and where they belong. It is made when something first has to be kept; written anew when it is full, and most of it
has settled; and removed when everything in it has. It survives the process: also SIGKILL, but not a loss of power.

Used by the sender thread alone; bounded in bytes. Full: nothing more is kept here, what waits stays in memory, and the
outbox says what becomes of calls when that is full too.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sidelog.runs import RunHandle
from sidelog_shared import recording, requests
from sidelog_shared.descriptors import close_private, open_private
from sidelog_shared.errors import SidelogError
from sidelog_shared.limits import MIB
from sidelog_shared.records import Buffer, Lane, Worker

FULL_S = 1.0
"""So long a spool that had no room is not asked again: what waits need not be put into messages for nothing."""
SUFFIX = ".spool"
DRAFT = ".new"


class DamagedSpool(SidelogError):
    """What was kept in the spool cannot be read back."""


@dataclass(slots=True, eq=False)
class Place:
    """Where messages stand in the spool; it moves when the file is written anew."""

    offset: int
    end: int

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
        self.was_used = False

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
        self._replace_removed(epoch)
        beginning = self._beginning(self._undeclared, epoch)
        begin = self._size + _recorded_bytes(beginning)
        needed = _recorded_bytes(messages)
        if begin + needed > self._budget_bytes and self._write_anew(epoch):
            beginning, begin = [], self._size
        if begin + needed > self._budget_bytes:
            self._say(
                f"the spool {self.path} is full ({self._size / MIB:,.0f} MiB of {self._budget_bytes / MIB:,.0f}, "
                "SIDELOG_SPOOL_MB): what else is logged waits in memory, and is then lost and counted"
            )
            self._full_until = time.monotonic() + FULL_S
            return None
        try:
            size = recording.append(self._open(), self._size, [*beginning, *messages])
        except OSError as error:
            self._say(f"the spool {self.path} cannot be written: {error.strerror}")
            self._full_until = time.monotonic() + FULL_S
            return None
        self._undeclared.clear()
        place = Place(size - needed, size)
        self._size, self.was_used = size, True
        self._places[place] = None
        return place

    def _beginning(self, runs: Iterable[RunHandle], epoch: int) -> list[list[Buffer]]:
        """What must stand before records of these runs, HELLO included where nothing stands yet."""
        opened = [requests.OpenRun(run.id, run.path, run.opened_at).frames(epoch) for run in runs]
        if self._size:
            return opened
        hello = requests.Hello(self._worker, next_seq=dict.fromkeys(Lane, 1), endpoint=self._endpoint)
        return [hello.frames(epoch), *opened]

    def _replace_removed(self, epoch: int) -> None:
        """Somebody has removed the file: who cleans up, say. What stands in it is written into another."""
        try:
            is_removed = self._fd is not None and os.fstat(self._fd).st_nlink == 0
        except OSError:  # the file system does not answer any more: what is written next says so
            return
        if is_removed and self._is_ours and self._copy(epoch):
            self._say(f"the spool {self.path} was removed: it is written again, nothing of it is lost")

    def _write_anew(self, epoch: int) -> bool:
        """Leave what has settled behind, if that is more than half; False where it is not, or cannot be done."""
        kept_bytes = sum(place.nbytes for place in self._places)
        return self._fd is not None and 2 * kept_bytes <= self._size and self._copy(epoch)

    def _copy(self, epoch: int) -> bool:
        """Write what has not settled into a new file, in the place of the old one; False where that cannot be done."""
        assert self._fd is not None
        draft = self.path.with_name(f"{self.path.name}{DRAFT}")
        old, old_size, self._size = self._fd, self._size, 0
        fd = None
        moved: dict[Place, tuple[int, int]] = {}
        try:
            fd = _made(draft)
            size = recording.append(fd, 0, self._beginning(self._runs.values(), epoch))
            for place in self._places:
                begin = size
                for messages in self.read(place):
                    size = recording.append(fd, size, [messages])
                moved[place] = begin, size
            draft.rename(self.path)
        except (OSError, DamagedSpool) as error:
            self._size = old_size
            if fd is not None:
                draft.unlink(missing_ok=True)
                close_private(fd)
            self._say(f"the spool {self.path} cannot be written anew: {error}")
            return False
        for place, (begin, end) in moved.items():
            place.offset, place.end = begin, end
        self._fd, self._size = fd, size
        self._undeclared.clear()
        close_private(old)
        return True

    def read(self, place: Place) -> list[list[bytes]]:
        """The messages that stand at a place.

        Raises:
            DamagedSpool: they are not what was kept, or cannot be read.
        """
        assert self._fd is not None
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
            self.path.unlink(missing_ok=True)
        except OSError as error:
            # Harmless: whoever replays it writes nothing twice.
            self._say(f"the spool {self.path} is not needed any more and cannot be removed: {error.strerror}")
        close_private(fd)
        self._undeclared = list(self._runs.values())

    def close(self, epoch: int = 0) -> None:
        """Let go of the file; what stands in it stays."""
        self._replace_removed(epoch)
        if self._fd is not None and not self._size:
            self.remove()  # it was made, and then nothing could be written
        fd, self._fd, self._size = self._fd, None, 0
        if fd is not None:
            close_private(fd)

    def _open(self) -> int:
        if self._fd is None:
            *others, last = self._paths
            for path in others:
                with contextlib.suppress(OSError):  # the last one says why
                    self._fd = _made(path)
                    self.path = path
                    return self._fd
            self._fd = _made(last)
            self.path = last
        return self._fd


def _recorded_bytes(messages: Iterable[Sequence[Buffer]]) -> int:
    return sum(map(recording.recorded_bytes, messages))


def _made(path: Path) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fd = open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    # So that nobody replays it while its worker lives. A file system without locks has none to offer.
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return fd
