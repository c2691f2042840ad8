"""The plot of ``--plot``: each pair's slowdown, and what the calls of a step cost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sidelog.bench.blocks import INLINE, SIDELOG
from sidelog.bench.figures import Measurement

COLORS = {INLINE: "#d95f02", SIDELOG: "#1b9e77"}


def plot(measurements: Sequence[Measurement], path: Path) -> None:
    """Write a picture of the workloads' slowdowns; nothing where no workload was measured.

    Args:
        measurements: of one run of the bench.
        path: where; the ending says the format.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # no display
    from matplotlib import pyplot

    shown = [part for part in measurements if "slowdown_by_pair" in part.raw]
    if not shown:
        return
    figure, axes = pyplot.subplots(1, len(shown), figsize=(4.5 * len(shown), 4), squeeze=False)
    for axis, part in zip(axes[0], shown, strict=True):
        by_pair = part.raw["slowdown_by_pair"]
        assert isinstance(by_pair, dict)
        for arm in (INLINE, SIDELOG):
            percent = [100 * value for value in by_pair[arm]]
            axis.plot(range(1, len(percent) + 1), percent, "o", markersize=4, color=COLORS[arm], label=arm)
        axis.axhline(0, color="grey", linewidth=0.8)
        axis.set_yscale("symlog", linthresh=1)
        axis.set_title(part.name)
        axis.set_xlabel("pair")
        axis.set_ylabel("slowdown (%)")
        axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)
