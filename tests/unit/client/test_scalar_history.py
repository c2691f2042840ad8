"""What ``export_scalars_to_json`` will give: everything, up to a bound; then the newest of every curve."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from sidelog import scalar_history
from sidelog.scalar_history import ScalarHistory
from sidelog_shared.limits import STEP_NONE


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> ScalarHistory:
    monkeypatch.setattr(scalar_history, "MAX_VALUES", 100)
    return ScalarHistory()


def on_device(value: float | None) -> Any:
    """A scalar of which the sender has fetched the value, or has not yet."""
    return SimpleNamespace(value=value)


def steps(rows: list[list[float | int | None]]) -> list[float | int | None]:
    return [step for _, step, _ in rows]


def test_up_to_the_bound_everything_is_kept_and_nothing_said(
    history: ScalarHistory, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(50):
        history.add("a", float(step), step, 0.5)
        history.add("b", float(step), STEP_NONE, -0.5)
    taken = history.take()
    assert taken["a"] == [[float(step), step, 0.5] for step in range(50)]
    assert taken["b"] == [[float(step), None, -0.5] for step in range(50)]
    assert caplog.messages == []


def test_beyond_it_the_newest_of_each_curve_are_kept_and_the_others_counted(
    history: ScalarHistory, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(1000):
        history.add("a", float(step), step, 0.5)
        history.add("b", float(step), step, -0.5)
    taken = history.take()
    kept = sum(map(len, taken.values()))
    assert 50 <= kept <= 100
    for rows in taken.values():
        assert steps(rows) == list(range(1000 - len(rows), 1000))  # the last ones, without a gap
    assert [
        f"the oldest {2000 - kept:,} values of add_scalars are not exported" in text for text in caplog.messages
    ] == [True]


def test_a_curve_for_each_value_is_bounded_too(history: ScalarHistory) -> None:
    for step in range(1000):
        history.add(f"curve {step}", float(step), step, 0.5)
    taken = history.take()
    assert 1 <= len(taken) <= 100
    assert "curve 999" in taken


def test_an_export_makes_room_and_is_told_of_what_it_lacks_alone(
    history: ScalarHistory, caplog: pytest.LogCaptureFixture
) -> None:
    for step in range(150):
        history.add("a", float(step), step, 0.5)
    history.take()
    caplog.clear()
    for step in range(100):
        history.add("a", float(step), step, 0.5)
    assert steps(history.take()["a"]) == list(range(100))
    assert caplog.messages == []


def test_what_was_on_a_device_costs_no_more_once_its_value_is_here(history: ScalarHistory) -> None:
    late = on_device(None)
    history.add("a", 1.0, 1, late)
    history.add("a", 2.0, 2, on_device(0.25))
    history.add("a", 3.0, 3, 0.5)
    late.value = 0.125
    history.add("a", 4.0, 4, on_device(1.0))
    assert not history._series["a"].on_device
    assert history.take() == {"a": [[1.0, 1, 0.125], [2.0, 2, 0.25], [3.0, 3, 0.5], [4.0, 4, 1.0]]}


def test_what_is_on_a_device_for_ever_is_bounded_too(history: ScalarHistory) -> None:
    for step in range(1000):
        history.add("a", float(step), step, on_device(None))
    assert 50 <= len(history._series["a"].on_device) <= 100
