"""What users log, for Hypothesis: arrays of every type and layout in memory, tags, steps, wall times."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
UNSIGNED = (torch.uint16, torch.uint32, torch.uint64)
NUMPY_LAYOUTS = ("plain", "columns first", "reversed", "big-endian", "read-only")
TENSOR_LAYOUTS = ("plain", "transposed", "strided", "gradient")


def _may_name_a_series(tag: str) -> bool:
    return bool(tag.lstrip("/")) and len(tag.encode()) <= 1024


tags = (
    st.text("abcXYZ019 /_-.äß!", min_size=1, max_size=20)
    | st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12)
    | st.sampled_from(["/led", "//twice/led", "trailing/", " ", "\n", "a b\tc", "x" * 1024, "ü" * 512, "../up", "%2f"])
).filter(_may_name_a_series)

plain_tags = st.text("abcXYZ019_-.ä/", min_size=1, max_size=20).map(lambda tag: "t" + tag)
"""Tags that neither original changes: torch keeps every character, tensorboardX does not."""

steps = (
    st.none()
    | st.integers(0, 2**40)
    | st.integers(-(2**63) + 2, 2**63 - 1)
    | st.floats(-1e9, 1e9)  # what stands behind the point is cut off
    | st.booleans()
    | st.integers(-(2**31), 2**31 - 1).map(np.int32)
    | st.integers(0, 2**31).map(np.uint64)
    | st.floats(0, 1e6, width=32).map(np.float32)
    | st.integers(-99, 2**40).map(torch.tensor)
    | st.floats(0, 1e6, width=32).map(lambda step: torch.tensor([step]))
    | st.integers(0, 99).map(np.array)
    | st.fractions(0, 99).map(Fraction)
)

wall_times = (
    st.none()
    | st.floats(1e6, 1.5e9)
    | st.sampled_from([0, 0.0, -5, 1e-300, True, np.int64(7), np.float32(8.5), torch.tensor(9.5), Fraction(5, 2)])
)
"""Long before the tests run, or now."""


@st.composite
def tensors(draw: Any, shape: Any, dtypes: Any = FLOATS, *, low: float = 0, high: float = 1) -> torch.Tensor:
    """A tensor of values in ``low..high``, now and then not contiguous, or with a gradient."""
    size = tuple(draw(shape))
    seed = draw(st.integers(0, 2**32 - 1))
    dtype = draw(st.sampled_from(dtypes))
    generator = np.random.default_rng(seed)
    if dtype.is_floating_point:
        values = torch.from_numpy(np.asarray(generator.uniform(low, high, size))).to(dtype)
    else:
        values = torch.from_numpy(np.asarray(generator.integers(int(low), int(high), size, endpoint=True))).to(dtype)
    match draw(st.sampled_from(TENSOR_LAYOUTS)):
        case "transposed" if values.ndim >= 2:
            return values.transpose(0, -1).contiguous().transpose(0, -1)
        case "strided" if values.ndim >= 1:
            return torch.stack([values, values], dim=-1)[..., 0]
        case "gradient" if dtype.is_floating_point:
            return values.requires_grad_()
    return values


@st.composite
def arrays(draw: Any, shape: Any, dtypes: Any = FLOATS, *, low: float = 0, high: float = 1, lists: bool = False) -> Any:
    """A tensor as above; or a numpy array of the same, in any layout that numpy has; or a list of lists."""
    tensor = draw(tensors(shape, dtypes, low=low, high=high))
    if tensor.dtype is torch.bfloat16 or draw(st.booleans()):
        return tensor
    array = tensor.detach().numpy()
    if lists and array.ndim and draw(st.sampled_from([False, False, False, True])):
        return array.tolist()
    return laid_out(array, draw(st.sampled_from(NUMPY_LAYOUTS)))


def laid_out(array: np.ndarray, layout: str) -> np.ndarray:
    """The same numbers in another layout."""
    match layout:
        case "columns first":
            return np.asfortranarray(array)
        case "reversed" if array.ndim:
            return array[::-1].copy()[::-1]
        case "big-endian":
            return array.astype(array.dtype.newbyteorder(">"))
        case "read-only":
            array = array.copy()
            array.flags.writeable = False
    return array


def as_they_can_take(value: Any) -> Any:
    """The same for tensorboardX, which cannot take bfloat16."""
    return value.detach().float() if isinstance(value, torch.Tensor) and value.dtype is torch.bfloat16 else value


def as_torch_can_take(value: Any) -> Any:
    """The same for torch's writer: no lists, and of numpy what torch makes tensors of. bfloat16 it makes float16."""
    return torch.from_numpy(native(value)) if not isinstance(value, torch.Tensor) else as_they_can_take(value)


def native(value: Any) -> np.ndarray:
    """A plain array of the same numbers, of our own."""
    array = np.asarray(value)
    return np.array(array, array.dtype.newbyteorder("="), order="C")


def shapes(*bounds: tuple[int, int]) -> Any:
    return st.tuples(*(st.integers(low, high) for low, high in bounds))
