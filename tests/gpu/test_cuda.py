"""Tensors on a CUDA device: what is logged is what they held at the call, and no call waits for the device.

The streams are kept busy with ``torch.cuda._sleep``, so that a call that waits, or a copy that comes too late, shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchvision.utils import make_grid

import sidelog
from event_files import RunContent, read_run
from processes import wait_until
from sidelog import cuda_snapshot
from sidelog.cuda_snapshot import PendingScalar, fetch_scalars
from sidelog.pool import SlotPool
from sidelog.snapshot import Snapshot, Snapshotter
from sidelog_shared.dtypes import ALL, DType
from sidelog_shared.limits import MIB

pytestmark = pytest.mark.gpu

LONG = 500_000_000
"""Cycles: about a quarter of a second."""


@pytest.fixture(autouse=True)
def own_rings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A device, and rings that are made in the test."""
    if not torch.cuda.is_available():
        pytest.fail("this test needs a CUDA device, and torch.cuda.is_available() is False")
    monkeypatch.setattr(cuda_snapshot, "_stagers", {})
    yield
    torch.cuda.synchronize()


@contextmanager
def no_synchronization() -> Iterator[None]:
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


def on_cuda(*shape: int) -> torch.Tensor:
    return torch.arange(float(np.prod(shape)), device="cuda").reshape(shape)


def take(*tensors: torch.Tensor, budget_bytes: int = 16 * MIB) -> Snapshot | None:
    shape = tuple(tensors[0].shape) if len(tensors) == 1 else (len(tensors), *tensors[0].shape)
    return Snapshotter(SlotPool(budget_bytes)).take(tensors, shape)


def content(snapshot: Snapshot | None) -> bytes:
    assert snapshot is not None
    data = bytes(snapshot.data())
    snapshot.release()
    return data


def expected(tensor: torch.Tensor) -> bytes:
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def pixels(picture: torch.Tensor) -> np.ndarray:
    rounded = (picture.float().cpu() * 255 + 0.5).clamp(0, 255).to(torch.uint8)
    return rounded.permute(1, 2, 0).numpy()


