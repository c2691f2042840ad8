"""``sidelog.make_grid`` against its oracle, ``torchvision.utils.make_grid``: values, shapes, laziness, mistakes."""

from __future__ import annotations

import copy
import io
import pickle
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
import torch.utils.tensorboard
import torchvision.transforms.functional
import torchvision.tv_tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tensorboardX.writer import SummaryWriter as TensorboardXWriter
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.masked import masked_tensor
from torch.utils.data import default_collate
from torchvision.utils import make_grid as oracle
from torchvision.utils import save_image

from sidelog.grid import GridSource, LazyGrid, make_grid
from sidelog_shared.errors import ConfigError, MissingExtra, SidelogError, SnapshotError
from sidelog_shared.recipe import Layout, Recipe


def images(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def lazy(*args: Any, **kwargs: Any) -> LazyGrid:
    grid = make_grid(*args, **kwargs)
    assert isinstance(grid, LazyGrid)
    assert not grid.is_drawn
    return grid


def source_of(grid: LazyGrid) -> GridSource:
    source = grid.source
    assert source is not None
    return source


def same(result: object, expected: object) -> None:
    if isinstance(expected, torch.Tensor):
        assert type(result) is torch.Tensor
        assert result.dtype == expected.dtype
        assert torch.equal(result, expected)
    elif isinstance(expected, np.ndarray):
        assert type(result) is np.ndarray
        np.testing.assert_array_equal(result, expected)
    else:
        assert result == expected


# Values and shapes


DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int64, torch.bool)


@st.composite
def calls(draw: st.DrawFn) -> tuple[Any, Any, dict[str, Any]]:
    """(our input, the oracle's input, keyword arguments): the two differ for lists of [H, W] only."""
    dtype = draw(st.sampled_from(DTYPES))
    count, channels, height, width = (draw(st.integers(1, top)) for top in (9, 5, 5, 5))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
    batch = (torch.rand(count, channels, height, width, generator=generator) * 8 - 3).to(dtype)
    order = draw(st.sampled_from(["contiguous", "channels last", "transposed", "expanded"]))
    if order == "channels last":
        batch = batch.to(memory_format=torch.channels_last)
    elif order == "transposed":
        batch = batch.transpose(2, 3)
    elif order == "expanded":
        batch = batch[:1].expand(count, -1, -1, -1)
    ours: Any
    form = draw(st.sampled_from(["NCHW", "CHW", "HW", "list of CHW", "list of HW", "tuple of CHW"]))
    if form == "NCHW":
        ours = theirs = batch
    elif form == "CHW":
        ours = theirs = batch[0]
    elif form == "HW":
        ours = theirs = batch[0, 0]
    elif form == "list of HW":
        ours, theirs = list(batch[:, 0]), list(batch[:, :1])
    else:
        ours, theirs = list(batch), list(batch)
        ours = tuple(ours) if form == "tuple of CHW" else ours
    floating = dtype.is_floating_point
    low = draw(st.floats(-3, 3, width=16))
    kwargs = draw(
        st.fixed_dictionaries(
            {},
            optional={
                "nrow": st.integers(1, 12),
                "padding": st.integers(0, 4),
                "normalize": st.booleans() if floating else st.just(False),
                "value_range": st.sampled_from([None, (low, low), (low, low + 2), (-1, 4)]),
                "scale_each": st.booleans(),
                "pad_value": st.floats(-4, 4, width=16) if floating else st.integers(0, 4),
            },
        )
    )
    return ours, theirs, kwargs


@settings(max_examples=150, deadline=None)
@given(calls())
def test_the_drawn_grid_is_torchvisions_bit_for_bit(call: tuple[Any, Any, dict[str, Any]]) -> None:
    ours, theirs, kwargs = call
    grid = lazy(ours, **kwargs)
    expected = oracle(theirs, **kwargs)
    assert grid.shape == expected.shape
    assert grid.dtype == expected.dtype
    assert not grid.is_drawn
    same(grid.clone(), expected)
    assert grid.is_drawn
    # The same picture can be drawn from what add_image takes.
    source = source_of(grid)
    recipe = source.recipe
    same(
        oracle(
            source.tensor, recipe.nrow, recipe.padding, recipe.normalize, recipe.value_range, recipe.scale_each,
            recipe.pad_value,
        ),
        expected,
    )  # fmt: skip


