"""What may be logged, seen alike: torch tensors on any device and numpy arrays. No copy is made here.

torch is never imported: a process that has not imported it has no tensors.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from sidelog_shared.dtypes import BY_NAME, DType
from sidelog_shared.errors import SnapshotError

if TYPE_CHECKING:
    import torch

Array: TypeAlias = "torch.Tensor | npt.NDArray[np.generic]"

_REFUSED = ("DTensor", "FakeTensor", "FunctionalTensor", "ShardedTensor", "NestedTensor")
_torch_dtypes: dict[object, DType] = {}


def is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_array(value: object, what: str) -> Array:
    """``value`` as a dense tensor or array whose elements can cross the wire; numbers and nested lists become arrays.

    Args:
        value: what the caller gave.
        what: how to name it in an error (``"add_image 'x': img_tensor"``).

    Raises:
        SnapshotError: not an array, or sparse, nested, quantized, distributed, fake, without storage, or of a
            type that the protocol does not know.
    """
    if is_tensor(value):
        _check_tensor(value, what)  # type: ignore[arg-type]
        return value  # type: ignore[return-value]
    if not isinstance(value, np.ndarray):
        if not isinstance(value, (int, float, bool, np.generic, list, tuple)):
            raise SnapshotError(f"{what} is {_type_name(value)}, expected a torch tensor, a numpy array or a list")
        try:
            value = np.asarray(value)
        except ValueError as error:
            raise SnapshotError(f"{what} cannot be made an array: {error}") from None
    if value.dtype.name not in BY_NAME:
        raise SnapshotError(f"{what} has dtype {value.dtype}, expected one of {', '.join(BY_NAME)}")
    return value


def dtype_of(array: Array) -> DType:
    if isinstance(array, np.ndarray):
        return BY_NAME[array.dtype.name]
    found = _torch_dtypes.get(array.dtype)
    if found is None:
        # str(torch.float32) is "torch.float32": the name is looked up in our table, never in torch.
        found = BY_NAME.get(str(array.dtype).removeprefix("torch."))
        if found is None:
            raise SnapshotError(f"tensor has dtype {array.dtype}, expected one of {', '.join(BY_NAME)}")
        _torch_dtypes[array.dtype] = found
    return found


def shape_of(array: Array) -> tuple[int, ...]:
    return tuple(array.shape)


def describe(array: Array) -> str:
    """``float32 [16, 64, 56, 56]``, for error messages."""
    return f"{dtype_of(array).name} {list(array.shape)}"


def _check_tensor(tensor: torch.Tensor, what: str) -> None:
    torch = sys.modules["torch"]
    kind = type(tensor)
    if kind is not torch.Tensor and any(base.__name__ in _REFUSED for base in kind.__mro__):
        raise SnapshotError(f"{what} is a {kind.__name__}, expected a plain tensor: log its local part (.to_local())")
    if tensor.is_nested:
        raise SnapshotError(f"{what} is a nested tensor, expected a dense one: log its parts (.unbind())")
    if tensor.layout is not torch.strided:
        raise SnapshotError(f"{what} has layout {tensor.layout}, expected a dense one (.to_dense())")
    if tensor.is_meta:
        raise SnapshotError(f"{what} is on the meta device and has no values, expected a tensor with storage")
    dtype_of(tensor)


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
