"""The messages that carry records, from client to daemon: scalars in columns, single records, parts of large ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from sidelog_shared.dtypes import BY_CODE
from sidelog_shared.errors import MalformedHeader
from sidelog_shared.frames import Envelope, MessageKind, pack
from sidelog_shared.header import HeaderReader
from sidelog_shared.limits import MAX_BUFFERS, MAX_NDIM, MAX_TAG_BYTES, PART_BYTES, STEP_MAX, STEP_NEXT
from sidelog_shared.names import check_tag
from sidelog_shared.records import Buffer, BufferSpec, Kind, Lane, Record, ScalarColumns, ScalarForm, Series

MAX_ROWS = 1 << 20
"""Scalars in one message."""
MAX_SERIES = 1 << 16
"""Series in one message of scalars; the header's limit is met before."""
_UINT31 = 2**31 - 1
_UINT63 = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Scalars:
    """A batch of scalars in columns; always in the light lane."""

    kind: ClassVar = MessageKind.SCALARS
    columns: ScalarColumns

    def frames(self, epoch: int) -> list[Buffer]:
        columns = self.columns
        series: list[list[object]] = []
        for one in columns.series:
            row: list[object] = [one.run, one.tag]
            if one.display_name or one.description or one.form:
                row += [one.display_name, one.description]
            if one.form:
                row.append(int(one.form))
            series.append(row)
        return pack(
            self.kind,
            epoch,
            {"seq": columns.first_seq, "count": len(columns), "series": series},
            [
                columns.index.data.cast("B"),
                columns.steps.data.cast("B"),
                columns.wall_times.data.cast("B"),
                columns.values.data.cast("B"),
            ],
        )

    @classmethod
    def read(cls, envelope: Envelope) -> Scalars:
        reader = HeaderReader("SCALARS", envelope.header)
        count = reader.integer("count", 1, MAX_ROWS)
        if len(envelope.buffers) != 4:
            raise MalformedHeader(f"SCALARS has {len(envelope.buffers)} buffers, expected 4 columns")
        series = tuple(
            _read_series(f"SCALARS.series[{i}]", row) for i, row in enumerate(reader.items("series", MAX_SERIES))
        )
        index, steps, wall_times, values = (
            _column(name, dtype, buffer, count)
            for (name, dtype), buffer in zip(_COLUMNS, envelope.buffers, strict=True)
        )
        if int(index.max()) >= len(series):
            raise MalformedHeader(f"SCALARS.index has {int(index.max())}, expected less than {len(series)} (series)")
        if not np.isfinite(wall_times).all():
            raise MalformedHeader("SCALARS.wall_times has a number that is not finite")
        first_seq = reader.integer("seq", 1, _UINT63 - count)
        return cls(
            ScalarColumns(
                first_seq,
                series,
                index.astype(np.uint32, copy=False),
                steps.astype(np.int64, copy=False),
                wall_times.astype(np.float64, copy=False),
                values.astype(np.float64, copy=False),
            )
        )


_COLUMNS = (("index", "<u4"), ("steps", "<i8"), ("wall_times", "<f8"), ("values", "<f8"))


def _column(name: str, dtype: str, buffer: Buffer, count: int) -> npt.NDArray[np.generic]:
    expected = count * np.dtype(dtype).itemsize
    if len(buffer) != expected:
        raise MalformedHeader(f"SCALARS.{name} is {len(buffer):,} bytes, expected {expected:,} ({count} x {dtype})")
    return np.frombuffer(buffer, dtype=dtype)


