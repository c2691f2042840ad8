"""Which runs of a worker the daemon has opened, which it refuses for now, and for which its answer is awaited."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from sidelog.left_spool import LeftSpool
from sidelog.runs import RunHandle, Runs
from sidelog.spool import Spool
from sidelog_shared import replies
from sidelog_shared.records import Refusal

ASK_AGAIN_S = 1.0
"""How often a refused run is asked for again."""


class _Lane(Protocol):
    """What a lane does for a run that is refused for now."""

    def hold(self, run: int) -> None: ...
    def let_go(self, run: int) -> None: ...


class Admission:
    """The daemon's word on the runs of one worker. Used by whoever drives :class:`sidelog.delivery.Delivery`.

    Args:
        runs: those there are.
        lanes: they hold what is logged into a run that is refused.
        spool: where it stands which runs there are.
        say: tells the user something (once per text).
    """

    def __init__(self, runs: Runs, lanes: Sequence[_Lane], spool: Spool | None, say: Callable[[str], None]) -> None:
        self._runs = runs
        self._lanes = lanes
        self._spool = spool
        self._say = say
        self._unanswered: set[int] = set()
        self._asked_again: set[int] = set()
        self._refused_until: dict[int, float] = {}

    @property
    def is_awaited(self) -> bool:
        """Whether a run is being opened."""
        return bool(self._unanswered)

    def take_new(self) -> list[RunHandle]:
        """The runs that callers have opened meanwhile; records of them may have come."""
        new = self._runs.take_new()
        if self._spool is not None:
            for run in new:
                self._spool.declare(run)
        return new

    def remove(self, run: RunHandle) -> None:
        """A run has ended, and its records have all settled."""
        for lane in self._lanes:
            lane.let_go(run.id)
        self._refused_until.pop(run.id, None)
        if self._spool is not None:
            self._spool.forget(run)

    def restore(self, left: LeftSpool) -> None:
        """Take the runs of a process that left records in its spool; they stand there already."""
        for run in left.runs:
            self._runs.add(run)

    def forget_questions(self) -> None:
        """A new connection: nothing has been asked on it."""
        self._unanswered.clear()
        self._asked_again.clear()

    def await_answer(self, run: RunHandle) -> bool:
        """Await the daemon's answer for a run; returns whether it is worth asking for."""
        if run.is_hopeless:
            return False
        self._unanswered.add(run.id)
        return True

    def due(self, now: float) -> list[RunHandle]:
        """The runs that were refused a while ago: another daemon may have let go, a folder may be writable."""
        due = [run for run, until in self._refused_until.items() if now >= until and run not in self._asked_again]
        self._asked_again.update(due)  # once, however long the answer takes
        self._refused_until.update(dict.fromkeys(due, now + ASK_AGAIN_S))
        return [self._runs.by_id[run] for run in due]

    def open(self, run_id: int) -> bool:
        """The daemon has opened a run; returns whether the records of others waited for its answer."""
        run = self._runs.by_id.get(run_id)
        self._asked_again.discard(run_id)
        if run is not None and run.refused:
            self._say(f"{run.path} is written again, with what was kept for it meanwhile{_time(run)}")
            run.refused = ""
            self._refused_until.pop(run.id, None)
            for lane in self._lanes:
                lane.let_go(run.id)
        awaited = run_id in self._unanswered
        self._unanswered.discard(run_id)
        return awaited

    def refuse(self, refused: replies.Refused) -> bool:
        """The daemon refuses a run, or writes nothing more of one that is open for now; returns as :meth:`open`."""
        if refused.run is None:
            return False
        run = self._runs.by_id.get(refused.run)
        # Of a run that is open, and cannot be written for now, the daemon has told already.
        is_news = refused.run in self._unanswered or refused.run in self._asked_again
        self._asked_again.discard(refused.run)
        if run is not None:
            self._put_off(run, refused, is_news=is_news)
        awaited = refused.run in self._unanswered
        self._unanswered.discard(refused.run)
        return awaited

    def _put_off(self, run: RunHandle, refused: replies.Refused, *, is_news: bool) -> None:
        """A run is refused: what is logged into it is kept until it is not, where that may be."""
        before, run.refused = run.refused, refused.text
        if refused.code is Refusal.RUN_NAME:
            run.is_hopeless = True
            self._refused_until.pop(run.id, None)
            if before:
                for lane in self._lanes:
                    lane.let_go(run.id)  # nobody asks again: the daemon rejects it
            self._say(f"nothing of this run is written: {refused.text}")
            return
        if not before:
            run.outages += 1
            for lane in self._lanes:
                lane.hold(run.id)
        self._refused_until.setdefault(run.id, 0.0)
        if refused.text != before and is_news:
            there = f"; SIDELOG_ENDPOINT={refused.endpoint} logs there" if refused.endpoint else ""
            self._say(
                f"nothing of this run is written for now, it is kept and tried again{_time(run)}: {refused.text}{there}"
            )


def _time(run: RunHandle) -> str:
    """Which time it is, from the second on: what is said twice in the same words is not shown."""
    return f" (outage {run.outages})" if run.outages > 1 else ""
