"""One writer for all modules and forked processes of a program, which counts the steps itself."""

from __future__ import annotations

import os
import threading
from typing import Literal, cast

from sidelog.arguments import NextStep
from sidelog.writer.file_writer import FileWriter
from sidelog.writer.summary_writer import SummaryWriter

_NEXT = cast("int", NextStep())
_shared: GlobalSummaryWriter | None = None
_sharing = threading.RLock()


class GlobalSummaryWriter:
    """tensorboardX's writer without steps: each tag's calls are numbered 0, 1, 2, ... as they arrive.

    The daemon counts, so that processes that log one tag together need no lock and no common memory, and their steps
    still rise. A process that was forked goes on with the same writer.

    Args:
        logdir: as :class:`sidelog.SummaryWriter`, and so are the following.
        comment: see there.
        purge_step: see there.
        max_queue: see there.
        flush_secs: see there.
        filename_suffix: see there.
        write_to_disk: see there.
        log_dir: see there.
        coalesce_process: without effect, as in tensorboardX.
        endpoint: see there.
        rank: see there.

    Attributes:
        smw: the writer behind it.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str] | None = None,
        comment: str = "",
        purge_step: int | None = None,
        max_queue: int = 10,
        flush_secs: int = 120,
        filename_suffix: str = "",
        write_to_disk: bool = True,
        log_dir: str | os.PathLike[str] | None = None,
        coalesce_process: bool = True,
        *,
        endpoint: str | None = None,
        rank: int | Literal["auto"] | None = "auto",
    ) -> None:
        self.smw = SummaryWriter(
            logdir,
            comment,
            purge_step,
            max_queue,
            flush_secs,
            filename_suffix,
            write_to_disk,
            log_dir,
            endpoint=endpoint,
            rank=rank,
        )

    @staticmethod
    def getSummaryWriter() -> GlobalSummaryWriter:  # noqa: N802  # tensorboardX's name
        """The program's one writer; made at the first call, in the default folder, if there is none."""
        global _shared  # noqa: PLW0603  # that is what it is
        with _sharing:
            if _shared is None:
                _shared = GlobalSummaryWriter()
            return _shared

    @property
    def file_writer(self) -> FileWriter:
        """See :attr:`sidelog.SummaryWriter.file_writer`."""
        return self.smw.file_writer

    def add_scalar(self, tag: str, scalar_value: object, walltime: float | None = None) -> None:
        """Log one number; see :meth:`sidelog.SummaryWriter.add_scalar`."""
        self.smw.add_scalar(tag, scalar_value, _NEXT, walltime)

    def add_image(self, tag: str, img_tensor: object, walltime: float | None = None, dataformats: str = "CHW") -> None:
        """Log a picture; see :meth:`sidelog.SummaryWriter.add_image`. One that is dropped takes no number."""
        self.smw.add_image(tag, img_tensor, _NEXT, walltime, dataformats)

    def add_text(self, tag: str, text_string: str, walltime: float | None = None) -> None:
        """Log text; see :meth:`sidelog.SummaryWriter.add_text`."""
        self.smw.add_text(tag, text_string, _NEXT, walltime)

    def close(self) -> None:
        """Wait until everything logged here stands in the event files; see :meth:`sidelog.SummaryWriter.close`."""
        self.smw.close()


def _after_fork_in_child() -> None:
    global _sharing  # noqa: PLW0603  # the parent's may be held by a thread that does not exist here
    _sharing = threading.RLock()


os.register_at_fork(after_in_child=_after_fork_in_child)
