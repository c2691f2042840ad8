"""Embeddings in a run directory: their files stand before their records do, each whole, each listed once."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest
from sink_files import NOTE, Clock, Disk, event_files, scalar, steps

from sidelog_daemon.sink import CommitError, RunDirectory
from sidelog_daemon.sink.projector import CONFIG_NAME, ProjectorEntry
from sidelog_shared.records import RunMarks

BLOCK = b'embeddings {\ntensor_name: "default:00001"\n}\n'


def entry(folder: str = "00001/default", content: bytes = b"1.0\t2.0\n", block: bytes = BLOCK) -> ProjectorEntry:
    return ProjectorEntry(folder, {"tensors.tsv": content, "metadata.tsv": b"a\n"}, block)


def open_run(path: Path, **options: object) -> RunDirectory:
    return RunDirectory.open(path, owner_note=NOTE, clock=Clock(), **options)  # type: ignore[arg-type]


def files(path: Path) -> dict[str, bytes]:
    """Everything but event files and the lock."""
    return {
        str(one.relative_to(path)): one.read_bytes()
        for one in path.rglob("*")
        if one.is_file() and "tfevents" not in one.name and one.name != ".sidelog.lock"
    }


def test_files_are_written_by_the_commit_and_the_record_stands(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    assert run.append("w1", "heavy", 1, [], entry())
    assert run.pending_bytes == entry().nbytes == len(BLOCK) + 10
    assert files(tmp_path) == {}
    run.commit()
    assert run.pending_bytes == 0
    assert files(tmp_path) == {
        "00001/default/tensors.tsv": b"1.0\t2.0\n",
        "00001/default/metadata.tsv": b"a\n",
        CONFIG_NAME: BLOCK,
    }
    assert run.written("w1") == RunMarks(heavy=1)
    assert len(event_files(tmp_path)) == 1  # without one TensorBoard does not take the folder for a run
    run.close()


def test_what_is_sent_again_after_a_crash_is_listed_once(tmp_path: Path) -> None:
    for _ in range(3):
        run = open_run(tmp_path)
        run.append("w1", "heavy", 1, [], entry())
        run.append("w1", "heavy", 2, [], entry())  # the same call again: the same files, the same entry
        run._projector.commit()
        run.abandon()  # as SIGKILL between the files and the group
    run = open_run(tmp_path)
    assert run.append("w1", "heavy", 1, [], entry())
    assert run.append("w1", "heavy", 2, [], entry(content=b"newer\n"))
    run.close()
    assert files(tmp_path)[CONFIG_NAME] == BLOCK
    assert files(tmp_path)["00001/default/tensors.tsv"] == b"newer\n"


def test_entries_are_listed_in_order_behind_what_was_there(tmp_path: Path) -> None:
    (tmp_path / CONFIG_NAME).write_bytes(b"embeddings { # by hand\n}")
    run = open_run(tmp_path)
    other = BLOCK.replace(b"00001", b"00002")
    for seq, (folder, block) in enumerate([("00001/a", BLOCK), ("00002/a", other), ("00001/a", BLOCK)], start=1):
        run.append("w1", "heavy", seq, [], entry(folder, block=block))
    run.close()
    assert files(tmp_path)[CONFIG_NAME] == b"embeddings { # by hand\n}\n" + BLOCK + other


@pytest.mark.parametrize("room", [0, 5, 11, 12, 30, 60, 100])
def test_on_a_full_disk_all_of_it_waits(tmp_path: Path, room: int) -> None:
    disk = Disk(room=room, most=7)
    run = open_run(tmp_path, write=disk)
    run.append("w1", "light", 1, [scalar(1, "w1/light")])
    run.append("w1", "heavy", 1, [], entry())
    for _ in range(2):
        with pytest.raises(CommitError) as caught:
            run.commit()
        assert caught.value.errno == errno.ENOSPC
        assert run.written("w1") == RunMarks()
        assert event_files(tmp_path) == []
        for name, content in files(tmp_path).items():  # whole, or not there
            assert name.startswith(".sidelog.") or content in (b"1.0\t2.0\n", b"a\n", BLOCK)
    disk.room = None
    run.close()
    assert {name: content for name, content in files(tmp_path).items() if not name.startswith(".")} == {
        "00001/default/tensors.tsv": b"1.0\t2.0\n",
        "00001/default/metadata.tsv": b"a\n",
        CONFIG_NAME: BLOCK,
    }
    assert steps(tmp_path) == [1]


def test_something_in_the_way_is_said_and_waited_for(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    (tmp_path / "00001").write_text("a file")
    run.append("w1", "heavy", 1, [], entry())
    with pytest.raises(CommitError, match=r"00001/default cannot be written: (File exists|Not a directory)"):
        run.commit()
    (tmp_path / "00001").unlink()
    run.close()
    assert CONFIG_NAME in files(tmp_path)


def test_a_run_directory_that_was_removed_has_the_embeddings_that_came_after(tmp_path: Path) -> None:
    path = tmp_path / "run"
    run = open_run(path)
    run.append("w1", "heavy", 1, [], entry())
    run.commit()
    shutil.rmtree(path)
    block = b'embeddings {\ntensor_name: "default:00002"\n}\n'
    run.append("w1", "heavy", 2, [scalar(2)], entry("00002/default", block=block))
    run.close()
    assert files(path) == {
        "00002/default/tensors.tsv": b"1.0\t2.0\n",
        "00002/default/metadata.tsv": b"a\n",
        CONFIG_NAME: block,
    }
    assert steps(path, "loss") == [2]


def test_what_waits_is_forgotten_with_the_run(tmp_path: Path) -> None:
    run = open_run(tmp_path)
    run.append("w1", "heavy", 1, [], entry())
    run.abandon()
    assert run.pending_bytes == 0


def test_nothing_is_written_through_a_link_in_place_of_the_spare_file(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("not ours")
    path = tmp_path / "run"
    run = open_run(path)
    os.symlink(outside, path / ".sidelog.projector.new")
    run.append("w1", "heavy", 1, [], entry())
    with pytest.raises(CommitError):
        run.commit()
    assert outside.read_text() == "not ours"
    run.abandon()
