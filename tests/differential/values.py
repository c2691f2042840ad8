"""What users log, for Hypothesis: arrays of every type and layout in memory, tags, steps, wall times."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)

tags = st.text("abcXYZ019 /_-.äß!", min_size=1, max_size=20).filter(lambda tag: tag.strip("/"))
steps = st.none() | st.integers(0, 2**40)
wall_times = st.floats(1e6, 1.5e9)
finite = st.floats(-1e6, 1e6, width=32)


@st.composite
def tensors(draw: Any, shape: Any, dtypes: Any = FLOATS, *, low: float = 0, high: float = 1) -> torch.Tensor:
    """A tensor of values in ``low..high``, now and then not contiguous."""
    size = tuple(draw(shape))
    seed = draw(st.integers(0, 2**32 - 1))
    dtype = draw(st.sampled_from(dtypes))
    generator = np.random.default_rng(seed)
    if dtype.is_floating_point:
        values = torch.from_numpy(generator.uniform(low, high, size)).to(dtype)
    else:
        values = torch.from_numpy(generator.integers(int(low), int(high), size, endpoint=True)).to(dtype)
    match draw(st.sampled_from(["plain", "transposed", "strided", "gradient"])):
        case "transposed" if values.ndim >= 2:
            return values.transpose(0, -1).contiguous().transpose(0, -1)
        case "strided" if values.ndim >= 1:
            return torch.stack([values, values], dim=-1)[..., 0]
        case "gradient" if dtype.is_floating_point:
            return values.requires_grad_()
    return values


@st.composite
def arrays(draw: Any, shape: Any, dtypes: Any = FLOATS, *, low: float = 0, high: float = 1) -> Any:
    """A tensor as above, or a numpy array of the same."""
    tensor = draw(tensors(shape, dtypes, low=low, high=high))
    if tensor.dtype is torch.bfloat16 or draw(st.booleans()):
        return tensor
    return tensor.detach().numpy()


def as_they_can_take(value: Any) -> Any:
    """The same for tensorboardX, which cannot take bfloat16 nor tensors with a gradient's history."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
        return value.float() if value.dtype is torch.bfloat16 else value
    return value


def shapes(*bounds: tuple[int, int]) -> Any:
    return st.tuples(*(st.integers(low, high) for low, high in bounds))


any_numbers = hnp.arrays(np.float64, st.integers(1, 200), elements=st.floats(-1e12, 1e12))
