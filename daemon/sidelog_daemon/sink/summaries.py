"""Serialized events, equal to what tensorboardX's ``SummaryWriter`` writes for the same call.

Pure functions over finished values: a picture arrives as PNG, a histogram as counts. ``step=None`` leaves the field
unset, as tensorboardX does. Tags of scalars, pictures and histograms are cleaned as tensorboardX cleans them
(``sidelog_shared.names.clean_tag``); text tags are not, there as here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from sidelog_daemon.tensorboardx import event_pb2, summary, summary_pb2
from sidelog_shared.limits import STEP_NONE
from sidelog_shared.names import clean_tag
from sidelog_shared.records import ScalarForm, Series


def summary_event(content: Any, step: int | None, wall_time: float) -> bytes:
    """An event that holds ``content``, a ``Summary`` message.

    Args:
        content: a tensorboardX ``Summary``.
        step: int64, or None.
        wall_time: seconds since the epoch, finite.

    Raises:
        ValueError: the wall time is NaN or infinite: TensorBoard's fast reader gives a file up at a NaN, its pages
            cannot show the others.
    """
    return _serialized(event_pb2.Event(summary=content), step, wall_time)


def scalar_event(
    tag: str, value: float, step: int | None, wall_time: float, *, display_name: str = "", description: str = ""
) -> bytes:
    """``SummaryWriter.add_scalar``; TensorBoard keeps float32."""
    event = _scalar_message(tag, display_name, description)
    event.summary.value[0].simple_value = value
    return _serialized(event, step, wall_time)


def scalar_events(
    series: Sequence[Series],
    index: Iterable[int],
    steps: Iterable[int | None],
    wall_times: Iterable[float],
    values: Iterable[float],
) -> list[bytes]:
    """Many scalars at once, from columns of equal length.

    Columns are of Python's numbers: an array's ``tolist()`` is faster by far than its elements.

    Args:
        series: what the rows name, and the form in which they are written: ``SIMPLE`` as tensorboardX does, the
            others as torch's ``add_scalar(new_style=True)`` does, with ``double_precision`` or without.
        index: which of ``series`` each row belongs to.
        steps: int64; None or ``limits.STEP_NONE`` for no step.
        wall_times: seconds since the epoch, finite.
        values: float64; TensorBoard keeps float32.

    Raises:
        ValueError: the columns differ in length, or a wall time is NaN or infinite.
    """
    isfinite = math.isfinite
    messages: dict[int, tuple[Any, Any, Any]] = {}  # one message per series, filled again for each row
    events = []
    for which, step, wall_time, value in zip(index, steps, wall_times, values, strict=True):
        if not isfinite(wall_time):
            raise _bad_wall_time(wall_time)
        message = messages.get(which)
        if message is None:
            one = series[which]
            event = _scalar_message(one.tag, one.display_name, one.description)
            scalar = event.summary.value[0]
            message = messages[which] = (event, scalar, _tensor_numbers(scalar, one.form))
        event, scalar, numbers = message
        event.wall_time = wall_time
        event.step = 0 if step is None or step == STEP_NONE else step  # 0 is not written: the same as unset
        if numbers is None:
            scalar.simple_value = value
        else:
            numbers[0] = value
        events.append(event.SerializeToString())
    return events


def text_event(tag: str, text: str, step: int | None, wall_time: float) -> bytes:
    """``SummaryWriter.add_text``: the tag gets ``/text_summary`` and is not cleaned."""
    return summary_event(summary.text(tag, text), step, wall_time)


def image_event(  # the order of the fields of Summary.Image, then of SummaryWriter's calls
    tag: str,
    encoded: bytes,
    width: int,
    height: int,
    colorspace: int,
    step: int | None,
    wall_time: float,
) -> bytes:
    """``SummaryWriter.add_image``, of a finished picture.

    Args:
        tag: cleaned here.
        encoded: PNG, JPEG or GIF bytes.
        width: in pixels.
        height: in pixels.
        colorspace: number of channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        step: int64, or None.
        wall_time: seconds since the epoch, finite.
    """
    event = event_pb2.Event()
    value = event.summary.value.add(tag=clean_tag(tag))
    picture = value.image
    picture.height, picture.width, picture.colorspace = height, width, colorspace
    picture.encoded_image_string = encoded
    return _serialized(event, step, wall_time)


def histogram_event(tag: str, histogram: Any, step: int | None, wall_time: float) -> bytes:
    """``SummaryWriter.add_histogram``, of a finished ``HistogramProto``."""
    value = summary_pb2.Summary.Value(tag=clean_tag(tag), histo=histogram)
    return summary_event(summary_pb2.Summary(value=[value]), step, wall_time)


def graph_event(graph: bytes, step: int | None, wall_time: float) -> bytes:
    """``SummaryWriter.add_onnx_graph``, of a serialized ``GraphDef``."""
    return _serialized(event_pb2.Event(graph_def=graph), step, wall_time)


def file_version_event(wall_time: float, step: int | None = None) -> bytes:
    """How every event file begins; with a step, the first of the two events of a ``purge_step``."""
    return _serialized(event_pb2.Event(file_version="brain.Event:2"), step, wall_time)


def session_start_event(step: int, wall_time: float) -> bytes:
    """``SessionLog.START``: TensorBoard drops what it read before with this step or a larger one."""
    log = event_pb2.SessionLog(status=event_pb2.SessionLog.START)
    return _serialized(event_pb2.Event(session_log=log), step, wall_time)


def with_step(event: bytes, step: int) -> bytes:
    """A serialized event that has no step, with one: fields of a message may stand one after the other."""
    added: bytes = event_pb2.Event(step=step).SerializeToString()
    return event + added


def _scalar_message(tag: str, display_name: str, description: str) -> Any:
    event = event_pb2.Event()
    scalar = event.summary.value.add(tag=clean_tag(tag))
    if display_name or description:
        scalar.metadata.display_name = display_name
        scalar.metadata.summary_description = description
    return event


def _tensor_numbers(value: Any, form: ScalarForm) -> Any:
    """Make ``value`` a tensor of one number; returns the list to put it into, or None for ``simple_value``."""
    if form is ScalarForm.SIMPLE:
        return None
    value.metadata.plugin_data.plugin_name = "scalars"
    value.tensor.dtype = "DT_FLOAT" if form is ScalarForm.FLOAT else "DT_DOUBLE"
    numbers = value.tensor.float_val if form is ScalarForm.FLOAT else value.tensor.double_val
    numbers.append(0.0)
    return numbers


def _serialized(event: Any, step: int | None, wall_time: float) -> bytes:
    if not math.isfinite(wall_time):
        raise _bad_wall_time(wall_time)
    event.wall_time = wall_time
    if step is not None:
        event.step = int(step)
    data: bytes = event.SerializeToString()
    return data


def _bad_wall_time(wall_time: float) -> ValueError:
    return ValueError(f"wall time is {wall_time}, expected finite seconds since the epoch")
