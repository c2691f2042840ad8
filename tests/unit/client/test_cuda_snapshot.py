"""The order of what a snapshot of a CUDA tensor asks of CUDA, and its two rings, with CUDA's calls recorded."""

from __future__ import annotations

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from sidelog import cuda_snapshot
from sidelog.cuda_snapshot import CudaSnapshot, PendingScalar, Ring, Stager, fetch_scalars, stager_for
from sidelog_shared.dtypes import FLOAT32, UINT8
from sidelog_shared.records import BufferSpec

KIB = 1024


class Event:
    """An event that is reached when the test says so, or when somebody waits for it."""

    def __init__(self, log: list[str], name: str) -> None:
        self._log = log
        self.name = name
        self.reached = False

    def record(self, stream: object) -> None:
        self._log.append(f"record {self.name} on {stream}")

    def query(self) -> bool:
        return self.reached

    def synchronize(self) -> None:
        self._log.append(f"synchronize {self.name}")
        self.reached = True


class Cuda:
    """CUDA's calls, recorded; copies happen at once."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.events: list[Event] = []
        self.current = "main"

    def current_stream(self) -> object:
        return self.current

    def event(self, *, blocking: bool) -> Event:
        event = Event(self.log, f"{'blocking' if blocking else 'plain'} {len(self.events)}")
        self.events.append(event)
        return event

    def wait(self, stream: object, event: Any) -> None:
        self.log.append(f"{stream} waits for {event.name}")

    @contextmanager
    def on(self, stream: object) -> Iterator[None]:
        before, self.current = self.current, str(stream)
        yield
        self.current = before


class Copies(TorchDispatchMode):
    """Records copies, with the stream that is current."""

    def __init__(self, cuda: Cuda) -> None:
        super().__init__()
        self._cuda = cuda

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.copy_.default:
            self._cuda.log.append(f"copy on {self._cuda.current}")
        elif func in (torch.ops.aten.empty.memory_format, torch.ops.aten.clone.default):
            self._cuda.log.append("allocate")
        return func(*args, **(kwargs or {}))


class Bench:
    """A stager over two rings of ``capacity`` bytes."""

    def __init__(self, capacity: int = 4 * KIB) -> None:
        self.cuda = Cuda()
        allocated = Event([], "allocated")
        allocated.reached = True
        rings = torch.zeros(capacity, dtype=torch.uint8), torch.zeros(capacity, dtype=torch.uint8)
        self.stager = Stager(self.cuda, *rings, "side", allocated)

    @property
    def log(self) -> list[str]:
        return self.cuda.log

    def take(self, *tensors: torch.Tensor) -> CudaSnapshot | None:
        first = tensors[0]
        shape = tuple(first.shape) if len(tensors) == 1 else (len(tensors), *first.shape)
        spec = BufferSpec(FLOAT32 if first.dtype is torch.float32 else UINT8, shape)
        return self.stager.take(tensors, spec)

    def kib(self, count: int, value: int = 7) -> CudaSnapshot | None:
        return self.take(torch.full((count * KIB,), value, dtype=torch.uint8))


def some(snapshot: CudaSnapshot | None) -> CudaSnapshot:
    assert snapshot is not None
    return snapshot


class TestOrder:
    def test_copy_record_wait_copy_record(self) -> None:
        bench = Bench()
        bench.kib(1)
        bench.log.clear()
        tensor = torch.ones(2, 3)
        with Copies(bench.cuda):
            some(bench.take(tensor))
        assert bench.log == [
            "copy on main",
            "record plain 2 on main",
            "side waits for plain 2",
            "copy on side",
            "record blocking 3 on side",
        ]  # nothing is allocated, nothing is waited for

    def test_the_copy_is_on_the_stream_of_the_call(self) -> None:
        bench = Bench()
        bench.kib(1)
        bench.log.clear()
        with Copies(bench.cuda), bench.cuda.on("user"):
            bench.take(torch.ones(2, 3))
        assert bench.log[:2] == ["copy on user", "record plain 2 on user"]

    def test_the_first_use_of_the_ring_waits_for_its_memory(self) -> None:
        cuda = Cuda()
        allocated = Event(cuda.log, "allocated")
        ring = torch.zeros(4 * KIB, dtype=torch.uint8)
        stager = Stager(cuda, ring, ring.clone(), "side", allocated)
        spec = BufferSpec(UINT8, (4,))
        for _ in range(2):
            stager.take([torch.zeros(4, dtype=torch.uint8)], spec)
        allocated.reached = True
        for _ in range(2):
            stager.take([torch.zeros(4, dtype=torch.uint8)], spec)
        assert cuda.log.count("main waits for allocated") == 3
        assert cuda.log[0] == "main waits for allocated"

    def test_data_waits_once(self) -> None:
        bench = Bench()
        snapshot = some(bench.take(torch.arange(6.0).reshape(2, 3)))
        bench.log.clear()
        for _ in range(2):
            assert np.frombuffer(snapshot.data(), np.float32).tolist() == [0, 1, 2, 3, 4, 5]
        assert bench.log == ["synchronize blocking 1"]
        snapshot.release()
        assert bench.log == ["synchronize blocking 1"]

    def test_a_list_is_stacked(self) -> None:
        bench = Bench()
        snapshot = some(bench.take(torch.zeros(2, 3), torch.ones(2, 3)))
        assert np.frombuffer(snapshot.data(), np.float32).tolist() == [0] * 6 + [1] * 6

    @pytest.mark.parametrize("view", [lambda x: x.t(), lambda x: x[:, ::2], lambda x: x[:1].expand(4, 6)])
    def test_views_are_copied_in_order_and_without_grad(self, view: Any) -> None:
        tensor = view(torch.arange(24.0).reshape(4, 6).requires_grad_())
        snapshot = some(Bench().take(tensor))
        assert bytes(snapshot.data()) == tensor.detach().numpy().tobytes()

    def test_it_works_in_and_after_inference_mode(self) -> None:
        bench = Bench()
        with torch.inference_mode():
            tensor = torch.arange(4.0)
            first = some(bench.take(tensor))
        second = some(bench.take(tensor))
        assert bytes(first.data()) == bytes(second.data()) == tensor.numpy().tobytes()


class TestMemory:
    def test_a_full_ring_takes_nothing(self) -> None:
        bench = Bench()
        assert [bench.kib(1) is not None for _ in range(6)] == [True] * 4 + [False] * 2
        assert bench.kib(5) is None

    def test_staging_is_free_when_the_copies_are_done_and_pinned_when_it_is_released(self) -> None:
        bench = Bench()
        first = some(bench.kib(4))
        first.data()
        assert bench.stager.staging.acquire(4 * KIB) is not None
        assert bench.kib(1) is None
        assert bench.stager.pinned.acquire(1) is None
        first.release()
        assert bench.stager.pinned.acquire(4 * KIB) is not None

    def test_a_failed_take_leaves_nothing_behind(self) -> None:
        bench = Bench()
        held = bench.stager.staging.acquire(4 * KIB)
        assert held is not None
        assert bench.kib(1) is None  # pinned memory was there, staging was not
        assert bench.stager.pinned.acquire(4 * KIB) is not None

    def test_dropping_one_that_was_never_read_waits_for_nothing(self) -> None:
        bench = Bench()
        first = some(bench.kib(4))
        bench.log.clear()
        first.release()
        assert bench.kib(1) is None  # its copies may be still to come
        assert bench.log == []
        bench.cuda.events[1].reached = True
        assert bench.kib(4) is not None
        assert "synchronize blocking 1" not in bench.log

    def test_dropped_ones_come_back_one_after_the_other(self) -> None:
        bench = Bench()
        snapshots = [some(bench.kib(1)) for _ in range(4)]
        for snapshot in snapshots:
            snapshot.release()
        bench.cuda.events[1].reached = True
        assert bench.kib(1) is not None
        assert bench.kib(1) is None

    def test_a_discarded_one_is_free_when_nobody_reads_it_any_more(self) -> None:
        bench = Bench()
        first = some(bench.kib(4, value=7))
        data = first.data()
        first.discard()
        assert bench.kib(1) is None
        assert data[0] == 7
        del data
        gc.collect()
        assert bench.kib(4) is not None

    def test_a_discarded_one_that_was_never_read_is_dropped(self) -> None:
        bench = Bench()
        some(bench.kib(4)).discard()
        bench.cuda.events[1].reached = True
        assert bench.kib(4) is not None

    def test_the_rings_wrap_around(self) -> None:
        bench = Bench(8 * KIB)
        waiting = [some(bench.kib(1, value)) for value in range(3)]
        for value in range(3, 60):
            first = waiting.pop(0)
            assert set(first.data()) == {value - 3}
            first.release()
            waiting.append(some(bench.kib(1 + value % 2, value)))
        assert [set(one.data()) for one in waiting] == [{57}, {58}, {59}]


@given(st.lists(st.tuples(st.sampled_from(["acquire", "acquire", "release"]), st.integers(0, 5000)), max_size=80))
def test_regions_of_a_ring_never_overlap(steps: list[tuple[str, int]]) -> None:
    capacity = 16 * KIB
    ring = Ring(torch.zeros(capacity, dtype=torch.uint8))
    taken: list[Any] = []
    for what, number in steps:
        if what == "acquire":
            region = ring.acquire(number)
            if region is None:
                assert taken
                continue
            assert 0 <= region.begin <= region.begin + number <= region.end <= capacity
            assert region.begin % 512 == 0
            assert all(region.end <= other.begin or other.end <= region.begin for other in taken)
            taken.append(region)
        elif taken:
            ring.release(taken.pop(number % len(taken)))
    for region in taken:
        ring.release(region)
    assert ring.acquire(capacity) is not None  # all of it is back


class Patched:
    """torch.cuda, as far as scalars and the first snapshot of a device use it, on a machine without one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cuda = Cuda()
        self.made: list[tuple[int, dict[str, Any]]] = []
        self.error: Exception | None = None
        empty = torch.empty

        def without_pinning(*size: Any, **options: Any) -> torch.Tensor:
            if self.error is not None:
                raise self.error
            self.made.append((size[0], dict(options)))
            return empty(*size, dtype=options["dtype"])

        monkeypatch.setattr(torch, "empty", without_pinning)
        monkeypatch.setattr(torch.cuda, "Event", lambda blocking=False: self.cuda.event(blocking=blocking))
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: f"side of {device}")
        monkeypatch.setattr(torch.cuda, "stream", self.cuda.on)
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: self.cuda.current)
        for table in ("_stagers", "_side_streams"):
            monkeypatch.setattr(cuda_snapshot, table, {})


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> Patched:
    return Patched(monkeypatch)


