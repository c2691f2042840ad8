"""Recordings: what is read back of a file that is whole, torn, cut or damaged."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidelog_shared import recording
from sidelog_shared.recording import Recorded, Unreadable

FRAMES = st.lists(st.binary(max_size=40) | st.just(b"MSG:") | st.just(b"MSG:\1\0\0\0"), max_size=5)
MESSAGES = st.lists(FRAMES, max_size=8)


@pytest.fixture(scope="module")
def fd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    fd = os.open(tmp_path_factory.mktemp("recording") / "file", os.O_RDWR | os.O_CREAT)
    yield fd
    os.close(fd)


def record(fd: int, messages: Sequence[Sequence[bytes]]) -> bytes:
    os.ftruncate(fd, 0)
    size = recording.append(fd, 0, messages)
    content = os.pread(fd, 1 << 20, 0)
    assert len(content) == size
    return content


def put(fd: int, content: bytes) -> None:
    os.ftruncate(fd, 0)
    os.pwrite(fd, content, 0)


def frames_in(fd: int) -> list[list[bytes]]:
    return [found.frames for found in recording.read(fd) if isinstance(found, Recorded)]


def unreadable_in(fd: int) -> list[Unreadable]:
    return [found for found in recording.read(fd) if isinstance(found, Unreadable)]


@given(MESSAGES, MESSAGES)
def test_what_is_appended_is_read_back(fd: int, first: list[list[bytes]], second: list[list[bytes]]) -> None:
    record(fd, first)
    size = recording.append(fd, os.fstat(fd).st_size, second)
    assert recording.is_recording(fd)
    assert frames_in(fd) == first + second
    assert unreadable_in(fd) == []
    known = len(recording.FILE_HEADER) + sum(map(recording.recorded_bytes, first + second))
    assert size == known == os.fstat(fd).st_size


@given(MESSAGES, st.data())
def test_a_file_that_is_cut(fd: int, messages: list[list[bytes]], data: st.DataObject) -> None:
    """Every whole message is read."""
    content = record(fd, messages)
    ends = [found.end for found in recording.read(fd)]
    cut = data.draw(st.integers(len(recording.FILE_HEADER), len(content)))
    put(fd, content[:cut])
    whole = sum(end <= cut for end in ends)
    assert frames_in(fd) == messages[:whole]
    begin = ends[whole - 1] if whole else len(recording.FILE_HEADER)
    assert unreadable_in(fd) == ([Unreadable(begin, cut, torn=True)] if cut > begin else [])


@given(st.lists(FRAMES, min_size=1, max_size=8), st.data())
def test_a_damaged_byte_costs_its_message_alone(fd: int, messages: list[list[bytes]], data: st.DataObject) -> None:
    content = bytearray(record(fd, messages))
    spans = [(found.offset, found.end) for found in recording.read(fd)]
    at = data.draw(st.integers(len(recording.FILE_HEADER), len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    put(fd, bytes(content))
    hit = next(index for index, (begin, end) in enumerate(spans) if begin <= at < end)
    assert frames_in(fd) == messages[:hit] + messages[hit + 1 :]
    (damage,) = unreadable_in(fd)
    assert (damage.offset, damage.end) == spans[hit]
    if hit < len(messages) - 1:
        assert not damage.torn


def test_a_file_of_something_else_is_none(fd: int) -> None:
    put(fd, b"SDLGREC\x02" + bytes(100))
    assert not recording.is_recording(fd)
    put(fd, b"")
    assert not recording.is_recording(fd)


def test_a_full_disk_leaves_the_file_as_it_was(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    before = record(fd, [[b"first"]])

    def nearly_full(fd: int, pieces: Sequence[bytes], at: int) -> int:
        return os.pwrite(fd, b"".join(pieces)[:10], at)

    def full(fd: int, rest: bytes, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(recording, "_write_piece", full)
        patch.setattr(recording, "_write_pieces", nearly_full)
        with pytest.raises(OSError, match="No space left"):
            recording.append(fd, len(before), [[bytes(1000)]])
    assert os.pread(fd, 1 << 20, 0) == before
    recording.append(fd, len(before), [[b"second"]])
    assert frames_in(fd) == [[b"first"], [b"second"]]


def test_a_write_that_takes_a_part_is_gone_on_with(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    os.ftruncate(fd, 0)
    monkeypatch.setattr(recording, "_write_pieces", lambda fd, pieces, at: os.pwrite(fd, b"".join(pieces)[:7], at))
    monkeypatch.setattr(recording, "_write_piece", lambda fd, rest, at: os.pwrite(fd, rest[:5], at))
    recording.append(fd, 0, [[b"first", bytes(range(50))], []])
    assert frames_in(fd) == [[b"first", bytes(range(50))], []]


def test_many_frames_go_in_several_system_calls(fd: int) -> None:
    messages = [[b"%d" % number, b"x" * number] for number in range(1000)]
    record(fd, messages)
    assert frames_in(fd) == messages


def test_a_part_of_it(fd: int, tmp_path: Path) -> None:
    record(fd, [[b"a"], [b"b"], [b"c"]])
    _, middle, _ = recording.read(fd)
    assert list(recording.read(fd, middle.offset, middle.end)) == [Recorded(middle.offset, middle.end, [b"b"])]
