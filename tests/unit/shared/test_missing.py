from __future__ import annotations

import pytest

from sidelog_shared import requests
from sidelog_shared.errors import MalformedHeader
from sidelog_shared.frames import MessageKind, pack, unpack
from sidelog_shared.limits import MAX_HEADER_BYTES, MIB
from sidelog_shared.missing import OTHER_TAGS, Missing, listed


def read(header: dict[str, object]) -> requests.Request:
    return requests.read_request(unpack(pack(MessageKind.BYE, 1, header), max_bytes=MIB), max_record_bytes=MIB)


def test_the_largest_counts_come_first_and_the_rest_is_summed() -> None:
    counts = {(1, f"tag{number}", "lost"): number + 1 for number in range(400)}
    entries = listed(counts)
    assert entries[0] == Missing(1, "tag399", "lost", 400)
    assert entries[-1].tag == OTHER_TAGS
    assert sum(one.count for one in entries) == sum(counts.values())


def test_long_tags_stay_under_the_header_limit() -> None:
    counts = {(run, "x" * 1000 + str(number), "lost" * 10): 1 for run in range(300) for number in range(3)}
    frames = requests.Bye(listed(counts)).frames(1)
    assert len(frames[1]) < MAX_HEADER_BYTES


def test_a_client_that_says_nothing_of_it_is_understood() -> None:
    assert read({}) == read({"missing": None}) == requests.Bye()
    assert requests.Bye().frames(1)[1] == b"\x80"


@pytest.mark.parametrize(
    "missing",
    [
        7,
        [7],
        [[1, "a", "b"]],
        [[-1, "a", "b", 1]],
        [[1, "a", "b", 0]],
        [[1, "a" * 1025, "b", 1]],
        [[1, "a", "b" * 257, 1]],
        [[1, "a", "b", 1]] * 513,
    ],
)
def test_what_cannot_be_read_is_malformed(missing: object) -> None:
    with pytest.raises(MalformedHeader):
        read({"missing": missing})
