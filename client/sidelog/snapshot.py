"""Snapshots: owned copies of what is logged, taken at call time on the calling thread.

CPU tensors and numpy arrays are copied at once into warm memory of the pool. CUDA tensors go another way (see
:mod:`sidelog.cuda_snapshot`): nothing here waits for a device.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from sidelog.arrays import Array, dtype_of, shape_of
from sidelog.pool import Slot, SlotPool
from sidelog_shared.dtypes import DType
from sidelog_shared.records import BufferSpec

if TYPE_CHECKING:
    import torch


class Snapshot(Protocol):
    """Bytes that belong to us until released.

    Attributes:
        spec: how to read them.
    """

    spec: BufferSpec

    def data(self) -> memoryview:
        """The bytes. May wait for a device; called on the sender thread only."""

    def release(self) -> None:
        """The daemon has taken them over: the memory may be used again."""

    def discard(self) -> None:
        """They are given up while a closed socket may still read them: the memory must not be used again."""


class PooledSnapshot:
    """A snapshot in a slot of the pool."""

    __slots__ = ("_pool", "_slot", "spec")

    def __init__(self, spec: BufferSpec, slot: Slot, pool: SlotPool) -> None:
        self.spec = spec
        self._slot = slot
        self._pool = pool

    def data(self) -> memoryview:
        return memoryview(self._slot.array[: self.spec.nbytes])  # type: ignore[arg-type]  # arrays are buffers

    def release(self) -> None:
        self._pool.release(self._slot)

    def discard(self) -> None:
        self._pool.discard(self._slot)


class BorrowedSnapshot:
    """Memory that nobody else can change: a lazy grid's, or bytes made for this record."""

    __slots__ = ("_bytes", "spec")

    def __init__(self, spec: BufferSpec, data: memoryview) -> None:
        self.spec = spec
        self._bytes = data

    def data(self) -> memoryview:
        return self._bytes

    def release(self) -> None:
        """Nothing to give back: the garbage collector has it."""

    def discard(self) -> None:
        """Nothing to give back either; whoever still reads it holds a reference."""


class Snapshotter:
    """Takes the snapshots of one connection.

    Args:
        pool: where CPU copies go.
    """

    def __init__(self, pool: SlotPool) -> None:
        self._pool = pool

    def take(self, arrays: Sequence[Array], shape: tuple[int, ...]) -> Snapshot | None:
        """Copy one array, or several of one shape and type stacked along a new first dimension.

        Args:
            arrays: what to copy; views of any stride.
            shape: shape of the copy, with as many elements.

        Returns:
            None when there is no memory for it.
        """
        first = arrays[0]
        dtype = dtype_of(first)
        spec = BufferSpec(dtype, shape)
        if not isinstance(first, np.ndarray) and first.device.type == "cuda":
            from sidelog.cuda_snapshot import stager_for

            tensors = cast("Sequence[torch.Tensor]", arrays)
            return stager_for(first.device, self._pool.budget_bytes).take(tensors, spec)
        slot = self._pool.acquire(spec.nbytes)
        if slot is None:
            return None
        if isinstance(first, np.ndarray):
            _copy_numpy(arrays, slot, dtype, shape)
        else:
            _copy_torch(cast("Sequence[torch.Tensor]", arrays), slot, spec)
        return PooledSnapshot(spec, slot, self._pool)

    def adopt(self, array: Array) -> Snapshot | None:
        """Take over an array that is C-contiguous and that nobody else can reach."""
        if not isinstance(array, np.ndarray) and array.device.type != "cpu":
            return self.take([array], shape_of(array))
        spec = BufferSpec(dtype_of(array), shape_of(array))
        return BorrowedSnapshot(spec, raw_bytes(array))


def raw_bytes(array: Array) -> memoryview:
    """The bytes of a C-contiguous array in CPU memory, without a copy; they keep it alive."""
    if not isinstance(array, np.ndarray):
        torch = sys.modules["torch"]
        # bfloat16 and the float8 family have no numpy type, so every tensor goes through its bytes.
        array = array.detach().reshape(-1).view(torch.uint8).numpy()
    return memoryview(array.reshape(-1)).cast("B")  # type: ignore[arg-type]  # arrays are buffers


def _copy_numpy(arrays: Sequence[Array], slot: Slot, dtype: DType, shape: tuple[int, ...]) -> None:
    assert dtype.numpy is not None, "numpy arrays have numpy dtypes"
    count = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    target = slot.array[:count].view(dtype.numpy)
    if len(arrays) == 1:
        np.copyto(target.reshape(arrays[0].shape), arrays[0])
        return
    rows = target.reshape(len(arrays), *arrays[0].shape)
    for row, array in zip(rows, arrays, strict=True):
        np.copyto(row, array)


def _copy_torch(tensors: Sequence[torch.Tensor], slot: Slot, spec: BufferSpec) -> None:
    first = tensors[0]
    one = len(tensors) == 1
    shape = first.shape if one else (len(tensors), *first.shape)
    key = (first.dtype, shape)
    if slot.view_key != key:
        import torch

        # Not an inference tensor, wherever it is made: those refuse writes outside inference mode.
        with torch.inference_mode(False):
            slot.view = torch.from_numpy(slot.array[: spec.nbytes]).view(first.dtype).view(shape)
        slot.view_key = key
    view = cast("torch.Tensor", slot.view)
    if one:
        view.copy_(first.detach())
        return
    for row, tensor in zip(view, tensors, strict=True):
        row.copy_(tensor.detach())
