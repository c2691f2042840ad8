"""A grid of images that is not drawn until someone looks at its values; ``grid.py`` makes them.

A writer takes the recipe and leaves the drawing to the daemon. Anything else that needs the values draws them, once,
through torchvision. Needs torch, and imports it at once; torchvision only when a grid is drawn.

Any thread may draw. It takes no lock (two threads may draw at once, and the first result counts), so that a fork
finds none held.

The module's name counts: tensorboardX knows a tensor by "torch" in the name of its class (``x2num.make_np``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch

from sidelog_shared.errors import MissingExtra
from sidelog_shared.recipe import Recipe

_TensorT = TypeVar("_TensorT", bound=torch.Tensor)

_NO_MEMORY = "a sidelog grid has no memory of its own: give this function grid.clone(), a plain tensor"
_HOLDS_NO_MEMORY = (bool, int, float, complex, str, bytes, torch.Size, torch.dtype, torch.device, torch.layout)


def _methods(names: str) -> set[Any]:
    return {getattr(torch.Tensor, name) for name in names.split() if hasattr(torch.Tensor, name)}


def _getters(names: str) -> set[Any]:
    return {getattr(torch.Tensor, name).__get__ for name in names.split() if hasattr(torch.Tensor, name)}


_NEEDS_NO_VALUES = frozenset(
    _methods(
        "size dim ndimension numel nelement element_size stride storage_offset is_contiguous get_device "
        "is_floating_point is_complex is_inference __len__"
    )
    | _getters(
        "shape ndim dtype device layout itemsize nbytes requires_grad is_leaf grad grad_fn is_cpu is_cuda is_mps "
        "is_xpu is_meta is_nested is_quantized is_sparse is_sparse_csr is_mkldnn"
    )
    | {torch.numel, torch.is_floating_point, torch.is_complex}
)
# What writes, or lets others write, without counting a version and without a result that shows it.
_WRITES_UNSEEN = frozenset(
    _methods("data_ptr apply_ map_ map2_ share_memory_ set_")
    | _getters("data __cuda_array_interface__")
    | {torch.Tensor.data.__set__}  # type: ignore[attr-defined]
)


@dataclass(frozen=True, slots=True, eq=False)
class GridSource:
    """What a grid is made of: enough to draw it elsewhere.

    Attributes:
        tensor: ``[N, C, H, W]``, contiguous and without grad, owned by the grid and never written again. Its
            channels are as given: a grey image has one. On CUDA it is being filled on ``stream``.
        recipe: layout ``GRID`` and the arguments of the call.
        stream: the CUDA stream that was current in :func:`make_grid`; None on other devices.
    """

    tensor: torch.Tensor
    recipe: Recipe
    stream: torch.cuda.Stream | None = None

    def readable(self) -> torch.Tensor:
        """The tensor, for a reader on the current stream; waits for nothing."""
        if self.stream is not None:
            here = torch.cuda.current_stream(self.tensor.device)
            # A capture begins with everything done, and must not wait for a stream outside it.
            if here != self.stream and not is_capturing(self.tensor.device):
                here.wait_stream(self.stream)
            self.tensor.record_stream(here)
        return self.tensor


class LazyGrid(torch.Tensor):
    """A grid ``[C, H, W]`` that is drawn when its values are first needed; made by :func:`make_grid`.

    Shape, dtype, device and the like are known without drawing. Everything else sees the drawn grid, an ordinary
    tensor: results of operations, copies and pickles are plain tensors; operations in place change the grid.
    """

    _source: GridSource | None
    # The drawn grid, and its version counter at that time. On the class until `setdefault` puts it on the instance.
    _drawn: tuple[torch.Tensor, int] | None = None

    @staticmethod
    def __new__(cls, source: GridSource) -> LazyGrid:
        # A wrapper has no memory of its own. What C++ reads without asking (sizes, strides, dtype) is right in it.
        tensor = source.tensor
        grid: LazyGrid = torch.Tensor._make_wrapper_subclass(
            cls, _grid_shape(tensor.shape, source.recipe), dtype=tensor.dtype, device=tensor.device
        )
        if hasattr(torch._C, "_set_storage_access_error_msg"):  # not in every torch; without it, a segfault
            with torch._C.DisableTorchFunctionSubclass():
                torch._C._set_storage_access_error_msg(grid, _NO_MEMORY)
        grid._source = source
        return grid

    @property
    def source(self) -> GridSource | None:
        """The input and the recipe, as long as they say what the pixels are; else None.

        None once the grid was changed in place, and once something was given away that could change it unseen: a
        view (``grid[0]``, ``grid.permute(...)``) or its memory (``grid.numpy()``). The pixels are then the truth.
        """
        if self._drawn is not None and self._drawn[0]._version != self._drawn[1]:
            self._source = None
        return self._source

    @property
    def is_drawn(self) -> bool:
        """Whether the values were needed, and so computed in this process."""
        return self._drawn is not None

    def __hash__(self) -> int:
        return id(self)  # as every tensor's; through `__torch_function__` it would change with the drawing

    def as_subclass(self, cls: type[_TensorT]) -> _TensorT:
        """A plain view of the drawn grid, as a tensor of another class (torchvision's ``tv_tensors.Image``)."""
        drawn = self.drawn()  # torch's own does not ask `__torch_function__`
        self._source = None
        return drawn.as_subclass(cls)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: object, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if args and isinstance(args[0], LazyGrid) and args[0]._drawn is None:
            if func in _NEEDS_NO_VALUES:
                with torch._C.DisableTorchFunctionSubclass():
                    return func(*args, **(kwargs or {}))
            if (
                len(args) == 1
                and not kwargs
                and (func is torch.Tensor.contiguous or (func is torch.Tensor.cpu and args[0].device.type == "cpu"))
            ):
                return args[0]  # as torch does; `add_image(tag, grid.cpu())` must not draw
        return _call_with_drawn(func, args, kwargs or {}, writes=func in _WRITES_UNSEEN)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]  # torch's stub describes its own disabled one
        cls, func: Any, types: object, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Only callers in C++ that bypass `__torch_function__` come here. Version counters stand still at this depth.
        return _call_with_drawn(func, args, kwargs or {}, writes=func._schema.is_mutable)

    def drawn(self) -> torch.Tensor:
        """The drawn grid, a plain tensor and always the same one. Whoever writes to it ends :attr:`source`."""
        source = self._source  # read before `_drawn`: another thread drops it only after it has set `_drawn`
        if self._drawn is not None:
            return self._drawn[0]
        with outside_inference_mode():  # an inference tensor has no version counter
            grid = draw(cast(GridSource, source))
        published: tuple[torch.Tensor, int] = self.__dict__.setdefault("_drawn", (grid, grid._version))
        return published[0]


