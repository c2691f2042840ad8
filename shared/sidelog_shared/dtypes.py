"""The closed table of element types that may cross the wire: code, item size, numpy type.

A code is one byte in a buffer descriptor. The table is closed on purpose: a name that arrives from the wire is
never looked up as an attribute of numpy or torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class DType:
    """One element type.

    Attributes:
        code: its number on the wire; never reused.
        name: the name that torch and numpy share (``"float32"``, ``"bfloat16"``).
        itemsize: bytes per element.
        numpy: the little-endian numpy type, or None where numpy has none (bfloat16, the float8 family).
    """

    code: int
    name: str
    itemsize: int
    numpy: np.dtype[np.generic] | None

    @property
    def is_integer(self) -> bool:
        return self.numpy is not None and self.numpy.kind in "iu"

    @property
    def is_floating(self) -> bool:
        return self.numpy is None or self.numpy.kind == "f"


def _native(code: int, name: str, spelling: str) -> DType:
    dtype = np.dtype(spelling)
    return DType(code, name, dtype.itemsize, dtype)


FLOAT64 = _native(1, "float64", "<f8")
FLOAT32 = _native(2, "float32", "<f4")
FLOAT16 = _native(3, "float16", "<f2")
BFLOAT16 = DType(4, "bfloat16", 2, None)
FLOAT8_E4M3FN = DType(5, "float8_e4m3fn", 1, None)
FLOAT8_E5M2 = DType(6, "float8_e5m2", 1, None)
FLOAT8_E4M3FNUZ = DType(7, "float8_e4m3fnuz", 1, None)
FLOAT8_E5M2FNUZ = DType(8, "float8_e5m2fnuz", 1, None)
INT64 = _native(16, "int64", "<i8")
INT32 = _native(17, "int32", "<i4")
INT16 = _native(18, "int16", "<i2")
INT8 = _native(19, "int8", "|i1")
UINT8 = _native(24, "uint8", "|u1")
UINT16 = _native(25, "uint16", "<u2")
UINT32 = _native(26, "uint32", "<u4")
UINT64 = _native(27, "uint64", "<u8")
BOOL = _native(32, "bool", "|b1")

ALL = (
    FLOAT64, FLOAT32, FLOAT16, BFLOAT16, FLOAT8_E4M3FN, FLOAT8_E5M2, FLOAT8_E4M3FNUZ, FLOAT8_E5M2FNUZ,
    INT64, INT32, INT16, INT8, UINT8, UINT16, UINT32, UINT64, BOOL,
)  # fmt: skip
BY_CODE = {dtype.code: dtype for dtype in ALL}
BY_NAME = {dtype.name: dtype for dtype in ALL}
