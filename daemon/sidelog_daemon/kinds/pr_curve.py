"""PR_CURVE and PR_COUNTS: ``SummaryWriter.add_pr_curve`` and ``add_pr_curve_raw``."""

from __future__ import annotations

import numpy as np

from sidelog_daemon.kinds import fields
from sidelog_daemon.kinds.content import Content
from sidelog_daemon.render.tensors import Array
from sidelog_daemon.sink import summaries
from sidelog_daemon.tensorboardx import summary
from sidelog_shared.errors import MalformedHeader, SnapshotError
from sidelog_shared.records import Record

_MANY = 2**31 - 1
_ROUNDING = 1e-5
"""A mean of probabilities may be above 1 by so much, in float32; nobody needs to hear of that."""


def pr_curve_content(record: Record) -> Content:
    """Counted here from labels and predictions of any shape, as many, and weights: as many, or one for all.

    Predictions that are NaN are left out, those outside 0..1 count as 0 or 1, both with a warning: tensorboardX writes
    a curve of them that is wrong without saying so.

    Raises:
        MalformedHeader: not two or three buffers, or no number of thresholds.
        SnapshotError: other numbers of elements; labels or weights that are NaN or infinite.
    """
    fields.check_count(record, 2, 3)
    num_thresholds = fields.options(record).integer("num_thresholds", 1, _MANY)
    labels, predictions, *rest = (fields.tensor(record, index).reshape(-1) for index in range(len(record.specs)))
    if labels.size != predictions.size:
        raise SnapshotError(f"labels have {labels.size:,} elements and predictions {predictions.size:,}, "
                            f"expected as many")  # fmt: skip
    _check_finite("labels", labels)
    weights: Array | None = None
    for given in rest:
        if given.size not in (1, labels.size):
            raise SnapshotError(f"weights have {given.size:,} elements, expected {labels.size:,} or 1")
        _check_finite("weights", given)
        weights = given
    warnings = []
    missing = np.isnan(predictions)
    if missing.any():
        warnings.append(f"{np.count_nonzero(missing):,} of {predictions.size:,} predictions are NaN, left out")
        if weights is not None and weights.size == labels.size:
            weights = weights[~missing]
        labels, predictions = labels[~missing], predictions[~missing]
    outside = np.count_nonzero(np.less(predictions, -_ROUNDING) | np.greater(predictions, 1 + _ROUNDING))
    if outside:
        warnings.append(f"{outside:,} of {predictions.size:,} predictions are outside 0..1, counted as 0 or 1")
    message = summary.pr_curve(record.tag, labels, np.clip(predictions, 0, 1), num_thresholds, weights)
    event = summaries.summary_event(message, record.step, record.wall_time)
    return Content((event,), warning="; ".join(warnings))


def pr_counts_content(record: Record) -> Content:
    """A curve that was counted already: float64 ``[6, n]``.

    Raises:
        MalformedHeader: another buffer, or no number of thresholds.
    """
    fields.check_count(record, 1)
    num_thresholds = fields.options(record).integer("num_thresholds", 1, _MANY)
    counts = fields.doubles(record, 0, "counts")
    if counts.ndim != 2 or len(counts) != 6:
        raise MalformedHeader(f"PR_COUNTS.counts has shape {list(counts.shape)}, expected [6, n]: true positives, "
                              f"false positives, true negatives, false negatives, precision, recall")  # fmt: skip
    message = summary.pr_curve_raw(record.tag, *counts, num_thresholds)
    return Content((summaries.summary_event(message, record.step, record.wall_time),))


def _check_finite(name: str, values: Array) -> None:
    wrong = values.size - np.count_nonzero(np.isfinite(values))
    if wrong:
        raise SnapshotError(f"{wrong:,} of {values.size:,} {name} are NaN or infinite, expected numbers")
