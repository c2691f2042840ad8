"""Which function makes which kind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from sidelog_daemon.config import MAX_PIXELS
from sidelog_daemon.kinds.audio import audio_content
from sidelog_daemon.kinds.boxes import boxes_content
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.kinds.embedding import embedding_content
from sidelog_daemon.kinds.histogram import buckets_content, histogram_content
from sidelog_daemon.kinds.hparams import hparams_content
from sidelog_daemon.kinds.layout import layout_content
from sidelog_daemon.kinds.mesh import mesh_content
from sidelog_daemon.kinds.onnx import onnx_content
from sidelog_daemon.kinds.picture import picture_content
from sidelog_daemon.kinds.pr_curve import pr_counts_content, pr_curve_content
from sidelog_daemon.kinds.purge import purge_content
from sidelog_daemon.kinds.summary import summary_content
from sidelog_daemon.kinds.tensor import tensor_content
from sidelog_daemon.kinds.text import text_content
from sidelog_daemon.kinds.video import video_content
from sidelog_shared.limits import STEP_NEXT
from sidelog_shared.records import Kind, Record

_MAKERS: Mapping[Kind, Callable[[Record], Content]] = {
    Kind.TEXT: text_content,
    Kind.HISTOGRAM: histogram_content,
    Kind.BOXES: boxes_content,
    Kind.HPARAMS: hparams_content,
    Kind.LAYOUT: layout_content,
    Kind.BUCKETS: buckets_content,
    Kind.PR_COUNTS: pr_counts_content,
    Kind.PURGE: purge_content,
    Kind.PR_CURVE: pr_curve_content,
    Kind.AUDIO: audio_content,
    Kind.VIDEO: video_content,
    Kind.MESH: mesh_content,
    Kind.EMBEDDING: embedding_content,
    Kind.TENSOR: tensor_content,
    Kind.ONNX: onnx_content,
    Kind.SUMMARY: summary_content,
}


def make_content(record: Record, *, max_pixels: int = MAX_PIXELS) -> Content:
    """What ``record`` becomes on disk.

    Where its step is the next one, the events have none yet: the writer thread, which counts, adds it.

    Args:
        record: of any kind but scalars.
        max_pixels: of a picture, see :class:`~sidelog_daemon.config.DaemonConfig`.

    Raises:
        SidelogError: it cannot be written (``MalformedHeader``, ``SnapshotError``, ``MissingExtra``); says what, got
            and expected.
    """
    if record.step == STEP_NEXT:
        record = dataclasses.replace(record, step=None)
    if record.kind is Kind.PICTURE:
        return picture_content(record, max_pixels=max_pixels)
    return _MAKERS[record.kind](record)
