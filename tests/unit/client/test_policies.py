"""What a user says of tags."""

from __future__ import annotations

import pytest

from sidelog import policies
from sidelog.policies import Policies, Policy
from sidelog_shared.errors import ConfigError


def test_nothing_is_said_at_first() -> None:
    said = Policies()
    assert not said.exist
    assert said.of("any") == Policy(keep_all=False, every=1)


def test_the_last_that_fits_counts() -> None:
    said = Policies()
    said.add("layer*", "all", 1)
    said.add("layer2", "latest", 5)
    assert said.exist
    assert said.of("layer1") == Policy(keep_all=True)
    assert said.of("layer2") == Policy(every=5)
    assert said.of("Layer1") == Policy()
    said.add("*", "all", 2)  # also for tags that were seen
    assert said.of("layer2") == Policy(keep_all=True, every=2)


def test_of_so_many_calls_of_a_tag_the_first_is_logged() -> None:
    said = Policies()
    said.add("map*", "latest", 3)
    assert [said.admits("map1") for _ in range(7)] == [True, False, False, True, False, False, True]
    assert said.admits("map2")
    assert all(said.admits("other") for _ in range(5))


def test_tags_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "MAX_TAGS", 10)
    said = Policies()
    said.add("*7", "all", 1)
    for number in range(100):
        assert said.of(f"map{number}").keep_all == (number % 10 == 7)
    assert len(said._of_tags) <= 10


@pytest.mark.parametrize(
    ("pattern", "keep", "every", "match"),
    [
        ("", "all", 1, "pattern is '', expected a tag or a pattern"),
        (3, "all", 1, "pattern is 3"),
        ("*", "newest", 1, "keep is 'newest', expected 'latest' or 'all'"),
        ("*", "all", 0, "every is 0, expected an integer of at least 1"),
        ("*", "all", True, "every is True"),
    ],
)
def test_what_cannot_be(pattern: str, keep: str, every: int, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        Policies().add(pattern, keep, every)
