"""``make_grid``: torchvision's signature, a copy of the input and a recipe instead of a drawn grid.

Needs torch, and imports it at once. Runs on the calling thread; no lock, no wait for a device.
"""

from __future__ import annotations

import math
import operator
import os
import weakref
from collections.abc import Sequence
from typing import Any

import torch

from sidelog.arrays import check_ordinary
from sidelog.pool import SlotPool
from sidelog.snapshot import copy_into
from sidelog.torch_grid import GridSource, LazyGrid, draw, is_capturing, outside_inference_mode
from sidelog_shared.dtypes import BY_NAME
from sidelog_shared.errors import ConfigError, SnapshotError
from sidelog_shared.limits import MIB
from sidelog_shared.recipe import Layout, Recipe

__all__ = ["GridSource", "LazyGrid", "make_grid"]

_memory = SlotPool(64 * MIB)
"""Of grids on the CPU. Grids that do not fit in it have memory of their own."""
_NORMALIZABLE = frozenset({torch.float16, torch.bfloat16, torch.float32, torch.float64})


def make_grid(  # torchvision's signature
    tensor: torch.Tensor | Sequence[torch.Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
    **kwargs: Any,
) -> torch.Tensor:
    """Tile images, as ``torchvision.utils.make_grid`` does, but draw only what someone looks at.

    The input is copied now: what happens to it later does not show. ``writer.add_image(tag, grid, step)`` sends the
    copy and the recipe; any other use of the result draws the grid, bit-equal to torchvision's.

    Differences from torchvision: a list of ``[H, W]`` becomes one grey tile each (torchvision stacks it into one
    image of N channels); a tuple may stand for a list; the result never shares memory with the input; integers
    are not normalized (torchvision fails on them later, in place). While a CUDA graph is captured, torchvision
    draws at once and the result is its plain tensor, part of the graph.

    Args:
        tensor: ``[N, C, H, W]``, one image ``[C, H, W]`` or ``[H, W]``, or a list of images ``[C, H, W]`` or
            ``[H, W]`` of one shape; any dtype, on any device. One channel becomes three when drawn.
        nrow: tiles per row.
        padding: pixels between tiles and around them; a single image gets none.
        normalize: shift and scale to 0..1, floating dtypes only. True alone counts, as in torchvision.
        value_range: the tuple (low, high) that becomes 0..1; None takes the input's own minimum and maximum.
        scale_each: take the range tile by tile.
        pad_value: value of the pixels between tiles, in the unit of the tiles after normalization.
        **kwargs: ``range``, torchvision's former name for ``value_range``.

    Returns:
        A :class:`LazyGrid` ``[C, H, W]`` of the input's dtype, on its device, without grad.

    Raises:
        TypeError: not a tensor or a list of tensors; ``value_range`` is no tuple; an unknown keyword.
        SnapshotError: a shape, a dtype or a kind of tensor that no grid can be made of.
        ConfigError: an argument that no grid can be made with.
    """
    if kwargs:
        value_range = _range_by_former_name(value_range, kwargs)
    images, shape = _checked_images(tensor)
    dtype = _common_dtype(images)
    recipe = _checked_recipe(
        shape[0],
        dtype,
        nrow=nrow,
        padding=padding,
        normalize=normalize is True,
        value_range=value_range,
        scale_each=scale_each is True,
        pad_value=pad_value,
    )
    captured = images[0].is_cuda and is_capturing(images[0].device)
    with outside_inference_mode(), torch.no_grad():
        owned = _copy_on_cpu(images, shape, dtype) if images[0].is_cpu else None
        if owned is None:
            owned = torch.empty(shape, dtype=dtype, device=images[0].device)
            if len(images) == 1:
                owned.copy_(images[0])
            else:
                torch.stack(images, out=owned.view(shape[0], *images[0].shape))
        stream = torch.cuda.current_stream(owned.device) if owned.is_cuda else None
        source = GridSource(owned, recipe, stream)
        return draw(source) if captured else LazyGrid(source)


def _copy_on_cpu(images: list[torch.Tensor], shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor | None:
    """The images in memory that was used before and is warm; None where that takes another way.

    The memory goes back to the pool when nobody holds the tensor, or a view of it, any more.
    """
    if str(dtype).removeprefix("torch.") not in BY_NAME or len({image.dtype for image in images}) > 1:
        return None
    nbytes = math.prod(shape) * dtype.itemsize
    slot = _memory.acquire(nbytes)
    if slot is None:
        return None
    copy_into(slot, images, nbytes)
    memory = slot.array[:nbytes]
    weakref.finalize(memory, _memory.release, slot).atexit = False
    return torch.from_numpy(memory).view(dtype).view(shape)


def _after_fork_in_child() -> None:
    global _memory  # noqa: PLW0603  # the parent's lock may be held by a thread that does not exist here
    _memory = SlotPool(64 * MIB)


os.register_at_fork(after_in_child=_after_fork_in_child)


def _range_by_former_name(value_range: Any, kwargs: dict[str, Any]) -> Any:
    unknown = kwargs.keys() - {"range"}
    if unknown:
        raise TypeError(f"make_grid() got an unexpected keyword argument {min(unknown)!r}")
    if value_range is not None:
        raise TypeError("make_grid() got both value_range and range, expected one: range is its former name")
    return kwargs["range"]


def _checked_images(tensor: Any) -> tuple[list[torch.Tensor], tuple[int, int, int, int]]:
    """The images of a call, one to copy or several to stack, and the ``[N, C, H, W]`` they will be."""
    if isinstance(tensor, torch.Tensor):
        image = _ordinary(tensor, "tensor")
        if not 2 <= image.dim() <= 4:
            raise SnapshotError(f"make_grid: tensor is {list(image.shape)} ({image.dim()}-D), expected [N, C, H, W], "
                                "[C, H, W] or [H, W]")  # fmt: skip
        return [image], _without_empty((*(1,) * (4 - image.dim()), *image.shape), image, "tensor")
    if not isinstance(tensor, (list, tuple)):
        raise TypeError(f"make_grid: tensor is {type(tensor).__name__}, expected a tensor or a list of tensors")
    if not tensor:
        raise SnapshotError(f"make_grid: tensor is an empty {type(tensor).__name__}, expected at least one image")
    images: list[torch.Tensor] = []
    for index, item in enumerate(tensor):
        name = f"tensor[{index}]"
        if not isinstance(item, torch.Tensor):
            raise TypeError(f"make_grid: {name} is {type(item).__name__}, expected a list of tensors")
        image = _ordinary(item, name)
        images.append(image)
        first = images[0]
        if image.dim() == 4:
            raise SnapshotError(f"make_grid: {name} is {list(image.shape)} (4-D), expected [C, H, W] or [H, W]: "
                                "give a sample of each, [f[0] for f in tensors], or one 4-D tensor")  # fmt: skip
        if not 2 <= image.dim() <= 3:
            raise SnapshotError(f"make_grid: {name} is {list(image.shape)} ({image.dim()}-D), expected [C, H, W] "
                                "or [H, W]")  # fmt: skip
        if image.shape != first.shape:
            raise SnapshotError(f"make_grid: {name} is {list(image.shape)}, expected {list(first.shape)} like "
                                "tensor[0]: the tiles of a grid have one shape")  # fmt: skip
        if image.device != first.device:
            raise SnapshotError(f"make_grid: {name} is on {image.device}, expected {first.device} like tensor[0]")
    shape = (len(images), *(1,) * (3 - images[0].dim()), *images[0].shape)
    return images, _without_empty(shape, images[0], "tensor[0]")


def _without_empty(shape: tuple[int, ...], image: torch.Tensor, name: str) -> tuple[int, int, int, int]:
    if 0 in shape:
        raise SnapshotError(f"make_grid: {name} is {list(image.shape)}, expected no dimension of size 0")
    count, channels, height, width = shape
    return count, channels, height, width


def _ordinary(tensor: torch.Tensor, name: str) -> torch.Tensor:
    """The tensor, refused unless it has values of its own, in dense memory."""
    if isinstance(tensor, LazyGrid):
        return tensor.drawn()
    check_ordinary(tensor, f"make_grid: {name}")
    return tensor


def _common_dtype(images: list[torch.Tensor]) -> torch.dtype:
    dtype = images[0].dtype
    for image in images:
        if image.dtype is not dtype:
            dtype = torch.promote_types(dtype, image.dtype)  # as torch.stack, and so torchvision, does
    return dtype


def _checked_recipe(
    count: int,
    dtype: torch.dtype,
    *,
    nrow: Any,
    padding: Any,
    normalize: bool,
    value_range: Any,
    scale_each: bool,
    pad_value: Any,
) -> Recipe:
    if normalize and dtype not in _NORMALIZABLE:
        raise SnapshotError(f"make_grid: tensor is {dtype} and normalize is True, expected a floating type of 16 bits "
                            "or more: give tensor.float()")  # fmt: skip
    low_high: tuple[float, float] | None = None
    if normalize and value_range is not None:
        try:
            low, high = (float(bound) for bound in _tuple(value_range))
        except (TypeError, ValueError):
            raise TypeError(f"make_grid: value_range is {value_range!r}, expected a tuple (low, high) of "
                            "two numbers") from None  # fmt: skip
        low_high = low, high
    # A whole number stays one: torch takes -1 for uint8, and not -1.0.
    pad = pad_value if isinstance(pad_value, (int, float)) else float(pad_value)
    try:
        if pad and count > 1:
            torch.full((), pad, dtype=dtype, device="cpu")
        return Recipe(
            Layout.GRID,
            # A single image is not tiled, and torchvision reads no nrow then: `nrow=count // 2` is legal.
            nrow=operator.index(nrow) if count > 1 else max(operator.index(nrow), 1),
            padding=operator.index(padding),
            normalize=normalize,
            value_range=low_high,
            scale_each=normalize and scale_each,
            pad_value=pad,
        )
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"make_grid: {error}") from None
    except RuntimeError as error:
        raise ConfigError(f"make_grid: pad_value is {pad}, expected a value of {dtype}: {error}") from None


def _tuple(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise TypeError
    return value