def test_the_source_is_an_owned_batch_and_the_recipe() -> None:
    given_images = [images(1, 4, 5), images(1, 4, 5)]
    source = source_of(lazy(given_images, 3, 1, normalize=True, range=(0, 2), scale_each=True, pad_value=0.5))
    same(source.tensor, torch.stack(given_images))
    assert source.tensor.is_contiguous()
    assert source.recipe == Recipe(
        Layout.GRID, nrow=3, padding=1, normalize=True, value_range=(0.0, 2.0), scale_each=True, pad_value=0.5
    )


@pytest.mark.parametrize(
    ("given_images", "expected"),
    [
        (images(4, 5), (1, 1, 4, 5)),
        (images(6, 4, 5), (1, 6, 4, 5)),
        (images(2, 6, 4, 5), (2, 6, 4, 5)),
        ([images(4, 5)] * 3, (3, 1, 4, 5)),
        ((images(3, 4, 5),), (1, 3, 4, 5)),
    ],
)
def test_the_source_keeps_the_channels_as_given(given_images: Any, expected: tuple[int, ...]) -> None:
    assert source_of(lazy(given_images)).tensor.shape == expected


def test_a_list_of_mixed_dtypes_takes_the_common_one_as_torchvision_does() -> None:
    mixed = [images(3, 4, 4), torch.ones(3, 4, 4, dtype=torch.int64)]
    grid = lazy(mixed)
    assert grid.dtype == torch.float32
    same(grid.clone(), oracle(mixed))


@pytest.mark.parametrize("kind", [torch.nn.Parameter, torchvision.tv_tensors.Image])
@pytest.mark.parametrize("listed", [False, True])
def test_subclasses_with_memory_of_their_own_become_plain(kind: Any, listed: bool) -> None:
    tensor = images(3, 2, 4, 4)
    grid = lazy([kind(image) for image in tensor] if listed else kind(tensor))
    assert type(source_of(grid).tensor) is torch.Tensor
    assert not source_of(grid).tensor.requires_grad
    same(grid.clone(), oracle(tensor))


def test_a_grid_can_be_tiled_again() -> None:
    tensor = images(3, 3, 4, 4)
    same(lazy([make_grid(tensor), make_grid(tensor)]).clone(), oracle([oracle(tensor), oracle(tensor)]))


def test_inputs_that_require_grad_give_a_grid_that_does_not() -> None:
    tensor = images(2, 3, 4, 4).requires_grad_()
    grid = lazy(tensor * 2)
    assert not grid.requires_grad
    assert not (grid * 2).requires_grad
    same(grid.clone(), oracle(tensor * 2))
    assert not lazy(list(tensor)).clone().requires_grad


@pytest.mark.parametrize("shape", [(3, 4, 5), (2, 3, 4, 5), (1, 4, 5)])
def test_later_changes_of_the_input_do_not_show(shape: tuple[int, ...]) -> None:
    tensor = images(*shape)
    expected = oracle(tensor.clone())
    grid, listed = lazy(tensor), lazy([tensor[0]])
    expected_listed = oracle([tensor[0].clone()])
    tensor.zero_()
    same(grid.clone(), expected)
    same(listed.clone(), expected_listed)


def test_one_image_needs_no_nrow() -> None:
    tensor = images(1, 3, 4, 4)
    same(lazy(tensor, nrow=0).clone(), oracle(tensor, nrow=0))


# What draws, and what does not


@pytest.mark.parametrize(
    "read",
    [
        lambda grid: grid.shape,
        lambda grid: (grid.size(), grid.size(0), grid.stride(), grid.is_contiguous()),
        lambda grid: (grid.dim(), grid.ndim, grid.ndimension(), len(grid), grid.numel(), torch.numel(grid)),
        lambda grid: (grid.dtype, grid.device, grid.layout, grid.is_cuda, grid.get_device(), grid.element_size()),
        lambda grid: (grid.requires_grad, grid.is_leaf, grid.grad, grid.grad_fn),
        lambda grid: (grid.is_floating_point(), torch.is_floating_point(grid), grid.is_sparse, grid.nbytes),
        lambda grid: (torch.is_tensor(grid), isinstance(grid, torch.Tensor), grid in [grid]),
    ],
)
def test_what_needs_no_values_does_not_draw(read: Any) -> None:
    tensor = images(5, 1, 4, 6)
    grid = lazy(tensor, nrow=3)
    assert read(grid) == read(oracle(tensor, nrow=3))
    assert {grid: "kept"}[grid] == "kept"
    assert grid.cpu() is grid
    assert grid.contiguous() is grid
    assert not grid.is_drawn


