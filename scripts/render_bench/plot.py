"""The plot of ``--plot``: how many times faster each case is, and where the time goes in both pipelines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from render_bench.arms import SIDELOG, TENSORBOARDX
from render_bench.stages import STAGES, Profile
from render_bench.timing import Comparison
from sidelog.bench.blocks import SIDELOG as OURS
from sidelog.bench.plot import COLORS


def plot(comparisons: Sequence[Comparison], profiles: Sequence[Profile], path: Path) -> None:
    """Write a picture; of stages nothing where none were measured.

    Args:
        comparisons: at least one.
        profiles: of some of the same cases.
        path: where; the ending says the format.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # no display
    from matplotlib import pyplot

    shown = [one for one in profiles if one.case.goal is not None]
    figure, axes = pyplot.subplots(
        2 if shown else 1, 1, figsize=(10, 0.42 * len(comparisons) + 1 + 0.6 * len(shown)), squeeze=False,
        height_ratios=[len(comparisons), 1.5 * len(shown)] if shown else None,
    )  # fmt: skip
    axis = axes[0, 0]
    values = [one.ratio.value for one in comparisons]
    errors = [
        [one.ratio.value - one.ratio.low for one in comparisons],
        [one.ratio.high - one.ratio.value for one in comparisons],
    ]
    names = [one.case.name for one in comparisons]
    axis.barh(names, values, xerr=errors, color=COLORS[OURS], ecolor="#555555", height=0.6)
    goals = [(one.case.goal, number) for number, one in enumerate(comparisons) if one.case.goal is not None]
    axis.plot([goal for goal, _ in goals], [number for _, number in goals], "|", color="black", markersize=16,
              markeredgewidth=2, label="goal")  # fmt: skip
    axis.invert_yaxis()
    axis.set_xlabel("CPU time of tensorboardX inline, times ours")
    axis.legend(loc="lower right")
    if shown:
        _stages(axes[1, 0], shown)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _stages(axis, profiles: Sequence[Profile]) -> None:  # type: ignore[no-untyped-def]  # matplotlib has no types
    """Shares of the time, not the times themselves: ours would not be seen beside theirs."""
    from matplotlib import colormaps

    labels = [f"{one.case.name}, {arm}" for one in profiles for arm in (TENSORBOARDX, SIDELOG)]
    bars = [one.cpu_ms[arm] for one in profiles for arm in (TENSORBOARDX, SIDELOG)]
    left = [0.0] * len(bars)
    for number, stage in enumerate(STAGES):
        widths = [100 * bar.get(stage, 0.0) / sum(bar.values()) for bar in bars]
        axis.barh(labels, widths, left=left, height=0.6, label=stage, color=colormaps["tab10"](number))
        left = [one + other for one, other in zip(left, widths, strict=True)]
    for number, bar in enumerate(bars):
        axis.text(101, number, f"{sum(bar.values()):.3g} ms", va="center", fontsize=8)
    axis.set_xlim(0, 112)
    axis.invert_yaxis()
    axis.set_xlabel("percent of the CPU time")
    axis.tick_params(axis="y", labelsize=8, labelcolor="black")
    axis.legend(loc="upper center", bbox_to_anchor=(0.4, -0.16), ncols=5, fontsize=8)
