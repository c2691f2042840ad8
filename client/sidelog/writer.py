"""SummaryWriter: what a training script calls. Every call selects, copies and appends; nothing here waits.

No socket, no disk, no synchronization with a device: those belong to the sender thread and to the daemon.
"""

from __future__ import annotations

import math
import operator
import os
import socket
import time
import weakref
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Literal

import numpy as np

from sidelog import pictures, ranks
from sidelog.arrays import as_array, describe, is_tensor
from sidelog.connection import FLUSH_TIMEOUT_S, Connection, connect, disconnect
from sidelog.outbox import MAX_LIGHT_ITEMS, LightCall, PictureCall, TextCall
from sidelog.pictures import GridArguments, Selection
from sidelog.runs import RunHandle
from sidelog.settings import Settings
from sidelog.snapshot import BorrowedSnapshot, Snapshot, raw_bytes
from sidelog.statistics import Statistics
from sidelog_shared.dtypes import FLOAT64
from sidelog_shared.errors import ConfigError, SidelogError, SnapshotError
from sidelog_shared.limits import STEP_MAX, STEP_MIN, STEP_NONE
from sidelog_shared.names import check_run_name, check_tag
from sidelog_shared.recipe import Layout, Recipe
from sidelog_shared.records import BufferSpec, Kind, Series

_BIN_NAMES = ("tensorflow", "auto", "fd", "doane", "scott", "stone", "rice", "sturges", "sqrt")
_writers: weakref.WeakSet[SummaryWriter] = weakref.WeakSet()


