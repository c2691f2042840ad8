"""Snapshots of CUDA tensors: no synchronization and no allocation on the calling thread.

A call copies into a staging ring on the device, on the current stream (so it comes before any later in-place
write), records an event, lets a side stream wait for it and copy into pinned host memory, and records a second,
blocking event. The sender thread waits for that one, which frees the interpreter lock, and sends.

Ring and pinned memory are allocated once per device, at its first snapshot. Full means that nothing is copied;
the caller counts the drop. A region is used again only after the host has seen its copies done, so that it does
not matter on which streams it was and will be used.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch

from sidelog.torch_grid import outside_inference_mode
from sidelog_shared.records import BufferSpec

log = logging.getLogger("sidelog")

_ALIGNMENT = 512
"""What CUDA's own allocator aligns to; typed views and coalesced copies want no less than 16."""
_FETCH_ROWS = 8192
"""Scalars that are fetched together."""


class Event(Protocol):
    """``torch.cuda.Event``, as far as it is used here."""

    def record(self, stream: object) -> None: ...
    def query(self) -> bool: ...
    def synchronize(self) -> None: ...


class Backend(Protocol):
    """The CUDA calls that a snapshot makes; a test on the CPU puts a recorder in their place."""

    def current_stream(self) -> object: ...
    def event(self, *, blocking: bool) -> Event: ...
    def wait(self, stream: object, event: Event) -> None: ...
    def on(self, stream: object) -> AbstractContextManager[object]: ...


