"""The bytes of protocol 1.1 do not change, and those of 1.0 are understood: see vectors.py."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgpack
import numpy as np
import pytest
import vectors

from sidelog_shared import dtypes, replies, requests
from sidelog_shared.frames import MAJOR, MINOR, MessageKind, unpack
from sidelog_shared.limits import MIB
from sidelog_shared.recipe import Recipe
from sidelog_shared.records import Kind, Refusal

CHECKED_IN = vectors.read_file()
SPECIFICATION = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def decode(frames: list[bytes]) -> requests.Request | replies.Reply | None:
    envelope = unpack(frames, max_bytes=MIB)
    assert envelope.epoch == vectors.EPOCH
    if envelope.kind < 64:
        return requests.read_request(envelope, max_record_bytes=MIB)
    return replies.read_reply(envelope)


def test_the_file_is_of_this_version_and_complete() -> None:
    assert vectors.FILE.name == f"protocol-{MAJOR}.{MINOR}.txt"
    assert list(CHECKED_IN) == list(vectors.MESSAGES)
    assert {message.kind for message in vectors.MESSAGES.values()} == set(MessageKind)
    records = [one.record for one in vectors.MESSAGES.values() if isinstance(one, requests.RecordMessage)]
    assert {record.kind for record in records} == set(Kind)


@pytest.mark.parametrize("name", vectors.MESSAGES)
def test_what_is_sent_is_what_is_checked_in(name: str) -> None:
    assert vectors.encode(name) == CHECKED_IN[name]


@pytest.mark.parametrize("file", vectors.EARLIER, ids=lambda file: file.stem)
def test_earlier_minor_versions_differ_in_their_number_and_in_what_was_added(file: Path) -> None:
    earlier = vectors.read_file(file)
    assert set(earlier) < set(CHECKED_IN)
    for name, frames in earlier.items():
        minor = int(file.stem.rpartition(".")[2])
        prefix, header, *buffers = CHECKED_IN[name]
        fields = msgpack.unpackb(header)
        if "minor" in fields:  # HELLO and WELCOME say it once more
            header = msgpack.packb(fields | {"minor": minor})
        assert frames == [prefix[:5] + bytes([minor]) + prefix[6:], header, *buffers]


@pytest.mark.parametrize(
    ("file", "name"), [(file, name) for file in (vectors.FILE, *vectors.EARLIER) for name in vectors.read_file(file)]
)
def test_what_is_checked_in_is_understood(file: Path, name: str) -> None:
    got, expected = decode(vectors.read_file(file)[name]), vectors.MESSAGES[name]
    if isinstance(expected, requests.Scalars):
        assert isinstance(got, requests.Scalars)
        for column in dataclasses.fields(expected.columns):
            np.testing.assert_array_equal(getattr(got.columns, column.name), getattr(expected.columns, column.name))
        return
    if isinstance(expected, requests.RecordMessage) and expected.record.in_parts:
        expected = requests.RecordMessage(dataclasses.replace(expected.record, buffers=()))
    if isinstance(expected, replies.Welcome | replies.State | replies.Goodbye):
        assert isinstance(got, type(expected))
        assert got.frames(vectors.EPOCH)[0] == expected.frames(vectors.EPOCH)[0]
        assert got.status.dropped_tags == expected.status.dropped_tags
        assert got.status.troubles == expected.status.troubles
        for lane, state in expected.status.lanes.items():
            assert got.status.lanes[lane].received == state.received
            assert got.status.lanes[lane].settled == state.settled
            assert {end: n for end, n in got.status.lanes[lane].ends.items() if n} == state.ends
        return
    assert got == expected


def test_the_example_of_the_specification_has_these_bytes() -> None:
    frames: list[bytes] = []
    for line in SPECIFICATION.split("## 12.")[1].splitlines():
        if line.startswith("frame "):
            frames.append(b"")
        elif found := re.match(r"  [0-9a-f]{4}  ((?:[0-9a-f]{2} )+) ", line):
            frames[-1] += bytes.fromhex(found[1])
    assert frames == CHECKED_IN["scalars"]


def test_the_tables_of_the_specification_are_those_of_the_code() -> None:
    kinds = re.findall(r"^\| (\d+) \| ([A-Z_]+) \| (?:client|daemon) \|", SPECIFICATION, re.MULTILINE)
    assert {name: int(number) for number, name in kinds} == {kind.name: kind for kind in MessageKind}
    types = re.findall(r"^\| (\d+) \| `([a-z0-9_]+)` \| (\d) \|", SPECIFICATION, re.MULTILINE)
    assert [(int(code), name, int(size)) for code, name, size in types] == [
        (one.code, one.name, one.itemsize) for one in dtypes.ALL
    ]
    codes = re.findall(r"^\| `([a-z-]+)` \| (?:HELLO|OPEN_RUN) \|", SPECIFICATION, re.MULTILINE)
    assert sorted(codes) == sorted(refusal.value for refusal in Refusal)
    records = re.findall(r"^\| (\d+) \| ([A-Z_]+) \| `", SPECIFICATION, re.MULTILINE)
    assert {name: int(number) for number, name in records} == {kind.name: kind for kind in Kind}
    recipe = SPECIFICATION.split("A **recipe** says")[1].partition("\nA `uint8` tensor")[0]
    names = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?`) \|", recipe, re.MULTILINE)))
    assert names == [field.name for field in dataclasses.fields(Recipe)]
    assert f"# The sidelog protocol, version {MAJOR}.{MINOR}\n" in SPECIFICATION
