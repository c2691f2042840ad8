"""What a reliable lane keeps: entries of numbered records; how they are split, joined, and read back from the spool.

Pure: no file is touched here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sidelog.spool import DamagedSpool, Place
from sidelog_shared import requests
from sidelog_shared.errors import ProtocolError
from sidelog_shared.frames import Envelope, MessageKind, pack_prefix, unpack
from sidelog_shared.intervals import IntervalSet
from sidelog_shared.limits import MAX_FRAME_BYTES, MAX_FRAMES, MIB
from sidelog_shared.records import Buffer, Record, ScalarColumns

PLACE_BYTES = 1 * MIB
"""Entries are put together in the spool up to this size: what memory keeps of each is little, but not nothing."""
ROW_BYTES = 28
SERIES_BYTES = 64
RECORD_BYTES = 1200
"""What a row, a series and a message count for in memory, tensors aside: of a short text that is mostly objects."""

Span = tuple[int, int]
Message = requests.Scalars | requests.RecordMessage


@dataclass(slots=True, eq=False)
class Entry:
    """Records of neighbouring numbers: one message (with its parts) in memory, or some in the spool.

    Attributes:
        first: the lowest of their numbers.
        last: the highest.
        spans: for each run the first and the last number of its records; in memory all between them are that run's.
        numbers: where they are not all from the first to the last: which.
        nbytes: what they take.
        made_at: when they were called, or a moment later; monotonic seconds.
        message: the message; None where it is in the spool alone.
        place: where they are in the spool; None where they are not.
        sent: in this epoch.
    """

    first: int
    last: int
    spans: Mapping[int, Span]
    nbytes: int
    made_at: float
    message: Message | None
    place: Place | None = None
    sent: bool = False
    numbers: Sequence[Span] = ()

    @property
    def ranges(self) -> Sequence[Span]:
        """Its numbers."""
        return self.numbers or ((self.first, self.last),)

    def ranges_of(self, run: int) -> Sequence[Span]:
        """The numbers of one of its runs; of several in one place of the spool, all between its first and last."""
        return self.ranges if len(self.spans) == 1 else (self.spans[run],)

    def left(self, settled: IntervalSet) -> list[Span]:
        """Its numbers that have not settled."""
        return [hole for first, last in self.ranges for hole in settled.missing(first, last)]

    def count_unsettled(self, settled: IntervalSet) -> int:
        return sum(last - first + 1 for first, last in self.left(settled))


def scalars_bytes(columns: ScalarColumns) -> int:
    return RECORD_BYTES + ROW_BYTES * len(columns) + SERIES_BYTES * len(columns.series)


def by_run(columns: ScalarColumns) -> ScalarColumns:
    """The rows of each run together, and in their order: what belongs to one run can then be cut out in one piece.

    Nobody sees the order across runs: they are different directories.
    """
    runs = np.array([one.run for one in columns.series])
    if (runs == runs[0]).all():
        return columns
    order = np.argsort(runs[columns.index], kind="stable")
    return ScalarColumns(
        columns.first_seq,
        columns.series,
        columns.index[order],
        columns.steps[order],
        columns.wall_times[order],
        columns.values[order],
    )


def split_by_run(entry: Entry) -> list[Entry]:
    """An entry in memory, as one for each run."""
    if not isinstance(entry.message, requests.Scalars):
        return [entry]
    columns = entry.message.columns
    return [_part(entry, columns, first, last) for first, last in sorted(entry.spans.values())]


def without(entry: Entry, left: Iterable[Span]) -> list[Entry]:
    """An entry in memory, of which only these numbers are left."""
    left = list(left)
    if left == [(entry.first, entry.last)] or not isinstance(entry.message, requests.Scalars):
        return [entry]
    return [_part(entry, entry.message.columns, first, last) for first, last in left]


def groups_for_spool(entries: Iterable[Entry], before: float) -> Iterator[list[Entry]]:
    """What of entries goes into the spool, by places: those in memory that were called before a moment.

    Args:
        entries: in the order of their numbers; those that go are of one run each.
        before: monotonic seconds.
    """
    group: list[Entry] = []
    nbytes = 0
    for entry in entries:
        if entry.made_at > before:
            break
        in_spool = entry.message is None  # what comes after it must not stand before it
        if group and (in_spool or not _joins(group[-1], entry) or nbytes + entry.nbytes > PLACE_BYTES):
            yield group
            group, nbytes = [], 0
        if not in_spool:
            group.append(entry)
            nbytes += entry.nbytes
    if group:
        yield group


def _joins(before: Entry, entry: Entry) -> bool:
    return (entry.spans.keys(), entry.sent) == (before.spans.keys(), before.sent)


def in_one_place(group: Sequence[Entry], place: Place) -> Entry:
    """One entry for those of one run that stand at a place of the spool now."""
    first, last = group[0], group[-1]
    (run,) = first.spans
    whole = Entry(
        first.first,
        last.last,
        {run: (first.first, last.last)},
        sum(entry.nbytes for entry in group),
        first.made_at,
        None,
        place,
        first.sent,
    )
    numbers = IntervalSet(span for entry in group for span in entry.ranges)
    if numbers.range_count > 1:
        whole.numbers = numbers.ranges()
    return whole


def frames_of(entry: Entry, epoch: int) -> list[list[Buffer]]:
    """The messages of an entry in memory."""
    message = entry.message
    assert message is not None
    if isinstance(message, requests.Scalars):
        return [message.frames(epoch)]
    return [message.frames(epoch), *requests.part_messages(message.record, epoch)]


def sent_again(messages: Iterable[list[bytes]], settled: IntervalSet, epoch: int) -> list[list[Buffer]]:
    """Messages from the spool, without what has settled since, for another epoch.

    Raises:
        DamagedSpool: what stands there is no such message.
    """
    again: list[list[Buffer]] = []
    for frames in messages:
        envelope = read_kept(frames)
        if envelope.kind == MessageKind.SCALARS:
            columns = requests.Scalars.read(envelope).columns
            again += [
                requests.Scalars(_rows(columns, low, high)).frames(epoch)
                for low, high in settled.missing(columns.first_seq, columns.last_seq)
            ]
        elif requests.read_position(envelope)[1] not in settled:
            again.append([pack_prefix(MessageKind(envelope.kind), epoch), *frames[1:]])
    return again


def numbers_in(messages: Iterable[list[bytes]]) -> IntervalSet:
    """The numbers of the records that are whole, of a place in the spool where some messages are missing.

    Raises:
        DamagedSpool: what stands there is no such message.
    """
    numbers = IntervalSet()
    for frames in messages:
        envelope = read_kept(frames)
        if envelope.kind == MessageKind.SCALARS:
            columns = requests.Scalars.read(envelope).columns
            numbers.add(columns.first_seq, columns.last_seq)
        elif envelope.kind == MessageKind.RECORD:
            record = requests.RecordMessage.read(envelope).record
            if not record.in_parts:  # it is larger than PLACE_BYTES, so what is missing there is a part of it
                numbers.add(record.seq, record.seq)
    return numbers


def entries_in(messages: Iterable[list[bytes]], made_at: float) -> list[Entry]:
    """Messages from the spool, as entries in memory.

    Raises:
        DamagedSpool: what stands there is no such message.
    """
    entries: list[Entry] = []
    parts: list[bytes] = []
    for frames in messages:
        envelope = read_kept(frames)
        if envelope.kind == MessageKind.PART:
            parts.append(frames[2])
            continue
        _complete(entries, parts)
        if envelope.kind == MessageKind.SCALARS:
            columns = requests.Scalars.read(envelope).columns
            spans, nbytes = columns.spans(), scalars_bytes(columns)
            message = requests.Scalars(columns)
            entries.append(Entry(columns.first_seq, columns.last_seq, spans, nbytes, made_at, message))
        else:
            kept = requests.RecordMessage.read(envelope)
            record = kept.record
            nbytes, spans = record.nbytes + RECORD_BYTES, {record.run: (record.seq, record.seq)}
            entries.append(Entry(record.seq, record.seq, spans, nbytes, made_at, kept))
    _complete(entries, parts)
    return entries


def read_kept(frames: list[bytes]) -> Envelope:
    """The envelope of a message that was kept.

    Raises:
        DamagedSpool: it is none.
    """
    try:
        return unpack(frames, max_bytes=MAX_FRAMES * MAX_FRAME_BYTES)
    except ProtocolError as error:
        raise DamagedSpool(f"the spool holds what is no message: {error}") from error


def _complete(entries: list[Entry], parts: list[bytes]) -> None:
    """Give the last record the bytes that came in parts."""
    if not parts:
        return
    message = entries[-1].message
    assert isinstance(message, requests.RecordMessage)
    whole = memoryview(b"".join(parts))
    parts.clear()
    buffers: list[Buffer] = []
    for spec in message.record.specs:
        buffers.append(whole[: spec.nbytes])
        whole = whole[spec.nbytes :]
    record: Record = replace(message.record, buffers=tuple(buffers))
    entries[-1].message = requests.RecordMessage(record)


def _part(entry: Entry, columns: ScalarColumns, first: int, last: int) -> Entry:
    part = _rows(columns, first, last)
    return Entry(
        first, last, part.spans(), scalars_bytes(part), entry.made_at, requests.Scalars(part), None, entry.sent
    )


def _rows(columns: ScalarColumns, first: int, last: int) -> ScalarColumns:
    """The rows with these numbers, and the series that they name."""
    if len(columns) == last - first + 1:
        return columns
    rows = slice(first - columns.first_seq, last + 1 - columns.first_seq)
    named, index = np.unique(columns.index[rows], return_inverse=True)
    return ScalarColumns(
        first,
        tuple(columns.series[number] for number in named.tolist()),
        index.astype(np.uint32),
        columns.steps[rows],
        columns.wall_times[rows],
        columns.values[rows],
    )
