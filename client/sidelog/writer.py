"""SummaryWriter: what a training script calls. Every call selects, copies and appends; nothing here waits.

No socket, no disk, no synchronization with a device: those belong to the sender thread and to the daemon.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Literal

from sidelog import pictures
from sidelog.arguments import check_bins, check_writable, optional_step, run_folder, wall_time_or_now
from sidelog.arrays import as_array, describe
from sidelog.connection import FLUSH_TIMEOUT_S, connect, disconnect
from sidelog.outbox import TextCall
from sidelog.pictures import GridArguments
from sidelog.plans import call_key
from sidelog.recorder import Recorder
from sidelog.settings import Settings
from sidelog.statistics import Statistics
from sidelog_shared.errors import ConfigError, SidelogError, SnapshotError
from sidelog_shared.names import check_run_name, check_tag

log = logging.getLogger("sidelog")

_writers: weakref.WeakSet[SummaryWriter] = weakref.WeakSet()
_opening = threading.Lock()


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
        self._recorder: Recorder | None = None
        self._closed_statistics = Statistics()
        over_tcp = self._settings.endpoint.startswith("tcp://")
        given = logdir if logdir is not None else log_dir
        self.logdir = run_folder(given, comment=comment, rank=rank, over_tcp=over_tcp)
        if not self._settings.enabled:
            return
        if over_tcp:
            try:
                check_run_name(self.logdir)
            except ValueError as error:
                raise ConfigError(f"logdir: {error}") from None
        else:
            check_writable(self.logdir)
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
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        recorder.add_scalar(tag, scalar_value, global_step, walltime, display_name, summary_description)

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
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(main_tag)
        if not isinstance(tag_scalar_dict, Mapping):
            raise TypeError(f"tag_scalar_dict is {type(tag_scalar_dict).__name__}, expected a dict of key -> number")
        recorder.add_scalars(main_tag, dict(tag_scalar_dict), global_step, walltime)

    def add_text(
        self, tag: str, text_string: str, global_step: int | None = None, walltime: float | None = None
    ) -> None:
        """Log text; TensorBoard renders it as markdown.

        Raises:
            TypeError, ValueError: a bad tag, step or wall time, or not a string.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        if not isinstance(text_string, str):
            raise TypeError(f"text_string is {type(text_string).__name__}, expected a string")
        step, wall_time = optional_step(global_step), wall_time_or_now(walltime)
        payload = text_string.encode(errors="replace")
        recorder.put_light(TextCall(recorder.run_id, tag, step, wall_time, payload))

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
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        bounds = value_range if value_range is None else call_key(value_range)
        old_bounds = range if range is None else call_key(range)
        grid = (nrow, padding, normalize, bounds, scale_each, pad_value, old_bounds)
        call = ("image", tag, dataformats, call_key(mean), call_key(std), grid)
        if not recorder.add_planned(call, img_tensor, global_step, walltime):
            check_tag(tag)
            what = f"add_image {tag!r}"
            selection = pictures.select_image(img_tensor, dataformats, GridArguments(*grid), mean, std, what)
            recorder.add_picture(call, img_tensor, selection, global_step, walltime)

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
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        bounds = value_range if value_range is None else call_key(value_range)
        old_bounds = range if range is None else call_key(range)
        grid = (nrow, padding, normalize, bounds, scale_each, pad_value, old_bounds)
        call = ("images", tag, dataformats, call_key(mean), call_key(std), grid)
        if not recorder.add_planned(call, img_tensor, global_step, walltime):
            check_tag(tag)
            what = f"add_images {tag!r}"
            selection = pictures.select_images(img_tensor, dataformats, GridArguments(*grid), mean, std, what)
            recorder.add_picture(call, img_tensor, selection, global_step, walltime)

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
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        bounds = value_range if value_range is None else call_key(value_range)
        old_bounds = range if range is None else call_key(range)
        grid = (nrow, padding, normalize, bounds, scale_each, pad_value, old_bounds)
        call = ("feature_map", tag, sample, grid)
        if not recorder.add_planned(call, feature_map, global_step, walltime):
            check_tag(tag)
            what = f"add_feature_map {tag!r}"
            selection = pictures.select_feature_map(feature_map, sample, GridArguments(*grid), what)
            recorder.add_picture(call, feature_map, selection, global_step, walltime)

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
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        call = ("label_map", tag, call_key(palette), num_classes, ignore_index, nrow, padding)
        if not recorder.add_planned(call, labels, global_step, walltime):
            check_tag(tag)
            grid = GridArguments(nrow=nrow, padding=padding)
            what = f"add_label_map {tag!r}"
            selection = pictures.select_label_map(labels, palette, num_classes, ignore_index, grid, what)
            recorder.add_picture(call, labels, selection, global_step, walltime)

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
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        what = f"add_histogram {tag!r}"
        array = as_array(values, what)
        if 0 in array.shape:
            raise SnapshotError(f"{what} is {describe(array)}, which is empty, expected at least one value")
        options, edges = check_bins(bins, max_bins, what)
        recorder.add_histogram(tag, array, options, edges, global_step, walltime)

    # Life

    def flush(self, pictures: bool = False, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait until the scalars and texts logged so far stand in the event files; with ``pictures``, everything.

        Raises:
            TransportError: they do not within ``timeout_s``, or no daemon can be reached.
            WriterError: the daemon cannot write this run.
        """
        recorder = self._recorder
        if recorder is not None:
            recorder.connection.flush(recorder.runs, pictures=pictures, timeout_s=timeout_s, show_progress=False)

    def close(self, timeout_s: float | None = None) -> None:
        """Wait until everything logged stands in the event files, and let go of the run. Idempotent.

        A call after it opens the run again.

        Args:
            timeout_s: how long; ``SIDELOG_EXIT_TIMEOUT`` (30 s) unless given.

        Raises:
            TransportError, WriterError: as :meth:`flush`; the run is let go of all the same.
        """
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        connection = recorder.connection
        deadline_s = self._settings.exit_timeout_s if timeout_s is None else timeout_s
        goodbye_s = 1.0
        try:
            begun = time.monotonic()
            connection.flush(recorder.runs, pictures=True, timeout_s=deadline_s, show_progress=True)
            goodbye_s = max(goodbye_s, deadline_s - (time.monotonic() - begun))
        finally:
            self._closed_statistics = connection.statistics()
            for run in recorder.runs:
                connection.close_run(run)
            disconnect(connection, goodbye_s)  # lets go of the run's folder

    def statistics(self) -> Statistics:
        """What became of the records of this process so far; of all writers that share this writer's daemon.

        After :meth:`close`: as it was then.
        """
        return self._closed_statistics if self._recorder is None else self._recorder.connection.statistics()

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
            log.warning("sidelog: %s", trouble)

    # Inside

    def _open(self) -> Recorder | None:
        """Open the run, at first and again after a fork or a close; None when logging is switched off."""
        if not self._settings.enabled:
            return None
        with _opening:
            if self._recorder is None:
                self._recorder = Recorder(*connect(self._settings, self.logdir), self.logdir)
            return self._recorder


def _after_fork_in_child() -> None:
    """The child opens a connection of its own when it first logs."""
    global _opening  # noqa: PLW0603  # the parent's may be held by a thread that does not exist here
    _opening = threading.Lock()
    for writer in list(_writers):
        writer._recorder = None


os.register_at_fork(after_in_child=_after_fork_in_child)