USES = {
    "grid * 0.5": lambda grid: grid * 0.5,
    "0.5 * grid": lambda grid: 0.5 * grid,
    "grid[0]": lambda grid: grid[0],
    "permute": lambda grid: grid.permute(1, 2, 0),
    "numpy": lambda grid: grid.numpy(),
    "detach.cpu.numpy": lambda grid: grid.detach().cpu().numpy(),
    "asarray": np.asarray,
    "np.stack": lambda grid: np.stack([grid]),
    "rows": lambda grid: torch.stack(list(grid)),
    "stack": lambda grid: torch.stack([grid, grid]),
    "cat": lambda grid: torch.cat((grid, grid), dim=1),
    "clone": lambda grid: grid.clone(),
    "deepcopy": copy.deepcopy,
    "pickle": lambda grid: pickle.loads(pickle.dumps(grid)),
    "mean": lambda grid: grid.mean(),
    "item": lambda grid: grid.sum().item(),
    "uint8": lambda grid: grid.to(torch.uint8),
    "byte": lambda grid: (grid * 255).byte(),
    "equal": lambda grid: torch.equal(grid, grid.clone()),
    "tolist": lambda grid: grid.tolist(),
    "memory": lambda grid: grid.data_ptr() == grid.untyped_storage().data_ptr() != 0,
    "share_memory_": lambda grid: grid.share_memory_().is_shared(),
    "interpolate": lambda grid: F.interpolate(grid[None], scale_factor=2),
    "mask": lambda grid: grid[grid > 0.5],
    "as a mask": lambda grid: torch.zeros_like(grid).masked_fill_(grid > 0.5, 1),
    "default_collate": lambda grid: default_collate([grid, grid]),
    "data": lambda grid: grid.data,
    "repr": repr,
    "format": lambda grid: f"{grid}",
    "ToPILImage": lambda grid: np.asarray(torchvision.transforms.ToPILImage()(grid)),
    "to_pil_image": lambda grid: np.asarray(torchvision.transforms.functional.to_pil_image(grid)),
    "resize": lambda grid: torchvision.transforms.functional.resize(grid, [8, 8]),
    "dlpack": torch.from_dlpack,
    "as_subclass": lambda grid: grid.as_subclass(torch.Tensor),
    "tv_tensors": lambda grid: torchvision.tv_tensors.Image(grid).as_subclass(torch.Tensor),
    "where": lambda grid: torch.where(grid > 0.5, grid, -grid),
    "out": lambda grid: torch.add(grid, 1, out=torch.empty(grid.shape)),
    "vmap": torch.vmap(lambda row: row * 2),
    "into another": lambda grid: torch.zeros(grid.shape).copy_(grid),
    "make_grid": oracle,
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
@pytest.mark.parametrize("shape", [(5, 1, 4, 6), (1, 3, 4, 6)])
def test_every_use_sees_torchvisions_tensor(use: Any, shape: tuple[int, ...]) -> None:
    tensor = images(*shape)
    grid = lazy(tensor)
    kept = source_of(grid).tensor
    same(use(grid), use(oracle(tensor.clone())))
    assert grid.is_drawn
    same(kept, tensor)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_is_an_ordinary_grid_in_and_after_inference_mode(mode: Any) -> None:
    with mode():
        tensor = images(3, 3, 4, 4)
        before, inside = lazy(tensor), lazy(tensor)
        same((inside * 2).clone(), oracle(tensor) * 2)
        assert source_of(inside).tensor.shape == (3, 3, 4, 4)
        inside.mul_(2)
        assert inside.source is None
    weight = torch.ones((), requires_grad=True)
    (before * weight).sum().backward()
    same(weight.grad, oracle(tensor).sum().clone())
    before.add_(1)
    same(before.clone(), oracle(tensor) + 1)


def test_autograd_sees_a_constant() -> None:
    tensor, weight = images(3, 3, 4, 4), torch.tensor(2.0, requires_grad=True)
    result = lazy(tensor) * weight
    assert type(result) is torch.Tensor
    result.sum().backward()
    same(weight.grad, oracle(tensor).sum())


def test_callers_that_bypass_torch_function_see_the_values_too() -> None:
    tensor = images(3, 3, 4, 4)
    grid = lazy(tensor)
    with torch._C.DisableTorchFunctionSubclass():  # as a caller in C++
        same(torch.mul(grid, 2), oracle(tensor) * 2)
        assert grid.source is not None
        assert grid.mul_(2) is grid
    assert grid.source is None
    same(grid.clone(), oracle(tensor) * 2)


def test_save_image_and_torch_save(tmp_path: Path) -> None:
    tensor = images(5, 1, 4, 6)
    save_image(make_grid(tensor), tmp_path / "ours.png")
    save_image(oracle(tensor), tmp_path / "theirs.png")
    same(np.asarray(Image.open(tmp_path / "ours.png")), np.asarray(Image.open(tmp_path / "theirs.png")))
    file = io.BytesIO()
    torch.save({"grid": make_grid(tensor)}, file)
    file.seek(0)
    same(torch.load(file, weights_only=True)["grid"], oracle(tensor))


@pytest.mark.parametrize("writer", [TensorboardXWriter, torch.utils.tensorboard.SummaryWriter])
def test_other_writers_log_the_picture(writer: Any, tmp_path: Path) -> None:
    tensor = images(5, 1, 4, 6)
    for name, grid in (("ours", make_grid(tensor)), ("theirs", oracle(tensor))):
        with writer(str(tmp_path / name)) as log:
            log.add_image("x", grid, 1)
    ours, theirs = (logged_picture(tmp_path / name) for name in ("ours", "theirs"))
    assert ours
    assert ours == theirs


def logged_picture(folder: Path) -> bytes:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    (picture,) = events.Images("x")
    encoded: bytes = picture.encoded_image_string
    return encoded


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # nor does torch's
def test_matplotlib_draws_it() -> None:
    from matplotlib.figure import Figure

    tensor = images(5, 3, 4, 6)
    shown = Figure().subplots().imshow(make_grid(tensor).permute(1, 2, 0))
    same(np.asarray(shown.get_array()), oracle(tensor).permute(1, 2, 0).numpy())


def test_threads_that_draw_at_once_get_one_grid() -> None:
    tensor = images(16, 3, 8, 8)
    grid = lazy(tensor)
    start = threading.Barrier(8)
    drawn: list[torch.Tensor] = []

    def use() -> None:
        start.wait(10)
        drawn.append(grid.drawn())

    threads = [threading.Thread(target=use, name=f"user {index}") for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(drawn) == 8
    assert len(set(map(id, drawn))) == 1
    same(drawn[0], oracle(tensor))


def test_torchvision_is_needed_for_the_values_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.utils", None)
    grid = lazy(images(3, 3, 4, 4))
    assert source_of(grid).tensor.shape == (3, 3, 4, 4)
    with pytest.raises(MissingExtra, match="torchvision"):
        grid.mean()
    monkeypatch.undo()
    same(grid.mean(), oracle(images(3, 3, 4, 4)).mean())


# Changes in place


def set_data(grid: torch.Tensor) -> None:
    grid.data = torch.zeros(3, 2, 2)


def set_item(grid: torch.Tensor) -> None:
    grid[0] = 1


def set_through_view(grid: torch.Tensor) -> None:
    grid[0].fill_(1)


def set_through_row(grid: torch.Tensor) -> None:
    next(iter(grid)).fill_(1)


def set_through_array(grid: torch.Tensor) -> None:
    grid.permute(1, 2, 0).numpy()[:2] = 1


def set_through_detached(grid: torch.Tensor) -> None:
    grid.detach().fill_(1)


def set_through_dlpack(grid: torch.Tensor) -> None:
    torch.from_dlpack(grid).fill_(1)


def set_through_list(grid: torch.Tensor) -> None:
    torch._foreach_mul_([grid], 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda grid: grid.mul_(0.5),
        lambda grid: grid.clamp_(0.2, 0.4),
        lambda grid: grid.copy_(torch.ones(grid.shape)),
        lambda grid: grid.apply_(lambda value: value * 2),
        lambda grid: grid.map_(torch.ones(grid.shape), lambda value, other: value + other),
        lambda grid: grid.unsqueeze_(0),
        lambda grid: grid.transpose_(1, 2),
        lambda grid: grid.resize_(2, 2),
        lambda grid: grid.set_(torch.ones(2)),
        lambda grid: torch.add(grid, 1, out=grid),
        torch.relu_,
        lambda grid: grid.index_fill_(1, torch.tensor([0]), 5),
        set_data,
        set_item,
        set_through_view,
        set_through_row,
        set_through_array,
        set_through_detached,
        set_through_dlpack,
        set_through_list,
    ],
)
@pytest.mark.parametrize("drawn_before", [False, True])
@pytest.mark.parametrize("shape", [(5, 1, 4, 6), (1, 3, 4, 6)])
def test_changes_in_place_show_and_end_the_recipe(change: Any, drawn_before: bool, shape: tuple[int, ...]) -> None:
    tensor = images(*shape)
    grid, expected = lazy(tensor), oracle(tensor.clone()).clone()
    kept = source_of(grid).tensor
    if drawn_before:
        same(grid.mean(), expected.mean())
        assert grid.source is not None
    result = change(grid)
    change(expected)
    assert result is None or result is grid
    assert grid.source is None
    assert grid.shape == expected.shape
    same(grid.clone(), expected)
    same(kept, tensor)


def test_augmented_assignment_keeps_the_grid() -> None:
    tensor = images(3, 3, 4, 4)
    grid: torch.Tensor = lazy(tensor)
    before = grid
    grid += 1
    assert grid is before
    same(grid.clone(), oracle(tensor) + 1)


@pytest.mark.parametrize(
    "use",
    [torch.mean, torch.clone, copy.deepcopy, lambda grid: grid * 0.5, lambda grid: grid.float(), torch.Tensor.tolist],
)
def test_uses_that_cannot_change_it_keep_the_recipe(use: Any) -> None:
    grid = lazy(images(3, 3, 4, 4))
    use(grid)
    assert grid.is_drawn
    assert grid.source is not None


@pytest.mark.parametrize("share", [torch.Tensor.numpy, np.asarray, torch.Tensor.data_ptr, lambda grid: grid.view(-1)])
def test_memory_given_away_ends_the_recipe(share: Any) -> None:
    grid = lazy(images(3, 3, 4, 4))
    share(grid)
    assert grid.source is None


# Mistakes


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((3, 4, 4)), "tensor is ndarray, expected a tensor or a list of tensors"),
        (None, "tensor is NoneType"),
        ([images(3, 4, 4), 7], r"tensor\[1\] is int, expected a list of tensors"),
    ],
)
def test_what_is_no_tensor_is_a_type_error_as_in_torchvision(wrong: Any, message: str) -> None:
    with pytest.raises(TypeError):
        oracle(wrong)
    with pytest.raises(TypeError, match=message):
        make_grid(wrong)


