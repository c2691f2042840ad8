"""The picture lane: best effort. A picture is sent once; its memory is free when the daemon has it, and only its
tag is kept until it is known to be written, dropped or lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sidelog.calls import RecordCall
from sidelog.outbox import Outbox
from sidelog.runs import RunHandle
from sidelog.snapshot import Snapshot
from sidelog.statistics import NOT_IN_TIME, NOT_KNOWN, RUN_REFUSED, TOO_LARGE, WITH_DAEMON, Totals
from sidelog_shared import requests
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MAX_PICTURE_RANGES, MIB
from sidelog_shared.records import Buffer, End, Lane, LaneState, RunMarks


@dataclass(slots=True)
class _Flight:
    """A picture that was sent and has not settled; without snapshots once the daemon has taken them over.

    Not the call: it would keep the memory of its snapshots alive.
    """

    run: int
    tag: str
    ordinal: int
    snapshots: tuple[Snapshot, ...]


class PictureLane:
    """Pictures and histograms between the outbox and the event files.

    Args:
        outbox: what was called.
        totals: where pictures are counted that a dead daemon had written.
        say: tells the user something.
    """

    def __init__(self, outbox: Outbox, totals: Totals, say: Callable[[str], None]) -> None:
        self._outbox = outbox
        self._totals = totals
        self._say = say
        self._flights: dict[int, _Flight] = {}
        self._unresolved: set[int] = set()
        self._held_runs: set[int] = set()
        self._last = 0
        self.max_record_bytes = MIB
        self.lost: Counter[str] = Counter()
        self.lost_in_runs: Counter[tuple[int, str, str]] = Counter()
        """By run, tag and cause."""

    @property
    def last(self) -> int:
        """The highest sequence number given so far."""
        return self._last

    @property
    def first_unsettled(self) -> int:
        """The lowest sequence number whose end is not known, or the next new one.

        None is sent again, but a daemon counts as settled what is below the number that HELLO says. Were it the next
        new one, a WELCOME that is lost on its way would take with it which pictures had arrived.
        """
        return min(self._flights, default=self._last + 1)

    @property
    def under_way(self) -> int:
        return len(self._flights)

    @property
    def held_bytes(self) -> int:
        """Snapshots that were sent and that the daemon has not taken over."""
        return sum(one.spec.nbytes for flight in self._flights.values() for one in flight.snapshots)

    @property
    def is_stuck(self) -> bool:
        """Whether all that is under way belongs to runs that are refused for now."""
        return not self._in_window

    def first_unsettled_ordinal(self, runs: frozenset[int] | None, *, held_too: bool = True) -> int | None:
        """Of the oldest picture that was called and has not settled; None if there is none.

        Args:
            runs: of these runs; None for all.
            held_too: those of runs that are refused for now count as well.
        """
        ordinals = [
            flight.ordinal
            for flight in self._flights.values()
            if (runs is None or flight.run in runs) and (held_too or flight.run not in self._held_runs)
        ]
        waiting = self._outbox.first_waiting_ordinal(runs)
        return min(ordinals if waiting is None else [*ordinals, waiting], default=None)

    def lowest_ordinals(self) -> dict[int, int]:
        """Of each run the oldest picture that was called and has not settled."""
        found = self._outbox.first_waiting_ordinals()
        for flight in self._flights.values():
            found[flight.run] = min(flight.ordinal, found.get(flight.run, flight.ordinal))
        return found

    def next_messages(self, runs: Mapping[int, RunHandle], epoch: int) -> list[list[Buffer]]:
        """The messages of the next picture to send; none when there is none, or too many have not settled."""
        while self._in_window < MAX_PICTURE_RANGES:
            call = self._outbox.take_picture()
            if call is None:
                break
            run = runs.get(call.run)
            size = call.nbytes
            if run is None or run.refused:
                self._give_up(call, RUN_REFUSED)
            elif size > self.max_record_bytes:
                self._give_up(call, TOO_LARGE)
                self._say(f"{call.tag!r} is {size:,} bytes, the daemon takes {self.max_record_bytes:,}: not logged")
            else:
                return self._begin(call, epoch)
        return []

    @property
    def _in_window(self) -> int:
        """Pictures under way; those of a run that is refused for now do not stop the others."""
        if not self._held_runs:
            return len(self._flights)
        return sum(flight.run not in self._held_runs for flight in self._flights.values())

    def hold(self, run: int) -> None:
        """A run is refused for now: what of it is under way may take its time."""
        self._held_runs.add(run)

    def let_go(self, run: int) -> None:
        """The run is open."""
        self._held_runs.discard(run)

    def _begin(self, call: RecordCall, epoch: int) -> list[list[Buffer]]:
        self._last += 1
        self._flights[self._last] = _Flight(call.run, call.tag, call.ordinal, call.snapshots)
        record = call.record(Lane.PICTURE, self._last)
        return [requests.RecordMessage(record).frames(epoch), *requests.part_messages(record, epoch)]

    def apply(self, state: LaneState) -> None:
        """Free what the daemon has taken over, forget what has reached its end."""
        settled_through, received_through = state.settled.through, state.received.through
        for seq, flight in list(self._flights.items()):
            if seq <= settled_through or seq in state.settled:
                self._settle(seq)
            elif flight.snapshots and (seq <= received_through or seq in state.received):
                _release(flight)

    def lose_unreceived(self, received: IntervalSet) -> None:
        """The same daemon, a new connection: what it has not received went down with the old one."""
        for seq in [seq for seq in self._flights if seq not in received and seq not in self._unresolved]:
            self._lose(seq)

    def doubt(self) -> None:
        """Another daemon: what was under way is lost unless its run directory says that it stands there."""
        self._unresolved = set(self._flights)

    def resolve(self, run: int, marks: RunMarks) -> None:
        """What stands in a run directory, as its new daemon found it."""
        written = IntervalSet(marks.picture)
        for seq in [seq for seq in self._unresolved if self._flights[seq].run == run]:
            if seq in written:
                self._totals.add(End.WRITTEN)
                self._settle(seq, recycle=False)
            else:
                self._lose(seq)

    def lose_unresolved(self) -> None:
        """Every run has had its answer: but for those that are refused for now, nobody is left who could tell."""
        for seq in [seq for seq in self._unresolved if self._flights[seq].run not in self._held_runs]:
            self._lose(seq)

    def abandon(self) -> None:
        """The deadline has passed: what is left is lost; of what a daemon has nobody knows."""
        for seq in list(self._flights):
            self._lose(seq, NOT_KNOWN)
        while (call := self._outbox.take_picture()) is not None:
            self._give_up(call, NOT_IN_TIME)

    def _give_up(self, call: RecordCall, cause: str) -> None:
        """A picture that was never sent."""
        self.lost[cause] += 1
        self.lost_in_runs[call.run, call.tag, cause] += 1
        for snapshot in call.snapshots:
            snapshot.release()

    def _settle(self, seq: int, *, recycle: bool = True) -> None:
        flight = self._flights.pop(seq)
        self._unresolved.discard(seq)
        if recycle:
            _release(flight)
        else:
            _discard(flight)

    def _lose(self, seq: int, cause: str = WITH_DAEMON) -> None:
        flight = self._flights[seq]
        self._settle(seq, recycle=False)
        self.lost[cause] += 1
        self.lost_in_runs[flight.run, flight.tag, cause] += 1


def _release(flight: _Flight) -> None:
    for snapshot in flight.snapshots:
        snapshot.release()
    flight.snapshots = ()


def _discard(flight: _Flight) -> None:
    """The I/O thread of a socket that was closed may still read this memory."""
    for snapshot in flight.snapshots:
        snapshot.discard()
    flight.snapshots = ()