class TestSnapshots:
    @pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
    def test_every_type(self, dtype: DType) -> None:
        bits = torch.randint(0, 2, (6, 5, dtype.itemsize * 4), dtype=torch.uint8, device="cuda")
        tensor = bits.view(getattr(torch, dtype.name))
        for view in (tensor, tensor.transpose(0, 1), tensor[:, ::2], tensor[:1].expand(4, 5, 4)):
            assert content(take(view)) == expected(view)

    def test_lists_are_stacked(self) -> None:
        tensors = [on_cuda(4, 5) + index for index in range(3)]
        assert content(take(*tensors)) == expected(torch.stack(tensors))

    def test_a_change_right_after_the_call_does_not_show(self) -> None:
        tensor = torch.zeros(1000, device="cuda")
        torch.cuda._sleep(LONG)
        tensor.fill_(1)
        snapshot = take(tensor)
        tensor.fill_(2)
        assert content(snapshot) == expected(torch.ones(1000))

    def test_memory_that_is_freed_right_after_the_call_and_used_again(self) -> None:
        tensor = torch.ones(MIB, device="cuda")
        address = tensor.data_ptr()
        torch.cuda._sleep(LONG)
        snapshot = take(tensor)
        del tensor
        other = torch.full((MIB,), 9.0, device="cuda")
        assert other.data_ptr() == address
        assert content(snapshot) == expected(torch.ones(MIB))

    def test_a_call_on_another_stream(self) -> None:
        first, second = torch.cuda.Stream(), torch.cuda.Stream()
        snapshots = []
        for value in range(20):
            with torch.cuda.stream(first if value % 2 else second):
                torch.cuda._sleep(LONG // 100)
                tensor = torch.full((1000,), float(value), device="cuda")
                snapshots.append(take(tensor))
                tensor.fill_(-1)
        for value, snapshot in enumerate(snapshots):
            assert content(snapshot) == expected(torch.full((1000,), float(value)))

    def test_a_call_waits_for_nothing(self) -> None:
        tensor = on_cuda(1000)
        content(take(tensor))
        torch.cuda._sleep(LONG)
        with no_synchronization():
            snapshot, scalar = take(tensor), PendingScalar(tensor[7])
        assert not torch.cuda.current_stream().query()  # it still sleeps
        assert content(snapshot) == expected(tensor)
        assert fetch_scalars([scalar]) == [7.0]

    def test_a_full_ring_takes_nothing_until_it_is_given_back(self) -> None:
        tensor = torch.ones(MIB // 4, device="cuda")
        snapshots = [take(tensor, budget_bytes=4 * MIB) for _ in range(5)]
        assert [snapshot is not None for snapshot in snapshots] == [True] * 4 + [False]
        assert content(snapshots[0]) == expected(tensor)
        assert take(tensor, budget_bytes=4 * MIB) is not None

    def test_dropping_waits_for_nothing_and_frees_in_the_end(self) -> None:
        tensor = torch.ones(MIB, device="cuda")
        content(take(tensor, budget_bytes=4 * MIB))
        torch.cuda._sleep(LONG)
        dropped = take(tensor, budget_bytes=4 * MIB)
        assert dropped is not None
        dropped.release()
        assert take(tensor, budget_bytes=4 * MIB) is None
        assert not torch.cuda.current_stream().query()
        torch.cuda.synchronize()
        assert content(take(tensor, budget_bytes=4 * MIB)) == expected(tensor)

    def test_every_device_whichever_is_current(self) -> None:
        for index in range(torch.cuda.device_count()):
            tensor = on_cuda(1000).to(f"cuda:{index}")
            assert content(take(tensor)) == expected(tensor)
            assert fetch_scalars([PendingScalar(tensor[7])]) == [7.0]
            assert torch.cuda.current_device() == 0

    def test_rings_that_are_made_in_inference_mode(self) -> None:
        with torch.inference_mode():
            tensor = on_cuda(10)
            assert content(take(tensor)) == expected(tensor)
        assert content(take(on_cuda(10))) == expected(tensor)

    def test_rings_that_are_made_where_cuda_is_the_default(self) -> None:
        torch.set_default_device("cuda")
        try:
            snapshot, scalar = take(torch.ones(10)), PendingScalar(torch.tensor(3.0))
            assert fetch_scalars([scalar]) == [3.0]
        finally:
            torch.set_default_device(None)
        assert content(snapshot) == expected(torch.ones(10))


class TestScalars:
    def test_their_values_at_the_call(self) -> None:
        value = torch.zeros((), device="cuda")
        torch.cuda._sleep(LONG // 10)
        pending = []
        for number in range(100):
            value.fill_(number)
            pending.append(PendingScalar(value))
        assert fetch_scalars(pending) == list(range(100))

    @pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
    def test_every_type(self, dtype: DType) -> None:
        assert fetch_scalars([PendingScalar(torch.ones((), device="cuda").to(getattr(torch, dtype.name)))]) == [1.0]


def log_one_of_each(writer: sidelog.SummaryWriter, tensor: torch.Tensor, step: int) -> None:
    """Every call that takes a tensor; ``tensor`` is [2, 3, 8, 10]."""
    writer.add_scalar("loss", tensor[0, 0, 0, 0], step)
    writer.add_scalars("losses", {"a": tensor[0, 0, 0, 1]}, step)
    writer.add_image("image", tensor[0], step)
    writer.add_image("list", [tensor[0, 0], tensor[1, 0]], step)
    writer.add_image("lazy", sidelog.make_grid(tensor, nrow=1, normalize=True), step)
    writer.add_images("images", tensor, step)
    writer.add_feature_map("map", tensor, step, sample=1)
    writer.add_label_map("labels", tensor[:, 0].long(), step, palette=[(0, 0, 0), (9, 9, 9)])
    writer.add_histogram("histogram", tensor, step)


PICTURES = ("image", "list", "lazy", "images", "map", "labels")


def check_pictures(run: RunContent, tensor: torch.Tensor) -> None:
    def shown(tag: str) -> np.ndarray:
        found = run.pixels(tag)
        return np.repeat(found[..., None], 3, axis=-1) if found.ndim == 2 else found

    cpu = tensor.cpu()
    np.testing.assert_array_equal(shown("image"), pixels(cpu[0]))
    np.testing.assert_array_equal(shown("list"), pixels(make_grid([cpu[0, :1], cpu[1, :1]])))
    np.testing.assert_array_equal(shown("lazy"), pixels(make_grid(cpu, nrow=1, normalize=True)))
    np.testing.assert_array_equal(shown("map"), pixels(make_grid(cpu[1][:, None], normalize=True)))


class TestTheWriter:
    def test_every_call_without_synchronization(self, runtime_dir: Path, tmp_path: Path) -> None:
        tensor = torch.rand(2, 3, 8, 10, device="cuda")
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            log_one_of_each(writer, tensor, 0)
            torch.cuda._sleep(LONG)
            with no_synchronization():
                log_one_of_each(writer, tensor, 1)
                assert not torch.cuda.current_stream().query()  # nothing waited: it still sleeps
                wait_until(torch.cuda.current_stream().query)
            tensor_then = tensor.clone()
            tensor.zero_()
            writer.flush(pictures=True)
            statistics = writer.statistics()
            assert (statistics.written, statistics.logged) == (18, 18)
        run = read_run(tmp_path / "run")
        assert all(run.steps(tag) == [0, 1] for tag in (*PICTURES, "loss", "histogram"))
        assert run.scalars["loss"][1] == (1, tensor_then[0, 0, 0, 0].item())
        check_pictures(run, tensor_then)

    def test_a_grid_that_was_made_on_another_stream(self, runtime_dir: Path, tmp_path: Path) -> None:
        side = torch.cuda.Stream()
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            with torch.cuda.stream(side):
                torch.cuda._sleep(LONG)
                tensor = torch.full((2, 3, 8, 10), 0.5, device="cuda")
                grid = sidelog.make_grid(tensor)
            writer.add_image("grid", grid, 1)
            del grid
            with torch.cuda.stream(side):
                torch.zeros(2, 3, 8, 10, device="cuda")  # where the grid's memory was
        np.testing.assert_array_equal(read_run(tmp_path / "run").pixels("grid"), pixels(make_grid(tensor)))

    def test_floats_and_tensors_in_the_order_of_the_calls(self, runtime_dir: Path, tmp_path: Path) -> None:
        value = torch.zeros((), device="cuda")
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            for step in range(0, 1000, 2):
                value.fill_(step)
                writer.add_scalar("loss", value, step)
                writer.add_scalar("loss", float(step + 1), step + 1)
        assert read_run(tmp_path / "run").scalars["loss"] == [(step, float(step)) for step in range(1000)]

    def test_while_a_graph_is_captured_tensors_are_counted_and_not_logged(
        self, runtime_dir: Path, tmp_path: Path
    ) -> None:
        tensor = torch.rand(2, 3, 8, 10, device="cuda")
        lazy: Any = sidelog.make_grid(tensor)
        graph = torch.cuda.CUDAGraph()
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            log_one_of_each(writer, tensor, 0)
            with sidelog.paused(), torch.cuda.graph(graph):
                doubled = tensor * 2
                writer.add_scalar("loss", tensor[0, 0, 0, 0], 1)
                writer.add_scalar("loss", 0.25, 2)
                writer.add_image("image", tensor[0], 1)
                writer.add_image("lazy", lazy, 1)
            graph.replay()
            assert torch.equal(doubled, tensor * 2)
            log_one_of_each(writer, tensor, 3)
            writer.flush(pictures=True)
            statistics = writer.statistics()
            assert statistics.dropped_tags == {"loss": 1, "image": 1, "lazy": 1}
            assert (statistics.written, statistics.logged) == (19, 22)
        run = read_run(tmp_path / "run")
        assert run.steps("loss") == [0, 2, 3]
        assert run.steps("image") == run.steps("lazy") == [0, 3]
        check_pictures(run, tensor)

    def test_the_first_call_may_be_in_a_capture(self, runtime_dir: Path, tmp_path: Path) -> None:
        tensor = torch.rand(3, 8, 10, device="cuda")
        with sidelog.SummaryWriter(tmp_path / "run") as writer:
            with sidelog.paused(), torch.cuda.graph(torch.cuda.CUDAGraph()):
                writer.add_image("image", tensor * 2, 1)
            writer.add_image("image", tensor, 2)
        assert read_run(tmp_path / "run").steps("image") == [2]