class SummaryWriter:
    """Logs one run through the sidecar daemon; tensorboardX's signatures where it has the call.

    The first writer on a machine starts the local daemon; every later one finds it. The constructor returns at
    once: records wait until the daemon is there.

    Args:
        logdir: folder of the run. Default: ``runs/<date>_<host><comment>``. Rank k of a job writes to
            ``<logdir>/rank_k``, rank 0 to ``logdir`` itself. With a ``tcp://`` endpoint it is a name relative to
            the daemon's ``--logdir``.
        comment: appended to the default ``logdir``; without effect when ``logdir`` is given.
        log_dir: another name for ``logdir``.
        endpoint: a daemon started by hand: ``tcp://HOST:PORT`` or ``ipc://PATH``. Default: ``SIDELOG_ENDPOINT``,
            else this user's local daemon.
        rank: ``"auto"`` takes it from ``torch.distributed`` or the launcher's environment; an integer says it;
            None keeps ``logdir`` as given.

    Raises:
        ConfigError: a folder that cannot be written, an endpoint or an environment variable that cannot work.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str] | None = None,
        comment: str = "",
        *,
        log_dir: str | os.PathLike[str] | None = None,
        endpoint: str | None = None,
        rank: int | Literal["auto"] | None = "auto",
    ) -> None:
        self._settings = Settings.read(endpoint=endpoint)
        self._connection: Connection | None = None
        self._run: RunHandle | None = None
        self._subruns: dict[str, RunHandle] = {}
        self._series: dict[str, Series] = {}
        given = logdir if logdir is not None else log_dir
        over_tcp = self._settings.endpoint.startswith("tcp://")
        self.logdir = _run_folder(given, comment, rank, over_tcp=over_tcp)
        if not self._settings.enabled:
            return
        if over_tcp:
            try:
                check_run_name(self.logdir)
            except ValueError as error:
                raise ConfigError(f"logdir: {error}") from None
        else:
            _check_writable(self.logdir)
        self._open()
        _writers.add(self)

    # Scalars and text

    def add_scalar(
        self,
        tag: str,
        scalar_value: object,
        global_step: int | None = None,
        walltime: float | None = None,
        display_name: str = "",
        summary_description: str = "",
    ) -> None:
        """Log one number.

        Args:
            tag: name of the series.
            scalar_value: a number, or a tensor or array of one element. One that is on a device costs no
                synchronization: it is fetched later.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            display_name: title of the chart instead of the tag.
            summary_description: text behind the chart's information icon.

        Raises:
            TypeError, ValueError: a bad tag, step or wall time, or a value that is not one number.
        """
        if self._run is None and not self._open():
            return
        try:
            series = self._series[tag]
        except (KeyError, TypeError):
            series = self._new_series(tag)
        if display_name or summary_description:
            series = Series(series.run, tag, str(display_name), str(summary_description))
        if type(global_step) is int and STEP_MIN <= global_step <= STEP_MAX:
            step = global_step
        else:
            step = STEP_NONE if global_step is None else _check_step(global_step)
        wall_time = time.time() if walltime is None else _check_wall_time(walltime)
        light = self._connection.outbox.light  # type: ignore[union-attr]  # a run has a connection
        if type(scalar_value) is float:
            call: LightCall = (series, step, wall_time, scalar_value)
        else:
            call = self._scalar_call(series, step, wall_time, scalar_value)
        outbox = self._connection.outbox  # type: ignore[union-attr]
        if outbox.dormant or len(light) >= MAX_LIGHT_ITEMS:
            outbox.put_light(call)
        else:
            light.append(call)

    def add_scalars(
        self,
        main_tag: str,
        tag_scalar_dict: Mapping[str, object],
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log several numbers into one chart: each becomes a sub-run ``<logdir>/<main_tag>/<key>``.

        Args:
            main_tag: name of the chart, and tag of every series in it.
            tag_scalar_dict: key -> number, as for :meth:`add_scalar`.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.

        Raises:
            TypeError, ValueError: as :meth:`add_scalar`; also a key that leaves the folder.
        """
        if self._run is None and not self._open():
            return
        check_tag(main_tag)
        if not isinstance(tag_scalar_dict, Mapping):
            raise TypeError(f"tag_scalar_dict is {type(tag_scalar_dict).__name__}, expected a dict of key -> number")
        step = STEP_NONE if global_step is None else _check_step(global_step)
        wall_time = time.time() if walltime is None else _check_wall_time(walltime)
        calls = []
        for key, value in tag_scalar_dict.items():
            run = self._subrun(f"{main_tag}/{check_tag(key)}")
            calls.append(self._scalar_call(Series(run.id, main_tag), step, wall_time, value))
        for call in calls:
            self._connection.outbox.put_light(call)  # type: ignore[union-attr]

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Log text; TensorBoard renders it as markdown.

        Raises:
            TypeError, ValueError: a bad tag, step or wall time, or not a string.
        """
        if self._run is None and not self._open():
            return
        check_tag(tag)
        if not isinstance(text_string, str):
            raise TypeError(f"text_string is {type(text_string).__name__}, expected a string")
        step = None if global_step is None else _check_step(global_step)
        wall_time = time.time() if walltime is None else _check_wall_time(walltime)
        payload = text_string.encode(errors="replace")
        self._connection.outbox.put_light(  # type: ignore[union-attr]
            TextCall(self._run.id, tag, step, wall_time, payload)  # type: ignore[union-attr]
        )

    # Pictures

    def add_image(
        self,
        tag: str,
        img_tensor: object,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "CHW",
        *,
        mean: object = None,
        std: object = None,
        nrow: int | None = None,
        padding: int | None = None,
        normalize: bool | None = None,
        value_range: Sequence[float] | None = None,
        scale_each: bool | None = None,
        pad_value: float | None = None,
        range: Sequence[float] | None = None,
    ) -> None:
        """Log a picture; or a grid, from a list, a batch with any grid argument, or ``sidelog.make_grid(...)``.

        Args:
            tag: name of the picture.
            img_tensor: ``[C, H, W]`` with 1, 3 or 4 channels, floats in 0..1 or uint8 in 0..255 (tensorboardX's
                rule); or a list of ``[H, W]`` or of ``[C, H, W]`` of one shape; or a batch ``[N, C, H, W]`` with at
                least one grid argument, or with ``dataformats="NCHW"`` for tensorboardX's mosaic; or a lazy grid.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            dataformats: what each dimension means, such as ``"HWC"`` or ``"HW"``.
            mean: per channel; undoes ``torchvision.transforms.Normalize``: ``x * std + mean``.
            std: see ``mean``.
            nrow: tiles per row, 8 unless given, as for the following in ``torchvision.utils.make_grid``.
            padding: pixels between tiles, 2.
            normalize: scale to 0..1, False.
            value_range: the (low, high) that becomes 0..1; the tensor's own unless given.
            scale_each: take the range tile by tile, False.
            pad_value: value between tiles, 0.
            range: old name of ``value_range``.

        Raises:
            SnapshotError: a shape, type or layout that no picture can be made of; says which call to use instead.
            ConfigError: an option that cannot be.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        if self._run is None and not self._open():
            return
        check_tag(tag)
        grid = GridArguments(nrow, padding, normalize, value_range, scale_each, pad_value, range)
        what = f"add_image {tag!r}"
        selection = pictures.select_image(img_tensor, dataformats, grid, mean, std, what)
        self._add_picture(tag, selection, global_step, walltime)

    def add_images(
        self,
        tag: str,
        img_tensor: object,
        global_step: int | None = None,
        walltime: float | None = None,
        dataformats: str = "NCHW",
        *,
        mean: object = None,
        std: object = None,
        nrow: int | None = None,
        padding: int | None = None,
        normalize: bool | None = None,
        value_range: Sequence[float] | None = None,
        scale_each: bool | None = None,
        pad_value: float | None = None,
        range: Sequence[float] | None = None,
    ) -> None:
        """Log a batch as one picture: tensorboardX's mosaic (8 columns, no gap), or ``make_grid``'s with any grid
        argument.

        Args:
            tag: name of the picture.
            img_tensor: ``[N, C, H, W]`` with 1, 3 or 4 channels, in any order that ``dataformats`` says; or a list of
                ``[C, H, W]`` of one shape.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            dataformats: what each dimension means; for a list, of one picture or of all.
            mean: as for :meth:`add_image`, and so are the following.
            std: see there.
            nrow: see there.
            padding: see there.
            normalize: see there.
            value_range: see there.
            scale_each: see there.
            pad_value: see there.
            range: see there.

        Raises:
            SnapshotError, ConfigError, TypeError, ValueError: as :meth:`add_image`.
        """
        if self._run is None and not self._open():
            return
        check_tag(tag)
        grid = GridArguments(nrow, padding, normalize, value_range, scale_each, pad_value, range)
        what = f"add_images {tag!r}"
        selection = pictures.select_images(img_tensor, dataformats, grid, mean, std, what)
        self._add_picture(tag, selection, global_step, walltime)

    def add_feature_map(
        self,
        tag: str,
        feature_map: object,
        global_step: int | None = None,
        walltime: float | None = None,
        *,
        sample: int = 0,
        nrow: int | None = None,
        padding: int | None = None,
        normalize: bool | None = None,
        value_range: Sequence[float] | None = None,
        scale_each: bool | None = None,
        pad_value: float | None = None,
        range: Sequence[float] | None = None,
    ) -> None:
        """Log every channel of a feature map as a grey tile of a grid.

        Only what is shown is copied: one sample of a batch.

        Args:
            tag: name of the picture.
            feature_map: ``[C, H, W]``, or ``[B, C, H, W]`` of which one sample is shown; or a list of ``[H, W]`` or
                ``[1, H, W]``. Any dtype, any device.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            sample: which of the batch.
            nrow: tiles per row, 8 unless given.
            padding: pixels between tiles, 2.
            normalize: scale to 0..1. True unless given, other than in ``make_grid``: activations have no
                brightness of their own.
            value_range: the (low, high) that becomes 0..1; the tensor's own unless given.
            scale_each: take the range tile by tile, False.
            pad_value: value between tiles, 0.
            range: old name of ``value_range``.

        Raises:
            SnapshotError, ConfigError, TypeError, ValueError: as :meth:`add_image`.
        """
        if self._run is None and not self._open():
            return
        check_tag(tag)
        grid = GridArguments(nrow, padding, normalize, value_range, scale_each, pad_value, range)
        selection = pictures.select_feature_map(feature_map, sample, grid, f"add_feature_map {tag!r}")
        self._add_picture(tag, selection, global_step, walltime)

    def add_label_map(
        self,
        tag: str,
        labels: object,
        global_step: int | None = None,
        walltime: float | None = None,
        *,
        palette: object = None,
        num_classes: int | None = None,
        ignore_index: int | None = None,
        nrow: int | None = None,
        padding: int | None = None,
    ) -> None:
        """Log a map of integer classes in colors.

        Args:
            tag: name of the picture.
            labels: ``[H, W]`` or ``[1, H, W]`` of an integer type or bool; or a batch ``[N, H, W]``, tiled.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.
            palette: colors of the classes 0, 1, ...: a list of (red, green, blue), 0..255. Default: Pascal VOC's.
            num_classes: classes at or above it (or below 0) are shown in magenta, and told of.
            ignore_index: a class that is drawn in grey.
            nrow: tiles per row, 8 unless given.
            padding: pixels between tiles, 2.

        Raises:
            SnapshotError, ConfigError, TypeError, ValueError: as :meth:`add_image`; also for floats (scores).
        """
        if self._run is None and not self._open():
            return
        check_tag(tag)
        grid = GridArguments(nrow=nrow, padding=padding)
        what = f"add_label_map {tag!r}"
        selection = pictures.select_label_map(labels, palette, num_classes, ignore_index, grid, what)
        self._add_picture(tag, selection, global_step, walltime)

    def add_histogram(
        self,
        tag: str,
        values: object,
        global_step: int | None = None,
        bins: object = "tensorflow",
        walltime: float | None = None,
        max_bins: int | None = None,
    ) -> None:
        """Log the distribution of values; the daemon counts them.

        Args:
            tag: name of the histogram.
            values: a tensor or array of any shape and real dtype, or a list of numbers.
            global_step: step; None leaves it unset.
            bins: ``"tensorflow"`` (exponential buckets), a name that ``numpy.histogram`` knows, a number of bins,
                or their edges.
            walltime: seconds since the epoch; None takes now.
            max_bins: join neighbouring bins until there are at most so many.

        Raises:
            SnapshotError: not an array of numbers, or empty.
            ConfigError: bins that cannot be.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        if self._run is None and not self._open():
            return
        check_tag(tag)
        what = f"add_histogram {tag!r}"
        array = as_array(values, what)
        if 0 in array.shape:
            raise SnapshotError(f"{what} is {describe(array)}, which is empty, expected at least one value")
        options, edges = _check_bins(bins, max_bins, what)
        step = None if global_step is None else _check_step(global_step)
        wall_time = time.time() if walltime is None else _check_wall_time(walltime)
        snapshot = self._snapshot(tag, Selection([array], tuple(array.shape), _HISTOGRAM))
        if snapshot is not None:
            snapshots = (snapshot,) if edges is None else (snapshot, edges)
            call = PictureCall(self._run.id, Kind.HISTOGRAM, tag, step, wall_time, options, snapshots)  # type: ignore[union-attr]
            self._connection.outbox.put_picture(call)  # type: ignore[union-attr]

    # Life

    def flush(self, pictures: bool = False, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait until the scalars and texts logged so far stand in the event files; with ``pictures``, everything.

        Raises:
            TransportError: they do not within ``timeout_s``, or no daemon can be reached.
            WriterError: the daemon cannot write this run.
        """
        if self._connection is not None:
            self._connection.flush(self._runs(), pictures=pictures, timeout_s=timeout_s, show_progress=False)

    def close(self, timeout_s: float | None = None) -> None:
        """Wait until everything logged stands in the event files, and let go of the run. Idempotent.

        A call after it opens the run again.

        Args:
            timeout_s: how long; ``SIDELOG_EXIT_TIMEOUT`` (30 s) unless given.

        Raises:
            TransportError, WriterError: as :meth:`flush`; the run is let go of all the same.
        """
        connection = self._connection
        if connection is None:
            return
        runs = self._runs()
        deadline_s = self._settings.exit_timeout_s if timeout_s is None else timeout_s
        until = time.monotonic() + deadline_s
        try:
            connection.flush(runs, pictures=True, timeout_s=deadline_s, show_progress=True)
        finally:
            self._forget_connection()
            for run in runs:
                connection.close_run(run)
            # One second at least for the goodbye, which lets go of the run's folder.
            disconnect(connection, max(1.0, until - time.monotonic()))

    def statistics(self) -> Statistics:
        """What became of the records of this process so far; of all writers that share this writer's daemon."""
        if self._connection is None:
            return Statistics()
        return self._connection.statistics()

    def __enter__(self) -> SummaryWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SidelogError as trouble:
            if error is None:
                raise
            # The exception that ends the block is what its user must see; this one is told beside it.
            if self._connection is not None:
                self._connection.say(str(trouble))

    # Inside

    def _open(self) -> bool:
        """Connect, at first and again after a fork or a close; False when logging is switched off."""
        if not self._settings.enabled:
            return False
        connection = connect(self._settings)
        self._connection = connection
        self._run = connection.open_run(self.logdir)
        return True

    def _forget_connection(self) -> None:
        self._connection = None
        self._run = None
        self._subruns = {}
        self._series = {}

    def _runs(self) -> list[RunHandle]:
        return [*([self._run] if self._run is not None else []), *self._subruns.values()]

    def _subrun(self, name: str) -> RunHandle:
        run = self._subruns.get(name)
        if run is None:
            if ".." in name.split("/"):
                raise ValueError(f"{name!r} leaves the run's folder, expected no '..' in it")
            run = self._connection.open_run(os.path.join(self.logdir, name))  # type: ignore[union-attr]
            self._subruns[name] = run
        return run

    def _new_series(self, tag: str) -> Series:
        check_tag(tag)
        series = Series(self._run.id, tag)  # type: ignore[union-attr]
        if len(self._series) < 100_000:
            self._series[tag] = series
        return series

    def _scalar_call(self, series: Series, step: int, wall_time: float, value: object) -> LightCall:
        if is_tensor(value):
            array = as_array(value, f"add_scalar {series.tag!r}")
            if array.numel() != 1:  # type: ignore[union-attr]
                raise SnapshotError(f"add_scalar {series.tag!r} is {describe(array)}, expected one element")
            if array.device.type == "cuda":  # type: ignore[union-attr]
                from sidelog.cuda_snapshot import PendingScalar

                return (series, step, wall_time, PendingScalar(array))  # type: ignore[arg-type]
            return (series, step, wall_time, float(array.item()))
        if isinstance(value, np.ndarray):
            if value.size != 1:
                raise SnapshotError(f"add_scalar {series.tag!r} is {describe(value)}, expected one element")
            value = value.item()
        try:
            return (series, step, wall_time, float(value))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            raise TypeError(f"add_scalar {series.tag!r} is {type(value).__name__} {value!r:.60}, expected a number "
                            "or a tensor of one element") from None  # fmt: skip

    def _add_picture(self, tag: str, selection: Selection, global_step: object, walltime: object) -> None:
        step = None if global_step is None else _check_step(global_step)
        wall_time = time.time() if walltime is None else _check_wall_time(walltime)
        snapshot = self._snapshot(tag, selection)
        if snapshot is not None:
            options: dict[str, object] = {"recipe": selection.recipe.to_map()}
            call = PictureCall(self._run.id, Kind.PICTURE, tag, step, wall_time, options, (snapshot,))  # type: ignore[union-attr]
            self._connection.outbox.put_picture(call)  # type: ignore[union-attr]

    def _snapshot(self, tag: str, selection: Selection) -> Snapshot | None:
        """Copy what is selected; None when there is no memory for it, which is counted."""
        connection: Connection = self._connection  # type: ignore[assignment]
        run: RunHandle = self._run  # type: ignore[assignment]
        if selection.owned:
            return connection.snapshotter.adopt(selection.arrays[0])
        while True:
            snapshot = connection.snapshotter.take(selection.arrays, selection.shape)
            if snapshot is not None:
                return snapshot
            if not connection.outbox.make_room(run.id, tag):
                connection.outbox.count_drop(tag)
                return None


