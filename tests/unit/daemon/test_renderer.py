"""The renderer's threads: one bad picture ends that picture and nothing else, and a user is told once."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq
from receptions import make_reception, picture

from processes import wait_until
from sidelog_daemon import renderer as renderer_module
from sidelog_daemon.actions import Noted, Outcome, Rejected, Render
from sidelog_daemon.kinds import Content
from sidelog_daemon.receiver import Outcomes, Receiver
from sidelog_daemon.render_queue import RenderQueue
from sidelog_daemon.renderer import Renderer
from sidelog_daemon.tensorboardx import event_pb2
from sidelog_daemon.writer import EventWriter, WriteRendered
from sidelog_shared import dtypes
from sidelog_shared.recipe import Layout, Recipe
from sidelog_shared.records import BufferSpec, Kind, Lane, Record
from sidelog_shared.wakeup import Wakeup

W = "a" * 16


class Threads:
    """A renderer with what came out of it."""

    def __init__(self, threads: int = 1, **options: int) -> None:
        self.rendered: list[WriteRendered] = []
        self.outcomes: list[Outcome] = []
        self.queue = RenderQueue(1 << 20)
        self.renderer = Renderer(
            self.queue,
            name="sidelog-render",
            threads=threads,
            write=self.rendered.append,
            report=self.outcomes.append,
            **options,
        )
        self.renderer.start()

    def render(self, *records: Record) -> None:
        ended = len(self.rendered) + len(self.reasons)
        for record in records:
            assert self.renderer.submit(Render(W, record)) == []
        wait_until(lambda: len(self.rendered) + len(self.reasons) == ended + len(records))

    @property
    def reasons(self) -> list[str]:
        return [outcome.why for outcome in self.outcomes if isinstance(outcome, Rejected)]

    @property
    def notes(self) -> list[str]:
        return [outcome.text for outcome in self.outcomes if isinstance(outcome, Noted)]


@pytest.fixture
def threads() -> Iterator[Threads]:
    one = Threads()
    yield one
    one.renderer.stop(10)


def histogram(seq: int, values: list[float], **options: object) -> Record:
    spec = BufferSpec(dtypes.FLOAT64, (len(values),))
    data = np.array(values).tobytes()
    return dataclasses.replace(
        picture(seq, tag="values"), kind=Kind.HISTOGRAM, options=options, specs=(spec,), buffers=(data,)
    )


def test_what_cannot_be_rendered_is_rejected_and_the_rest_goes_on(threads: Threads) -> None:
    good = picture(1)
    threads.render(
        good,
        dataclasses.replace(good, seq=2, options={}),
        dataclasses.replace(good, seq=3, options={"recipe": {"layout": "hexagon"}}),
        dataclasses.replace(good, seq=4, specs=(), buffers=()),
        dataclasses.replace(good, seq=5, specs=(BufferSpec(dtypes.UINT8, (0, 1, 2, 2)),), buffers=(b"",)),
        histogram(6, [1.0, 2.0], bins=True),
        histogram(7, [1.0, 2.0], max_bins=0),
        histogram(8, [1.0, 2.0], bins="many"),
        histogram(9, [1.0, 2.0]),
    )
    assert [one.record.seq for one in threads.rendered] == [1, 9]
    whys = {outcome.record.seq: outcome.why for outcome in threads.outcomes if isinstance(outcome, Rejected)}
    assert sorted(whys) == [2, 3, 4, 5, 6, 7, 8]
    for number, words in zip(
        sorted(whys),
        [
            "recipe is NoneType, expected a map",
            "recipe.layout is 'hexagon', expected one of",
            "PICTURE has 0 buffers, expected 1",
            "expected",
            "bins is True, expected a name, a number of bins, or a second buffer of edges",
            "HISTOGRAM.options.max_bins is 0, expected an integer in 1..",
            "bins is 'many', expected",
        ],
        strict=True,
    ):
        assert words in whys[number]


def test_what_nobody_foresaw_ends_one_picture(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    make = renderer_module.make_content

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("in the depths")

    monkeypatch.setattr(renderer_module, "make_content", broken)
    threads.render(picture(1))
    monkeypatch.setattr(renderer_module, "make_content", make)
    threads.render(picture(2))
    assert threads.reasons == ["ZeroDivisionError: in the depths"]
    assert [one.record.seq for one in threads.rendered] == [2]


def test_a_warning_is_said_once_per_tag(threads: Threads) -> None:
    threads.render(*(histogram(seq, [1.0, float("nan")]) for seq in (1, 2, 3)))
    assert threads.notes == ["'values' at step 1: 1 values are NaN or infinite, left out"]
    assert len(threads.rendered) == 3


def test_what_was_warned_of_is_bounded(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renderer_module, "MAX_WARNED", 2)
    tags = ["a", "b", "a", "c", "a", "c"]
    records = [histogram(seq, [1.0, float("nan")]) for seq in range(1, 7)]
    threads.render(*(dataclasses.replace(one, tag=tag) for one, tag in zip(records, tags, strict=True)))
    assert [note.split("'")[1] for note in threads.notes] == ["a", "b", "c", "a"]


def test_several_threads_keep_the_order_of_a_tag() -> None:
    threads = Threads(threads=3)
    threads.render(*(picture(seq, tag=f"tag{seq % 4}") for seq in range(1, 101)))
    threads.renderer.stop(10)
    for tag in range(4):
        seqs = [one.record.seq for one in threads.rendered if one.record.tag == f"tag{tag}"]
        assert seqs == sorted(seqs)
        assert len(seqs) == 25


def test_a_picture_that_is_too_large_is_thinned_and_its_training_told() -> None:
    threads = Threads(max_pixels=10_000)
    spec = BufferSpec(dtypes.UINT8, (300, 300))
    recipe = {"recipe": Recipe(Layout.IMAGE, "HW").to_map()}
    large = dataclasses.replace(picture(1), options=recipe, specs=(spec,), buffers=(bytes(300 * 300),))
    threads.render(large)
    threads.renderer.stop(10)
    content = threads.rendered[0].content
    image = event_pb2.Event.FromString(content.events[0]).summary.value[0].image
    assert (image.width, image.height) == (100, 100)
    assert threads.notes == [
        "'map' at step 1: only one line and column in 3 is drawn: the whole is too large for one picture "
        "(--max-pixels is 10,000, a side of a png at most 1,000,000)"
    ]
    assert content.recipe["stride"] == 3


def test_the_heavy_lane_does_not_wait_for_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures, heavy = Threads(), Threads()
    make = renderer_module.make_content
    begun, go_on = threading.Event(), threading.Event()

    def slow(record: Record, **options: int) -> Content:
        if record.lane is Lane.PICTURE:
            begun.set()
            assert go_on.wait(10)
        return make(record, **options)

    monkeypatch.setattr(renderer_module, "make_content", slow)
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        wakeup = Wakeup()
        receiver = Receiver(
            socket,
            make_reception(Path("/logdir")),
            pictures=pictures.renderer,
            heavy=heavy.renderer,
            writer=EventWriter(owner_note=b"", report=pictures.outcomes.append),
            outcomes=Outcomes(wakeup),
            wakeup=wakeup,
            stop_requested=lambda: 0,
            idle_exit_s=None,
        )
        receiver._execute(Render(W, picture(seq)) for seq in (1, 2))
        assert begun.wait(10)
        receiver._execute(Render(W, picture(seq, lane=Lane.HEAVY)) for seq in (1, 2, 3))
        wait_until(lambda: [one.record.seq for one in heavy.rendered] == [1, 2, 3])
        assert pictures.rendered == []
        go_on.set()
        wait_until(lambda: [one.record.seq for one in pictures.rendered] == [1, 2])
        wakeup.close()
    for threads in (pictures, heavy):
        threads.renderer.stop(10)


def test_a_missing_package_rejects_the_record_and_names_the_command(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "soundfile", None)
    sound = dataclasses.replace(histogram(1, [0.5]), kind=Kind.AUDIO, lane=Lane.HEAVY, options={"sample_rate": 8000})
    threads.render(sound, dataclasses.replace(picture(2), lane=Lane.HEAVY))
    (reason,) = threads.reasons
    assert reason.endswith('which is not installed: run  pip install "sidelog[media]"')
    assert [one.record.seq for one in threads.rendered] == [2]
