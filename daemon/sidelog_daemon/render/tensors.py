"""Bytes from the wire as numpy arrays, and numpy arrays as the float32 that rendering computes in."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from sidelog_shared.dtypes import BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E4M3FNUZ, FLOAT8_E5M2, FLOAT8_E5M2FNUZ, DType
from sidelog_shared.errors import MalformedHeader
from sidelog_shared.limits import MAX_NDIM

Array = npt.NDArray[np.generic]
Floats = npt.NDArray[np.float32]


def to_array(dtype: DType, shape: tuple[int, ...], buffer: bytes | memoryview) -> Array:
    """The tensor that ``buffer`` holds: little-endian, C-contiguous.

    Args:
        dtype: the element type of the bytes.
        shape: at most 8 dimensions, each >= 0.
        buffer: exactly the elements' bytes.

    Returns:
        An array of ``shape``: a view of ``buffer`` (read-only if that is) where numpy has the type; a new
        float32 array, exact, for bfloat16 and the four float8 types.

    Raises:
        MalformedHeader: the bytes do not fit the shape, or no array has that shape.
    """
    if len(shape) > MAX_NDIM or any(size < 0 for size in shape):
        raise MalformedHeader(f"tensor has shape {shape}, expected at most {MAX_NDIM} dimensions, each >= 0")
    got = memoryview(buffer).nbytes
    needed = math.prod(shape) * dtype.itemsize
    if got != needed:
        raise MalformedHeader(f"{dtype.name} tensor of shape {shape} has {got:,} bytes, expected {needed:,}")
    try:
        if dtype.numpy is not None:
            return np.frombuffer(buffer, dtype.numpy).reshape(shape)
        if dtype is BFLOAT16:
            # A bfloat16 is the upper half of the float32 of the same value.
            upper = np.frombuffer(buffer, "<u2").astype(np.uint32)
            return np.left_shift(upper, 16, out=upper).view(np.float32).reshape(shape)
        return _float8_values(dtype).take(np.frombuffer(buffer, np.uint8)).reshape(shape)
    except ValueError as error:  # an empty tensor can name dimensions that numpy has no strides for
        raise MalformedHeader(f"{dtype.name} tensor cannot have shape {shape}: {error}") from None


def to_float32(values: Array, out: Floats) -> Floats:
    """``values`` as C-contiguous float32: itself where it is that already, else converted into ``out``.

    Rounds to nearest as ``Tensor.float()`` does; a float64 beyond float32's range becomes infinite.

    Args:
        values: any real dtype, any strides.
        out: of the shape of ``values``.
    """
    if values.dtype == np.float32 and values.flags.c_contiguous:
        return values.view(np.float32)
    np.copyto(out, values, casting="unsafe")
    return out


@functools.cache
def _float8_values(dtype: DType) -> Floats:
    """The 256 values of a float8 type, by its definition.

    Sources: "FP8 Formats for Deep Learning", arXiv 2209.05433 (e4m3fn, e5m2); "8-bit Numerical Formats for Deep
    Neural Networks", arXiv 2206.02915 (the fnuz types: exponent bias one higher, no infinity, no negative
    zero, whose code 0x80 is the only NaN).
    """
    mantissa_bits, bias = {
        FLOAT8_E4M3FN: (3, 7),
        FLOAT8_E5M2: (2, 15),
        FLOAT8_E4M3FNUZ: (3, 8),
        FLOAT8_E5M2FNUZ: (2, 16),
    }[dtype]
    codes = np.arange(256)
    sign = np.where(codes & 0x80, -1.0, 1.0)
    exponent = (codes & 0x7F) >> mantissa_bits
    fraction = (codes & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    subnormal = exponent == 0
    values = sign * np.ldexp(np.where(subnormal, fraction, 1 + fraction), np.where(subnormal, 1, exponent) - bias)
    if dtype is FLOAT8_E4M3FN:
        values[(codes & 0x7F) == 0x7F] = np.nan
    elif dtype is FLOAT8_E5M2:
        values[exponent == 31] = np.nan
        values[codes == 0x7C], values[codes == 0xFC] = np.inf, -np.inf
    else:
        values[codes == 0x80] = np.nan
    return np.asarray(values, np.float32)
