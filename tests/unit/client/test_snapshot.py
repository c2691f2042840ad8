"""A snapshot holds what a tensor held at the call, to the byte."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sidelog.pool import SlotPool
from sidelog.snapshot import Snapshotter, raw_bytes
from sidelog_shared.dtypes import ALL, DType
from sidelog_shared.limits import MIB
from sidelog_shared.records import BufferSpec

DTYPES = pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)


def taken(*arrays: Any, shape: tuple[int, ...] | None = None) -> bytes:
    pool = SlotPool(MIB)
    if shape is None:
        shape = tuple(arrays[0].shape) if len(arrays) == 1 else (len(arrays), *arrays[0].shape)
    snapshot = Snapshotter(pool).take(arrays, shape)
    assert snapshot is not None
    data = snapshot.data()
    assert len(data) == snapshot.spec.nbytes
    assert snapshot.spec.shape == shape
    copy = bytes(data)
    snapshot.release()
    assert pool.used_bytes == 0
    return copy


def made(dtype: DType, *shape: int) -> torch.Tensor:
    """A tensor of any type, with bits of every kind."""
    count = int(np.prod(shape)) * dtype.itemsize
    bits = np.random.default_rng(0).integers(0, 2 if dtype.name == "bool" else 256, count, dtype=np.uint8)
    return torch.from_numpy(bits).view(getattr(torch, dtype.name)).view(shape)


def expected(tensor: torch.Tensor) -> bytes:
    """The bytes of its elements in C order, by torch alone."""
    dense = torch.empty(tensor.numel(), dtype=tensor.dtype)
    dense.view(tensor.shape).copy_(tensor.detach())
    return dense.view(torch.uint8).numpy().tobytes()


@DTYPES
@pytest.mark.parametrize(
    "view",
    [
        lambda x: x,
        lambda x: x.transpose(0, 2),
        lambda x: x[:, ::2],
        lambda x: x[1:, 1:, 1:],
        lambda x: x[:1].expand(3, 4, 6),
        lambda x: x[0, 0, 0],
        lambda x: x[:, 1],
        lambda x: x.permute(2, 0, 1)[::2],
        lambda x: x[None],
    ],
    ids=["whole", "transposed", "strided", "inner", "expanded", "0-d", "row", "permuted", "unsqueezed"],
)
def test_every_type_and_every_view(dtype: DType, view: Any) -> None:
    tensor = view(made(dtype, 3, 4, 6))
    assert taken(tensor) == expected(tensor)


@pytest.mark.parametrize("dtype", [dtype for dtype in ALL if dtype.numpy is not None], ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("order", ["<", ">"])
def test_arrays_of_either_byte_order_and_any_strides(dtype: DType, order: str) -> None:
    assert dtype.numpy is not None
    little = made(dtype, 3, 4, 6).numpy()
    array = little.astype(dtype.numpy.newbyteorder(order))
    for view in (array, array.T, array[:, ::2], array[::-1], np.asfortranarray(array), array[0, 0, 0:1].reshape(())):
        assert taken(view) == view.astype(dtype.numpy).tobytes()


def test_a_negative_view() -> None:
    number = torch.complex(torch.arange(6.0).reshape(2, 3), torch.arange(6.0).reshape(2, 3))
    view = number.conj().imag
    assert view.is_neg()
    assert taken(view) == (-np.arange(6, dtype=np.float32)).tobytes()
    dense = torch._neg_view(torch.ones(2, 3))
    assert dense.is_contiguous()
    assert taken(dense) == (-np.ones(6, np.float32)).tobytes()


def test_tensors_that_need_grad_are_parameters_or_of_inference_mode() -> None:
    base = torch.rand(3, 4)
    assert taken(base.clone().requires_grad_().t()) == expected(base.t())
    assert taken(torch.nn.Parameter(base)) == expected(base)
    with torch.inference_mode():
        inference = base * 1
        assert taken(inference.t()) == expected(base.t())
    assert taken(inference) == taken(inference.view(4, 3)) == expected(base)


def test_read_only_arrays() -> None:
    array = np.arange(6.0).reshape(2, 3)
    array.setflags(write=False)
    assert taken(array) == array.tobytes()
    assert taken(array.T) == array.T.tobytes()


@pytest.mark.parametrize("form", ["dense", "strided", "stacked"])
def test_later_changes_do_not_show(form: str) -> None:
    tensor = torch.arange(24.0).reshape(4, 6)
    given_tensors = {"dense": [tensor], "strided": [tensor.t()], "stacked": [tensor[0], tensor[1]]}[form]
    shape = (2, 6) if form == "stacked" else tuple(given_tensors[0].shape)
    before = b"".join(expected(one) for one in given_tensors)
    snapshot = Snapshotter(SlotPool(MIB)).take(given_tensors, shape)
    tensor.add_(1)
    del given_tensors
    tensor.untyped_storage().resize_(0)
    assert snapshot is not None
    assert bytes(snapshot.data()) == before


def test_a_tensor_can_be_resized_after_it_was_logged() -> None:
    tensor = torch.arange(24.0).reshape(4, 6)
    taken(tensor)
    taken(tensor.t())
    tensor.resize_(100, 100)  # Tensor.numpy() would have forbidden it


@pytest.mark.parametrize("kind", ["torch", "numpy"])
@pytest.mark.parametrize("strided", [False, True])
def test_lists_are_stacked(kind: str, strided: bool) -> None:
    items: list[Any] = [torch.arange(12.0).reshape(3, 4) + 100 * index for index in range(3)]
    items = [item.t() if strided else item for item in items]
    if kind == "numpy":
        items = [item.numpy() for item in items]
    expected_bytes = np.stack([np.asarray(item) for item in items]).tobytes()
    assert taken(*items) == expected_bytes
    assert taken(*items, shape=(3, 1, *items[0].shape)) == expected_bytes


@given(
    shape=st.lists(st.integers(1, 5), min_size=0, max_size=4),
    dtype=st.sampled_from(ALL),
    data=st.data(),
)
def test_any_view_of_any_shape(shape: list[int], dtype: DType, data: st.DataObject) -> None:
    tensor = made(dtype, *shape)
    tensor = tensor.permute(data.draw(st.permutations(range(len(shape)))))
    for dim in range(tensor.dim()):
        step = data.draw(st.integers(1, 2))
        start = data.draw(st.integers(0, tensor.shape[dim] - 1))
        tensor = tensor[(slice(None),) * dim + (slice(start, None, step),)]
    assert taken(tensor) == expected(tensor)


def test_no_memory_is_none_and_changes_nothing() -> None:
    pool = SlotPool(8192)
    snapshotter = Snapshotter(pool)
    assert snapshotter.take([torch.zeros(4096)], (4096,)) is None
    assert snapshotter.take_bytes(0, BufferSpec(ALL[0], (4096,)), 32768) is None
    assert pool.used_bytes == 0


def test_bytes_of_an_address() -> None:
    pool = SlotPool(MIB)
    array = np.arange(6, dtype=np.float32)
    snapshot = Snapshotter(pool).take_bytes(array.ctypes.data, BufferSpec(ALL[1], (2, 3)), 4096)
    assert snapshot is not None
    array[:] = 0
    assert bytes(snapshot.data()) == np.arange(6, dtype=np.float32).tobytes()


@DTYPES
def test_adopted_memory_is_not_copied_and_is_kept_alive(dtype: DType) -> None:
    tensor = made(dtype, 2, 3)
    content, address = expected(tensor), tensor.data_ptr()
    snapshot = Snapshotter(SlotPool(MIB)).adopt([tensor], tuple(tensor.shape))
    del tensor
    data = snapshot.data()
    assert np.frombuffer(data, np.uint8).ctypes.data == address
    assert bytes(data) == content == bytes(raw_bytes(made(dtype, 2, 3)))
    snapshot.release()
    snapshot.discard()
    assert bytes(data) == content


def test_a_released_slot_is_used_again_and_a_discarded_one_is_not() -> None:
    snapshotter = Snapshotter(SlotPool(MIB))

    def address(value: int) -> tuple[Any, int]:
        snapshot = snapshotter.take([torch.full((10,), float(value))], (10,))
        assert snapshot is not None
        return snapshot, np.frombuffer(snapshot.data(), np.uint8).ctypes.data

    first, first_address = address(1)
    first.release()
    second, second_address = address(2)
    assert second_address == first_address
    held = second.data()
    second.discard()
    _, third_address = address(3)
    assert third_address != second_address
    assert bytes(held) == np.full(10, 2, np.float32).tobytes()
