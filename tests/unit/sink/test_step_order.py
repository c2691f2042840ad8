from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidelog_daemon.sink import step_order
from sidelog_daemon.sink.step_order import StepBack, StepOrder, told
from sidelog_shared.limits import STEP_NEXT, STEP_NONE
from sidelog_shared.records import Kind, Lane, Record, Series

SERIES = (Series(1, "loss"), Series(1, "lr"), Series(1, "a b"), Series(1, "a_b"))


def record(kind: Kind, tag: str, step: int | None) -> Record:
    return Record(Lane.LIGHT, 1, 1, kind, tag, step, 1.0, {}, ())


def see(order: StepOrder, index: list[int], steps: list[int]) -> list[StepBack]:
    return order.see_scalars(SERIES, np.array(index, np.uint32), np.array(steps, np.int64))


def test_rising_steps_are_no_news() -> None:
    order = StepOrder()
    assert see(order, [0, 1, 0, 1, 0], [1, 1, 2, 5, 3]) == []
    assert order.backward == {}


def test_a_tag_is_told_once_and_every_step_counts() -> None:
    order = StepOrder()
    assert see(order, [0, 0, 0, 1], [5, 3, 3, 1]) == [StepBack("loss", 5, 3)]
    assert see(order, [0, 0, 1], [4, 2, 1]) == [StepBack("lr", 1, 1)]
    assert order.backward == {"loss": 3, "lr": 1}


def test_steps_that_are_not_given_or_counted_here_are_passed_over() -> None:
    order = StepOrder()
    assert see(order, [0] * 6, [5, STEP_NONE, STEP_NEXT, STEP_NONE, STEP_NEXT, 6]) == []
    assert order.see(record(Kind.TEXT, "note", None)) == []
    assert order.see(record(Kind.TEXT, "note", STEP_NEXT)) == []
    assert order.backward == {}


def test_tags_that_are_one_in_the_file_are_one_here() -> None:
    assert see(StepOrder(), [2, 3], [1, 1]) == [StepBack("a_b", 1, 1)]


def test_records_count_by_kind_and_tag() -> None:
    order = StepOrder()
    see(order, [0], [7])
    assert order.see(record(Kind.TEXT, "loss", 7)) == []
    assert order.see(record(Kind.PICTURE, "loss", 7)) == []
    assert order.see(record(Kind.TEXT, "loss", 6)) == [StepBack("loss", 7, 6)]
    assert order.see(record(Kind.HPARAMS, "h", 1)) == order.see(record(Kind.HPARAMS, "h", 1)) == []


def test_a_purge_hides_what_is_from_its_step_on() -> None:
    order = StepOrder()
    see(order, [0, 1], [10, 3])
    order.see(record(Kind.PURGE, "purge_step", 5))
    assert see(order, [0, 0, 1], [5, 6, 4]) == []
    assert see(order, [1], [4]) == [StepBack("lr", 4, 4)]
    order.see(record(Kind.PURGE, "purge_step", 6))
    assert see(order, [0], [5]) == [StepBack("loss", 5, 5)]  # less than it promised


def test_only_so_many_tags_are_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_order, "MAX_TAGS", 2)
    order = StepOrder()
    see(order, [0, 1, 2], [1, 1, 1])
    assert see(order, [2, 1], [1, 1]) == [StepBack("lr", 1, 1)]
    assert order.see(record(Kind.TEXT, "note", 1)) == order.see(record(Kind.TEXT, "note", 1)) == []


@settings(derandomize=True, deadline=None, max_examples=300, database=None)
@given(
    batches=st.lists(
        st.lists(
            st.tuples(st.integers(0, len(SERIES) - 1), st.integers(0, 12), st.sampled_from([0, 0, 0, 0, STEP_NONE]))
        ),
        max_size=6,
    ),
    climbs=st.booleans(),
    max_tags=st.integers(1, 4),
)
def test_many_rows_at_once_are_seen_as_one_by_one(
    batches: list[list[tuple[int, int, int]]], climbs: bool, max_tags: int
) -> None:
    at_once, one_by_one = StepOrder(), StepOrder()
    before = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_order, "MAX_TAGS", max_tags)
        for batch in batches:
            steps = []
            for _, step, none in batch:
                before += step if climbs else 0
                steps.append(none or (before if climbs else step))
            index = [which for which, _, _ in batch]
            patch.setattr(step_order, "AT_ONCE_FROM", 1)
            news = see(at_once, index, steps)
            patch.setattr(step_order, "AT_ONCE_FROM", 1000)
            assert news == see(one_by_one, index, steps)
    assert at_once.backward == one_by_one.backward


def test_what_is_told() -> None:
    news = [StepBack(f"tag{number}", 1000 + number, 3) for number in range(11)]
    assert told(news[:1], "/runs/a").startswith(
        "steps of 'tag0' in /runs/a do not grow: 3 follows 1,000; all is written, but TensorBoard shows"
    )
    text = told(news, "/runs/a")
    assert "(likewise tag1, tag2, tag3, tag4, tag5, tag6, tag7, tag8 and 2 others)" in text
    assert "purge_step" in text
