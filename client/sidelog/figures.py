"""matplotlib figures as pixels, drawn on the calling thread: the one call that takes milliseconds.

A figure cannot be drawn elsewhere or later: it belongs to the training, which goes on changing it. It is never pickled.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from sidelog_shared.errors import MissingExtra, SnapshotError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(figure: Figure | Sequence[Figure], *, close: bool, what: str) -> npt.NDArray[np.uint8]:
    """Draw one figure, or several of one size.

    Args:
        figure: what to draw.
        close: close it in pyplot afterwards.

    Returns:
        ``[H, W, 3]``, or ``[N, H, W, 3]`` of a list.

    Raises:
        MissingExtra: matplotlib is not installed.
        SnapshotError: something else than figures, or of several sizes.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MissingExtra(error.name or "matplotlib", "figures", what) from error
    figures = list(figure) if isinstance(figure, (list, tuple)) else [figure]
    wrong = next((one for one in figures if not isinstance(one, Figure)), None)
    if wrong is not None or not figures:
        raise SnapshotError(f"{what} is {type(wrong).__name__}, expected a matplotlib figure or a list of them")
    pictures = [_pixels(cast("Figure", one)) for one in figures]
    if close:
        for one in figures:
            _close(cast("Figure", one))
    if len({picture.shape for picture in pictures}) > 1:
        shapes = [list(picture.shape[:2]) for picture in pictures]
        raise SnapshotError(f"{what} has figures of {shapes} pixels, expected one size")
    return np.stack(pictures) if isinstance(figure, (list, tuple)) else pictures[0]


def _pixels(figure: Figure) -> npt.NDArray[np.uint8]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]  # matplotlib's stubs
    # Without alpha, and a copy: the canvas's buffer dies with it.
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]  # matplotlib's stubs
    return np.ascontiguousarray(pixels[:, :, :3])


def _close(figure: Figure) -> None:
    from matplotlib import pyplot

    pyplot.close(figure)
