"""Snapshots: owned copies of what is logged, taken at call time on the calling thread.

CPU tensors and numpy arrays are copied at once into warm memory of the pool. CUDA tensors go another way (see
:mod:`sidelog.cuda_snapshot`): nothing here waits for a device.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import numpy.typing as npt

from sidelog.arrays import Array, dtype_of, shape_of
from sidelog.pool import Slot, SlotPool
from sidelog_shared.dtypes import FLOAT64, UINT8
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
    """Memory that nobody else can change: a lazy grid's, charged to the pool while it waits."""

    __slots__ = ("_bytes", "_pool", "spec")

    def __init__(self, spec: BufferSpec, data: memoryview, pool: SlotPool | None) -> None:
        self.spec = spec
        self._bytes = data
        self._pool = pool

    def data(self) -> memoryview:
        return self._bytes

    def release(self) -> None:
        if self._pool is not None:
            self._pool.refund(self.spec.nbytes)

    def discard(self) -> None:
        self.release()  # whoever still reads it holds a reference


class Snapshotter:
    """Takes the snapshots of one connection.

    Args:
        pool: where CPU copies go.
        overflow_bytes: what may lie beside it when it is full: a training that logs a histogram of every parameter
            in one loop has more than it sends meanwhile.
    """

    def __init__(self, pool: SlotPool, *, overflow_bytes: int = 0) -> None:
        self._pool = pool
        self._overflow = SlotPool(overflow_bytes)  # an account only: its memory is the system's

    @property
    def largest_bytes(self) -> int:
        """No copy on the CPU can be larger."""
        return max(self._pool.budget_bytes, self._overflow.budget_bytes)

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
            from sidelog.torch_grid import is_capturing

            # While a CUDA graph is captured nothing may be allocated for good, and nothing is copied.
            stager = None if is_capturing(first.device) else stager_for(first.device, self._pool.budget_bytes)
            return None if stager is None else stager.take(cast("Sequence[torch.Tensor]", arrays), spec)
        slot = self._pool.acquire(spec.nbytes)
        if slot is None:
            return None
        if not isinstance(first, np.ndarray) and first.device.type != "cpu":
            # Neither CPU nor CUDA: there is no way around the device's own, synchronous copy.
            arrays = [array.detach().cpu() for array in cast("Sequence[torch.Tensor]", arrays)]
        copy_into(slot, arrays, spec.nbytes)
        return PooledSnapshot(spec, slot, self._pool)

    def take_bytes(self, address: int, spec: BufferSpec, capacity: int) -> Snapshot | None:
        """Copy ``spec.nbytes`` contiguous bytes of CPU memory; None when there is no memory of that size class."""
        slot = self._pool.acquire_class(capacity)
        if slot is None:
            return None
        ctypes.memmove(slot.address, address, spec.nbytes)
        return PooledSnapshot(spec, slot, self._pool)

    def take_beyond(self, arrays: Sequence[Array], shape: tuple[int, ...], *, owned: bool) -> Snapshot | None:
        """The same where the pool is full, in memory that is new each time and so slower; not for CUDA.

        Args:
            arrays: as for :meth:`take`.
            shape: see there.
            owned: nobody else can reach them, as for :meth:`adopt`.

        Returns:
            None when too much lies there already.
        """
        spec = BufferSpec(dtype_of(arrays[0]), shape)
        if not self._overflow.charge(spec.nbytes):
            return None
        try:
            if not isinstance(arrays[0], np.ndarray) and not arrays[0].is_cpu:
                arrays = [array.detach().cpu() for array in cast("Sequence[torch.Tensor]", arrays)]
            data = raw_bytes(arrays[0]) if owned else _copied(arrays, spec.nbytes)
        except BaseException:  # no memory, or a device that failed
            self._overflow.refund(spec.nbytes)
            raise
        return BorrowedSnapshot(spec, data, self._overflow)

    def adopt(self, arrays: Sequence[Array], shape: tuple[int, ...]) -> Snapshot | None:
        """Take over a C-contiguous array in CPU memory that nobody else can reach; None when too much waits."""
        spec = BufferSpec(dtype_of(arrays[0]), shape)
        return BorrowedSnapshot(spec, raw_bytes(arrays[0]), self._pool) if self._pool.charge(spec.nbytes) else None

    def copy(self, array: Array) -> Snapshot:
        """Copy one array into memory of its own, outside the pool: for records that are kept until they are written.

        A CUDA tensor is fetched by the sender where the staging ring has room, else at once.
        """
        return self.copy_all([array], shape_of(array))

    def copy_all(self, arrays: Sequence[Array], shape: tuple[int, ...]) -> Snapshot:
        """The same with several arrays, as :meth:`take` stacks them."""
        first = arrays[0]
        if not isinstance(first, np.ndarray):
            if first.device.type == "cuda" and (snapshot := self.take(arrays, shape)) is not None:
                return snapshot
            arrays = [array.detach().cpu() for array in cast("Sequence[torch.Tensor]", arrays)]
        spec = BufferSpec(dtype_of(first), shape)
        return BorrowedSnapshot(spec, _copied(arrays, spec.nbytes), None)


