"""``writer.file_writer``: how programs hand over a summary that they have put together themselves.

Lightning's logger and many recipes make a ``Summary`` message with tensorboardX's or torch's own functions and call
``writer.file_writer.add_summary`` or ``writer._get_file_writer().add_summary``.
"""

from __future__ import annotations

from collections.abc import Sized
from contextlib import AbstractContextManager
from typing import Protocol

from sidelog.snapshot import kept_bytes
from sidelog.writer.handle import WriterHandle
from sidelog_shared.errors import SnapshotError
from sidelog_shared.limits import PART_BYTES
from sidelog_shared.records import Kind


class Summary(Protocol):
    """A ``Summary`` message of any library's."""

    value: Sized

    def SerializeToString(self) -> bytes: ...  # noqa: N802  # protobuf's name


class Event(Protocol):
    """An ``Event`` message of any library's."""

    step: int
    summary: Summary

    def WhichOneof(self, group: str) -> str | None: ...  # noqa: N802  # protobuf's name


class FileWriter:
    """What tensorboardX's and torch's writers have as ``file_writer``, on top of this one's run.

    Args:
        writer: whose run it is.
    """

    def __init__(self, writer: SummaryCalls) -> None:
        self._writer = writer

    def get_logdir(self) -> str:
        """The folder of the run, as it was given."""
        return self._writer.logdir

    def add_summary(self, summary: Summary, global_step: int | None = None, walltime: float | None = None) -> None:
        """Log a ``Summary`` message as it is; reliable, like a scalar.

        Args:
            summary: with at least one value; a message of tensorboardX's, TensorBoard's or TensorFlow's.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.

        Raises:
            SnapshotError: not a ``Summary``, or one without values.
            TypeError, ValueError: a bad step or wall time.
        """
        self._writer._add_summary(_checked(summary), global_step, walltime)

    def add_event(self, event: Event, step: int | None = None, walltime: float | None = None) -> None:
        """Log the summary of an ``Event`` message. Its own wall time does not count, as in tensorboardX.

        Args:
            event: an event that holds a summary.
            step: step; None takes the event's own.
            walltime: seconds since the epoch; None takes now.

        Raises:
            SnapshotError: something else than an event, or one of another kind.
            TypeError, ValueError: a bad step or wall time.
        """
        if not all(hasattr(event, name) for name in ("step", "summary", "WhichOneof")):
            raise SnapshotError(f"add_event is given {type(event).__name__}, expected an Event message")
        if (content := event.WhichOneof("what")) != "summary":
            raise SnapshotError(f"add_event is given an event with {content or 'nothing'} in it, expected a summary; "
                                "a training that begins again is told by SummaryWriter(purge_step=)")  # fmt: skip
        # Of its own a 0 may be one that was never set: protobuf does not tell.
        self.add_summary(event.summary, (event.step or None) if step is None else step, walltime)

    def use_metadata(
        self, *, global_step: int | None = None, walltime: float | None = None
    ) -> AbstractContextManager[object]:
        """See :meth:`sidelog.SummaryWriter.use_metadata`."""
        return self._writer.use_metadata(global_step=global_step, walltime=walltime)

    def flush(self) -> None:
        """See :meth:`sidelog.SummaryWriter.flush`."""
        self._writer.flush()

    def close(self) -> None:
        """See :meth:`sidelog.SummaryWriter.close`."""
        self._writer.close()

    def reopen(self) -> None:
        """Nothing: the next call opens the run again."""


def _checked(summary: Summary) -> bytes:
    values = getattr(summary, "value", None)
    if not isinstance(values, Sized) or not hasattr(summary, "SerializeToString"):
        raise SnapshotError(f"add_summary is given {type(summary).__name__}, expected a Summary message")
    if not values:
        raise SnapshotError("add_summary is given a Summary message without values, expected at least one")
    return summary.SerializeToString()


class SummaryCalls(WriterHandle):
    """See :class:`sidelog.SummaryWriter`."""

    @property
    def file_writer(self) -> FileWriter:
        """For programs that put ``Summary`` messages together themselves, as in tensorboardX."""
        return FileWriter(self)

    def _get_file_writer(self) -> FileWriter:
        """``file_writer``, as programs call it that know tensorboardX's inside."""
        return FileWriter(self)

    def _add_summary(self, summary: bytes, global_step: object, walltime: object) -> None:
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        step, wall_time = self._moment(global_step, walltime)
        if len(summary) > PART_BYTES:  # a picture, say: it travels in parts, which scalars must not wait for
            recorder.add_heavy(Kind.SUMMARY, "summary", step, wall_time, {}, [summary])
        else:
            recorder.add_light(Kind.SUMMARY, "summary", step, wall_time, {}, (kept_bytes(summary),))
