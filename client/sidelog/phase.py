"""Where a connection stands."""

from __future__ import annotations

from enum import Enum


class Phase(Enum):
    """Where a connection stands.

    AWAY      there is none.
    GREETING  HELLO is said.
    OPENING   WELCOME has come; the runs are being opened.
    LIVE      records flow.
    DRAINING  the daemon goes down and takes nothing more; it still says what became of what it has.
    LEAVING   goodbye is said.
    GONE      goodbye is answered.
    """

    AWAY = "away"
    GREETING = "greeting"
    OPENING = "opening"
    LIVE = "live"
    DRAINING = "draining"
    LEAVING = "leaving"
    GONE = "gone"
