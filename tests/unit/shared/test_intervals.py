"""IntervalSet against a plain set of numbers."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidelog_shared.intervals import IntervalSet

spans = st.tuples(st.integers(1, 40), st.integers(0, 12)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def numbers(ranges: list[tuple[int, int]]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


@given(st.lists(spans, max_size=20), spans)
def test_is_the_set_of_what_was_added(added: list[tuple[int, int]], asked: tuple[int, int]) -> None:
    intervals, plain = IntervalSet(), set[int]()
    for first, last in added:
        fresh = numbers([(first, last)]) - plain
        plain |= fresh
        assert intervals.add(first, last) == len(fresh)
        assert list(intervals) == sorted(plain)
        ranges = intervals.ranges()
        assert all(left[1] + 1 < right[0] for left, right in pairwise(ranges))
    assert len(intervals) == len(plain)
    assert intervals.highest == max(plain, default=0)
    assert numbers([(1, intervals.through)]) <= plain
    assert intervals.through + 1 not in plain
    assert {number for number in range(60) if number in intervals} == plain
    assert numbers(intervals.missing(*asked)) == numbers([asked]) - plain
    assert intervals == IntervalSet(intervals.ranges())


@given(st.lists(spans, max_size=20), st.integers(0, 10))
def test_keeps_the_newest_ranges(added: list[tuple[int, int]], count: int) -> None:
    intervals = IntervalSet(added)
    before = intervals.ranges()
    intervals.keep_newest(count)
    assert intervals.ranges() == before[max(0, len(before) - count) :]


@given(st.lists(spans, max_size=20), st.integers(0, 10))
def test_gives_its_lowest_ranges_away(added: list[tuple[int, int]], count: int) -> None:
    intervals = IntervalSet(added)
    before = intervals.ranges()
    assert intervals.range_count == len(before)
    assert intervals.ranges(count) == before[:count]
    assert intervals.take_lowest(count) == before[:count]
    assert intervals.ranges() == before[count:]
    assert len(intervals) == len(numbers(before[count:]))


@pytest.mark.parametrize(("first", "last"), [(0, 3), (-1, -1), (5, 4)])
def test_refuses_what_is_no_range(first: int, last: int) -> None:
    with pytest.raises(ValueError, match=f"range is {first}..{last}, expected 1 <= first <= last"):
        IntervalSet().add(first, last)


def test_of_the_next_number_extends_the_last_range() -> None:
    intervals = IntervalSet([(1, 3), (7, 9)])
    assert intervals.add(10) == 1
    assert repr(intervals) == "IntervalSet([(1, 3), (7, 10)])"
    assert intervals.through == 3
