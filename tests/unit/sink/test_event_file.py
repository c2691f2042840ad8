from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sink_files import Disk

from descriptors import kept_open_below
from sidelog_daemon.sink.event_file import (
    CommitError,
    GroupFile,
    event_file_names,
    framed,
    is_ours,
    next_name,
    record_writer_into,
    seconds_of,
)
from sidelog_daemon.tensorboardx import record_writer


def name_it(name: str = "events.out.tfevents.0000000001.h.1.0000.sidelog"):  # type: ignore[no-untyped-def]
    return lambda: name


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def file(tmp_path: Path, disk: Disk) -> GroupFile:
    return GroupFile(tmp_path, write=disk)


@given(
    existing=st.lists(
        st.integers(0, 4_000_000_000).map(lambda s: f"events.out.tfevents.{s:010d}.host.9999.0"), max_size=8
    ),
    now=st.floats(0, 4e9),
)
def test_a_name_stands_behind_all_that_are_there(existing: list[str], now: float) -> None:
    name = next_name(existing, now=now, number=0)
    assert sorted([*existing, name])[-1] == name
    assert seconds_of(name) >= int(now)
    assert is_ours(name)


@pytest.mark.parametrize(
    "existing",
    [
        "events.out.tfevents.1700000500.other.10000.0.v2",
        "events.out.tfevents.1700000500.host",
        "events.out.tfevents.1700000500123.milliseconds",
    ],
)
def test_names_increase_when_the_clock_goes_back(existing: str) -> None:
    first = next_name([existing], now=1_700_000_000, number=0, host="host")
    second = next_name([existing, first], now=1_600_000_000, number=1, host="host")
    assert existing < first < second
    assert first == f"events.out.tfevents.1700000501.host.{os.getpid()}.0000.sidelog"
    assert second == f"events.out.tfevents.1700000502.host.{os.getpid()}.0001.sidelog"


def test_a_host_name_cannot_leave_the_directory_or_break_the_name() -> None:
    name = next_name([], now=5, number=12345, host="../a b.example.org\n")
    assert name == f"events.out.tfevents.0000000005.---a-b-example-org-.{os.getpid()}.12345.sidelog"


def test_only_event_files_are_listed_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("events.out.tfevents.2.b", "notes.txt", ".sidelog.new", "events.out.tfevents.1.a"):
        (tmp_path / name).touch()
    assert event_file_names(tmp_path) == ["events.out.tfevents.1.a", "events.out.tfevents.2.b"]


def test_framing_is_tensorboardxs(tmp_path: Path) -> None:
    writer = record_writer.RecordWriter(str(tmp_path / "theirs"))
    for data in (b"", b"one", bytes(1000)):
        writer.write(data)
    writer.close()
    assert framed([b"", b"one", bytes(1000)]) == (tmp_path / "theirs").read_bytes()


def test_a_group_is_one_write(tmp_path: Path, file: GroupFile, disk: Disk) -> None:
    writer = record_writer_into(file)
    for _ in range(100):
        writer.write(b"record")
    assert list(tmp_path.iterdir()) == []
    file.commit_to_new_file(b"HEAD", b"TAIL", name_it())
    first = 4 + 100 * (6 + 16) + 4
    assert disk.writes == [first]
    for _ in range(50):
        writer.write(b"record")
    assert file.pending_bytes == 50 * 22
    file.commit(b"TAIL")
    assert disk.writes == [first, 50 * 22 + 4]
    assert file.path is not None
    assert file.path.read_bytes() == b"HEAD" + framed([b"record"] * 100) + b"TAIL" + framed([b"record"] * 50) + b"TAIL"
    assert (file.pending_bytes, file.size) == (0, sum(disk.writes))
    file.close()


def test_record_writer_cannot_fsync_it(file: GroupFile) -> None:
    assert not hasattr(file, "fileno")


def test_short_and_interrupted_writes_are_gone_on_with(tmp_path: Path) -> None:
    calls = 0

    def interrupted(fd: int, data: memoryview) -> int:
        nonlocal calls
        calls += 1
        if calls % 2:
            raise InterruptedError
        return os.write(fd, data[:3])

    file = GroupFile(tmp_path, write=interrupted)
    file.write(b"0123456789")
    file.commit_to_new_file(b"<", b">", name_it("events.out.tfevents.1.sidelog"))
    assert (tmp_path / "events.out.tfevents.1.sidelog").read_bytes() == b"<0123456789>"
    assert calls == 8
    file.close()