class TestScalars:
    def test_a_clone_is_taken_and_an_event_recorded(self, patched: Patched) -> None:
        tensor = torch.tensor(1.5, dtype=torch.bfloat16, requires_grad=True)
        with patched.cuda.on("user"):
            pending = PendingScalar(tensor)
        with torch.no_grad():
            tensor.fill_(9)
        assert patched.cuda.log == ["record blocking 0 on user"]
        assert (pending.tensor.dtype, pending.tensor.requires_grad) == (torch.float64, False)
        assert fetch_scalars([pending]) == [1.5]

    def test_float64_is_cloned_too(self, patched: Patched) -> None:
        tensor = torch.tensor([2.5], dtype=torch.float64)
        pending = PendingScalar(tensor)
        tensor.zero_()
        assert fetch_scalars([pending]) == [2.5]

    def test_they_are_fetched_together_in_order(self, patched: Patched, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(cuda_snapshot, "_FETCH_ROWS", 3)
        pending = [PendingScalar(torch.tensor(value)) for value in range(8)]
        patched.cuda.log.clear()
        assert fetch_scalars(pending) == [0, 1, 2, 3, 4, 5, 6, 7]
        log = patched.cuda.log
        assert log[:8] == [f"synchronize blocking {index}" for index in range(8)]
        assert log[8:] == [
            line
            for index in (8, 9, 10)
            for line in (f"record blocking {index} on side of cpu", f"synchronize blocking {index}")
        ]
        assert [size for size, _ in patched.made] == [3, 3, 2]
        assert all(options["pin_memory"] and options["device"] == "cpu" for _, options in patched.made)

    def test_there_is_one_side_stream_for_each_device(self, patched: Patched, monkeypatch: pytest.MonkeyPatch) -> None:
        made = []
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: made.append(device) or "side")
        for _ in range(3):
            fetch_scalars([PendingScalar(torch.tensor(1.0))])
        stager_for(torch.device("cpu"), KIB)
        assert made == [torch.device("cpu")]


class TestMaking:
    def test_the_memory_of_a_device_is_allocated_once_and_for_the_side_stream(self, patched: Patched) -> None:
        device = torch.device("cpu")
        with torch.inference_mode():
            stager = stager_for(device, 4 * KIB)
        assert stager is not None
        assert stager_for(device, 4 * KIB) is stager
        staging, pinned = patched.made
        assert staging == (4 * KIB, {"dtype": torch.uint8, "device": device})
        assert pinned == (4 * KIB, {"dtype": torch.uint8, "device": "cpu", "pin_memory": True})
        assert patched.cuda.log == ["record plain 0 on side of cpu"]
        assert not stager.staging._buffer.is_inference()

    def test_no_memory_for_it_is_said_once_and_nothing_is_taken(
        self, patched: Patched, caplog: pytest.LogCaptureFixture
    ) -> None:
        patched.error = torch.OutOfMemoryError("CUDA out of memory")
        with caplog.at_level(logging.WARNING):
            assert [stager_for(torch.device("cpu"), KIB) for _ in range(3)] == [None] * 3
        assert [record.getMessage() for record in caplog.records] == [
            "sidelog: no picture is taken of tensors on cpu: CUDA out of memory"
        ]
