"""The buffers and options of a record, each read with the checks that its kind asks for.

Every function raises :class:`MalformedHeader` with what, got and expected.
"""

from __future__ import annotations

from collections.abc import Sequence

from sidelog_daemon.render.tensors import Array, to_array
from sidelog_shared import dtypes
from sidelog_shared.documents import read_document
from sidelog_shared.errors import MalformedHeader
from sidelog_shared.header import HeaderReader
from sidelog_shared.records import Record


def options(record: Record) -> HeaderReader:
    """The options, to be read by name and type."""
    return HeaderReader(f"{record.kind.name}.options", dict(record.options))


def check_count(record: Record, *counts: int) -> None:
    """Refuse a record with another number of buffers."""
    if len(record.specs) not in counts:
        expected = " or ".join(map(str, counts))
        raise MalformedHeader(f"{record.kind.name} has {len(record.specs)} buffers, expected {expected}")


def tensor(record: Record, index: int) -> Array:
    """Buffer ``index``; bfloat16 and float8 come as float32."""
    spec = record.specs[index]
    return to_array(spec.dtype, spec.shape, memoryview(record.buffers[index]))


def doubles(record: Record, index: int, name: str) -> Array:
    """Buffer ``index``, which must be float64."""
    spec = record.specs[index]
    if spec.dtype is not dtypes.FLOAT64:
        raise MalformedHeader(f"{record.kind.name}.{name} is {spec.dtype.name}, expected float64")
    return tensor(record, index)


def octets(record: Record, index: int, name: str) -> memoryview:
    """Buffer ``index``, which must be bytes: one dimension of uint8."""
    spec = record.specs[index]
    if spec.dtype is not dtypes.UINT8 or len(spec.shape) != 1:
        raise MalformedHeader(f"{record.kind.name}.{name} is {spec.dtype.name} {list(spec.shape)}, expected uint8 [n]")
    return memoryview(record.buffers[index])


def text(record: Record, index: int, name: str) -> str:
    """Buffer ``index`` as UTF-8."""
    try:
        return bytes(octets(record, index, name)).decode()
    except UnicodeDecodeError as error:
        raise MalformedHeader(f"{record.kind.name}.{name} is not UTF-8: {error}") from None


def document(record: Record, index: int, name: str) -> object:
    """Buffer ``index`` as a document."""
    try:
        return read_document(octets(record, index, name))
    except MalformedHeader as error:
        raise MalformedHeader(f"{record.kind.name}.{name}: {error}") from None


def as_list(path: str, value: object, length: int | None = None) -> list[object]:
    """``value``, which must be a list (of ``length`` items)."""
    if not isinstance(value, list):
        raise MalformedHeader(f"{path} is {value!r:.80}, expected a list")
    if length is not None and len(value) != length:
        raise MalformedHeader(f"{path} has {len(value):,} items, expected {length:,}")
    return value


def as_text(path: str, value: object) -> str:
    """``value``, which must be a string."""
    if not isinstance(value, str):
        raise MalformedHeader(f"{path} is {value!r:.80}, expected a string")
    return value


def as_texts(path: str, value: object, length: int | None = None) -> list[str]:
    """``value``, which must be a list of (``length``) strings."""
    return [as_text(f"{path}[{index}]", item) for index, item in enumerate(as_list(path, value, length))]


def parts(record: Record, known: Sequence[str], *, after: int = 0) -> list[str]:
    """The option ``parts``, which names the buffers behind the first ``after``: some of ``known``, in that order."""
    names = as_texts(f"{record.kind.name}.options.parts", record.options.get("parts"))
    if names != [name for name in known if name in names]:
        raise MalformedHeader(f"{record.kind.name}.options.parts is {names!r:.80}, expected some of {list(known)}, "
                              f"in this order")  # fmt: skip
    check_count(record, after + len(names))
    return names


def dataformats(record: Record, *orders: str) -> str:
    """The option ``dataformats``: the letters of one of ``orders``, in any order."""
    letters = options(record).text("dataformats", 8)
    if sorted(letters) not in [sorted(order) for order in orders]:
        raise MalformedHeader(f"{record.kind.name}.options.dataformats is {letters!r}, expected an order of the "
                              f"letters of {' or '.join(orders)}")  # fmt: skip
    return letters


def step(record: Record) -> int:
    """The step, which must be given: the next one will not do."""
    if record.step is None:
        raise MalformedHeader(f"{record.kind.name}.step is not given, expected an integer")
    return record.step
