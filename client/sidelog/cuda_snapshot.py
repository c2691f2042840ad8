"""Snapshots of CUDA tensors: no synchronization and no allocation on the calling thread.

A call copies into a staging ring on the device, on the current stream (so it comes before any later in-place
write), records an event, lets a side stream wait for it and copy into pinned host memory, and records a second,
blocking event. The sender thread waits for that one, which frees the interpreter lock, and sends.

Ring and pinned memory are allocated once per device, at its first snapshot. Full means that nothing is copied;
the caller counts the drop.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from sidelog_shared.records import BufferSpec

_ALIGNMENT = 512
"""What CUDA's own allocator aligns to; typed views and coalesced copies want no less than 16."""


class Event(Protocol):
    """``torch.cuda.Event``, as far as it is used here."""

    def record(self, stream: object) -> None: ...
    def synchronize(self) -> None: ...


class Backend(Protocol):
    """The CUDA calls that a snapshot makes; a test on the CPU puts a recorder in their place."""

    def capturing(self) -> bool: ...
    def current_stream(self) -> object: ...
    def event(self, *, blocking: bool) -> Event: ...
    def wait(self, stream: object, event: Event) -> None: ...
    def on(self, stream: object) -> AbstractContextManager[object]: ...


class CudaBackend:
    """The real calls, for one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def capturing(self) -> bool:
        return torch.cuda.is_current_stream_capturing()

    def current_stream(self) -> object:
        return torch.cuda.current_stream(self._device)

    def event(self, *, blocking: bool) -> Event:
        return torch.cuda.Event(blocking=blocking)  # type: ignore[no-untyped-call,return-value]  # torch's stubs

    def wait(self, stream: object, event: Event) -> None:
        stream.wait_event(event)  # type: ignore[attr-defined]

    def on(self, stream: object) -> AbstractContextManager[object]:
        return torch.cuda.stream(stream)  # type: ignore[arg-type]


@dataclass(slots=True, eq=False)
class _Region:
    """A stretch of a ring: ``begin..end`` and whether it is free again."""

    begin: int
    end: int
    free: bool = False


class Ring:
    """A buffer that is given out in order and comes back in about that order. No allocation after the first.

    Args:
        buffer: ``[capacity]`` uint8, on the device or in pinned host memory.
    """

    def __init__(self, buffer: torch.Tensor) -> None:
        self._buffer = buffer
        self._regions: deque[_Region] = deque()
        self._lock = threading.Lock()

    def acquire(self, nbytes: int) -> _Region | None:
        """A stretch of ``nbytes``; None when there is none."""
        size = -(-nbytes // _ALIGNMENT) * _ALIGNMENT
        capacity = self._buffer.numel()
        with self._lock:
            while self._regions and self._regions[0].free:
                self._regions.popleft()
            if not self._regions:
                begin = 0
            else:
                head, tail = self._regions[0].begin, self._regions[-1].end
                begin = tail
                if tail <= head:  # wrapped: free between tail and head
                    if tail + size > head:
                        return None
                elif tail + size > capacity:
                    if size >= head:
                        return None
                    begin = 0
            if begin + size > capacity:
                return None
            region = _Region(begin, begin + size)
            self._regions.append(region)
            return region

    def release(self, region: _Region) -> None:
        with self._lock:
            region.free = True

    def view(self, region: _Region, nbytes: int, dtype: torch.dtype, shape: Sequence[int]) -> torch.Tensor:
        return self._buffer[region.begin : region.begin + nbytes].view(dtype).view(shape)

    def array(self, region: _Region, nbytes: int) -> npt.NDArray[np.uint8]:
        """The bytes, where the buffer is in host memory."""
        array: npt.NDArray[np.uint8] = self._buffer[region.begin : region.begin + nbytes].numpy()
        return array


class CudaSnapshot:
    """A snapshot on its way from the device to pinned memory."""

    __slots__ = ("_array", "_copied", "_pinned", "_pinned_ring", "_staged", "_staging_ring", "spec")

    def __init__(
        self, spec: BufferSpec, copied: Event, pinned: _Region, pinned_ring: Ring, staged: _Region, staging_ring: Ring
    ) -> None:
        self.spec = spec
        self._copied = copied
        self._pinned = pinned
        self._pinned_ring = pinned_ring
        self._staged: _Region | None = staged
        self._staging_ring = staging_ring
        self._array: weakref.ref[npt.NDArray[np.uint8]] | None = None

    def data(self) -> memoryview:
        self._finish()
        array = self._pinned_ring.array(self._pinned, self.spec.nbytes)
        self._array = weakref.ref(array)
        return memoryview(array).cast("B")  # type: ignore[arg-type]  # numpy arrays are buffers

    def release(self) -> None:
        # A dropped snapshot may still be on its way: its memory is free when the copies are done.
        self._finish()
        self._pinned_ring.release(self._pinned)

    def discard(self) -> None:
        """Free the memory once nobody holds the view that :meth:`data` gave: ZeroMQ may, for a socket that closed."""
        array = self._array() if self._array is not None else None
        if array is None:
            self.release()
        else:
            weakref.finalize(array, self._pinned_ring.release, self._pinned)

    def _finish(self) -> None:
        if self._staged is not None:
            self._copied.synchronize()
            self._staging_ring.release(self._staged)
            self._staged = None


class Stager:
    """Takes the snapshots of one device.

    Args:
        backend: CUDA's calls.
        staging: ``[capacity]`` uint8 on the device.
        pinned: ``[capacity]`` uint8 in pinned host memory.
        side_stream: a stream for the copies to the host.
    """

    def __init__(self, backend: Backend, staging: torch.Tensor, pinned: torch.Tensor, side_stream: object) -> None:
        self._backend = backend
        self._staging = Ring(staging)
        self._pinned = Ring(pinned)
        self._side_stream = side_stream
        self._lock = threading.Lock()
        self.skipped_captures = 0

    def take(self, tensors: Sequence[torch.Tensor], spec: BufferSpec) -> CudaSnapshot | None:
        """Copy one tensor, or several stacked; None when a ring is full or a CUDA graph is being captured."""
        if self._backend.capturing():
            self.skipped_captures += 1
            return None
        with self._lock:
            pinned = self._pinned.acquire(spec.nbytes)
            if pinned is None:
                return None
            staged = self._staging.acquire(spec.nbytes)
            if staged is None:
                self._pinned.release(pinned)
                return None
            return self._copy(tensors, spec, staged, pinned)

    def _copy(
        self, tensors: Sequence[torch.Tensor], spec: BufferSpec, staged: _Region, pinned: _Region
    ) -> CudaSnapshot:
        backend = self._backend
        first = tensors[0]
        # In the shape of what is copied; the shape on the wire has as many elements.
        shape = first.shape if len(tensors) == 1 else (len(tensors), *first.shape)
        stage = self._staging.view(staged, spec.nbytes, first.dtype, shape)
        if len(tensors) == 1:
            stage.copy_(first.detach())
        else:
            for row, tensor in zip(stage, tensors, strict=True):
                row.copy_(tensor.detach())
        ready = backend.event(blocking=False)
        ready.record(backend.current_stream())
        backend.wait(self._side_stream, ready)
        copied = backend.event(blocking=True)
        with backend.on(self._side_stream):
            self._pinned.view(pinned, spec.nbytes, first.dtype, shape).copy_(stage, non_blocking=True)
            copied.record(self._side_stream)
        return CudaSnapshot(spec, copied, pinned, self._pinned, staged, self._staging)


_stagers: dict[torch.device, Stager] = {}
_stagers_lock = threading.Lock()


def stager_for(device: torch.device, budget_bytes: int) -> Stager:
    """The stager of a device; made at the first call, which allocates its memory."""
    stager = _stagers.get(device)
    if stager is None:
        with _stagers_lock:
            stager = _stagers.get(device)
            if stager is None:
                stager = _stagers[device] = Stager(
                    CudaBackend(device),
                    torch.empty(budget_bytes, dtype=torch.uint8, device=device),
                    torch.empty(budget_bytes, dtype=torch.uint8, pin_memory=True),
                    torch.cuda.Stream(device),  # type: ignore[no-untyped-call]
                )
    return stager


class PendingScalar:
    """A scalar that is still on its device: a clone of it, and the event after which it may be read."""

    __slots__ = ("ready", "tensor")

    def __init__(self, tensor: torch.Tensor) -> None:
        # A clone takes 512 bytes from the caching allocator, which does not synchronize.
        self.tensor = tensor.detach().reshape(()).to(torch.float64, copy=True)
        self.ready = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
        self.ready.record(torch.cuda.current_stream(tensor.device))


def fetch_scalars(pending: Sequence[PendingScalar]) -> list[float]:
    """The values, stacked on each device and fetched together. Waits for the device; for the sender thread."""
    values = [0.0] * len(pending)
    by_device: dict[torch.device, list[int]] = {}
    for index, scalar in enumerate(pending):
        scalar.ready.synchronize()
        by_device.setdefault(scalar.tensor.device, []).append(index)
    for device, indices in by_device.items():
        with torch.cuda.stream(torch.cuda.Stream(device)):  # type: ignore[no-untyped-call]
            stacked = torch.stack([pending[index].tensor for index in indices]).tolist()
        for index, value in zip(indices, stacked, strict=True):
            values[index] = value
    return values
