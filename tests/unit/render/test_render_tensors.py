"""Bytes to arrays, against torch's own conversions."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sidelog_daemon.render import to_array
from sidelog_shared.dtypes import ALL, BFLOAT16, BY_NAME, FLOAT32, INT16, UINT8, DType
from sidelog_shared.errors import MalformedHeader

NATIVE = [dtype for dtype in ALL if dtype.numpy is not None]
FLOAT8 = [dtype for dtype in ALL if dtype.name.startswith("float8")]


@pytest.mark.parametrize("dtype", FLOAT8, ids=lambda dtype: dtype.name)
def test_each_float8_is_what_torch_says(dtype: DType) -> None:
    codes = bytes(range(256))
    expected = torch.frombuffer(bytearray(codes), dtype=getattr(torch, dtype.name)).float().numpy()
    values = to_array(dtype, (16, 16), codes)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values.ravel(), expected)
    np.testing.assert_array_equal(np.signbit(values.ravel()) & (expected == 0), np.signbit(expected) & (expected == 0))


def test_each_bfloat16_is_what_torch_says() -> None:
    codes = np.arange(1 << 16, dtype="<u2").tobytes()
    expected = torch.frombuffer(bytearray(codes), dtype=torch.bfloat16).float().numpy()
    values = to_array(BFLOAT16, (256, 256), codes)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values.ravel().view(np.uint32), expected.view(np.uint32))


@pytest.mark.parametrize("dtype", NATIVE, ids=lambda dtype: dtype.name)
def test_native_types_are_views(dtype: DType) -> None:
    source = np.array([[0, 1, 0], [1, 1, 0]], dtype.numpy)
    buffer = bytearray(source.tobytes())
    values = to_array(dtype, (2, 3), memoryview(buffer))
    assert values.dtype == np.dtype(dtype.name)
    np.testing.assert_array_equal(values, source)
    assert np.shares_memory(values, np.frombuffer(buffer, np.uint8))


def test_bytes_are_read_little_endian() -> None:
    assert to_array(INT16, (2,), b"\x01\x02\xff\xff").tolist() == [0x0201, -1]


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2)])
def test_scalars_and_empty_tensors(dtype: DType, shape: tuple[int, ...]) -> None:
    assert to_array(dtype, shape, bytes(int(np.prod(shape)) * dtype.itemsize)).shape == shape


def test_a_view_of_many_dimensions_counts_in_bytes() -> None:
    buffer = memoryview(np.ones((2, 3), np.float32))
    assert to_array(FLOAT32, (3, 2), buffer.cast("B")).tolist() == [[1.0] * 2] * 3


@pytest.mark.parametrize(
    ("dtype", "shape", "size", "message"),
    [
        ("float32", (2, 3), 20, "float32 tensor of shape (2, 3) has 20 bytes, expected 24"),
        ("bfloat16", (3,), 3, "bfloat16 tensor of shape (3,) has 3 bytes, expected 6"),
        ("float8_e5m2", (2, 2), 5, "float8_e5m2 tensor of shape (2, 2) has 5 bytes, expected 4"),
        ("int64", (), 0, "int64 tensor of shape () has 0 bytes, expected 8"),
        ("uint8", (2**40, 2**40), 8, "expected 1,208,925,819,614,629,174,706,176"),
        ("uint8", (-1, -4), 4, "tensor has shape (-1, -4), expected at most 8 dimensions, each >= 0"),
        ("uint8", (1,) * 9, 1, "expected at most 8 dimensions, each >= 0"),
        ("float32", (0, 2**62, 2**62), 0, "float32 tensor cannot have shape (0, 4611686018427387904, 46116860184"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(dtype: str, shape: tuple[int, ...], size: int, message: str) -> None:
    with pytest.raises(MalformedHeader) as caught:
        to_array(BY_NAME[dtype], shape, bytes(size))
    assert message in str(caught.value)


def test_a_buffer_of_another_length_never_reads_past_its_end() -> None:
    whole = memoryview(bytes(range(10)))
    assert to_array(UINT8, (3,), whole[2:5]).tolist() == [2, 3, 4]