_HISTOGRAM = Recipe(Layout.GRID)


def _run_folder(
    given: str | os.PathLike[str] | None, comment: str, rank: int | Literal["auto"] | None, *, over_tcp: bool
) -> str:
    if given is None or given == "":
        name = datetime.now().strftime("%b%d_%H-%M-%S") + "_" + socket.gethostname() + str(comment)
        folder = name if over_tcp else os.path.join("runs", name)
    else:
        try:
            folder = os.fspath(given)
        except TypeError:
            raise ConfigError(f"logdir is {type(given).__name__} {given!r}, expected a path") from None
    if rank == "auto":
        found = ranks.detect()
        rank = None if found is None else found.rank
    elif rank is not None and (isinstance(rank, bool) or not isinstance(rank, int) or rank < 0):
        raise ConfigError(f"rank is {rank!r}, expected an integer of at least 0, None or 'auto'")
    folder = ranks.folder_of(folder, rank)
    return folder if over_tcp else os.path.abspath(os.path.expanduser(folder))


def _check_writable(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"logdir {folder} cannot be made ({error.strerror}), expected a folder that you may "
                          "write") from error  # fmt: skip
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(f"logdir {folder} cannot be written by this user, expected a folder that can")


def _check_step(step: object) -> int:
    try:
        number = operator.index(step)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"global_step is {type(step).__name__} {step!r:.60}, expected an integer") from None
    if not STEP_MIN <= number <= STEP_MAX:
        raise ValueError(f"global_step is {number}, expected a 64-bit integer")
    return number


