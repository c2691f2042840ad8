"""What may be logged and what is refused, by name, with what to give instead."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.tv_tensors
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.masked import masked_tensor
from torch.testing._internal.two_tensor import TwoTensor

from sidelog.arrays import as_array, check_ordinary, describe, dtype_of, is_tensor, shape_of
from sidelog.grid import LazyGrid, make_grid
from sidelog_shared.dtypes import ALL
from sidelog_shared.errors import SnapshotError

pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of (MaskedTensors|nested tensors) is in prototype")


def fake() -> torch.Tensor:
    with FakeTensorMode():
        return torch.rand(3, 4)


def masked() -> torch.Tensor:
    dense = torch.ones(3, 4)
    return masked_tensor(dense, dense > 0)


def freed() -> torch.Tensor:
    tensor = torch.ones(30)[10:].view(4, 5)
    tensor.untyped_storage().resize_(0)
    return tensor


REFUSED = {
    "fake": (fake, "a FakeTensor"),
    "masked": (masked, "a MaskedTensor"),
    "made of two": (lambda: TwoTensor(torch.ones(2), torch.ones(2)), "a TwoTensor"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), r"a nested tensor.*\.unbind\(\)"),
    "jagged": (
        lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
        "a NestedTensor",
    ),
    "sparse": (lambda: torch.ones(3, 4).to_sparse(), r"of layout torch.sparse_coo.*\.to_dense\(\)"),
    "compressed": (lambda: torch.ones(3, 4).to_sparse_csr(), r"of layout torch.sparse_csr.*\.to_dense\(\)"),
    "meta": (lambda: torch.ones(3, 4, device="meta"), "on the meta device"),
    "quantized": (
        lambda: torch.quantize_per_tensor(torch.ones(3), 1.0, 0, torch.quint8),
        r"quantized \(torch.quint8\).*\.dequantize\(\)",
    ),
    "freed": (freed, "a tensor whose storage was freed"),
}


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta state")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("name", REFUSED)
def test_a_tensor_without_values_of_its_own_in_dense_memory_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    tensor = make()
    with pytest.raises(SnapshotError, match=f"^x is {message}"):
        as_array(tensor, "x")
    with pytest.raises(SnapshotError, match=f"^make_grid: tensor is {message}"):
        make_grid(tensor)


@pytest.mark.parametrize("transform", [torch.vmap, torch.func.functionalize, torch.func.grad])
def test_a_tensor_inside_a_transform_is_refused(transform: Any) -> None:
    with pytest.raises(SnapshotError, match=r"x is inside a torch\.func transform \(vmap, grad\)"):
        transform(lambda row: as_array(row, "x").sum())(torch.rand(2, 3, 4))


def test_a_distributed_tensor_is_told_how_to_be_local() -> None:
    class DTensor(TwoTensor):
        def to_local(self) -> torch.Tensor:
            return torch.ones(1)

    tensor = DTensor(torch.ones(2), torch.ones(2))
    with pytest.raises(SnapshotError, match=r"x is a DTensor, expected an ordinary.*: give its local part, \.to_local"):
        as_array(tensor, "x")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "x is NoneType, expected a torch tensor, a numpy array or a list"),
        ("text", "x is str, expected"),
        ({"a": 1}, "x is dict, expected"),
        (object(), "x is object, expected"),
        (torch.nn.Linear(1, 1), "x is torch.nn.modules.linear.Linear, expected"),
        ([[1, 2], [3]], "x cannot be made an array: "),
        ([torch.ones(2, requires_grad=True)], "x cannot be made an array: "),
        (["a"], "x has dtype <U1, expected one of float64, float32, "),
        (np.array(["a"]), "x has dtype <U1"),
        (np.array([object()]), "x has dtype object"),
        (np.ones(2, np.complex64), "x has dtype complex64"),
        (np.ones(2, np.longdouble), r"x has dtype (float128|float64|longdouble)"),
        (np.array(["2024-01-01"], "datetime64[D]"), "x has dtype datetime64"),
        (np.ones(2, [("a", "f4")]), r"x has dtype \[\('a', '<f4'\)\]"),
        ([10**30], "x has dtype object"),
        (torch.ones(2, dtype=torch.complex64), "x has dtype torch.complex64, expected one of float64"),
        (torch.ones(2).to(torch.float8_e8m0fnu), "x has dtype torch.float8_e8m0fnu"),
        (np.ma.masked_array(np.ones(3), [0, 1, 0]), r"x is a masked array.*\.filled\(value\)"),
        (np.ma.masked, "x is a masked array"),
    ],
)
def test_what_is_no_array_of_known_numbers_is_refused(value: object, message: str) -> None:
    with pytest.raises(SnapshotError, match=f"^{message}"):
        as_array(value, "x")


@pytest.mark.parametrize("value", [1, 2.5, True, [1, 2], (1.0, 2.0), [[1, 2], [3, 4]], np.float32(1.5), []])
def test_numbers_and_lists_become_arrays(value: object) -> None:
    array = as_array(value, "x")
    assert isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, 3),
        torch.ones(2, 3).t(),
        torch.ones(()),
        torch.empty(0, 3),
        torch.nn.Parameter(torch.ones(2)),
        torchvision.tv_tensors.Image(torch.ones(3, 2, 2)),
        torch.ones(3).expand(4, 3),
    ],
)
def test_ordinary_tensors_pass_without_a_copy(tensor: torch.Tensor) -> None:
    assert as_array(tensor, "x") is tensor
    check_ordinary(tensor, "x")


def test_arrays_pass_without_a_copy_as_plain_arrays() -> None:
    array = np.ones((2, 3))
    assert as_array(array, "x") is array
    matrix = np.ones((2, 3)).view(np.recarray)
    plain = as_array(matrix, "x")
    assert type(plain) is np.ndarray
    assert np.shares_memory(plain, matrix)


def test_while_numpy_imports_masked_arrays_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal handler that logs may interrupt that import."""
    monkeypatch.setitem(sys.modules, "numpy.ma", ModuleType("numpy.ma"))
    array = np.ones((2, 3))
    assert as_array(array, "x") is array


def test_a_lazy_grid_is_drawn() -> None:
    grid = make_grid(torch.rand(3, 1, 2, 2))
    assert isinstance(grid, LazyGrid)
    drawn = as_array(grid, "x")
    assert type(drawn) is torch.Tensor
    assert grid.is_drawn


@pytest.mark.parametrize("dtype", ALL, ids=lambda dtype: dtype.name)
def test_every_type_of_the_protocol_is_known_by_its_torch_name(dtype: Any) -> None:
    tensor = torch.zeros(2, dtype=getattr(torch, dtype.name))
    assert dtype_of(tensor) is dtype
    if dtype.numpy is not None:
        assert dtype_of(np.zeros(2, dtype.numpy)) is dtype
        assert dtype_of(np.zeros(2, dtype.numpy.newbyteorder(">"))) is dtype
    assert dtype_of(as_array(tensor, "x")) is dtype


def test_how_an_array_is_named_in_errors() -> None:
    assert describe(torch.zeros(2, 3, dtype=torch.bfloat16)) == "bfloat16 [2, 3]"
    assert describe(np.zeros((4, 1), np.uint8)) == "uint8 [4, 1]"
    assert shape_of(torch.zeros(2, 3)) == (2, 3)
    assert is_tensor(torch.zeros(1))
    assert not is_tensor(np.zeros(1))
