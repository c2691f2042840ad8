"""The life of a writer: where it logs to, when its run is open, what it waits for. What it logs is beside this.

Nothing here draws, encodes or writes: that is the daemon's.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Literal

from sidelog.arguments import (
    absolute_folder,
    check_timeout,
    check_writable,
    optional_step,
    run_folder,
    wall_time_or_now,
)
from sidelog.connection import FLUSH_TIMEOUT_S
from sidelog.policies import Policies
from sidelog.process import connect, disconnect
from sidelog.recorder import Recorder
from sidelog.scalar_history import ScalarHistory
from sidelog.settings import Settings
from sidelog.statistics import Statistics
from sidelog_shared.errors import ConfigError, SidelogError
from sidelog_shared.names import check_run_name

if TYPE_CHECKING:
    from typing_extensions import Self

log = logging.getLogger("sidelog")

GOODBYE_S = 1.0
"""So long a closing connection may take at least, to say goodbye and to let go of its folders."""

_handles: weakref.WeakSet[WriterHandle] = weakref.WeakSet()
_opening = threading.RLock()


class WriterHandle:
    """A handle on one run; see :class:`sidelog.SummaryWriter` for the arguments."""

    def __init__(
        self,
        logdir: str | os.PathLike[str] | None = None,
        comment: str | None = "",
        purge_step: int | None = None,
        max_queue: int | None = 10,
        flush_secs: int | None = 120,
        filename_suffix: str | None = "",
        write_to_disk: bool | None = True,
        log_dir: str | os.PathLike[str] | None = None,
        comet_config: dict[str, object] | None = None,
        *,
        endpoint: str | None = None,
        rank: int | Literal["auto"] | None = "auto",
    ) -> None:
        self._settings = Settings.read(endpoint=endpoint)
        self._recorder: Recorder | None = None
        self._closed_statistics = Statistics()
        self._history = ScalarHistory()
        self._policies = Policies()
        self._defaults: tuple[int | None, float | None] | None = None
        self.purge_step = optional_step(purge_step)
        self._purged = purge_step is None
        if comet_config is not None and not comet_config.get("disabled", False):
            raise ConfigError("comet_config is given, expected None: sidelog writes event files alone")
        self._enabled = self._settings.enabled and bool(write_to_disk)
        over_tcp = self._settings.endpoint.startswith("tcp://")
        given = logdir if logdir is not None else log_dir
        self.logdir = run_folder(given, comment=comment or "", rank=rank, over_tcp=over_tcp)
        self._folder = self.logdir if over_tcp else absolute_folder(self.logdir)
        if not self._enabled:
            return
        if over_tcp:
            try:
                check_run_name(self._folder)
            except ValueError as error:
                raise ConfigError(f"logdir: {error}") from None
        else:
            check_writable(self._folder)
            # Two names of one folder are one run: what is logged under both stands in the order of the calls.
            self._folder = os.path.realpath(self._folder)
        self._open()
        _handles.add(self)

    @property
    def log_dir(self) -> str:
        """``logdir``, as torch's writer calls it."""
        return self.logdir

    def get_logdir(self) -> str:
        """The folder of the run, as it was given; of rank k its sub-folder."""
        return self.logdir

    @contextmanager
    def use_metadata(self, *, global_step: int | None = None, walltime: float | None = None) -> Iterator[Self]:
        """Give a step and a wall time to the calls of a ``with`` block that give none themselves.

        As in tensorboardX, ``add_scalars`` and ``add_hparams`` are not concerned: they write other runs.

        Raises:
            ConfigError: neither is given, or such a block is open already.
            TypeError, ValueError: a bad step or wall time.
        """
        if global_step is None and walltime is None:
            raise ConfigError("use_metadata has neither global_step nor walltime, expected at least one")
        if self._defaults is not None:
            raise ConfigError("use_metadata is in use already, expected one block at a time")
        self._defaults = (optional_step(global_step), None if walltime is None else wall_time_or_now(walltime))
        try:
            yield self
        finally:
            self._defaults = None

    def policy(self, pattern: str, *, keep: Literal["latest", "all"] = "latest", every: int = 1) -> None:
        """Say how pictures and histograms of some tags are logged by this writer from now on.

        Args:
            pattern: a tag, or several by ``*``, ``?`` and ``[...]`` as in file names; ``"layer*"``. Of two that fit,
                the one that was said last counts.
            keep: ``"latest"`` drops the oldest under pressure, as without a policy. ``"all"`` drops none: they are
                kept until they are written, in the memory for audio and video (``SIDELOG_HEAVY_MB``) and then in the
                spool; a call waits while both are full, 30 s at most.
            every: of so many calls of a tag the first is logged, and the others return at once.

        Raises:
            ConfigError: an argument that cannot be.
        """
        self._policies.add(pattern, keep, every)

    def flush(self, pictures: bool = False, timeout_s: float = FLUSH_TIMEOUT_S) -> None:
        """Wait until the scalars and texts logged so far stand in the event files; with ``pictures``, everything.

        Raises:
            ConfigError: ``timeout_s`` is not a number of seconds.
            TransportError: they do not within ``timeout_s``, or no daemon can be reached.
            WriterError: the daemon cannot write this run.
        """
        recorder = self._recorder
        if recorder is not None:
            timeout_s = check_timeout(timeout_s)
            recorder.connection.flush(recorder.awaited, everything=pictures, timeout_s=timeout_s, show_progress=False)

    def close(self, timeout_s: float | None = None) -> None:
        """Wait until everything logged stands in the event files, and let go of the run. Idempotent.

        A call after it opens the run again.

        Args:
            timeout_s: how long; ``SIDELOG_EXIT_TIMEOUT`` (30 s) unless given.

        Raises:
            ConfigError: as :meth:`flush`; the writer stays open.
            TransportError, WriterError: as :meth:`flush`; the run is let go of all the same.
        """
        is_default = timeout_s is None or self._recorder is None
        deadline_s = self._settings.exit_timeout_s if is_default else check_timeout(timeout_s)
        recorder, self._recorder = self._recorder, None
        if recorder is None:
            return
        connection = recorder.connection
        if (
            connection.runs_here
        ):  # in a finalizer: it would wait for itself, so the rest is left to the end of the process
            for run in recorder.runs:
                connection.close_run(run)
            self._closed_statistics = connection.statistics()
            return
        until = time.monotonic() + deadline_s
        goodbye_s = GOODBYE_S
        try:
            connection.flush(recorder.awaited, everything=True, timeout_s=deadline_s, show_progress=True)
        except SidelogError:
            until = 0.0  # it is given up: nothing is left to wait for
            if connection.waits_in_vain:
                goodbye_s = 0.0  # and nobody to say goodbye to
            raise
        except BaseException:
            goodbye_s = until = 0.0  # Ctrl-C: nobody wants to wait
            raise
        finally:
            for run in recorder.runs:
                connection.close_run(run)
            try:
                disconnect(connection, max(goodbye_s, until - time.monotonic()))  # lets go of the run's folder
            finally:
                self._closed_statistics = connection.statistics()

    def statistics(self) -> Statistics:
        """What became of the records of this process so far; of all writers that share this writer's daemon.

        After :meth:`close`: as it was then.
        """
        return self._closed_statistics if self._recorder is None else self._recorder.connection.statistics()

    def __enter__(self) -> Self:
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
        if not self._enabled:
            return None
        with _opening:
            if self._recorder is None:
                connection, run = connect(self._settings, self._folder)
                if self._recorder is not None:  # a call that interrupted this one was faster
                    connection.close_run(run)
                    return self._recorder
                recorder = Recorder(connection, run, self._folder, self._policies)
                if not self._purged:  # once: not again after a close, nor in a forked child
                    self._purged = True
                    recorder.purge(self.purge_step)
                self._recorder = recorder
            return self._recorder

    def _moment(self, global_step: object, walltime: object) -> tuple[int | None, float]:
        """Step and wall time of a call, :meth:`use_metadata`'s where it gives none; checked."""
        if self._defaults is not None:
            global_step = self._defaults[0] if global_step is None else global_step
            walltime = self._defaults[1] if walltime is None else walltime
        return optional_step(global_step), wall_time_or_now(walltime)


def _after_fork_in_child() -> None:
    """The child opens a connection of its own when it first logs."""
    global _opening  # noqa: PLW0603  # the parent's may be held by a thread that does not exist here
    _opening = threading.RLock()
    for handle in list(_handles):
        handle._recorder = None


os.register_at_fork(after_in_child=_after_fork_in_child)