def _check_wall_time(wall_time: object) -> float:
    try:
        seconds = float(wall_time)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"walltime is {type(wall_time).__name__} {wall_time!r:.60}, expected seconds") from None
    if not math.isfinite(seconds):
        # A NaN here ends the file for TensorBoard's fast reader.
        raise ValueError(f"walltime is {seconds}, expected finite seconds since the epoch")
    return seconds


def _check_bins(bins: object, max_bins: object, what: str) -> tuple[dict[str, object], Snapshot | None]:
    options: dict[str, object] = {}
    edges: Snapshot | None = None
    if isinstance(bins, str):
        if bins not in _BIN_NAMES:
            raise ConfigError(f"{what}: bins is {bins!r}, expected one of {', '.join(_BIN_NAMES)}")
        options["bins"] = bins
    elif isinstance(bins, int) and not isinstance(bins, bool):
        if not 1 <= bins <= 100_000:
            raise ConfigError(f"{what}: bins is {bins}, expected 1 to 100,000")
        options["bins"] = bins
    else:
        array = np.array(bins.tolist() if is_tensor(bins) else bins, np.float64)  # type: ignore[attr-defined]
        if array.ndim != 1 or array.size < 2 or not (np.diff(array) >= 0).all():
            raise ConfigError(f"{what}: bins is {bins!r:.80}, expected a name, a number, or at least 2 ascending edges")
        edges = BorrowedSnapshot(BufferSpec(FLOAT64, array.shape), raw_bytes(array))
    if max_bins is not None:
        if isinstance(max_bins, bool) or not isinstance(max_bins, int) or max_bins < 1:
            raise ConfigError(f"{what}: max_bins is {max_bins!r}, expected an integer of at least 1")
        options["max_bins"] = max_bins
    return options, edges


def _after_fork_in_child() -> None:
    for writer in list(_writers):
        writer._forget_connection()


os.register_at_fork(after_in_child=_after_fork_in_child)
