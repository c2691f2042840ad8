"""The spool's file: when it is there, what it may hold, and how it is written anew."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from sidelog.left_spool import left_spools, open_left_spool, remove_drafts
from sidelog.runs import RunHandle
from sidelog.spool import DRAFT, Place, Spool
from sidelog_shared import recording, requests
from sidelog_shared.dtypes import UINT8
from sidelog_shared.errors import ConfigError, TransportError
from sidelog_shared.limits import KIB
from sidelog_shared.records import Buffer, BufferSpec, Kind, Lane, Record, Worker

WORKER = Worker("0123456789abcdef", "host", 4711)
BUDGET = 64 * KIB


class Kept:
    """A spool, and what was said of it."""

    def __init__(self, path: Path, budget_bytes: int = BUDGET) -> None:
        self.said: list[str] = []
        self.spool = Spool([path], WORKER, budget_bytes=budget_bytes, say=self.said.append)
        self.spool.declare(RunHandle(1, "/runs/a"))
        self.seq = 0

    def keep(self, nbytes: int = KIB) -> Place | None:
        self.seq += 1
        return self.spool.keep([text(self.seq, nbytes)], 1)

    def must_keep(self, nbytes: int = KIB) -> Place:
        place = self.keep(nbytes)
        assert place is not None
        return place


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path / "folder" / "a.spool")


def text(seq: int, nbytes: int) -> list[Buffer]:
    spec = BufferSpec(UINT8, (nbytes,))
    record = Record(Lane.LIGHT, seq, 1, Kind.TEXT, f"note{seq}", seq, 0.0, {}, (spec,), (bytes(nbytes),))
    return requests.RecordMessage(record).frames(1)


def test_it_is_there_as_long_as_something_in_it_is_needed(kept: Kept) -> None:
    assert not kept.spool.path.parent.exists()
    first, second = kept.must_keep(), kept.must_keep()
    kept.spool.release(first)
    assert kept.spool.path.exists()
    kept.spool.release(second)
    assert not kept.spool.path.exists()
    kept.must_keep()
    kept.spool.close()
    left = open_left_spool(kept.spool.path, say=kept.said.append)
    assert (left.worker, [run.path for run in left.runs], left.count) == (WORKER, ["/runs/a"], 1)
    left.spool.close()


def test_when_it_is_full_it_is_written_anew_without_what_has_settled(kept: Kept) -> None:
    held = kept.must_keep()  # of a run that is refused for minutes, say
    for _ in range(500):  # ten times what it may hold
        place = kept.must_keep()
        assert kept.spool.nbytes <= BUDGET
        assert len(kept.spool.read(place)) == 1
        kept.spool.release(place)
    assert kept.said == []
    assert bytes(kept.spool.read(held)[0][2]) == bytes(KIB)
    kept.spool.close()
    left = open_left_spool(kept.spool.path, say=kept.said.append)
    assert left.worker == WORKER
    assert left.damaged_bytes == left.torn_bytes == 0
    assert min(entry.first for entry in left.entries[Lane.LIGHT]) == 1
    left.spool.close()
    assert os.listdir(kept.spool.path.parent) == ["a.spool"]


def test_when_most_of_it_is_needed_it_is_full_and_that_is_said(kept: Kept) -> None:
    places = []
    while (place := kept.keep()) is not None:
        places.append(place)
    assert kept.spool.nbytes > BUDGET - 2 * KIB
    assert "is full" in kept.said[0]
    for place in places[: len(places) // 2 + 2]:
        kept.spool.release(place)
    assert kept.keep() is not None


def test_a_full_disk_leaves_nothing_behind_that_says_there_was_something(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, pieces: object, at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(recording, "_write_pieces", full)
        assert kept.keep() is None
    assert "No space left on device" in kept.said[0]
    kept.spool.close()
    assert os.listdir(kept.spool.path.parent) == []


def test_where_it_cannot_be_written_anew_it_goes_on_as_it_was(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    held, *others = [kept.must_keep() for _ in range(50)]
    for place in others:
        kept.spool.release(place)
    before = kept.spool.path.read_bytes()
    kept.spool.path.with_name(f"a.spool{DRAFT}").mkdir()
    while kept.keep() is not None:
        pass
    assert any("cannot be written anew" in text for text in kept.said)
    assert kept.spool.path.read_bytes().startswith(before)
    assert len(kept.spool.read(held)) == 1


def test_one_that_cannot_be_removed_is_told_of_and_harms_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    place = kept.must_keep()

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        kept.spool.release(place)
    assert "is not needed any more and cannot be removed: Read-only file system" in kept.said[0]
    assert not kept.spool.exists


def test_drafts_of_processes_that_were_killed_go_and_others_stay(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.spool{DRAFT}").write_bytes(b"half")
    living = Kept(tmp_path / f"c.spool{DRAFT}")
    living.must_keep()
    remove_drafts([tmp_path, tmp_path / "none"])
    assert os.listdir(tmp_path) == [f"c.spool{DRAFT}"]
    living.spool.close()


def test_what_lives_is_neither_left_nor_opened(kept: Kept) -> None:
    kept.must_keep()
    folder = kept.spool.path.parent
    assert left_spools([folder]) == []
    with pytest.raises(TransportError, match="is in use"):
        open_left_spool(kept.spool.path, say=kept.said.append)
    kept.spool.close()
    assert left_spools([folder]) == [kept.spool.path]


def test_what_is_no_file_is_no_spool(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match=str(path)):
            open_left_spool(path, say=pytest.fail)
