"""Rates over the last seconds, by a clock that the test sets."""

from __future__ import annotations

import pytest

from sidelog_daemon.meter import WINDOW_S, Meter


def run(meter: Meter, *, seconds: range, per_s: int, total: int = 0) -> int:
    """A counter that grows evenly, looked at twice a second; returns how far it came."""
    for second in seconds:
        for half in (0.0, 0.5):
            meter.look(second + half, total + round(half * per_s))
        total += per_s
    return total


def test_an_even_growth_is_its_rate() -> None:
    meter = Meter(0.0, 1)
    total = run(meter, seconds=range(40), per_s=100)
    assert meter.rates(40.0, total) == (100.0,)


def test_the_first_second_is_not_blown_up() -> None:
    assert Meter(5.0, 2).rates(5.001, 30, 600) == (30.0, 600.0)


def test_what_came_before_the_window_does_not_count() -> None:
    meter = Meter(0.0, 1)
    total = run(meter, seconds=range(100), per_s=1000)
    assert run(meter, seconds=range(100, 120), per_s=0, total=total) == total
    assert meter.rates(120.0, total) == (0.0,)


def test_a_stop_shows_within_the_window() -> None:
    meter = Meter(0.0, 1)
    total = run(meter, seconds=range(20), per_s=100)
    assert meter.rates(20.0 + WINDOW_S / 2, total)[0] == pytest.approx(50.0, rel=0.15)


def test_nobody_looking_for_long_does_not_matter() -> None:
    meter = Meter(0.0, 1)
    meter.look(1.0, 100)
    assert meter.rates(1000.0, 1099) == (1.0,)
    meter.look(1000.0, 1099)
    assert meter.rates(1000.0, 1099) == (1.0,)
    assert meter.rates(1000.0 + WINDOW_S, 1099) == (0.0,)
