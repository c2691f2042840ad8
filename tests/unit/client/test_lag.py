"""How long the oldest unsettled record has waited, by a clock that the test sets."""

from __future__ import annotations

from sidelog.lag import Lag


def test_there_is_none_without_records() -> None:
    lag = Lag()
    assert lag.look(5.0, called=(0, 0, 0), settled=(0, 0, 0)) == 0.0
    assert lag.look(9.0, called=(0, 0, 0), settled=(0, 0, 0)) == 0.0


def test_it_is_the_age_of_the_oldest_of_all_lanes() -> None:
    lag = Lag()
    lag.look(1.0, called=(10, 0, 0), settled=(0, 0, 0))
    lag.look(2.0, called=(20, 1, 0), settled=(0, 0, 0))
    assert lag.look(3.0, called=(20, 1, 0), settled=(5, 0, 0)) == 2.0
    assert lag.look(3.5, called=(20, 1, 0), settled=(10, 0, 0)) == 1.5
    assert lag.look(4.0, called=(20, 1, 0), settled=(20, 0, 0)) == 2.0  # the heavy one
    assert lag.look(5.0, called=(20, 1, 0), settled=(20, 1, 0)) == 0.0


def test_new_records_do_not_hide_an_old_one() -> None:
    lag = Lag()
    for second in range(10_000):
        shown = lag.look(float(second), called=(second + 1,), settled=(0,))
        assert shown == second
    assert lag.look(10_000.0, called=(10_000,), settled=(9_999,)) < 100.0
    assert lag.look(10_000.0, called=(10_000,), settled=(10_000,)) == 0.0


def test_it_is_looked_at_seldom() -> None:
    lag = Lag()
    assert lag.is_due(0.0)
    lag.look(0.0, called=(1,), settled=(0,))
    assert not lag.is_due(0.1)
    assert lag.is_due(0.3)