def _read_series(path: str, row: object) -> Series:
    if not isinstance(row, list) or len(row) not in (2, 4, 5) or type(row[0]) is not int:
        raise MalformedHeader(f"{path} is {row!r:.80}, expected [run, tag] or [run, tag, name, description, form]")
    if not 0 <= row[0] <= _UINT31:
        raise MalformedHeader(f"{path}[0] is {row[0]}, expected a run id in 0..{_UINT31}")
    try:
        tag = check_tag(row[1])
    except (TypeError, ValueError) as error:
        raise MalformedHeader(f"{path}: {error}") from None
    extra, form = row[2:4], row[4] if len(row) == 5 else 0
    if type(form) is not int or form not in list(ScalarForm):
        raise MalformedHeader(f"{path}[4] is {form!r:.80}, expected one of {[int(known) for known in ScalarForm]}")
    if not all(isinstance(text, str) and len(text) <= MAX_TAG_BYTES * 4 for text in extra):
        raise MalformedHeader(f"{path}[2:] is {extra!r:.80}, expected two strings")
    display_name, description = extra or ("", "")
    return Series(row[0], tag, display_name, description, ScalarForm(form))


@dataclass(frozen=True, slots=True)
class RecordMessage:
    """One record. Buffers whose storage is ``"parts"`` follow in PART messages."""

    kind: ClassVar = MessageKind.RECORD
    record: Record

    def frames(self, epoch: int) -> list[Buffer]:
        record = self.record
        return pack(
            self.kind,
            epoch,
            {
                "lane": record.lane.value,
                "seq": record.seq,
                "run": record.run,
                "kind": int(record.kind),
                "tag": record.tag,
                "step": record.step,
                "wall": record.wall_time,
                "options": dict(record.options),
                "buffers": [[spec.dtype.code, spec.shape, spec.storage, spec.codec] for spec in record.specs],
            },
            () if record.in_parts else record.buffers,
        )

    @classmethod
    def read(cls, envelope: Envelope) -> RecordMessage:
        reader = HeaderReader("RECORD", envelope.header)
        try:
            tag = check_tag(reader.text("tag"))
        except (TypeError, ValueError) as error:
            raise MalformedHeader(f"RECORD: {error}") from None
        kind = reader.integer("kind", 0, 255)
        if kind not in list(Kind):
            raise MalformedHeader(f"RECORD.kind is {kind}, expected one of {[int(known) for known in Kind]}")
        specs = tuple(
            _read_spec(f"RECORD.buffers[{i}]", item) for i, item in enumerate(reader.items("buffers", MAX_BUFFERS))
        )
        record = Record(
            lane=_read_lane(reader),
            seq=reader.integer("seq", 1, _UINT63),
            run=reader.integer("run", 0, _UINT31),
            kind=Kind(kind),
            tag=tag,
            step=reader.optional_integer("step", STEP_NEXT, STEP_MAX),
            wall_time=reader.number("wall"),
            options=reader.mapping("options"),
            specs=specs,
            buffers=tuple(envelope.buffers),
        )
        if len({spec.storage for spec in specs}) > 1:
            raise MalformedHeader("RECORD.buffers are in 'frame' and in 'parts', expected one storage for all of them")
        if record.in_parts:
            if not record.nbytes:
                raise MalformedHeader("RECORD has 0 bytes in parts, expected at least 1")
            if record.buffers:
                raise MalformedHeader(f"RECORD has {len(record.buffers)} buffers, expected none before its parts")
            return cls(record)
        if len(record.buffers) != len(specs):
            raise MalformedHeader(f"RECORD has {len(record.buffers)} buffers, expected {len(specs)}")
        for i, (spec, buffer) in enumerate(zip(specs, record.buffers, strict=True)):
            if len(buffer) != spec.nbytes:
                raise MalformedHeader(
                    f"RECORD.buffers[{i}] is {len(buffer):,} bytes, expected {spec.nbytes:,} "
                    f"({spec.dtype.name} {list(spec.shape)})"
                )
        return cls(record)


