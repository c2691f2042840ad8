"""A writer's open run: turns calls whose arguments are known into what the outbox takes.

Made when a writer first logs, and anew after a fork or a close. Runs on the calling thread.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sidelog.arguments import check_words, column_step, optional_step, wall_time_or_now
from sidelog.arrays import Array, dtype_of
from sidelog.calls import RecordCall, ScalarCall
from sidelog.connection import Connection
from sidelog.heavy_calls import HeavyCalls
from sidelog.outbox import MAX_LIGHT_ITEMS
from sidelog.pictures import Selection
from sidelog.plans import Plans
from sidelog.policies import Policies
from sidelog.pool import size_class
from sidelog.runs import RunHandle
from sidelog.scalar_calls import scalar_call
from sidelog.snapshot import Snapshot, kept, kept_bytes
from sidelog_shared.limits import MIB, STEP_MAX, STEP_MIN
from sidelog_shared.names import check_tag
from sidelog_shared.records import BufferSpec, Kind, ScalarForm, Series

if TYPE_CHECKING:
    pass

MAX_SERIES = 100_000
"""Tags that are remembered as good. A tag with a step in it would be a new one each time."""

MIN_TRIALS = 16
"""So many more runs of ``add_hparams`` than twice those that were left, and it is seen which have settled."""


class Recorder:
    """Logs into one run of one connection.

    Args:
        connection: where it goes.
        run: the run, open on it.
        logdir: the run.
        policies: what its user has said of pictures and histograms.
    """

    def __init__(self, connection: Connection, run: RunHandle, logdir: str, policies: Policies) -> None:
        self.connection = connection
        self._policies = policies
        self._outbox = connection.outbox
        self._snapshotter = connection.snapshotter
        self._heavy = HeavyCalls(connection)
        self._logdir = logdir
        self._run = run
        self._subruns: dict[str, RunHandle] = {}
        self._trials: dict[RunHandle, None] = {}
        self._trials_looked_through = 0
        self._purge_step: int | None = None
        self._purged_trials: set[str] = set()
        self._opening = threading.RLock()
        # One object per series: the sender numbers series by identity.
        self._series: dict[str, Series] = {}
        self._described: dict[tuple[str, str, str, ScalarForm], Series] = {}
        self._in_subruns: dict[tuple[str, str], Series] = {}
        self._plans = Plans()

    @property
    def runs(self) -> list[RunHandle]:
        """Those that are to be closed with it."""
        return [self._run, *self._subruns.values()]

    @property
    def awaited(self) -> list[RunHandle]:
        """Those whose records a flush waits for: also of :meth:`add_hparams`, which closes its own."""
        self._forget_settled_trials()
        return [*self.runs, *self._trials]

    def _forget_settled_trials(self) -> None:
        """All but those whose records are under way, and those that are refused, which a flush raises for."""
        for trial in list(self._trials):
            if not trial.refused and not self.connection.knows(trial):
                self._trials.pop(trial, None)
        self._trials_looked_through = len(self._trials)

    def add_scalar(
        self,
        tag: str,
        value: object,
        global_step: object,
        walltime: object,
        display_name: str,
        description: str,
        form: ScalarForm = ScalarForm.SIMPLE,
    ) -> None:
        try:
            series: Series | None = self._series[tag]
        except (KeyError, TypeError):
            series = None
        if series is None:  # not in the handler: who gave a bad tag need not read of a dictionary
            series = self._new_series(tag)
        if display_name or description or form:
            words = check_words("display_name", display_name), check_words("summary_description", description)
            series = self._described.setdefault((tag, *words, form), Series(series.run, tag, *words, form))
        if type(global_step) is int and STEP_MIN <= global_step <= STEP_MAX:
            step = global_step
        else:
            step = column_step(global_step)
        wall_time = time.time() if walltime is None else wall_time_or_now(walltime)
        outbox = self._outbox
        if type(value) is float:
            call: ScalarCall | None = (series, step, wall_time, value)
        else:
            call = scalar_call(series, step, wall_time, value)
        if call is None:
            outbox.count_drop(series.run, tag)
        elif outbox.dormant or len(outbox.light) >= MAX_LIGHT_ITEMS:
            outbox.put_light(call)
        else:
            outbox.light.append(call)

    def add_scalars(self, main_tag: str, values: dict[str, object], step: int, wall_time: float) -> list[ScalarCall]:
        """Log numbers into a sub-run each; returns the calls, in the order of ``values``, less those with no value."""
        # All are checked before the first is queued.
        series = {key: self._subrun_series(main_tag, key) for key in values}
        calls = [scalar_call(series[key], step, wall_time, value) for key, value in values.items()]
        return self._put_scalars(main_tag, calls)

    def add_hparams(self, name: str, document: bytes, metrics: dict[str, object], step: int, wall_time: float) -> None:
        """Log hyperparameters and what came of them into a sub-run, and close it."""
        # Checked before the run is opened.
        checked = [scalar_call(Series(0, check_tag(tag)), step, wall_time, value) for tag, value in metrics.items()]
        run = self.connection.open_run(self._path_of(name))
        if self._purge_step is not None and name not in self._purged_trials:
            self._purged_trials.add(name)
            self._put_purge(run)
        calls = [None if call is None else (Series(run.id, call[0].tag), *call[1:]) for call in checked]
        self._put(RecordCall(run.id, Kind.HPARAMS, "hparams", None, wall_time, {}, (kept_bytes(document),)))
        self._put_scalars(name, calls)
        if len(self._trials) >= 2 * self._trials_looked_through + MIN_TRIALS:
            self._forget_settled_trials()
        self._trials[run] = None
        self.connection.close_run(run)

    def _put_scalars(self, tag: str, calls: Sequence[ScalarCall | None]) -> list[ScalarCall]:
        taken = [call for call in calls if call is not None]
        for call in taken:
            self._put(call)
        for _ in range(len(calls) - len(taken)):
            self._outbox.count_drop(self._run.id, tag)
        return taken

    def _put(self, call: ScalarCall | RecordCall) -> None:
        self._outbox.put_light(call)

    def purge(self, step: int | None) -> None:
        """A training begins again at a step: in the run, and in each sub-run when it is first logged to."""
        self._purge_step = step
        self._put_purge(self._run)

    def _put_purge(self, run: RunHandle) -> None:
        self._put(RecordCall(run.id, Kind.PURGE, "purge_step", self._purge_step, time.time(), {}, ()))

    def add_light(
        self,
        kind: Kind,
        tag: str,
        step: int | None,
        wall_time: float,
        options: dict[str, object],
        snapshots: tuple[Snapshot, ...],
    ) -> None:
        """Log a small record that is never dropped."""
        self._put(RecordCall(self._run.id, kind, tag, step, wall_time, options, snapshots))

    def add_heavy(
        self,
        kind: Kind,
        tag: str,
        step: int | None,
        wall_time: float,
        options: dict[str, object],
        contents: Sequence[Array | bytes],
    ) -> None:
        """Log a large record that is never dropped: it is kept until it is written.

        Args:
            contents: tensors, which are copied, and documents.
        """
        self._heavy.put(RecordCall(self._run.id, kind, tag, step, wall_time, options, ()), contents)

    def add_boxes(
        self,
        tag: str,
        arrays: Sequence[Array],
        step: int | None,
        wall_time: float,
        options: dict[str, object],
    ) -> None:
        """Log a picture with boxes: the picture is copied like any other."""
        if self._policies.exist and not self._policies.admits(tag):
            return
        image, boxes = arrays
        others = (self._snapshotter.copy(boxes),)
        self._put_picture(Kind.BOXES, tag, step, wall_time, options, [image], tuple(image.shape), others)

    def add_planned(self, call: tuple[object, ...], value: object, global_step: object, walltime: object) -> bool:
        """Log a picture as the last one of the same call was; False when this one is different, or memory is full."""
        if self._policies.exist:
            tag = str(call[1])
            if not self._policies.admits(tag):
                return True
            if self._policies.of(tag).keep_all:
                return False
        plan = self._plans.find(call)
        if plan is None or not (address := plan.source(value)):
            return False
        tag = call[1]  # type: ignore[assignment]  # every call's second item
        step = global_step if type(global_step) is int and -1 < global_step <= STEP_MAX else optional_step(global_step)
        wall_time = time.time() if walltime is None else wall_time_or_now(walltime)
        snapshot = self._snapshotter.take_bytes(address, plan.spec, plan.capacity)
        if snapshot is None:
            return False  # the memory is full: the long way knows what to do
        self._outbox.put_picture(
            RecordCall(self._run.id, Kind.PICTURE, tag, step, wall_time, plan.options, (snapshot,))
        )
        return True

    def add_picture(
        self, call: tuple[object, ...], value: object, selection: Selection, global_step: object, walltime: object
    ) -> None:
        """Log a picture whose every argument was checked, and remember what came of the checks."""
        tag = str(call[1])
        step = optional_step(global_step)
        wall_time = wall_time_or_now(walltime)
        options: dict[str, object] = {"recipe": selection.recipe.to_map()}
        spec = BufferSpec(dtype_of(selection.arrays[0]), selection.shape)
        if not self._keeps_all(tag):
            self._plans.remember(call, value, selection, spec, options)
        self._put_picture(
            Kind.PICTURE, tag, step, wall_time, options, selection.arrays, selection.shape, owned=selection.owned
        )

    def add_histogram(
        self,
        tag: str,
        values: Array,
        options: dict[str, object],
        edges: Array | None,
        global_step: object,
        walltime: object,
    ) -> None:
        step = optional_step(global_step)
        wall_time = wall_time_or_now(walltime)
        if self._policies.exist and not self._policies.admits(tag):
            return
        # Flat: nothing depends on the shape, and the wire has room for 8 dimensions.
        shape = (math.prod(values.shape),)
        others = () if edges is None else (kept(edges),)
        self._put_picture(Kind.HISTOGRAM, tag, step, wall_time, options, [values], shape, others)

    def _keeps_all(self, tag: str) -> bool:
        return self._policies.exist and self._policies.of(tag).keep_all

    def _put_picture(
        self,
        kind: Kind,
        tag: str,
        step: int | None,
        wall_time: float,
        options: dict[str, object],
        arrays: Sequence[Array],
        shape: tuple[int, ...],
        others: tuple[Snapshot, ...] = (),
        *,
        owned: bool = False,
    ) -> None:
        """Log a picture or a histogram; in the heavy lane where its user wants none dropped."""
        call = RecordCall(self._run.id, kind, tag, step, wall_time, options, ())
        if self._keeps_all(tag):
            self._heavy.keep(call, arrays, shape, others)
            return
        snapshot = self._snapshot(tag, arrays, shape, owned=owned)
        if snapshot is not None:
            call.snapshots = (snapshot, *others)
            self._outbox.put_picture(call)

    def _snapshot(self, tag: str, arrays: Sequence[Array], shape: tuple[int, ...], *, owned: bool) -> Snapshot | None:
        """Copy what is selected; None when there is no memory for it, which is counted."""
        on_cuda = not isinstance(arrays[0], np.ndarray) and arrays[0].is_cuda
        on_cpu = isinstance(arrays[0], np.ndarray) or arrays[0].is_cpu
        take = self._snapshotter.adopt if owned and on_cpu else self._snapshotter.take
        while (snapshot := take(arrays, shape)) is None:
            # For a burst, which a daemon is about to take. When none takes any, the oldest of the tag gives its place,
            # and its memory is warm.
            if not on_cuda and not self._outbox.stalled:
                snapshot = self._snapshotter.take_beyond(arrays, shape, owned=owned and on_cpu)
                if snapshot is not None:
                    break
            nbytes = math.prod(shape) * dtype_of(arrays[0]).itemsize
            # What a waiting picture holds on a device is free only when the device comes to it: no use dropping it.
            if not self._fits(tag, nbytes, on_cuda=on_cuda) or on_cuda or not self._outbox.make_room(self._run.id, tag):
                self._outbox.count_drop(self._run.id, tag)
                return None
        return snapshot

    def _fits(self, tag: str, nbytes: int, *, on_cuda: bool) -> bool:
        """Whether the pool would hold it if it were empty; else nobody's picture makes room for it."""
        budget = self.connection.pool.budget_bytes
        if size_class(nbytes) <= budget:
            return True
        largest = budget if on_cuda else self._snapshotter.largest_bytes
        variable = "ARENA" if largest == budget else "OVERFLOW"
        if nbytes > largest:
            size, limit = nbytes / MIB, largest / MIB
            self.connection.say(
                f"{tag!r} is {size:.0f} MiB and never logged: SIDELOG_{variable}_MB allows {limit:.0f} MiB"
            )
        return False

    def _new_series(self, tag: str) -> Series:
        check_tag(tag)
        series = Series(self._run.id, tag)
        if len(self._series) < MAX_SERIES:
            self._series[tag] = series
        return series

    def _subrun_series(self, main_tag: str, key: str) -> Series:
        series = self._in_subruns.get((main_tag, key))
        if series is None:
            run = self._subrun(f"{main_tag}/{check_tag(key)}")
            series = self._in_subruns[main_tag, key] = Series(run.id, main_tag)
        return series

    def _subrun(self, name: str) -> RunHandle:
        with self._opening:  # each is opened once, for it is closed once
            run = self._subruns.get(name)
            if run is None:
                run = self.connection.open_run(self._path_of(name))
                if self._purge_step is not None:
                    self._put_purge(run)  # before anybody finds it, and logs
                if name in self._subruns:  # a call that interrupted this one was faster
                    self.connection.close_run(run)
                    return run
                self._subruns[name] = run
            return run

    def _path_of(self, name: str | os.PathLike[str]) -> str:
        name = os.fspath(name)
        if ".." in name.split("/"):
            raise ValueError(f"{name!r} leaves the run's folder, expected no '..' in it")
        return os.path.join(self._logdir, name.lstrip("/"))
