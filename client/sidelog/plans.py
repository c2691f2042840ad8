"""What a call copies and how it is drawn, remembered for the next call with the same arguments.

A training logs the same tag with the same arguments and a tensor of the same shape at every step. Between two steps
the caches forget our code: checks that cost 15 us back to back cost 150 us then. A plan asks one question instead:
is this tensor like the last one?
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from sidelog.arrays import Array, is_tensor
from sidelog.pictures import Selection
from sidelog.pool import size_class
from sidelog_shared.records import BufferSpec

if TYPE_CHECKING:
    import torch

MAX_PLANS = 4096
"""So many different calls are remembered; then they are forgotten together. Tags with a step in them would pile up."""


_NUMBERS = frozenset({int, float})
_LOW = 1 << 40
"""Real addresses below it exist, but no offset into a storage is above it."""


class Plan:
    """The outcome of every check of a call, for values like the one that it was made from.

    Attributes:
        spec: how the copied bytes are to be read.
        capacity: size class of the memory for them.
        options: the record's options.
    """

    __slots__ = ("_dtype", "_offset", "_shape", "_type", "capacity", "options", "spec")

    def __init__(self, value: Array, selection: Selection, spec: BufferSpec, options: dict[str, object]) -> None:
        self._type = type(value)
        self._shape = value.shape
        self._dtype = value.dtype
        self._offset = _address(selection.arrays[0]) - _address(value)
        self.spec = spec
        self.capacity = size_class(spec.nbytes)
        self.options = options

    def source(self, value: object) -> int:
        """Address of the bytes to copy; 0 when the value is not like the one before, so that every check is due.

        As few questions as can be: with cold caches each costs microseconds. Sparse, nested and opaque tensors, and
        those inside torch.func's transforms, raise at one of them. A tensor with the negative bit (``x.conj().imag``)
        is not contiguous, unless it has one element.
        """
        if type(value) is not self._type:
            return 0
        array: Array = value
        try:
            if array.shape != self._shape or array.dtype != self._dtype:
                return 0
            if isinstance(array, np.ndarray):
                return _address(array) + self._offset if array.flags.c_contiguous else 0
            if not (array.is_cpu and array.is_contiguous()):
                return 0
            address = array.data_ptr()
            if address < _LOW and address <= array.storage_offset() * array.itemsize:
                return 0  # memory that was freed (FSDP resizes storages to 0) begins at address 0
        except RuntimeError:
            return 0
        return address + self._offset


def call_key(argument: object) -> object:
    """An argument as part of a call's key: sequences and arrays by their values, so that a change is seen."""
    if argument is None:
        return None
    if isinstance(argument, (list, tuple)):
        return tuple(argument if _NUMBERS.issuperset(map(type, argument)) else map(call_key, argument))
    if isinstance(argument, np.ndarray) and argument.dtype != object:
        return argument.shape, argument.dtype.str, argument.tobytes()
    return call_key(argument.tolist()) if is_tensor(argument) else argument  # type: ignore[attr-defined]


class Plans:
    """The plans of one writer, by call."""

    def __init__(self) -> None:
        self._plans: dict[tuple[object, ...], Plan] = {}

    def find(self, call: tuple[object, ...]) -> Plan | None:
        try:
            return self._plans.get(call)
        except TypeError:  # an argument that cannot be a key, and will not pass the checks either
            return None

    def remember(
        self,
        call: tuple[object, ...],
        value: object,
        selection: Selection,
        spec: BufferSpec,
        options: dict[str, object],
    ) -> None:
        """Make a plan, if the value is one whose bytes can be copied as they stand."""
        if selection.owned or len(selection.arrays) != 1 or not _is_plain(value) or not _is_plain(selection.arrays[0]):
            return
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        try:
            self._plans[call] = Plan(cast("Array", value), selection, spec, options)
        except TypeError:
            return


def _is_plain(value: object) -> bool:
    """A contiguous array of no special kind in CPU memory."""
    if type(value) is np.ndarray:
        return bool(value.flags.c_contiguous) and value.dtype.isnative
    if not is_tensor(value):
        return False
    import torch

    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        return False
    tensor = cast("torch.Tensor", value)
    strided = tensor.layout is torch.strided and not tensor.is_nested
    # One element is contiguous whatever its stride, so that a plan could not tell the negative bit by it.
    return strided and tensor.is_cpu and tensor.is_contiguous() and not tensor.is_neg() and tensor.numel() > 1


def _address(array: Array) -> int:
    if isinstance(array, np.ndarray):
        return int(array.__array_interface__["data"][0])
    return array.data_ptr()