def read_position(envelope: Envelope) -> tuple[Lane, int, int]:
    """Lane, first and last number of records that are otherwise unreadable, so that they can be settled as rejected.

    Raises:
        MalformedHeader: not even that can be read, or the message holds no records.
    """
    if envelope.kind == MessageKind.SCALARS:
        reader = HeaderReader("SCALARS", envelope.header)
        count = reader.integer("count", 1, MAX_ROWS)
        first = reader.integer("seq", 1, _UINT63 - count)
        return Lane.LIGHT, first, first + count - 1
    if envelope.kind not in (MessageKind.RECORD, MessageKind.PART):
        raise MalformedHeader(f"message kind is {envelope.kind}, expected one that holds records")
    reader = HeaderReader(MessageKind(envelope.kind).name, envelope.header)
    seq = reader.integer("seq", 1, _UINT63)
    return _read_lane(reader), seq, seq


def _read_lane(reader: HeaderReader) -> Lane:
    name = reader.text("lane", 16)
    try:
        return Lane(name)
    except ValueError:
        raise MalformedHeader(f"RECORD.lane is {name!r}, expected one of {[lane.value for lane in Lane]}") from None


def _read_spec(path: str, item: object) -> BufferSpec:
    if not isinstance(item, list) or len(item) != 4:
        raise MalformedHeader(f"{path} is {item!r:.80}, expected [dtype, shape, storage, codec]")
    code, shape, storage, codec = item
    if type(code) is not int or code not in BY_CODE:
        raise MalformedHeader(f"{path}.dtype is {code!r:.80}, expected one of {sorted(BY_CODE)}")
    if not isinstance(shape, list) or len(shape) > MAX_NDIM:
        raise MalformedHeader(f"{path}.shape is {shape!r:.80}, expected a list of at most {MAX_NDIM} sizes")
    if not all(type(size) is int and 0 <= size <= _UINT31 for size in shape):
        raise MalformedHeader(f"{path}.shape is {shape!r:.80}, expected integers in 0..{_UINT31}")
    if storage not in ("frame", "parts"):
        raise MalformedHeader(f"{path}.storage is {storage!r:.80}, expected 'frame' or 'parts'")
    if codec != "raw":
        raise MalformedHeader(f"{path}.codec is {codec!r:.80}, expected 'raw'")
    return BufferSpec(BY_CODE[code], tuple(shape), storage, codec)


@dataclass(frozen=True, slots=True)
class Part:
    """The next bytes of a record that travels in parts; parts of one record come in order.

    Attributes:
        lane: lane of the record.
        seq: its number there.
        buffer: which of its buffers.
        offset: where in that buffer the bytes belong; exactly where the part before ended.
        data: the bytes.
    """

    kind: ClassVar = MessageKind.PART
    lane: Lane
    seq: int
    buffer: int
    offset: int
    data: Buffer

    def frames(self, epoch: int) -> list[Buffer]:
        header: dict[str, object] = {
            "lane": self.lane.value,
            "seq": self.seq,
            "buffer": self.buffer,
            "offset": self.offset,
        }
        return pack(self.kind, epoch, header, [self.data])

    @classmethod
    def read(cls, envelope: Envelope) -> Part:
        reader = HeaderReader("PART", envelope.header)
        if len(envelope.buffers) != 1:
            raise MalformedHeader(f"PART has {len(envelope.buffers)} buffers, expected 1")
        return cls(
            lane=_read_lane(reader),
            seq=reader.integer("seq", 1, _UINT63),
            buffer=reader.integer("buffer", 0, MAX_BUFFERS - 1),
            offset=reader.integer("offset", 0, _UINT63),
            data=envelope.buffers[0],
        )


def part_messages(record: Record, epoch: int) -> list[list[Buffer]]:
    """The PART messages that follow a record; none where its buffers are in its own message."""
    if not record.in_parts:
        return []
    messages = []
    for index, buffer in enumerate(record.buffers):
        view = memoryview(buffer)
        for offset in range(0, len(view), PART_BYTES):
            part = Part(record.lane, record.seq, index, offset, view[offset : offset + PART_BYTES])
            messages.append(part.frames(epoch))
    return messages