@pytest.mark.parametrize("room", [0, 1, 3])
def test_a_full_disk_leaves_the_file_as_it_was_and_the_group_in_memory(
    tmp_path: Path, file: GroupFile, disk: Disk, room: int
) -> None:
    file.write(b"one")
    file.commit_to_new_file(b"<", b">", name_it("a.tfevents.1"))
    file.write(b"two")
    disk.room = room
    with pytest.raises(CommitError, match=r"No space left on device \(ENOSPC\)") as caught:
        file.commit(b">")
    assert caught.value.errno == errno.ENOSPC
    assert (tmp_path / "a.tfevents.1").read_bytes() == b"<one>"
    assert file.pending_bytes == 3
    assert not file.can_append(1000)  # a reader may stand in the part that was cut off
    disk.room = None
    file.write(b"three")
    file.commit_to_new_file(b"<", b">", name_it("a.tfevents.2"))
    assert (tmp_path / "a.tfevents.1").read_bytes() == b"<one>"
    assert (tmp_path / "a.tfevents.2").read_bytes() == b"<twothree>"
    file.close()


def test_a_disk_that_stays_full_leaves_no_trail_of_event_files(tmp_path: Path, file: GroupFile, disk: Disk) -> None:
    file.write(b"group")
    for room in (0, 3, 6):
        disk.room = room
        with pytest.raises(CommitError):
            file.commit_to_new_file(b"<", b">", name_it())
        assert event_file_names(tmp_path) == []
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) == 0
    assert file.pending_bytes == 5


def test_nothing_new_is_begun_before_half_a_group_is_cut_off(
    tmp_path: Path, file: GroupFile, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write(b"one")
    file.commit_to_new_file(b"<", b">", name_it("a.tfevents.1"))
    file.write(b"two")
    disk.room = 2

    def refuse(fd: int, length: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", refuse)
        with pytest.raises(CommitError, match="EIO"):
            file.commit(b">")
        disk.room = None
        with pytest.raises(CommitError, match="EIO"):
            file.commit_to_new_file(b"<", b">", name_it("a.tfevents.2"))
        assert event_file_names(tmp_path) == ["a.tfevents.1"]
    file.commit_to_new_file(b"<", b">", name_it("a.tfevents.2"))
    assert (tmp_path / "a.tfevents.1").read_bytes() == b"<one>"
    assert (tmp_path / "a.tfevents.2").read_bytes() == b"<two>"
    file.close()


def test_a_device_that_takes_nothing_is_an_error(tmp_path: Path) -> None:
    file = GroupFile(tmp_path, write=lambda fd, data: 0)
    file.write(b"x")
    with pytest.raises(CommitError, match="EIO"):
        file.commit_to_new_file(b"", b"", name_it())


def test_a_file_that_somebody_else_changed_is_not_gone_on_with(tmp_path: Path, file: GroupFile) -> None:
    def begin(name: str) -> Path:
        file.commit_to_new_file(b"<", b">", name_it(name))
        assert file.can_append(1000)
        return tmp_path / name

    begin("a.tfevents.1").unlink()
    assert not file.can_append(1000)
    with begin("a.tfevents.2").open("ab") as theirs:
        theirs.write(b"theirs")
    assert not file.can_append(1000)
    os.truncate(begin("a.tfevents.3"), 1)
    assert not file.can_append(1000)
    file.close()


def test_a_file_is_full_at_its_limit(file: GroupFile) -> None:
    file.write(b"0123456789")
    file.commit_to_new_file(b"", b"", name_it())
    assert (file.can_append(11), file.can_append(10)) == (True, False)
    file.close()


def test_close_brings_it_to_the_disk(file: GroupFile, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    file.write(b"x")
    file.commit_to_new_file(b"", b"", name_it())
    assert synced == []
    file.close()
    file.close()
    assert len(synced) == 1


def test_a_disk_that_refuses_at_close_is_said_and_the_file_is_closed(
    file: GroupFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file.write(b"x")
    file.commit_to_new_file(b"", b"", name_it())
    assert len(kept_open_below(tmp_path)) == 1
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(CommitError, match="EIO"):
        file.close()
    assert kept_open_below(tmp_path) == []
