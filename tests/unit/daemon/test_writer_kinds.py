"""The writer thread with records of all kinds: exactly once, in order, each with the step that is its own."""

from __future__ import annotations

import dataclasses
import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from receptions import picture, text

from event_files import read_run
from processes import wait_until
from sidelog_daemon import commits
from sidelog_daemon import writer as writer_module
from sidelog_daemon.actions import Commit, OpenRun, Outcome, Rejected, Settled, WriteRecord, WriteScalars
from sidelog_daemon.kinds import make_content
from sidelog_daemon.sink import RunDirectory
from sidelog_daemon.sink.event_file import event_file_names
from sidelog_daemon.writer import EventWriter, WriteRendered
from sidelog_shared import dtypes
from sidelog_shared.documents import pack_document
from sidelog_shared.limits import STEP_NEXT, STEP_NONE
from sidelog_shared.records import BufferSpec, Kind, Lane, Record, ScalarColumns, ScalarForm, Series
from tensorboardx_events import parsed, records

W, V = "a" * 16, "b" * 16


class Life:
    """One life of a daemon's writer, with one run directory open for two workers."""

    def __init__(self, path: Path) -> None:
        self.outcomes: list[Outcome] = []
        self.writer = EventWriter(owner_note=b"{}", report=self.outcomes.append)
        self.writer.start()
        for worker in (W, V):
            self.writer.submit(OpenRun(worker, 1, str(path)))

    def write(self, *written: Record, worker: str = W) -> None:
        for record in written:
            self.writer.submit(WriteRecord(worker, record))

    def render(self, *rendered: Record, worker: str = W) -> None:
        for record in rendered:
            self.writer.submit(WriteRendered(worker, record, make_content(record)))

    def scalars(self, first: int, tags: list[str], steps: list[int], *, worker: str = W) -> None:
        series = tuple(Series(1, tag) for tag in dict.fromkeys(tags))
        index = np.array([[one.tag for one in series].index(tag) for tag in tags], np.uint32)
        count = len(tags)
        values = np.arange(first, first + count, dtype=np.float64)
        columns = ScalarColumns(first, series, index, np.array(steps, np.int64), np.zeros(count), values)
        self.writer.submit(WriteScalars(worker, columns, ((0, count - 1),)))

    def commit(self) -> None:
        self.writer.submit(Commit())

    def settled(self, lane: Lane, worker: str = W) -> list[tuple[int, int]]:
        return [
            one
            for outcome in list(self.outcomes)
            if isinstance(outcome, Settled) and (outcome.worker, outcome.lane) == (worker, lane)
            for one in outcome.ranges
        ]

    @property
    def reasons(self) -> list[str]:
        return [outcome.why for outcome in list(self.outcomes) if isinstance(outcome, Rejected)]

    def end(self) -> None:
        assert self.writer.stop(10)
        assert self.writer.failure is None


@pytest.fixture
def life(tmp_path: Path) -> Iterator[Life]:
    one = Life(tmp_path / "run")
    yield one
    one.end()


def of(kind: Kind, seq: int, *contents: bytes, **options: object) -> Record:
    specs = tuple(BufferSpec(dtypes.UINT8, (len(content),)) for content in contents)
    step = options.pop("step", seq)
    changes = {"kind": kind, "specs": specs, "buffers": contents, "options": options, "step": step}
    return dataclasses.replace(text(seq), **changes)  # type: ignore[arg-type]


def embedding(seq: int, tag: str = "default") -> Record:
    spec = BufferSpec(dtypes.FLOAT32, (2, 2))
    record = of(Kind.EMBEDDING, seq, parts=[])
    data = np.arange(4, dtype=np.float32).tobytes()
    return dataclasses.replace(record, lane=Lane.HEAVY, tag=tag, specs=(spec,), buffers=(data,))


def in_order(path: Path) -> list[str]:
    """What stands in a run directory, event by event: a tag, or what else it is."""
    found = []
    for name in event_file_names(path):
        for event in parsed(*records((path / name).read_bytes())):
            if event.HasField("session_log"):
                if event.session_log.status == event.session_log.START:
                    found.append(f"start {event.step}")
            elif event.file_version:
                found.append(f"version {event.step}")
            else:
                found += [f"{value.tag} {event.step}" for value in event.summary.value]
    return found


