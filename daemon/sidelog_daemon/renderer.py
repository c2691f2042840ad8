"""The renderer threads: tensors in, serialized events out to the writer. They never touch a socket or a file."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable

import numpy as np

from sidelog_daemon.actions import Noted, Outcome, Rejected, Render
from sidelog_daemon.render import count_histogram, render_picture
from sidelog_daemon.render.tensors import to_array
from sidelog_daemon.render_queue import Job, RenderQueue
from sidelog_daemon.sink import summaries
from sidelog_daemon.writer import WriteRendered
from sidelog_shared.errors import MalformedHeader, SidelogError
from sidelog_shared.recipe import Layout, Recipe
from sidelog_shared.records import Kind

log = logging.getLogger(__name__)

MAX_WARNED = 10_000
"""So many tags are known to have been warned of; then all are forgotten, and warned of once more."""


class Renderer:
    """Renders on ``threads`` threads, one record in flight per worker, run and tag.

    Args:
        queue: where jobs come from; closed by :meth:`stop`.
        threads: how many.
        write: takes what is finished; the writer's ``submit``.
        report: takes what cannot be rendered.
    """

    def __init__(
        self,
        queue: RenderQueue,
        *,
        threads: int,
        write: Callable[[WriteRendered], None],
        report: Callable[[Outcome], None],
    ) -> None:
        self._queue = queue
        self._write = write
        self._report = report
        self._warned: set[tuple[str, str]] = set()
        self._threads = [
            threading.Thread(target=self._run, name=f"sidelog-render-{index}", daemon=True) for index in range(threads)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def submit(self, render: Render) -> list[Job]:
        """Queue a record; returns what was dropped to make room."""
        return self._queue.put(Job(render.worker, render.record))

    def stop(self, deadline_s: float) -> None:
        """Stop after the renders in flight; what waits is not rendered any more."""
        self._queue.close()
        for thread in self._threads:
            thread.join(deadline_s)

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                self._render(job)
            except (SidelogError, ValueError) as error:
                self._report(Rejected(job.worker, job.record, str(error)))
            except Exception as error:
                # Whatever one picture does to the renderer, it ends that picture and nothing else.
                log.exception("rendering %s failed", job.record.tag)
                self._report(Rejected(job.worker, job.record, f"{type(error).__name__}: {error}"))
            finally:
                self._queue.done(job)

    def _render(self, job: Job) -> None:
        record = job.record
        if not record.specs:
            raise MalformedHeader(f"{record.kind.name} has no buffers, expected at least 1")
        if record.kind is Kind.PICTURE:
            rendered = _render_picture(job)
        else:
            rendered = _render_histogram(job)
        if rendered.warning and (job.worker, record.tag) not in self._warned:
            if len(self._warned) >= MAX_WARNED:
                self._warned.clear()
            self._warned.add((job.worker, record.tag))
            self._report(Noted(job.worker, f"{record.tag!r} at step {record.step}: {rendered.warning}"))
        self._write(rendered)


def _render_picture(job: Job) -> WriteRendered:
    record = job.record
    recipe = Recipe.from_map(record.options.get("recipe"))
    spec = record.specs[0]
    picture = render_picture(to_array(spec.dtype, spec.shape, memoryview(record.buffers[0])), recipe)
    event = summaries.image_event(
        record.tag, picture.encoded, picture.width, picture.height, picture.channels, record.step, record.wall_time
    )
    warnings = []
    if picture.nonfinite:
        warnings.append(f"{picture.nonfinite:,} values are NaN or infinite, shown in magenta")
    if picture.out_of_range:
        warnings.append(f"{picture.out_of_range:,} labels are out of range, shown in magenta")
    recipe_text = "" if _is_tensorboardx_call(recipe) else _recipe_markdown(picture.description)
    return WriteRendered(job.worker, record, event, recipe_text, "; ".join(warnings))


def _render_histogram(job: Job) -> WriteRendered:
    record = job.record
    spec = record.specs[0]
    values = to_array(spec.dtype, spec.shape, memoryview(record.buffers[0]))
    bins = record.options.get("bins", "tensorflow")
    max_bins = record.options.get("max_bins")
    if max_bins is not None and (type(max_bins) is not int or max_bins < 1):
        raise MalformedHeader(f"max_bins is {max_bins!r}, expected an integer of at least 1")
    edges: str | int | np.ndarray[tuple[int, ...], np.dtype[np.generic]]
    if len(record.specs) > 1:
        edges = to_array(record.specs[1].dtype, record.specs[1].shape, memoryview(record.buffers[1]))
    elif isinstance(bins, (str, int)) and not isinstance(bins, bool):
        edges = bins
    else:
        raise MalformedHeader(f"bins is {bins!r}, expected a name, a number of bins, or a second buffer of edges")
    counted = count_histogram(values, edges, max_bins)
    event = summaries.histogram_event(record.tag, counted.message, record.step, record.wall_time)
    warning = f"{counted.nonfinite:,} values are NaN or infinite, left out" if counted.nonfinite else ""
    return WriteRendered(job.worker, record, event, "", warning)


def _is_tensorboardx_call(recipe: Recipe) -> bool:
    plain = Recipe(recipe.layout, recipe.dataformats) if recipe.layout in (Layout.IMAGE, Layout.MOSAIC) else None
    return recipe == plain


def _recipe_markdown(description: dict[str, object]) -> str:
    rows = [f"| {name} | `{json.dumps(value)}` |" for name, value in description.items()]
    return "\n".join(["| | |", "|---|---|", *rows])
