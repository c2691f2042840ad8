"""Distributions: histograms and precision-recall curves, to be counted in the daemon or counted already."""

from __future__ import annotations

from sidelog.arguments import check_bins
from sidelog.arrays import as_array, describe
from sidelog.media import numbers, select_pr_curve
from sidelog.snapshot import kept_numbers
from sidelog.writer.handle import WriterHandle
from sidelog_shared.dtypes import FLOAT64
from sidelog_shared.errors import SnapshotError
from sidelog_shared.names import check_tag
from sidelog_shared.records import Kind


class DistributionCalls(WriterHandle):
    """See :class:`sidelog.SummaryWriter`."""

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
        if self._defaults is not None:
            global_step, walltime = self._moment(global_step, walltime)
        recorder.add_histogram(tag, array, options, edges, global_step, walltime)

    def add_histogram_raw(
        self,
        tag: str,
        min: float,
        max: float,
        num: float,
        sum: float,
        sum_squares: float,
        bucket_limits: object,
        bucket_counts: object,
        global_step: int | None = None,
        walltime: float | None = None,
    ) -> None:
        """Log a distribution that is counted already.

        Args:
            tag: name of the histogram.
            min: smallest value.
            max: largest value.
            num: how many values.
            sum: of the values.
            sum_squares: of their squares.
            bucket_limits: upper limit of each bucket, as TensorBoard reads them.
            bucket_counts: values in each, as many.
            global_step: step; None leaves it unset.
            walltime: seconds since the epoch; None takes now.

        Raises:
            ValueError: not as many counts as limits; a bad tag, step or wall time.
            SnapshotError: not numbers.
            TypeError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        what = f"add_histogram_raw {tag!r}"
        step, wall_time = self._moment(global_step, walltime)
        limits, counts = numbers(bucket_limits, f"{what}: bucket_limits"), numbers(bucket_counts, f"{what}: counts")
        length = len(limits) // FLOAT64.itemsize
        if len(limits) != len(counts):
            raise ValueError(
                f"{what} has {length} bucket_limits and {len(counts) // FLOAT64.itemsize} bucket_counts, expected as "
                "many"
            )
        facts = numbers([float(one) for one in (min, max, num, sum, sum_squares)], what)
        snapshots = (kept_numbers(limits, length), kept_numbers(counts, length), kept_numbers(facts, 5))
        recorder.add_light(Kind.BUCKETS, tag, step, wall_time, {}, snapshots)

    def add_pr_curve(
        self,
        tag: str,
        labels: object,
        predictions: object,
        global_step: int | None = None,
        num_thresholds: int | None = 127,
        weights: object = None,
        walltime: float | None = None,
    ) -> None:
        """Log a precision-recall curve; the daemon counts it.

        Args:
            tag: name of the curve.
            labels: truth, 0 or 1, of any shape.
            predictions: 0..1, as many.
            global_step: step; None leaves it unset.
            num_thresholds: at most 127.
            weights: as many, or one number.
            walltime: seconds since the epoch; None takes now.

        Raises:
            SnapshotError: not as many.
            ConfigError: a number of thresholds that cannot be.
            TypeError, ValueError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        step, wall_time = self._moment(global_step, walltime)
        chosen = select_pr_curve(labels, predictions, weights, num_thresholds, f"add_pr_curve {tag!r}")
        recorder.add_heavy(Kind.PR_CURVE, tag, step, wall_time, chosen.options, chosen.arrays)

    def add_pr_curve_raw(
        self,
        tag: str,
        true_positive_counts: object,
        false_positive_counts: object,
        true_negative_counts: object,
        false_negative_counts: object,
        precision: object,
        recall: object,
        global_step: int | None = None,
        num_thresholds: int | None = 127,
        weights: object = None,
        walltime: float | None = None,
    ) -> None:
        """Log a precision-recall curve that is counted already, by threshold.

        Args:
            tag: name of the curve.
            true_positive_counts: one number per threshold, as are the following.
            false_positive_counts: see there.
            true_negative_counts: see there.
            false_negative_counts: see there.
            precision: see there.
            recall: see there.
            global_step: step; None leaves it unset.
            num_thresholds: at most 127.
            weights: without effect, as in tensorboardX.
            walltime: seconds since the epoch; None takes now.

        Raises:
            ValueError: columns of different lengths; a bad tag, step or wall time.
            SnapshotError: not numbers.
            TypeError: a bad tag, step or wall time.
        """
        recorder = self._recorder or self._open()
        if recorder is None:
            return
        check_tag(tag)
        what = f"add_pr_curve_raw {tag!r}"
        step, wall_time = self._moment(global_step, walltime)
        given = (true_positive_counts, false_positive_counts, true_negative_counts, false_negative_counts, precision,
                 recall)  # fmt: skip
        columns = [numbers(column, what) for column in given]
        lengths = [len(column) // FLOAT64.itemsize for column in columns]
        if len(set(lengths)) != 1:
            raise ValueError(f"{what} has columns of {lengths} numbers, expected as many each")
        options: dict[str, object] = {"num_thresholds": int(num_thresholds or lengths[0])}
        snapshot = kept_numbers(b"".join(columns), len(columns), lengths[0])
        recorder.add_light(Kind.PR_COUNTS, tag, step, wall_time, options, (snapshot,))