class CudaBackend:
    """The real calls, for one device."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def current_stream(self) -> object:
        return torch.cuda.current_stream(self._device)

    def event(self, *, blocking: bool) -> Event:
        return torch.cuda.Event(blocking=blocking)  # type: ignore[no-untyped-call,return-value]  # torch's stubs

    def wait(self, stream: object, event: Event) -> None:
        stream.wait_event(event)  # type: ignore[attr-defined]  # a torch.cuda.Stream

    def on(self, stream: object) -> AbstractContextManager[object]:
        return torch.cuda.stream(stream)  # type: ignore[arg-type]  # torch's stubs


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
        self._lock = threading.RLock()

    def acquire(self, nbytes: int) -> _Region | None:
        """A stretch of ``nbytes``; None when there is none."""
        size = -(-nbytes // _ALIGNMENT) * _ALIGNMENT
        with self._lock:
            while self._regions and self._regions[0].free:
                self._regions.popleft()
            while True:
                last = self._regions[-1] if self._regions else None
                begin = self._place_for(size)
                if begin is None:
                    return None
                region = _Region(begin, begin + size)
                if last is (self._regions[-1] if self._regions else None):
                    self._regions.append(region)
                    return region
                # A call that interrupted this one has taken the place.

    def _place_for(self, size: int) -> int | None:
        """Where a stretch of ``size`` bytes may begin."""
        capacity = self._buffer.numel()
        begin = 0
        if self._regions:
            head, tail = self._regions[0].begin, self._regions[-1].end
            begin = tail
            if tail <= head:  # wrapped: free between tail and head
                if tail + size > head:
                    return None
            elif tail + size > capacity:
                if size > head:
                    return None
                begin = 0
        return begin if begin + size <= capacity else None

    def release(self, region: _Region) -> None:
        region.free = True

    def view(self, region: _Region, nbytes: int, dtype: torch.dtype, shape: Sequence[int]) -> torch.Tensor:
        return self._buffer[region.begin : region.begin + nbytes].view(dtype).view(shape)

    def array(self, region: _Region, nbytes: int) -> npt.NDArray[np.uint8]:
        """The bytes, where the buffer is in host memory."""
        array: npt.NDArray[np.uint8] = self._buffer[region.begin : region.begin + nbytes].numpy()
        return array


class CudaSnapshot:
    """A snapshot on its way from the device to pinned memory."""

    __slots__ = ("_array", "_stager", "copied", "pinned", "spec", "staged")

    def __init__(self, spec: BufferSpec, copied: Event, pinned: _Region, staged: _Region, stager: Stager) -> None:
        self.spec = spec
        self.copied = copied
        self.pinned = pinned
        self.staged: _Region | None = staged
        self._stager = stager
        self._array: weakref.ref[npt.NDArray[np.uint8]] | None = None

    def data(self) -> memoryview:
        if self.staged is not None:
            self.copied.synchronize()  # frees the interpreter lock
            self._stager.staging.release(self.staged)
            self.staged = None
        array = self._stager.pinned.array(self.pinned, self.spec.nbytes)
        self._array = weakref.ref(array)
        return memoryview(array).cast("B")  # type: ignore[arg-type]  # numpy arrays are buffers

    def release(self) -> None:
        """Give the memory back; waits for nothing, for a picture is dropped on the calling thread."""
        if self.staged is None:
            self._stager.pinned.release(self.pinned)
        else:
            self._stager.retire(self)

    def discard(self) -> None:
        """Free the memory once nobody holds the view that :meth:`data` gave: ZeroMQ may, for a socket that closed."""
        array = self._array() if self._array is not None else None
        if array is None:
            self.release()
        else:
            weakref.finalize(array, self._stager.pinned.release, self.pinned)


class Stager:
    """Takes the snapshots of one device.

    Args:
        backend: CUDA's calls.
        staging: ``[capacity]`` uint8 on the device.
        pinned: ``[capacity]`` uint8 in pinned host memory.
        side_stream: a stream for the copies to the host.
        allocated: after it, ``staging`` may be written.
    """

    def __init__(
        self, backend: Backend, staging: torch.Tensor, pinned: torch.Tensor, side_stream: object, allocated: Event
    ) -> None:
        self.staging = Ring(staging)
        self.pinned = Ring(pinned)
        self._backend = backend
        self._side_stream = side_stream
        self._allocated: Event | None = allocated
        self._retired: deque[CudaSnapshot] = deque()
        self._lock = threading.RLock()

    def take(self, tensors: Sequence[torch.Tensor], spec: BufferSpec) -> CudaSnapshot | None:
        """Copy one tensor, or several stacked; None when a ring is full."""
        with self._lock:
            self._free_retired()
            pinned = self.pinned.acquire(spec.nbytes)
            if pinned is None:
                return None
            staged = self.staging.acquire(spec.nbytes)
            if staged is None:
                self.pinned.release(pinned)
                return None
            return self._copy(tensors, spec, staged, pinned)

    def retire(self, snapshot: CudaSnapshot) -> None:
        """Take back a snapshot that was dropped before it was sent: its copies may be still to come."""
        self._retired.append(snapshot)

    def _free_retired(self) -> None:
        while self._retired:
            snapshot = self._retired.popleft()  # out of reach of a call that interrupts this one
            if not snapshot.copied.query():
                self._retired.appendleft(snapshot)
                return
            if snapshot.staged is not None:
                self.staging.release(snapshot.staged)
            self.pinned.release(snapshot.pinned)

    def _copy(
        self, tensors: Sequence[torch.Tensor], spec: BufferSpec, staged: _Region, pinned: _Region
    ) -> CudaSnapshot:
        backend = self._backend
        stream = backend.current_stream()
        if self._allocated is not None:
            backend.wait(stream, self._allocated)
            if self._allocated.query():
                self._allocated = None
        first = tensors[0]
        # In the shape of what is copied; the shape on the wire has as many elements.
        shape = first.shape if len(tensors) == 1 else (len(tensors), *first.shape)
        stage = self.staging.view(staged, spec.nbytes, first.dtype, shape)
        if len(tensors) == 1:
            stage.copy_(first.detach())
        else:
            for row, tensor in zip(stage, tensors, strict=True):
                row.copy_(tensor.detach())
        ready = backend.event(blocking=False)
        ready.record(stream)
        backend.wait(self._side_stream, ready)
        copied = backend.event(blocking=True)
        with backend.on(self._side_stream):
            self.pinned.view(pinned, spec.nbytes, first.dtype, shape).copy_(stage, non_blocking=True)
            copied.record(self._side_stream)
        return CudaSnapshot(spec, copied, pinned, staged, self)


_stagers: dict[torch.device, Stager | None] = {}
_side_streams: dict[torch.device, torch.cuda.Stream] = {}
_made_lock = threading.RLock()


def stager_for(device: torch.device, budget_bytes: int) -> Stager | None:
    """The stager of a device, made at the first call; None where there is no memory for it, which is said once."""
    try:
        return _stagers[device]
    except KeyError:
        side_stream = _side_stream(device)
        with _made_lock:
            if device not in _stagers:
                _stagers[device] = _make_stager(device, budget_bytes, side_stream)
            return _stagers[device]


def _make_stager(device: torch.device, budget_bytes: int, side_stream: torch.cuda.Stream) -> Stager | None:
    backend = CudaBackend(device)
    try:
        # A tensor made in inference mode could not be written outside it; `device` and "cpu" are said because
        # torch.set_default_device() would choose otherwise.
        with outside_inference_mode(), torch.cuda.stream(side_stream):
            staging = torch.empty(budget_bytes, dtype=torch.uint8, device=device)
            pinned = torch.empty(budget_bytes, dtype=torch.uint8, device="cpu", pin_memory=True)
    except RuntimeError as error:  # OutOfMemoryError is one, and so is what says that memory cannot be pinned
        log.warning("sidelog: no picture is taken of tensors on %s: %s", device, error)
        return None
    # The allocator may give memory that was in use on the stream that asked for it: no other stream may write there
    # before that use has ended.
    allocated = backend.event(blocking=False)
    allocated.record(side_stream)
    return Stager(backend, staging, pinned, side_stream, allocated)


def _side_stream(device: torch.device) -> torch.cuda.Stream:
    with _made_lock:
        stream = _side_streams.get(device)
        if stream is None:
            stream = _side_streams[device] = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch's stubs
        return stream


class PendingScalar:
    """A scalar that is still on its device: a clone of it, and the event after which it may be read.

    The clone takes 512 bytes from the caching allocator, which does not synchronize. It needs no ``record_stream``
    for the stream that reads it: it is held until the host has the value.

    Attributes:
        value: once it was fetched; the clone is free then.
    """

    __slots__ = ("ready", "tensor", "value")

    def __init__(self, tensor: torch.Tensor) -> None:
        self.value: float | None = None
        self.tensor: torch.Tensor | None = tensor.detach().reshape(()).to(torch.float64, copy=True)
        self.ready = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch's stubs
        self.ready.record(torch.cuda.current_stream(tensor.device))


def fetch_scalars(pending: Sequence[PendingScalar]) -> list[float]:
    """The values, stacked on each device and fetched together. Waits for the device; for the sender thread."""
    by_device: dict[torch.device, list[tuple[PendingScalar, torch.Tensor]]] = {}
    for scalar in pending:
        tensor = scalar.tensor
        if tensor is not None:
            scalar.ready.synchronize()
            by_device.setdefault(tensor.device, []).append((scalar, tensor))
    for device, waiting in by_device.items():
        for begin in range(0, len(waiting), _FETCH_ROWS):
            chosen = waiting[begin : begin + _FETCH_ROWS]
            for (scalar, _), value in zip(chosen, _fetch(device, [tensor for _, tensor in chosen]), strict=True):
                scalar.value = value
                scalar.tensor = None
    return [cast("float", scalar.value) for scalar in pending]


def _fetch(device: torch.device, scalars: list[torch.Tensor]) -> list[float]:
    # Not `.tolist()` of a device's tensor: torch.cuda.set_sync_debug_mode() holds for this thread too.
    stream = _side_stream(device)
    copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # torch's stubs
    with torch.cuda.stream(stream):
        stacked = torch.stack(scalars)
        host = torch.empty(len(scalars), dtype=torch.float64, device="cpu", pin_memory=True)
        host.copy_(stacked, non_blocking=True)
        copied.record(stream)
    copied.synchronize()
    values: list[float] = host.tolist()
    return values
