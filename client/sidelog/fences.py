"""Who waits until what was called has settled: callers of ``flush()``, and runs that are to be closed."""

from __future__ import annotations

import sys
import time

from sidelog.calls import Fence, FlushRequest, RunEnd
from sidelog.heavy_lane import HeavyLane
from sidelog.light_lane import LightLane
from sidelog.picture_lane import PictureLane
from sidelog_shared.errors import SidelogError

FEW_ENDS = 16
PART = 10.0
"""Looking which of thousands of runs may be closed (trials of a search) takes one part in so many of the time."""


class Fences:
    """Fences that were taken out of the outbox and have not been passed.

    Args:
        light: the lanes, which know what has settled.
        heavy: likewise.
        pictures: likewise.
    """

    def __init__(self, light: LightLane, heavy: HeavyLane, pictures: PictureLane) -> None:
        self._light = light
        self._heavy = heavy
        self._pictures = pictures
        self._flushes: list[FlushRequest] = []
        self._ends: list[RunEnd] = []
        self._look_at = 0.0

    @property
    def awaited(self) -> bool:
        """Whether a caller waits for something to settle."""
        return bool(self._flushes)

    def keep(self, fence: Fence) -> None:
        match fence:
            case FlushRequest():
                self._flushes.append(fence)
            case RunEnd():
                self._ends.append(fence)

    def answer(self) -> None:
        """Tell those who wait that all they wait for has settled, where it has."""
        for request in [one for one in self._flushes if self._is_answered(one)]:
            self._flushes.remove(request)
            request.done.set()

    def fail(self, error: SidelogError) -> None:
        """Answer those who wait: it cannot be done."""
        for request in self._flushes:
            request.fail(error)
        self._flushes.clear()

    def take_ends(self) -> list[RunEnd]:
        """The runs that ended and whose records have all settled; each is given once."""
        begun = time.monotonic()
        if not self._ends or (len(self._ends) > FEW_ENDS and begun < self._look_at):
            return []
        light, heavy = self._light.lowest_unsettled(), self._heavy.lowest_unsettled()
        pictures = self._pictures.lowest_ordinals()
        settled: list[RunEnd] = []
        left: list[RunEnd] = []
        for end in self._ends:
            run = end.run.id
            is_settled = (
                light.get(run, sys.maxsize) > end.light_target
                and heavy.get(run, sys.maxsize) > end.heavy_target
                and pictures.get(run, sys.maxsize) > end.picture_target
            )
            (settled if is_settled else left).append(end)
        self._ends = left
        ended = time.monotonic()
        self._look_at = ended + PART * (ended - begun)
        return settled

    def ask(self) -> bool:
        """The light lane is sent: whether to ask the daemon, once per request, to write without waiting for more."""
        unasked = [request for request in self._flushes if not request.asked]
        for request in unasked:
            request.asked = True
        return bool(unasked)

    def ask_again(self) -> bool:
        """Everything is sent: whether to ask, for who waits for it, that what is rendered is written at once too."""
        unasked = [request for request in self._flushes if request.everything and not request.asked_again]
        for request in unasked:
            request.asked_again = True
        return bool(unasked)

    def _is_answered(self, request: FlushRequest) -> bool:
        """Whether all that somebody waits for has settled. What is kept for a refused run is not waited for."""
        if not self._light.is_settled(request.light_target, request.runs, held_too=False):
            return False
        if not request.everything:
            return True
        heavy_is = self._heavy.is_settled(request.heavy_target, request.runs, held_too=False)
        return heavy_is and self._pictures_are_settled(request, request.runs, held_too=False)

    def _pictures_are_settled(self, fence: Fence, runs: frozenset[int] | None, *, held_too: bool) -> bool:
        unsettled = self._pictures.first_unsettled_ordinal(runs, held_too=held_too)
        return unsettled is None or unsettled > fence.picture_target
