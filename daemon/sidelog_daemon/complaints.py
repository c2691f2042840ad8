"""What was wrong with messages: counted for who asks, and logged as long as nobody floods the log."""

from __future__ import annotations

import logging
from collections import Counter

from sidelog_daemon.roster import Roster
from sidelog_daemon.session import Session
from sidelog_shared.errors import ProtocolError
from sidelog_shared.records import Record

log = logging.getLogger(__name__)

COMPLAINTS_LOGGED = 20
"""So many log lines about what one worker sent, or strangers together; the rest is only counted."""


class Complaints:
    """Of one daemon, about all its workers and strangers. Used by the receiver thread only.

    Args:
        roster: what log lines call workers and runs.

    Attributes:
        faults: messages that were not taken, by why.
    """

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._of_strangers = 0
        self.faults: Counter[str] = Counter()

    def fault(self, session: Session | None, error: ProtocolError, record: Record | None = None) -> None:
        """A message is not taken: count it, and log it.

        Args:
            session: who sent it; None for a stranger.
            error: what is wrong with it.
            record: the record that it is about, where there is one.
        """
        self.faults[error.code] += 1
        if session is not None:
            session.faults[error.code] += 1
            if record is None:
                self.complain(session, str(error))
            else:
                self.complain(session, f"{record.place}: {error}", record.run)
        else:
            self.complain(None, f"message from nobody we know: {error}")

    def complain(self, session: Session | None, text: str, run: int | None = None) -> None:
        """Log what was wrong with a message, as long as its sender does not flood the log."""
        if session is None:
            self._of_strangers += 1
            who, count = "strangers", self._of_strangers
        else:
            session.complaints += 1
            who, count = session.worker.label, session.complaints
        if count <= COMPLAINTS_LOGGED:
            place = who if session is None or run is None else self._roster.place(session.worker.id, run)
            log.warning("%s: %s", place, text)
        if count == COMPLAINTS_LOGGED:
            log.warning("%s: more of this is counted, and not logged", who)


def counted(faults: Counter[str]) -> str:
    """Named counts for a log line."""
    return ", ".join(f"{count:,} {name}" for name, count in faults.items()) or "none"
