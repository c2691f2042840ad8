from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import pytest
from sink_files import NOTE, Clock, event_files, events, scalar, send, starts, steps
from tensorboard.compat.proto.event_pb2 import SessionLog

from sidelog_daemon.sink import RunDirectory, recovery
from sidelog_daemon.sink.event_file import framed
from sidelog_daemon.sink.marker import Marker, Marks
from sidelog_daemon.sink.recovery import Cut, recover
from sidelog_daemon.sink.summaries import file_version_event, text_event
from sidelog_daemon.tensorboardx import event_pb2
from sidelog_shared.errors import WriterError
from sidelog_shared.records import RunMarks

OURS = "events.out.tfevents.1700000000.host.1.0000.sidelog"


def open_run(path: Path, **options: object) -> RunDirectory:
    return RunDirectory.open(path, owner_note=NOTE, clock=Clock(), **options)  # type: ignore[arg-type]


def write_run(path: Path, groups: list[range], **options: object) -> Path:
    """A directory with one committed group for each range; its newest file."""
    run = open_run(path, **options)
    for group in groups:
        send(run, group)
        run.commit()
    run.close()
    assert run.file is not None
    return run.file


def marker_offsets(path: Path) -> list[int]:
    messages = [event.session_log for event in events(path)]
    return [
        marker.at
        for log in messages
        if log.status == SessionLog.CHECKPOINT
        and (marker := Marker.from_event(event_pb2.Event(session_log={"msg": log.msg}).SerializeToString()))
    ]


def test_cut_at_every_byte_each_record_stands_once_after_all_are_sent_again(tmp_path: Path) -> None:
    whole = write_run(tmp_path / "whole", [range(1, 4), range(4, 5), range(5, 9)])
    content, ends = whole.read_bytes(), marker_ends(whole)
    for size in range(len(content) + 1):
        path = tmp_path / str(size)
        path.mkdir()
        (path / whole.name).write_bytes(content[:size])
        run = open_run(path)
        kept = max((end for end in ends if end <= size), default=0)
        assert (path / whole.name).read_bytes() == content[:kept]
        standing = {0: 0, ends[0]: 3, ends[1]: 4, ends[2]: 8}[kept]
        assert run.written("w1") == RunMarks(light=standing)
        assert send(run, range(1, 11)) == 10 - standing
        run.close()
        assert run.file != path / whole.name
        assert steps(path) == list(range(1, 11))
        assert len(starts(path)) == (1 if kept else 0)


def marker_ends(path: Path) -> list[int]:
    """Where each marker's record ends."""
    size = path.stat().st_size
    fd = os.open(path, os.O_RDONLY)
    found = [recovery.marker_at(fd, offset, size) for offset in marker_offsets(path)]
    os.close(fd)
    return [each[1] for each in found if each is not None]


def test_a_group_torn_in_the_last_of_several_files(tmp_path: Path) -> None:
    first = write_run(tmp_path, [range(1, 4)])
    second = write_run(tmp_path, [range(4, 6), range(6, 9)])
    before = first.read_bytes()
    with second.open("ab") as file:
        file.write(framed([scalar(9), scalar(10)])[:-5])
    torn = second.stat().st_size
    found = recover(tmp_path)
    assert found.source == second
    assert [cut.path for cut in found.cuts] == [second]
    assert found.cuts[0].size + found.cuts[0].removed == torn
    assert found.table.written("w1") == RunMarks(light=8)
    assert first.read_bytes() == before


def test_newer_files_without_a_marker_become_empty_and_stay(tmp_path: Path) -> None:
    marked = write_run(tmp_path, [range(1, 4)])
    content = marked.read_bytes()
    torn = tmp_path / "events.out.tfevents.1700000007.h.1.0001.sidelog"
    empty = tmp_path / "events.out.tfevents.1700000008.h.1.0002.sidelog"
    torn.write_bytes(framed([file_version_event(1.0), scalar(4)]))
    empty.touch()
    size = torn.stat().st_size
    found = recover(tmp_path)
    assert found.source == marked
    assert found.cuts == (Cut(torn, 0, size),)
    assert (torn.read_bytes(), empty.read_bytes(), marked.read_bytes()) == (b"", b"", content)
    assert found.table.written("w1") == RunMarks(light=3)


def test_files_of_others_are_not_touched_and_not_believed(tmp_path: Path) -> None:
    stranger = Marker(0, None, True, {"w1": Marks(light=99)}).to_event(1.0)
    contents = {
        "events.out.tfevents.1700000900.host": framed([file_version_event(1.0), scalar(1, "theirs")]) + b"torn",
        "events.out.tfevents.1700000901.host": framed([stranger]),
        "notes.sidelog": b"text",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_bytes(b"not a run's")
    (tmp_path / "events.out.tfevents.1700000902.h.1.0000.sidelog").symlink_to(outside)
    run = open_run(tmp_path)
    assert send(run, range(1, 3)) == 2
    run.close()
    assert {name: (tmp_path / name).read_bytes() for name in contents} == contents
    assert outside.read_bytes() == b"not a run's"
    assert run.file == event_files(tmp_path)[-1]
    assert starts(tmp_path) == []  # their points would be dropped


def test_a_clean_directory_is_left_as_it_is(tmp_path: Path) -> None:
    path = write_run(tmp_path, [range(1, 4), range(4, 9)])
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    found = recover(tmp_path)
    assert found.cuts == ()
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_an_empty_directory_has_nothing(tmp_path: Path) -> None:
    found = recover(tmp_path)
    assert (found.source, found.cuts, found.table.written("w1")) == (None, (), RunMarks())


@pytest.mark.parametrize("chunk_bytes", [65, 100, 1 << 20])
def test_the_marker_is_found_wherever_chunks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk_bytes: int
) -> None:
    monkeypatch.setattr(recovery, "CHUNK_BYTES", chunk_bytes)
    path = write_run(tmp_path, [range(1, 4), range(4, 5)])
    content = path.read_bytes()
    for extra in range(0, 2 * 65, 3):
        path.write_bytes(content + bytes(extra))
        found = recover(tmp_path)
        assert found.table.written("w1") == RunMarks(light=4)
        assert path.read_bytes() == content


