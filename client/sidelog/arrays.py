"""What may be logged, seen alike: torch tensors on any device and numpy arrays. No copy is made here.

What is refused is refused here, for pictures, histograms, scalars and lazy grids alike.

torch is never imported: a process that has not imported it has no tensors.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from sidelog_shared.dtypes import BY_NAME, DType
from sidelog_shared.errors import SnapshotError

if TYPE_CHECKING:
    import torch

Array: TypeAlias = "torch.Tensor | npt.NDArray[np.generic]"

_torch_dtypes: dict[object, DType] = {}
_numpy_dtypes: dict[np.dtype[np.generic], DType] = {}


def is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def as_lists(value: object) -> Any:
    """A tensor, on whatever device, as Python's numbers in lists; anything else as it is."""
    return value.tolist() if is_tensor(value) else value  # type: ignore[attr-defined]  # tensors have it


def _is_masked(value: object) -> bool:
    # By `np.ma` numpy would import it here, in a logging call: a signal handler that logs may interrupt an import.
    masked_array = getattr(sys.modules.get("numpy.ma"), "MaskedArray", None)
    return masked_array is not None and isinstance(value, masked_array)


def as_array(value: object, what: str) -> Array:
    """``value`` as a dense tensor or array whose elements can cross the wire; numbers and nested lists become arrays.

    A lazy grid is drawn.

    Args:
        value: what the caller gave.
        what: how to name it in an error (``"add_image 'x': img_tensor"``).

    Raises:
        SnapshotError: not an array, or masked, sparse, nested, quantized, distributed, fake, without storage, or of
            a type that the protocol does not know.
    """
    if is_tensor(value):
        tensor = _drawn(value)
        check_ordinary(tensor, what)
        if _of_torch(tensor.dtype) is None:
            raise _unknown_dtype(what, tensor.dtype)
        return tensor
    if _is_masked(value):
        raise SnapshotError(f"{what} is a masked array, expected one that holds every value: give .filled(value)")
    if not isinstance(value, np.ndarray):
        if not isinstance(value, (int, float, bool, np.generic, list, tuple)):
            raise SnapshotError(f"{what} is {_type_name(value)}, expected a torch tensor, a numpy array or a list")
        try:
            value = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:  # ragged lists; tensors that numpy cannot take
            raise SnapshotError(f"{what} cannot be made an array: {error}") from None
    if _of_numpy(value.dtype) is None:
        raise _unknown_dtype(what, value.dtype)
    return np.asarray(value)


def check_ordinary(tensor: torch.Tensor, what: str) -> None:
    """Refuse tensors that have no values of their own in dense memory.

    Raises:
        SnapshotError: FakeTensor, DTensor, MaskedTensor, jagged and whatever else implements operators rather than
            owns memory; nested, sparse, meta and quantized tensors; one inside ``vmap`` or ``grad``; one whose
            storage was freed. Parameters and torchvision's ``tv_tensors`` are ordinary.
    """
    torch = sys.modules["torch"]
    kind = hint = ""
    cls = type(tensor)
    if cls is not torch.Tensor and (
        cls.__torch_dispatch__ is not torch.Tensor.__torch_dispatch__ or hasattr(tensor, "__tensor_flatten__")
    ):
        kind = f"a {cls.__name__}"
        hint = ": give its local part, .to_local()" if hasattr(tensor, "to_local") else ""
    elif tensor.is_nested:
        kind, hint = "a nested tensor", ": give its parts, .unbind()"
    elif tensor.layout is not torch.strided:
        kind, hint = f"of layout {tensor.layout}", ": give .to_dense()"
    elif tensor.is_meta:
        kind = "on the meta device"
    elif tensor.is_quantized:
        kind, hint = f"quantized ({tensor.dtype})", ": give .dequantize()"
    elif torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        kind = "inside a torch.func transform (vmap, grad)"
    elif tensor.untyped_storage().size() == 0 and tensor.numel():
        kind, hint = "a tensor whose storage was freed", ": gather it first, if it is sharded"  # FSDP's parameters
    if kind:
        raise SnapshotError(f"{what} is {kind}, expected an ordinary dense tensor that holds its values{hint}")


def dtype_of(array: Array) -> DType:
    """The element type of an array that :func:`as_array` let through."""
    found = _of_numpy(array.dtype) if isinstance(array, np.ndarray) else _of_torch(array.dtype)
    if found is None:
        raise _unknown_dtype("array", array.dtype)
    return found


def shape_of(array: Array) -> tuple[int, ...]:
    return tuple(array.shape)


def describe(array: Array) -> str:
    """``float32 [16, 64, 56, 56]``, for error messages."""
    return f"{dtype_of(array).name} {list(array.shape)}"


def _drawn(value: object) -> torch.Tensor:
    grids = sys.modules.get("sidelog.torch_grid")
    if grids is not None and isinstance(value, grids.LazyGrid):
        value = value.drawn()
    return cast("torch.Tensor", value)


def _of_numpy(dtype: np.dtype[np.generic]) -> DType | None:
    found = _numpy_dtypes.get(dtype)
    if found is None:
        found = BY_NAME.get(dtype.name)  # which numpy puts together anew each time
        if found is not None:
            _numpy_dtypes[dtype] = found
    return found


def _of_torch(dtype: object) -> DType | None:
    found = _torch_dtypes.get(dtype)
    if found is None:
        # str(torch.float32) is "torch.float32": the name is looked up in our table, never in torch.
        found = BY_NAME.get(str(dtype).removeprefix("torch."))
        if found is not None:
            _torch_dtypes[dtype] = found
    return found


def _unknown_dtype(what: str, dtype: object) -> SnapshotError:
    return SnapshotError(f"{what} has dtype {dtype}, expected one of {', '.join(BY_NAME)}")


def _type_name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
