"""Reading the fields of a decoded header: each with its type and bounds, each error with the field's path."""

from __future__ import annotations

import math

from sidelog_shared.errors import MalformedHeader


class HeaderReader:
    """Typed access to a header; unknown fields are ignored, so that a newer minor version may add some.

    Every method raises :class:`MalformedHeader` with a path, what it got and what was expected:
    ``RECORD.seq is 'x', expected an integer in 1..9223372036854775807``.
    """

    __slots__ = ("_fields", "_path")

    def __init__(self, path: str, fields: object) -> None:
        if not isinstance(fields, dict):
            raise MalformedHeader(f"{path} is {_short(fields)}, expected a map")
        self._path = path
        self._fields: dict[str, object] = fields

    def _wrong(self, name: str, expected: str) -> MalformedHeader:
        if name not in self._fields:
            return MalformedHeader(f"{self._path}.{name} is missing, expected {expected}")
        return MalformedHeader(f"{self._path}.{name} is {_short(self._fields[name])}, expected {expected}")

    def integer(self, name: str, low: int, high: int) -> int:
        value = self._fields.get(name)
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(name, f"an integer in {low}..{high}")
        return value

    def optional_integer(self, name: str, low: int, high: int) -> int | None:
        return None if self._fields.get(name) is None else self.integer(name, low, high)

    def number(self, name: str) -> float:
        value = self._fields.get(name)
        if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
            raise self._wrong(name, "a finite number")
        return float(value)  # type: ignore[arg-type]

    def optional_number(self, name: str) -> float | None:
        return None if self._fields.get(name) is None else self.number(name)

    def text(self, name: str, max_length: int = 1024, default: str | None = None) -> str:
        value = self._fields.get(name, default)
        if not isinstance(value, str) or len(value) > max_length:
            raise self._wrong(name, f"a string of at most {max_length} characters")
        return value

    def flag(self, name: str) -> bool:
        value = self._fields.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def items(self, name: str, max_length: int) -> list[object]:
        value = self._fields.get(name)
        if not isinstance(value, list) or len(value) > max_length:
            raise self._wrong(name, f"a list of at most {max_length} items")
        return value

    def optional_items(self, name: str, max_length: int) -> list[object]:
        return [] if self._fields.get(name) is None else self.items(name, max_length)

    def reader(self, name: str) -> HeaderReader:
        return HeaderReader(f"{self._path}.{name}", self._fields.get(name))

    def mapping(self, name: str) -> dict[str, object]:
        value = self._fields.get(name, {})
        if not isinstance(value, dict):
            raise self._wrong(name, "a map")
        return value

    def ranges(self, name: str) -> list[tuple[int, int]]:
        """A list of ``[first, last]`` with ``1 <= first <= last``."""
        pairs = []
        for item in self.items(name, 65536):
            if (
                not isinstance(item, list)
                or len(item) != 2
                or not all(type(part) is int for part in item)
                or not 1 <= item[0] <= item[1]
            ):
                raise self._wrong(name, "a list of [first, last] with 1 <= first <= last")
            pairs.append((item[0], item[1]))
        return pairs


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
