"""The marker at the end of each group: what of every worker's lanes stands in this run directory.

A marker is an event that TensorBoard passes over (``SessionLog.CHECKPOINT``), whose ``msg`` is compact JSON:

    {"sidelog":1,"at":8123,"prev":4410,"full":false,
     "workers":{"<worker>":{"light":71,"heavy":3,"picture":[[1,5],[8,8]]}},"gone":["<worker>"],"noted":["<key>"],
     "next":{"<kind>":{"<tag>":12}}}

``light`` and ``heavy`` are the highest sequence number that stands (these lanes are written in order), ``picture``
the ranges that do (pictures finish out of order), ``next`` the next step of each tag whose steps are counted here. A
marker carries what changed since the one before; a ``full`` one, the first of each file among them, carries
everything. ``at`` is the marker's own offset in its file and ``prev`` that of the marker before it, so that the
newest can be found, and believed, from the end of a file.

The beginning up to ``at`` is the same in all versions, so that an old daemon sees a newer one's marker, and leaves
its files alone. Pure: no file is touched here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from google.protobuf.message import DecodeError

from sidelog_daemon.tensorboardx import event_pb2
from sidelog_shared.errors import WriterError
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MAX_PICTURE_RANGES
from sidelog_shared.records import RunMarks

VERSION = 1
SIGNATURE = b'{"sidelog":'
"""How ``msg`` begins."""


Counters = Mapping[str, Mapping[str, int]]
"""The next step by kind and tag."""


@dataclass(slots=True)
class Marks:
    """What of one worker stands: highest sequence numbers, and ranges of pictures; 0 and empty where nothing does."""

    light: int = 0
    heavy: int = 0
    picture: IntervalSet = field(default_factory=IntervalSet)

    def add(self, other: Marks) -> None:
        self.light = max(self.light, other.light)
        self.heavy = max(self.heavy, other.heavy)
        for first, last in other.picture.ranges():
            self.picture.add(first, last)
        self.picture.keep_newest(MAX_PICTURE_RANGES)

    def to_map(self) -> dict[str, object]:
        chosen: dict[str, object] = {}
        if self.light:
            chosen["light"] = self.light
        if self.heavy:
            chosen["heavy"] = self.heavy
        if self.picture.highest:
            chosen["picture"] = self.picture.ranges()
        return chosen

    @classmethod
    def from_map(cls, chosen: Mapping[str, object]) -> Marks:
        picture = IntervalSet((first, last) for first, last in chosen.get("picture", ()))  # type: ignore[attr-defined]
        return cls(int(chosen.get("light", 0)), int(chosen.get("heavy", 0)), picture)  # type: ignore[call-overload]


@dataclass(frozen=True, slots=True)
class Marker:
    """One marker.

    Attributes:
        at: its record's offset in its file, in bytes.
        previous: the offset of the marker before it; None for a file's first.
        full: whether it carries the whole table.
        workers: by worker id.
        gone: workers that said goodbye.
        noted: keys that were noted (see :meth:`MarkTable.note`).
        next: the next step by kind and tag (see :meth:`MarkTable.next_step`).
    """

    at: int
    previous: int | None = None
    full: bool = False
    workers: Mapping[str, Marks] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    noted: tuple[str, ...] = ()
    next: Counters = field(default_factory=dict)

    def to_event(self, wall_time: float) -> bytes:
        """The marker as a serialized event."""
        content: dict[str, object] = {"sidelog": VERSION, "at": self.at}
        if self.previous is not None:
            content["prev"] = self.previous
        content["full"] = self.full
        content["workers"] = {worker: marks.to_map() for worker, marks in self.workers.items()}
        if self.gone:
            content["gone"] = self.gone
        if self.noted:
            content["noted"] = self.noted
        if self.next:
            content["next"] = self.next
        log = event_pb2.SessionLog(
            status=event_pb2.SessionLog.CHECKPOINT, msg=json.dumps(content, separators=(",", ":"))
        )
        data: bytes = event_pb2.Event(wall_time=wall_time, session_log=log).SerializeToString()
        return data

    @classmethod
    def from_event(cls, data: bytes) -> Marker | None:
        """Read a serialized event.

        Returns:
            None when the event is something else.

        Raises:
            WriterError: it is a marker that this version cannot understand.
        """
        try:
            message = event_pb2.Event.FromString(data).session_log.msg
        except DecodeError:
            return None
        if not message.startswith(SIGNATURE.decode()):
            return None
        try:
            content = json.loads(message)
            version = content["sidelog"]
            if version == VERSION:
                return cls(
                    at=int(content["at"]),
                    previous=None if content.get("prev") is None else int(content["prev"]),
                    full=bool(content["full"]),
                    workers={str(worker): Marks.from_map(marks) for worker, marks in content["workers"].items()},
                    gone=tuple(map(str, content.get("gone", ()))),
                    noted=tuple(map(str, content.get("noted", ()))),
                    next={
                        str(kind): {str(tag): int(step) for tag, step in steps.items()}
                        for kind, steps in content.get("next", {}).items()
                    },
                )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise WriterError(f"marker {message[:80]!r} cannot be read ({error!r}), expected a marker of "
                              f"version {VERSION}") from error  # fmt: skip
        raise WriterError(f"marker is of version {version!r}, expected {VERSION}: another version of sidelog "
                          f"wrote this run; use that one, or a new run directory")  # fmt: skip


class MarkTable:
    """The marks of one run directory: those that stand in its files, and those of the open group.

    What the open group adds becomes standing by :meth:`settle`, when the group is on disk.
    """

    def __init__(self) -> None:
        self._standing: dict[str, Marks] = {}
        self._noted: dict[str, None] = {}  # in order, and each once
        self._open: dict[str, Marks] = {}
        self._newly_noted: dict[str, None] = {}
        self._gone: set[str] = set()
        self._next: dict[str, dict[str, int]] = {}
        self._newly_next: dict[str, dict[str, int]] = {}

    @property
    def changed(self) -> bool:
        """Whether the open group adds anything to what stands."""
        return bool(self._open or self._newly_noted or self._newly_next or self._gone)

    @property
    def only_goodbyes(self) -> bool:
        """Whether all that changed is that workers left."""
        return not (self._open or self._newly_noted or self._newly_next)

    def mark(self, worker: str, lane: str, seq: int) -> None:
        """A record is in the open group."""
        marks = self._open.get(worker)
        if marks is None:
            marks = self._open[worker] = Marks()
        if lane == "light":
            marks.light = max(marks.light, seq)
        elif lane == "heavy":
            marks.heavy = max(marks.heavy, seq)
        elif lane == "picture":
            marks.picture.add(seq)
        else:
            raise ValueError(f"lane is {lane!r}, expected 'light', 'heavy' or 'picture'")

    def has(self, worker: str, lane: str, seq: int) -> bool:
        """Whether a record stands already, or is in the open group."""
        if lane == "picture":
            return any(seq in marks.picture for marks in self._marks_of(worker))
        return seq <= self.highest(worker, lane)

    def highest(self, worker: str, lane: str) -> int:
        """The highest sequence number of an ordered lane, the open group included."""
        if lane == "light":
            return max((marks.light for marks in self._marks_of(worker)), default=0)
        if lane == "heavy":
            return max((marks.heavy for marks in self._marks_of(worker)), default=0)
        raise ValueError(f"lane is {lane!r}, expected 'light' or 'heavy'")

    def written(self, worker: str) -> RunMarks:
        """What stands on disk; the open group does not count, for it dies with the process."""
        marks = self._standing.get(worker)
        if marks is None or worker in self._gone:
            return RunMarks()
        return RunMarks(marks.light, marks.heavy, tuple(marks.picture.ranges()))

    def note(self, key: str) -> bool:
        """Remember ``key`` for the life of the directory; False when it was noted before."""
        if self.knows(key):
            return False
        self._newly_noted[key] = None
        return True

    def knows(self, key: str) -> bool:
        """Whether a key stands, or is in the open group."""
        return key in self._noted or key in self._newly_noted

    def is_noted(self, key: str) -> bool:
        """Whether a key stands; in the open group it does not yet."""
        return key in self._noted

    def next_step(self, kind: str, tag: str) -> int:
        """Count: the step after the last that was given for this kind and tag in this directory, from 0."""
        taken = self._newly_next.setdefault(kind, {})
        step = taken[tag] if tag in taken else self._next.get(kind, {}).get(tag, 0)
        taken[tag] = step + 1
        return step

    def forget(self, worker: str) -> None:
        """The worker said goodbye, nothing of it will come again: it leaves the table."""
        self._open.pop(worker, None)
        if worker in self._standing:
            self._gone.add(worker)

    def changes(self, *, at: int, previous: int | None) -> Marker:
        """The marker for the open group, with what it adds."""
        return Marker(
            at,
            previous,
            False,
            dict(self._open),
            tuple(sorted(self._gone)),
            tuple(self._newly_noted),
            _joined({}, self._newly_next),
        )

    def full(self, *, at: int, previous: int | None = None) -> Marker:
        """The marker for the open group, with all that stands once it is written."""
        workers: dict[str, Marks] = {}
        for worker in self._workers():
            workers[worker] = Marks()
            for marks in self._marks_of(worker):
                workers[worker].add(marks)
        steps = _joined(_joined({}, self._next), self._newly_next)
        return Marker(at, previous, True, workers, (), (*self._noted, *self._newly_noted), steps)

    def settle(self) -> None:
        """The open group and its marker stand in the file."""
        self._add(self._open, self._gone, self._newly_noted, self._newly_next)
        self._open, self._gone, self._newly_noted, self._newly_next = {}, set(), {}, {}

    def merge(self, marker: Marker) -> None:
        """Take over what a marker in a file says; markers come in the order of the file."""
        if marker.full:
            self._standing, self._noted, self._next = {}, {}, {}
        self._add(marker.workers, marker.gone, marker.noted, marker.next)

    def stands_in(self, found: MarkTable) -> bool:
        """Whether any record of the open group stands already, by what was just found in the directory's files."""
        for worker, marks in self._open.items():
            known, there = self._standing.get(worker, Marks()), found._standing.get(worker)
            if there is None:
                continue
            if (marks.light and there.light > known.light) or (marks.heavy and there.heavy > known.heavy):
                return True
            if any(there.picture.missing(*one) != [one] for one in marks.picture.ranges()):
                return True
        return False

    def files_removed(self, left: MarkTable) -> None:
        """Somebody removed files of the directory; ``left`` is what stands in those that are left.

        Records that stood in them were acknowledged and will not be written again, so their marks stay, and steps
        are counted on. What was noted belongs into the directory as it is now: its keys are new again.
        """
        for worker, marks in left._standing.items():
            self._standing.setdefault(worker, Marks()).add(marks)
        self._noted = dict(left._noted)
        self._next = _joined(left._next, self._next)

    def _add(self, workers: Mapping[str, Marks], gone: Iterable[str], noted: Iterable[str], steps: Counters) -> None:
        for worker in gone:  # first: who left and came back in one group is there
            self._standing.pop(worker, None)
        for worker, marks in workers.items():
            self._standing.setdefault(worker, Marks()).add(marks)
        self._noted.update(dict.fromkeys(noted))
        _joined(self._next, steps)

    def _marks_of(self, worker: str) -> list[Marks]:
        standing = None if worker in self._gone else self._standing.get(worker)
        return [marks for marks in (standing, self._open.get(worker)) if marks is not None]

    def _workers(self) -> list[str]:
        return list(dict.fromkeys([*(worker for worker in self._standing if worker not in self._gone), *self._open]))


def _joined(counters: dict[str, dict[str, int]], newer: Counters) -> dict[str, dict[str, int]]:
    """``counters``, with what is ``newer`` put into them."""
    for kind, steps in newer.items():
        counters.setdefault(kind, {}).update(steps)
    return counters
