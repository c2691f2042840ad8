"""Heavy records and pictures on their way to the socket, in turn, message by message: neither waits for long."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from sidelog.heavy_lane import HeavyLane
from sidelog.picture_lane import PictureLane
from sidelog.runs import RunHandle
from sidelog_shared.records import Buffer, Lane

_OTHER = {Lane.HEAVY: Lane.PICTURE, Lane.PICTURE: Lane.HEAVY}


class Turns:
    """The heavy record and the picture that have begun to be sent.

    Args:
        heavy: gives the next heavy record.
        pictures: gives the next picture.
    """

    def __init__(self, heavy: HeavyLane, pictures: PictureLane) -> None:
        self._heavy = heavy
        self._pictures = pictures
        self._begun: dict[Lane, deque[list[Buffer]]] = {Lane.HEAVY: deque(), Lane.PICTURE: deque()}
        self._turn = Lane.PICTURE

    def peek(self, runs: Mapping[int, RunHandle], epoch: int) -> list[Buffer] | None:
        """The next message to send; None when there is none. ``sent`` says that it was taken."""
        for lane in (self._turn, _OTHER[self._turn]):
            messages = self._begun[lane]
            if not messages:
                messages.extend(self._begin(lane, runs, epoch))
            if messages:
                self._turn = lane
                return messages[0]
        return None

    def sent(self) -> None:
        """The message that ``peek`` gave was taken by the socket."""
        self._begun[self._turn].popleft()
        self._turn = _OTHER[self._turn]

    def give_up(self) -> None:
        """The rest of what has begun is not sent in this epoch."""
        for messages in self._begun.values():
            messages.clear()

    def _begin(self, lane: Lane, runs: Mapping[int, RunHandle], epoch: int) -> list[list[Buffer]]:
        if lane is Lane.HEAVY:
            return self._heavy.next_messages(epoch)
        return self._pictures.next_messages(runs, epoch)
