"""What a spool and its lanes make of a file that somebody has cut, moved or damaged."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from delivery_rig import WORKER, Rig

from left_spools import messages_in, overwrite
from sidelog.left_spool import NothingWhole, left_spools, may_be_replayed, open_left_spool
from sidelog.runs import RunHandle
from sidelog.spool import REPEAT_BYTES, REPEAT_PART, Place, Spool
from sidelog.statistics import Statistics
from sidelog_shared import recording, requests
from sidelog_shared.dtypes import UINT8
from sidelog_shared.errors import ConfigError, TransportError
from sidelog_shared.frames import MessageKind
from sidelog_shared.limits import KIB, MIB, PART_BYTES
from sidelog_shared.records import Buffer, BufferSpec, Kind, Lane, Record

GONE = TransportError("the deadline has passed")


def text(seq: int, nbytes: int, run: int = 1) -> list[Buffer]:
    spec = BufferSpec(UINT8, (nbytes,))
    record = Record(Lane.LIGHT, seq, run, Kind.TEXT, f"note{seq}", seq, 0.0, {}, (spec,), (bytes(nbytes),))
    return requests.RecordMessage(record).frames(1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.spool"


@pytest.fixture
def spool(path: Path) -> Iterator[Spool]:
    spool = Spool([path], WORKER, budget_bytes=64 * MIB, say=lambda _: None)
    spool.declare(RunHandle(1, "/runs/a"))
    yield spool
    spool.close()


def fill(spool: Spool, count: int, nbytes: int) -> list[Place]:
    places = [spool.keep([text(seq, nbytes)], 1) for seq in range(1, count + 1)]
    assert None not in places
    return places  # type: ignore[return-value]


class TestWhatSaysWhoseItIs:
    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_survives_any_damage_of_some_hundred_bytes(self, count: int, spool: Spool, path: Path) -> None:
        places = fill(spool, count, 50)
        spool.close()
        content = path.read_bytes()
        for begin in range(0, len(content), 16):
            path.write_bytes(content)
            end = min(begin + 200, len(content))
            overwrite(path, begin, end)
            left = open_left_spool(path, say=pytest.fail)
            assert (left.worker, left.nameless) == (WORKER, {})
            assert left.count == sum(place.end <= begin or end <= place.offset for place in places)
            assert [run.path for run in left.runs] == ["/runs/a"] * bool(left.count)
            left.spool.close()

    def test_survives_a_file_that_is_cut_at_its_beginning(self, spool: Spool, path: Path) -> None:
        places = fill(spool, 7, 50)
        spool.close()
        path.write_bytes(path.read_bytes()[places[0].offset + 10 :])
        left = open_left_spool(path, say=pytest.fail)
        assert left.count == 6
        left.spool.close()

    def test_stands_there_again_and_again_and_takes_little_of_it(self, spool: Spool, path: Path) -> None:
        fill(spool, 60, 100 * KIB)
        hellos = messages_in(path, MessageKind.HELLO)
        far = [after.offset - before.offset for before, after in itertools.pairwise(hellos)]
        assert max(far) < REPEAT_BYTES + 102 * KIB
        assert spool.nbytes - hellos[-1].offset < REPEAT_BYTES + 102 * KIB
        assert len(hellos) < 20

    def test_takes_little_however_many_runs_there_are(self, spool: Spool, path: Path) -> None:
        for run in range(2, 1001):
            spool.declare(RunHandle(run, f"/runs/{run}"))
        fill(spool, 600, 10 * KIB)
        opened = messages_in(path, MessageKind.OPEN_RUN)
        assert len(opened) > 2000
        nbytes = sum(one.end - one.offset for one in opened)
        at_once = 2 * 1000 * nbytes / len(opened)  # before the first record and behind it
        assert nbytes < at_once + 1000 * nbytes / len(opened) + spool.nbytes / REPEAT_PART

    def test_of_a_run_that_comes_later_stands_there_twice_at_once(self, spool: Spool, path: Path) -> None:
        fill(spool, 20, 10 * KIB)
        spool.declare(RunHandle(2, "/runs/b"))
        assert spool.keep([text(21, 10, run=2)], 1) is not None
        opened = [one for one in messages_in(path, MessageKind.OPEN_RUN) if b"/runs/b" in one.frames[1]]
        assert len(opened) == 2

    def test_stands_there_again_where_it_was_cut_off(self, spool: Spool, path: Path) -> None:
        fill(spool, 20, 10 * KIB)
        spool.declare(RunHandle(2, "/runs/b"))
        before = spool.nbytes
        assert spool.keep([text(21, 10, run=2)], 1) is not None
        first = messages_in(path, MessageKind.RECORD)[0]
        os.truncate(path, before - 5)
        place = spool.keep([text(22, 10, run=2)], 1)
        assert place is not None
        opened = [one.offset for one in messages_in(path, MessageKind.OPEN_RUN) if b"/runs/b" in one.frames[1]]
        assert len(opened) == 2
        assert first.end < opened[0] < place.offset < opened[1]
        assert messages_in(path, MessageKind.HELLO)[-1].offset == place.end


class TestLeft:
    def test_with_nothing_whole_is_nobodys_to_replay(self, spool: Spool, path: Path) -> None:
        fill(spool, 3, 50)
        spool.close()
        assert left_spools([path.parent]) == [path]
        overwrite(path, 0, path.stat().st_size)
        assert left_spools([path.parent]) == []
        with pytest.raises(NothingWhole):
            open_left_spool(path, say=pytest.fail)

    def test_of_another_version_is_named_as_such(self, path: Path) -> None:
        path.write_bytes(recording.FILE_HEADER[:-1] + b"\x02" + bytes(100))
        assert may_be_replayed(path)  # by another sidelog
        with pytest.raises(ConfigError, match="no spool of this version"):
            open_left_spool(path, say=pytest.fail)

    def test_records_of_a_run_of_which_nobody_knows_where_it_is_are_counted_and_not_sent(
        self, spool: Spool, path: Path
    ) -> None:
        spool.declare(RunHandle(2, "/runs/b"))
        for seq in range(1, 11):
            assert spool.keep([text(seq, 10, run=1 + seq % 2)], 1) is not None
        spool.close()
        for one in messages_in(path, MessageKind.OPEN_RUN):
            if b"/runs/b" in one.frames[1]:
                overwrite(path, one.offset, one.end)
        left = open_left_spool(path, say=pytest.fail)
        assert (left.count, left.nameless) == (5, {2: 5})
        assert [run.id for run in left.runs] == [1]
        left.spool.close()


class TestCut:
    """The training goes on."""

    @pytest.fixture
    def rig(self, path: Path) -> Rig:
        rig = Rig(path)
        rig.open_run("/runs/a")
        rig.open_run("/runs/b")
        rig.exchange()
        return rig

    def spooled(self, rig: Rig, values: range, run: int = 1) -> None:
        """Each in a place of its own."""
        for value in values:
            rig.scalar(value, run=run)
            rig.pass_time(2.0)

    def test_what_a_daemon_has_already_is_not_called_lost_before_it_is(self, rig: Rig, path: Path) -> None:
        rig.new_daemon()
        self.spooled(rig, range(5))
        rig.exchange()  # sent, not written
        os.truncate(path, 0)
        rig.pass_time(2.0)
        assert rig.statistics.lost == 0
        rig.settle()
        assert rig.statistics == Statistics(written=5)
        assert not path.exists()

    def test_what_a_daemon_that_died_had_is_lost(self, rig: Rig, path: Path) -> None:
        rig.new_daemon()
        self.spooled(rig, range(5))
        rig.exchange()
        os.truncate(path, 0)
        rig.pass_time(2.0)
        rig.new_daemon()
        rig.scalar(5.0)
        rig.settle()
        assert (rig.statistics.written, rig.statistics.lost) == (1, 5)
        assert rig.written() == ["loss 5"]

    def test_of_a_place_with_several_messages_those_before_the_cut_stay(self, rig: Rig, path: Path) -> None:
        rig.new_daemon()
        for value in range(100):
            rig.scalar(value)
            rig.text(f"note {value}")
        rig.pass_time(2.0)
        records = messages_in(path, MessageKind.SCALARS, MessageKind.RECORD)
        os.truncate(path, records[len(records) // 2].offset + 5)
        rig.delivery.abandon(GONE)
        end = rig.statistics
        assert end.spooled + end.lost == 200
        assert 50 < end.spooled < 150
        assert rig.spool is not None
        rig.spool.close()
        left = open_left_spool(path, say=rig.said.append)
        assert (left.count, left.damaged_bytes, left.torn_bytes) == (end.spooled, 0, 0)
        left.spool.close()

    def test_a_record_that_is_cut_is_lost_and_what_comes_after_is_not(self, rig: Rig, path: Path) -> None:
        rig.new_daemon()
        rig.clip("first", nbytes=3 * PART_BYTES)
        rig.clip("second", nbytes=3 * PART_BYTES)
        rig.pass_time(2.0)
        part = messages_in(path, MessageKind.PART)[-1]
        os.truncate(path, part.offset + 10)
        rig.clip("third", nbytes=3 * PART_BYTES)
        rig.pass_time(2.0)
        rig.settle()
        assert rig.written(lane=Lane.HEAVY) == ["first", "third"]
        assert (rig.statistics.written, rig.statistics.lost) == (2, 1)

    def test_of_a_run_that_is_refused_what_is_whole_is_written_when_it_is_open(self, path: Path) -> None:
        rig = Rig(path)
        rig.disk.busy.add("/busy")
        rig.open_run("/busy")
        rig.exchange()
        self.spooled(rig, range(10))
        scalars = messages_in(path, MessageKind.SCALARS)
        os.truncate(path, scalars[5].offset + 1)
        self.spooled(rig, range(10, 15))
        assert rig.statistics.lost == 5
        rig.disk.busy.clear()
        rig.pass_time(2.0)
        rig.settle()
        assert rig.written("/busy") == [f"loss {value}" for value in (*range(5), *range(10, 15))]
        assert (rig.statistics.written, rig.statistics.pending) == (10, 0)


def test_where_it_is_damaged_and_moved_as_well_the_rest_is_written_again(path: Path, tmp_path: Path) -> None:
    rig = Rig(path)
    rig.open_run("/runs/a")
    rig.new_daemon()
    for value in range(5):
        rig.scalar(value)
        rig.pass_time(2.0)
    one = messages_in(path, MessageKind.SCALARS)[2]
    overwrite(path, one.offset + 20, one.offset + 40)
    path.rename(tmp_path / "moved")
    rig.pass_time(2.0)
    assert any("was moved: it is written again" in text and "nothing of it is lost" not in text for text in rig.said)
    rig.delivery.abandon(GONE)
    assert (rig.statistics.spooled, rig.statistics.lost) == (4, 1)
    assert rig.spool is not None
    rig.spool.close()
    left = open_left_spool(path, say=rig.said.append)
    assert (left.count, left.damaged_bytes) == (4, 0)
    left.spool.close()