def test_a_record_of_several_events_stands_whole_and_in_its_place(life: Life, tmp_path: Path) -> None:
    document = pack_document({"hparams": [["lr", 0.1]], "metrics": ["loss"]})
    life.scalars(1, ["loss"], [0])
    life.write(of(Kind.HPARAMS, 2, document, step=None))
    life.scalars(3, ["loss"], [1])
    life.commit()
    wait_until(lambda: life.settled(Lane.LIGHT) == [(1, 3)])
    assert in_order(tmp_path / "run")[2:] == [
        "loss 0",
        "_hparams_/experiment 0",
        "_hparams_/session_start_info 0",
        "_hparams_/session_end_info 0",
        "loss 1",
    ]


def test_what_cannot_be_written_is_rejected_and_the_rest_stands(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(record: Record) -> object:
        if record.seq == 3:
            raise ZeroDivisionError("in the depths")
        return make_content(record)

    monkeypatch.setattr(writer_module, "make_content", make)
    life.write(text(1), of(Kind.LAYOUT, 2, b"\xc1"), text(3), text(4))
    life.commit()
    wait_until(lambda: life.settled(Lane.LIGHT) == [(1, 1), (4, 4)])
    malformed, unforeseen = life.reasons
    assert malformed.startswith("LAYOUT.document: document is not msgpack: ")
    assert unforeseen == "ZeroDivisionError: in the depths"
    assert read_run(tmp_path / "run").steps("note") == [1, 4]


def test_a_purge_stands_once_and_in_order_and_hides_what_it_must(tmp_path: Path) -> None:
    path = tmp_path / "run"
    for _ in range(3):  # all of it is sent again to each new daemon
        life = Life(path)
        life.scalars(1, ["loss"] * 6, [0, 1, 2, 3, 4, 5])
        life.write(of(Kind.PURGE, 7, step=3))
        life.scalars(8, ["loss"] * 2, [3, 4])
        life.commit()
        wait_until(lambda life=life: life.settled(Lane.LIGHT) == [(1, 9)])
        life.end()
    expected = [f"loss {step}" for step in range(6)] + ["version 3", "start 3", "loss 3", "loss 4"]
    assert in_order(path) == ["version 0", "start 0", *expected]
    assert read_run(path).scalars["loss"] == [(0, 1.0), (1, 2.0), (2, 3.0), (3, 8.0), (4, 9.0)]


class TestTheNextStep:
    def test_counts_by_kind_and_tag_over_workers_and_daemons(self, tmp_path: Path) -> None:
        path = tmp_path / "run"
        for life_number in range(2):
            life = Life(path)
            for worker in (W, V):
                life.scalars(1, ["loss", "other", "loss", "loss"], [STEP_NEXT, 7, STEP_NEXT, STEP_NONE], worker=worker)
                note = dataclasses.replace(text(5, tag="loss"), step=STEP_NEXT)
                life.write(note, worker=worker)
                shown = dataclasses.replace(picture(1, tag="loss"), step=STEP_NEXT)
                life.render(shown, worker=worker)
            if life_number:
                life.scalars(6, ["loss"], [STEP_NEXT], worker=V)
                life.write(dataclasses.replace(text(6, tag="loss"), step=STEP_NEXT))
            life.end()
        content = read_run(path)
        assert [step for step, _ in content.scalars["loss"]] == [0, 1, 0, 2, 3, 0, 4]
        assert [step for step, _ in content.scalars["other"]] == [7, 7]
        assert [step for step, _ in content.texts["loss"]] == [0, 1, 2]
        images = [one for one in in_order(path) if one.startswith("loss ")]
        assert len(images) == 7 + 2

    def test_is_not_taken_by_what_dies_with_its_group(self, tmp_path: Path) -> None:
        directory = RunDirectory.open(tmp_path / "run", owner_note=b"")
        assert [directory.next_step("scalars", "loss") for _ in range(3)] == [0, 1, 2]
        directory.abandon()
        life = Life(tmp_path / "run")
        life.scalars(1, ["loss"], [STEP_NEXT])
        life.end()
        assert read_run(tmp_path / "run").steps("loss") == [0]

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_is_given_once_however_often_rows_are_sent(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        path = tmp_path_factory.mktemp("x") / "run"
        count = data.draw(st.integers(1, 12))
        tags = data.draw(st.lists(st.sampled_from("ab"), min_size=count, max_size=count))
        steps = data.draw(st.lists(st.sampled_from([STEP_NEXT, STEP_NEXT, 40]), min_size=count, max_size=count))
        for _ in range(data.draw(st.integers(1, 3), "lives")):
            life = Life(path)
            for _ in range(data.draw(st.integers(1, 3), "times")):
                upto = data.draw(st.integers(1, count), "upto")
                life.scalars(1, tags[:upto], steps[:upto])
                if data.draw(st.booleans(), "commit"):
                    life.commit()
            life.end()
        life = Life(path)
        life.scalars(1, tags, steps)
        life.end()
        for tag in "ab":
            counted = [step for step, one in zip(steps, tags, strict=True) if one == tag]
            expected = iter(range(count))
            assert read_run(path).steps(tag) == [next(expected) if step == STEP_NEXT else step for step in counted]


def test_scalars_of_all_forms_stand_in_their_order(life: Life, tmp_path: Path) -> None:
    series = tuple(Series(1, form.name, form=form) for form in ScalarForm)
    index = np.array([0, 1, 2, 2, 1, 0], np.uint32)
    columns = ScalarColumns(1, series, index, np.arange(6), np.zeros(6), np.full(6, 0.1))
    life.writer.submit(WriteScalars(W, columns, ((0, 5),)))
    life.commit()
    wait_until(lambda: life.settled(Lane.LIGHT) == [(1, 6)])
    assert in_order(tmp_path / "run")[2:] == ["SIMPLE 0", "FLOAT 1", "DOUBLE 2", "DOUBLE 3", "FLOAT 4", "SIMPLE 5"]


class FullDisk:
    """Stands for ``os.write`` in every directory that is opened; takes nothing while ``full``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        self.tried = threading.Event()
        open_directory: Callable[..., RunDirectory] = RunDirectory.open
        monkeypatch.setattr(
            RunDirectory, "open", lambda path, **options: open_directory(path, **options, write=self.write)
        )
        monkeypatch.setattr(commits, "RETRY_S", 0.05)

    def write(self, fd: int, data: memoryview) -> int:
        if self.full:
            self.tried.set()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return os.write(fd, data)


class TestEmbeddings:
    def test_settle_when_their_files_stand(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        disk = FullDisk(monkeypatch)
        disk.full = True
        life = Life(tmp_path / "run")
        life.render(embedding(1))
        life.scalars(1, ["loss"], [0])
        life.commit()
        assert disk.tried.wait(10)
        config = tmp_path / "run" / "projector_config.pbtxt"
        assert life.settled(Lane.HEAVY) == []
        assert not config.exists()
        disk.full = False
        wait_until(lambda: life.settled(Lane.HEAVY) == [(1, 1)])
        assert life.settled(Lane.LIGHT) == [(1, 1)]
        assert (tmp_path / "run" / "00001" / "default" / "tensors.tsv").read_text() == "0.0\t1.0\n2.0\t3.0\n"
        assert 'tensor_path: "00001/default/tensors.tsv"' in config.read_text()
        life.end()

    def test_are_listed_once_however_many_daemons_write_them(self, tmp_path: Path) -> None:
        for upto in (1, 2, 3):
            life = Life(tmp_path / "run")
            life.render(*(embedding(seq) for seq in range(1, upto + 1)))
            life.commit()
            wait_until(lambda life=life, upto=upto: life.settled(Lane.HEAVY) == [(1, upto)])
            life.end()
        config = (tmp_path / "run" / "projector_config.pbtxt").read_text()
        assert [line for line in config.splitlines() if line.startswith("tensor_name")] == [
            f'tensor_name: "default:0000{seq}"' for seq in (1, 2, 3)
        ]
