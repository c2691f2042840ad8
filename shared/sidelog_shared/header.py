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

    def optional_flag(self, name: str) -> bool:
        """False where it is missing."""
        return self._fields.get(name) is not None and self.flag(name)

    def items(self, name: str, max_length: int) -> list[object]:
        value = self._fields.get(name)
        if not isinstance(value, list) or len(value) > max_length:
            raise self._wrong(name, f"a list of at most {max_length} items")
        return value

    def optional_items(self, name: str, max_length: int) -> list[object]:
        return [] if self._fields.get(name) is None else self.items(name, max_length)

    def reader(self, name: str) -> HeaderReader:
        return HeaderReader(f"{self._path}.{name}", self._fields.get(name))

    def optional_reader(self, name: str) -> HeaderReader | None:
        return None if self._fields.get(name) is None else self.reader(name)

    def readers(self, name: str, max_length: int) -> list[HeaderReader]:
        """A list of maps."""
        items = self.items(name, max_length)
        return [HeaderReader(f"{self._path}.{name}[{index}]", item) for index, item in enumerate(items)]

    def texts(self, name: str, max_length: int, max_characters: int) -> tuple[str, ...]:
        """A list of strings."""
        found = self.items(name, max_length)
        texts = tuple(item for item in found if isinstance(item, str) and len(item) <= max_characters)
        if len(texts) != len(found):
            raise self._wrong(name, f"a list of strings of at most {max_characters} characters")
        return texts

    def pairs(self, name: str, max_length: int) -> tuple[tuple[str, str], ...]:
        """A list of lists of two strings."""
        found = self.items(name, max_length)
        pairs = tuple(
            (item[0], item[1])
            for item in found
            if isinstance(item, list) and len(item) == 2 and all(isinstance(part, str) for part in item)
        )
        if len(pairs) != len(found):
            raise self._wrong(name, "a list of pairs of strings")
        return pairs

    def counts(self, name: str, max_length: int) -> dict[str, int]:
        """A map from names to how many, from 0 on."""
        counts: dict[str, int] = {}
        for key, value in self.mapping(name).items():
            if not isinstance(key, str) or type(value) is not int or value < 0 or len(counts) == max_length:
                raise self._wrong(name, f"a map of at most {max_length} names to numbers from 0 on")
            counts[key] = value
        return counts

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


def plain(text: str, limit: int) -> str:
    """The first ``limit`` characters of a text, so that they can be packed: a path may hold what is no UTF-8."""
    return text[:limit].encode(errors="replace").decode()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