def kept(array: Array) -> Snapshot:
    """A C-contiguous array in CPU memory that nobody else changes, such as the edges of bins."""
    return BorrowedSnapshot(BufferSpec(dtype_of(array), shape_of(array)), raw_bytes(array), None)


def kept_numbers(data: bytes, *shape: int) -> Snapshot:
    """Numbers as the bytes of float64."""
    return BorrowedSnapshot(BufferSpec(FLOAT64, shape), memoryview(data), None)


def kept_bytes(data: bytes) -> Snapshot:
    """A text or a document."""
    return BorrowedSnapshot(BufferSpec(UINT8, (len(data),)), memoryview(data), None)


def owned(snapshot: Snapshot) -> Snapshot:
    """The same in memory outside the pool; may wait for a device."""
    if isinstance(snapshot, BorrowedSnapshot):
        return snapshot
    copy = BorrowedSnapshot(snapshot.spec, memoryview(bytes(snapshot.data())), None)
    snapshot.release()
    return copy


def raw_bytes(array: Array) -> memoryview:
    """The bytes of a C-contiguous array in CPU memory, without a copy; they keep it alive."""
    if not isinstance(array, np.ndarray):
        torch = sys.modules["torch"]
        # bfloat16 and the float8 family have no numpy type, so every tensor goes through its bytes.
        array = array.detach().reshape(-1).view(torch.uint8).numpy()
    return memoryview(array.reshape(-1)).cast("B")  # type: ignore[arg-type]  # arrays are buffers


def copy_into(slot: Slot, arrays: Sequence[Array], nbytes: int) -> None:
    """Copy arrays of one shape and type into a slot, one after the other, C-contiguous.

    Not with ``Tensor.copy_``: above 32,768 elements it hands the copy to OpenMP's threads, and to wake one that
    sleeps took 7 ms where the copy itself takes 20 us (``docs/decisions/0002-memmove.md``).
    """
    dtype = dtype_of(arrays[0])
    size = nbytes // len(arrays)
    for index, array in enumerate(arrays):
        begin = index * size
        if isinstance(array, np.ndarray):
            source = array
            contiguous = array.flags.c_contiguous and array.dtype == dtype.numpy  # another byte order is not
            address = array.ctypes.data if contiguous else 0
        else:
            tensor = array.resolve_neg() if array.is_neg() else array
            contiguous = tensor.is_contiguous()
            if contiguous:
                address = tensor.data_ptr()
            else:
                source = _bits(tensor)
        if contiguous:
            ctypes.memmove(slot.address + begin, address, size)  # frees the interpreter lock
        else:
            bits = source.dtype if dtype.numpy is None else dtype.numpy
            target = slot.array[begin : begin + size].view(bits).reshape(source.shape)
            np.copyto(target, source)


def _copied(arrays: Sequence[Array], nbytes: int) -> memoryview:
    """A copy in new memory."""
    slot = Slot(nbytes, touched=False)  # the copy touches its pages
    copy_into(slot, arrays, nbytes)
    return memoryview(slot.array)  # type: ignore[arg-type]  # arrays are buffers


def _bits(tensor: torch.Tensor) -> npt.NDArray[np.generic]:
    """A tensor's elements as an array on the same memory; types that numpy lacks as integers of their size.

    Not by ``Tensor.numpy()``: that would forbid its owner to resize the tensor ever after.
    """
    dtype = dtype_of(tensor)
    interface = {
        "version": 3,
        "data": (tensor.data_ptr(), True),
        "shape": tuple(tensor.shape),
        "strides": tuple(stride * dtype.itemsize for stride in tensor.stride()),
        "typestr": f"<u{dtype.itemsize}" if dtype.numpy is None else dtype.numpy.str,
    }
    return np.asarray(SimpleNamespace(__array_interface__=interface))