def test_a_text_that_looks_like_a_marker_is_none(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    send(run, range(1, 3))
    run.commit()
    real = run.file
    assert real is not None
    content = real.read_bytes()
    forged = Marker(len(content), None, True, {"w1": Marks(light=99)}).to_event(1.0)
    copied = Marker(12, None, True, {"w1": Marks(light=99)}).to_event(1.0)
    said = f'{{"sidelog":1,"at":{len(content)},"full":true,"workers":{{"w1":{{"light":99}}}}}}'
    tail = framed([text_event("t", said, 1, 1.0), copied]) + framed([forged])
    run.abandon()
    real.write_bytes(content + tail)
    found = recover(tmp_path)
    assert found.table.written("w1") == RunMarks(light=2)
    assert real.read_bytes() == content


def test_a_long_chain_of_markers_with_a_big_table(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    for seq in range(1, 301):
        send(run, [seq], worker=f"worker-{seq % 40}")
        run.note(f"tag {seq}")
        run.commit()
    run.close()
    again = open_run(tmp_path)
    standing = {f"worker-{seq % 40}": seq for seq in range(1, 301)}
    assert {worker: again.written(worker).light for worker in standing} == standing
    assert not any(again.note(f"tag {seq}") for seq in range(1, 301))
    again.close()
    assert len(event_files(tmp_path)) == 1


def test_the_way_back_to_a_full_marker_stays_short(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    for seq in range(1, 1001):
        send(run, [seq])
        run.commit()
    run.close()
    (path,) = event_files(tmp_path)
    full = [i for i, event in enumerate(events(path)) if '"full":true' in event.session_log.msg]
    assert len(full) > 5
    assert max(later - earlier for earlier, later in pairwise(full)) < 200


def damage(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)


def test_damage_before_the_last_marker_takes_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = write_run(tmp_path, [range(1, 4), range(4, 5), range(5, 9)])
    damage(path, marker_offsets(path)[0] - 10)
    content = path.read_bytes()
    found = recover(tmp_path)
    assert found.table.written("w1") == RunMarks(light=8)
    assert (found.cuts, path.read_bytes()) == ((), content)


@pytest.mark.parametrize("where", [0, 3, 20, 60])
def test_a_damaged_marker_in_the_middle_costs_what_it_alone_knew(tmp_path: Path, where: int) -> None:
    run = open_run(tmp_path)
    for worker in ("a", "b", "c"):
        send(run, [1, 2], worker=worker)
        run.commit()
    run.close()
    assert run.file is not None
    damage(run.file, marker_offsets(run.file)[1] + where)
    again = open_run(tmp_path)
    assert [again.written(worker).light for worker in ("a", "b", "c")] == [2, 0, 2]
    assert again.recovery.cuts == ()
    again.close()


def test_a_damaged_first_marker_leaves_what_the_others_know(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    for worker in ("a", "b"):
        send(run, [1, 2], worker=worker)
        run.commit()
    run.close()
    assert run.file is not None
    damage(run.file, marker_offsets(run.file)[0] + 30)
    found = recover(tmp_path)
    assert [found.table.written(worker).light for worker in ("a", "b")] == [0, 2]


def test_a_damaged_last_marker_gives_its_group_back(tmp_path: Path) -> None:
    path = write_run(tmp_path, [range(1, 4), range(4, 9)])
    damage(path, path.stat().st_size - 1)
    run = open_run(tmp_path)
    assert send(run, range(1, 9)) == 5
    run.close()
    assert steps(tmp_path) == list(range(1, 9))


def test_files_of_another_version_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / OURS
    log = event_pb2.SessionLog(status=3, msg='{"sidelog":2,"at":0,"new":"format"}')
    path.write_bytes(framed([event_pb2.Event(session_log=log).SerializeToString()]) + b"tail")
    unmarked = tmp_path / OURS.replace("1700000000", "1700000001")
    unmarked.write_bytes(b"something")
    before = (path.read_bytes(), unmarked.read_bytes())
    with pytest.raises(WriterError, match="version 2, expected 1"):
        open_run(tmp_path)
    assert (path.read_bytes(), unmarked.read_bytes()) == before
    path.unlink()
    open_run(tmp_path).close()  # the lock was let go


def test_recovery_reads_little_of_a_large_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = open_run(tmp_path)
    picture = bytes(4 << 20)
    for seq in range(1, 6):
        run.append("w1", "picture", seq, [event_pb2.Event(graph_def=picture)])
        run.commit()
    run.close()
    read = 0
    pread = os.pread

    def counted(fd: int, count: int, offset: int) -> bytes:
        nonlocal read
        data = pread(fd, count, offset)
        read += len(data)
        return data

    monkeypatch.setattr(os, "pread", counted)
    assert recover(tmp_path).table.written("w1") == RunMarks(picture=((1, 5),))
    assert read < 2 * recovery.CHUNK_BYTES
