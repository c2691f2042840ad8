"""The plot of ``--plot``: the time of each step over time, the fault shaded, with logging beside without."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sidelog.bench.blocks import OFF, SIDELOG
from sidelog.bench.faults.phases import DURING, FaultyTraining
from sidelog.bench.plot import COLORS

_GREY = "#9a9a9a"
_LABELS = {OFF: "without logging", SIDELOG: "with sidelog"}


def plot(trainings: Sequence[FaultyTraining], path: Path) -> None:
    """Write a picture of the step times; one axis for each fault.

    Args:
        trainings: at least one.
        path: where; the ending says the format.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # no display
    from matplotlib import pyplot
    from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

    figure, axes = pyplot.subplots(len(trainings), 1, figsize=(10, 2.6 * len(trainings)), squeeze=False)
    highest = max(float(np.max(one.took_s)) for training in trainings for one in training.series)
    for axis, training in zip(axes[:, 0], trainings, strict=True):
        for arm, color in ((OFF, _GREY), (SIDELOG, COLORS[SIDELOG])):
            shown = [
                (begun_s, 1e3 * took_s)
                for series in training.series
                for begun_s, took_s, one in zip(series.begun_s, series.took_s, series.arms, strict=True)
                if one == arm
            ]
            axis.plot(*zip(*shown, strict=True), ".", markersize=2.5, color=color, label=_LABELS[arm], rasterized=True)
        for series in training.series:
            if series.phase == DURING:
                axis.axvspan(series.from_s, series.to_s, color="#d95f02", alpha=0.12, label="the fault")
        axis.set_yscale("log")
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(ScalarFormatter())
        axis.yaxis.set_minor_formatter(NullFormatter())
        axis.set_ylim(top=1.5e3 * highest)
        axis.set_title(f"{training.fault}: {training.summary}", fontsize=9, loc="left")
        axis.set_ylabel("step (ms)")
    axes[0, 0].legend(loc="upper right", fontsize=8, markerscale=3, ncols=3)
    axes[-1, 0].set_xlabel("time (s)")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
