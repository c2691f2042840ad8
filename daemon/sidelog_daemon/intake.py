"""Records as they arrive: checked, taken once each, and handed on to the writer or to be rendered. No I/O."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sidelog_daemon.actions import Action, Render, WriteRecord, WriteScalars
from sidelog_daemon.complaints import Complaints
from sidelog_daemon.session import RunState, Session
from sidelog_shared import requests
from sidelog_shared.errors import MalformedHeader, ProtocolError
from sidelog_shared.limits import Limits
from sidelog_shared.records import LANES, Lane, Record


class Intake:
    """Takes the records of every worker. What cannot be taken is rejected: it settles, and its worker hears why.

    Args:
        limits: what each worker is granted.
        complaints: counts and logs what is wrong with records.
    """

    def __init__(self, limits: Limits, complaints: Complaints) -> None:
        self._limits = limits
        self._complaints = complaints

    def scalars(self, session: Session, request: requests.Scalars) -> list[Action]:
        columns = request.columns
        first, last = columns.first_seq, columns.last_seq
        try:
            fresh = session.take(Lane.LIGHT, first, last, columns.spans())
        except MalformedHeader as error:
            self._complaints.fault(session, error)
            session.reject(Lane.LIGHT, session.lanes[Lane.LIGHT].received.missing(first, last), str(error))
            return []
        if not fresh:
            return []
        closed = [one.run for one in columns.series if session.runs.get(one.run) is not RunState.OPEN]
        if closed:
            is_closed = np.array([one.run in closed for one in columns.series])[columns.index]
            why = f"scalars name run {closed[0]}, which is not open"
            session.reject(Lane.LIGHT, _where(is_closed, fresh, first), why)
            fresh = _where(~is_closed, fresh, first)
            if not fresh:
                return []
        rows = tuple((low - first, high - first) for low, high in fresh)
        return [WriteScalars(session.worker.id, columns, rows)]

    def record(self, session: Session, record: Record) -> list[Action]:
        if record.seq in session.lanes[record.lane].received:
            session.changed = True  # it was sent again: its client has not heard what became of it
            return []
        try:
            if record.lane not in LANES[record.kind]:
                expected = " or ".join(sorted(repr(lane.value) for lane in LANES[record.kind]))
                raise MalformedHeader(
                    f"RECORD.lane is {record.lane.value!r}, expected {expected} for kind {record.kind.name}"
                )
            if session.runs.get(record.run) is not RunState.OPEN:
                raise MalformedHeader(f"RECORD.run is {record.run}, which is not open")
            taken = session.take_record(record, self._limits.session_budget_bytes)
        except ProtocolError as error:
            self._complaints.fault(session, error, record)
            session.reject(record.lane, [(record.seq, record.seq)], f"{record.tag}: {error}")
            return []
        return [] if taken is None else [_dispatch(session, taken)]

    def part(self, session: Session, part: requests.Part) -> list[Action]:
        try:
            whole = session.take_part(part)
        except MalformedHeader as error:
            self._complaints.fault(session, error)
            session.reject(part.lane, [(part.seq, part.seq)], str(error))
            return []
        return [] if whole is None else [_dispatch(session, whole)]


def _dispatch(session: Session, record: Record) -> WriteRecord | Render:
    if record.lane is Lane.LIGHT:
        return WriteRecord(session.worker.id, record)
    return Render(session.worker.id, record)


def _where(rows: npt.NDArray[np.bool_], ranges: Sequence[tuple[int, int]], first_seq: int) -> list[tuple[int, int]]:
    """The parts of ``ranges`` (sequence numbers) in which ``rows`` (a mask from ``first_seq`` on) is true."""
    kept = []
    for low, high in ranges:
        mask = rows[low - first_seq : high - first_seq + 1].astype(np.int8)
        edges = np.flatnonzero(np.diff(mask, prepend=0, append=0))
        kept += [(low + int(start), low + int(stop) - 1) for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return kept