def draw(source: GridSource) -> torch.Tensor:
    """What torchvision makes of a source, in memory of its own, on the current stream."""
    try:
        from torchvision.utils import make_grid as torchvision_make_grid
    except ImportError:
        raise MissingExtra("torchvision", "bench", "a grid of sidelog.make_grid, used as a tensor,") from None
    recipe = source.recipe
    grid: torch.Tensor = torchvision_make_grid(
        source.readable(), recipe.nrow, recipe.padding, recipe.normalize, recipe.value_range, recipe.scale_each,
        recipe.pad_value,
    )  # fmt: skip
    # torchvision returns a single image as a view of its input, which is ours to keep unchanged.
    return grid.clone() if _shares_memory(grid, source.tensor) else grid


def _call_with_drawn(func: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any], *, writes: bool) -> Any:
    """Call ``func`` with each grid drawn; a grid that it may have changed, or may change later, loses its source."""
    grids: dict[int, LazyGrid] = {}
    args = [_with_drawn(arg, grids) for arg in args]
    kwargs = {name: _with_drawn(arg, grids) for name, arg in kwargs.items()}
    if writes:
        for grid in grids.values():
            grid._source = None
    result = func(*args, **kwargs)
    if id(result) in grids:
        return grids[id(result)]  # in place, or nothing to do (`grid.float()`); the version counter tells which
    for grid in grids.values():
        if grid._source is not None and _reaches(result, grid.drawn()):
            grid._source = None
    return result


def _with_drawn(value: Any, grids: dict[int, LazyGrid]) -> Any:
    """``value`` with plain tensors for the grids in it; the grids by their tensor's id."""
    if isinstance(value, LazyGrid):
        tensor = value.drawn()
        grids[id(tensor)] = value
        return tensor
    if type(value) in (list, tuple):
        return type(value)(_with_drawn(item, grids) for item in value)
    return value


def _reaches(result: Any, grid: torch.Tensor) -> bool:
    """Whether the grid's memory can be written through a result. A thing of unknown type might: an array, a storage."""
    if result is None or isinstance(result, _HOLDS_NO_MEMORY):
        return False
    if isinstance(result, torch.Tensor):
        return _shares_memory(result, grid)
    if isinstance(result, (list, tuple)):
        return any(_reaches(item, grid) for item in result)
    return True


def _shares_memory(result: torch.Tensor, grid: torch.Tensor) -> bool:
    try:
        return result.untyped_storage().data_ptr() == grid.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):
        return True  # sparse, or a wrapper: who knows


def _grid_shape(shape: Sequence[int], recipe: Recipe) -> tuple[int, int, int]:
    count, channels, height, width = shape
    channels = 3 if channels == 1 else channels
    if count == 1:
        return channels, height, width
    columns = min(recipe.nrow, count)
    rows = -(-count // columns)
    gap = recipe.padding
    return channels, (height + gap) * rows + gap, (width + gap) * columns + gap


def is_capturing(device: torch.device) -> bool:
    """Whether this thread captures a CUDA graph on a device: what it calls there is recorded and does not happen."""
    with torch.cuda.device(device):
        return torch.cuda.is_current_stream_capturing()


def outside_inference_mode() -> AbstractContextManager[object]:
    """For tensors that outlive the caller's inference mode; turns grad on if it leaves one."""
    return torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()
