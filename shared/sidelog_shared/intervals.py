"""A set of sequence numbers, kept as ranges: what of a lane was received, settled or written."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class IntervalSet:
    """Positive integers, as sorted, disjoint, non-touching closed ranges.

    In the ordinary case it is one range from 1 on, and adding the next number is O(1).
    """

    __slots__ = ("_count", "_firsts", "_lasts")

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._count = 0
        for first, last in ranges:
            self.add(first, last)

    @property
    def through(self) -> int:
        """The largest n such that all of 1..n are in the set; 0 when 1 is not."""
        return self._lasts[0] if self._firsts and self._firsts[0] == 1 else 0

    @property
    def highest(self) -> int:
        return self._lasts[-1] if self._lasts else 0

    def add(self, first: int, last: int | None = None) -> int:
        """Add ``first..last`` (``last`` defaults to ``first``).

        Returns:
            How many of them were not in the set before.
        """
        last = first if last is None else last
        if first < 1 or last < first:
            raise ValueError(f"range is {first}..{last}, expected 1 <= first <= last")
        lasts, firsts = self._lasts, self._firsts
        if lasts and lasts[-1] == first - 1:
            lasts[-1] = last
            self._count += last - first + 1
            return last - first + 1
        left = bisect_right(lasts, first - 2)
        right = bisect_right(firsts, last + 1)
        added = last - first + 1
        if left < right:
            for index in range(left, right):
                added -= max(0, min(last, lasts[index]) - max(first, firsts[index]) + 1)
            first = min(first, firsts[left])
            last = max(last, lasts[right - 1])
        firsts[left:right] = [first]
        lasts[left:right] = [last]
        self._count += added
        return added

    def missing(self, first: int, last: int) -> list[tuple[int, int]]:
        """The ranges of ``first..last`` that are not in the set."""
        holes = []
        index = bisect_left(self._lasts, first)
        while index < len(self._firsts) and self._firsts[index] <= last:
            low, high = self._firsts[index], self._lasts[index]
            if low > first:
                holes.append((first, low - 1))
            first = high + 1
            index += 1
        if first <= last:
            holes.append((first, last))
        return holes

    def keep_newest(self, count: int) -> None:
        """Forget all but the ``count`` highest ranges."""
        self.take_lowest(max(0, len(self._firsts) - count))

    def take_lowest(self, count: int) -> list[tuple[int, int]]:
        """Take the ``count`` lowest ranges out of the set; fewer where there are fewer."""
        taken = self.ranges(count)
        del self._firsts[:count], self._lasts[:count]
        self._count -= sum(last - first + 1 for first, last in taken)
        return taken

    @property
    def range_count(self) -> int:
        """How many ranges there are."""
        return len(self._firsts)

    def ranges(self, count: int | None = None) -> list[tuple[int, int]]:
        """The ranges, or the ``count`` lowest of them, ascending."""
        return list(zip(self._firsts[:count], self._lasts[:count], strict=True))

    def __contains__(self, number: int) -> bool:
        index = bisect_right(self._firsts, number) - 1
        return index >= 0 and number <= self._lasts[index]

    def __iter__(self) -> Iterator[int]:
        for first, last in self.ranges():
            yield from range(first, last + 1)

    def __len__(self) -> int:
        return self._count

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntervalSet) and self.ranges() == other.ranges()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"IntervalSet({self.ranges()})"