@pytest.mark.parametrize("value_range", [[0, 1], (0,), (0, 1, 2), ("a", 1), 3])
def test_a_value_range_is_a_tuple_of_two_numbers(value_range: Any) -> None:
    with pytest.raises(TypeError, match=r"expected a tuple \(low, high\)"):
        make_grid(images(2, 3, 4, 4), normalize=True, value_range=value_range)
    same(lazy(images(2, 3, 4, 4), value_range=value_range).clone(), oracle(images(2, 3, 4, 4)))


def test_the_bounds_may_be_tensors() -> None:
    tensor = images(2, 3, 4, 4)
    bounds = (tensor.min(), tensor.max())
    same(lazy(tensor, normalize=True, value_range=bounds).clone(), oracle(tensor, normalize=True, value_range=bounds))


def test_only_true_normalizes_as_in_torchvision() -> None:
    same(lazy(images(2, 3, 4, 4), normalize=1).clone(), oracle(images(2, 3, 4, 4), normalize=1))


def test_range_is_the_former_name_of_value_range() -> None:
    tensor = images(2, 3, 4, 4)
    same(lazy(tensor, normalize=True, range=(0, 0.5)).clone(), oracle(tensor, normalize=True, value_range=(0, 0.5)))
    with pytest.raises(TypeError, match="both value_range and range"):
        make_grid(tensor, value_range=(0, 1), range=(0, 1))
    with pytest.raises(TypeError, match="unexpected keyword argument 'columns'"):
        make_grid(tensor, columns=3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (images(2, 2, 3, 4, 4), r"tensor is \[2, 2, 3, 4, 4\] \(5-D\), expected \[N, C, H, W\]"),
        (images(4), r"tensor is \[4\] \(1-D\)"),
        (torch.tensor(1.0), r"tensor is \[\] \(0-D\)"),
        ([], "tensor is an empty list, expected at least one image"),
        (images(0, 3, 4, 4), r"tensor is \[0, 3, 4, 4\], expected no dimension of size 0"),
        ([images(3, 0, 4)], r"tensor\[0\] is \[3, 0, 4\], expected no dimension of size 0"),
        ([images(3, 4, 4), images(3, 4, 5)], r"tensor\[1\] is \[3, 4, 5\], expected \[3, 4, 4\] like tensor\[0\]"),
        ([images(3, 4, 4), images(4, 4)], r"tensor\[1\] is \[4, 4\], expected \[3, 4, 4\] like tensor\[0\]"),
        ([images(1, 3, 4, 4)], r"tensor\[0\] is \[1, 3, 4, 4\] \(4-D\).*\[f\[0\] for f in tensors\]"),
        ([images(4)], r"tensor\[0\] is \[4\] \(1-D\)"),
        (images(2, 3, 4, 4).to("meta"), "on the meta device"),
        ([images(3, 4, 4), images(3, 4, 4).to("meta")], r"tensor\[1\] is on the meta device"),
        (images(3, 4, 4).to_sparse(), "of layout torch.sparse_coo"),
    ],
)
def test_a_tensor_that_no_grid_can_be_made_of(wrong: Any, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        make_grid(wrong)


@pytest.mark.filterwarnings("ignore:The PyTorch API of (MaskedTensors|nested tensors) is in prototype stage")
def test_tensors_without_dense_values_of_their_own_are_refused_by_name() -> None:
    with FakeTensorMode():
        fake = torch.rand(3, 4, 4)
    dense = images(3, 4, 4)
    for wrong, name in (
        (fake, "FakeTensor"),
        (masked_tensor(dense, dense > 0.5), "MaskedTensor"),
        (torch.nested.nested_tensor([dense, dense]), "a nested tensor"),
    ):
        with pytest.raises(SnapshotError, match=f"{name}, expected an ordinary dense tensor"):
            make_grid(wrong)
    with pytest.raises(SnapshotError, match=r"torch\.func transform"):
        torch.vmap(make_grid)(images(2, 3, 4, 4))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_only_floating_types_are_normalized_as_in_torchvision(dtype: torch.dtype) -> None:
    tensor = torch.ones(2, 3, 4, 4, dtype=dtype)
    with pytest.raises(RuntimeError):
        oracle(tensor, normalize=True)
    with pytest.raises(SnapshotError, match=f"tensor is {dtype} and normalize is True"):
        make_grid(tensor, normalize=True)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"nrow": 0}, "nrow is 0, expected at least 1"),
        ({"padding": -1}, "padding is -1"),
        ({"pad_value": float("nan")}, "pad_value is nan, expected a finite number"),
        ({"pad_value": 1e300}, "pad_value is 1e\\+300, expected a value of torch.float32"),
        ({"normalize": True, "value_range": (2, 1)}, "low <= high"),
    ],
)
def test_arguments_that_no_grid_can_be_made_with(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as error:
        make_grid(images(2, 3, 4, 4), **kwargs)
    assert isinstance(error.value, SidelogError)
    assert isinstance(error.value, ValueError)


def test_functions_that_read_memory_directly_refuse_instead_of_crashing() -> None:
    grid = lazy(images(2, 3, 4, 4))
    with pytest.raises(RuntimeError, match=r"grid\.clone\(\)"):
        torch.utils.dlpack.to_dlpack(grid)
