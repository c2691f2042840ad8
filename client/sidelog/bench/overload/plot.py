"""The plot of ``--plot``: the daemon's memory below its bound, and how many pictures come, are written and dropped."""

from __future__ import annotations

from pathlib import Path

from sidelog.bench.overload.findings import Findings
from sidelog.bench.overload.watch import rates
from sidelog_shared.limits import MIB

_LINES = {
    "logged": ("logged by the workers", "#9a9a9a", "-"),
    "arrived": ("arrived at the daemon", "#7570b3", "-"),
    "written": ("written", "#1b9e77", "-"),
    "dropped_by_client": ("dropped by the client", "#e6ab02", "--"),
    "dropped_by_daemon": ("dropped by the daemon", "#d95f02", "--"),
}
_POINTS = 120


def plot(found: Findings, path: Path) -> None:
    """Write a picture of one overload.

    Args:
        found: with samples.
        path: where; the ending says the format.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # no display
    from matplotlib import pyplot

    samples = found.seen.samples
    figure, (memory, pictures) = pyplot.subplots(2, 1, figsize=(10, 7), sharex=True)
    at_s = [sample.at_s for sample in samples]
    memory.plot(at_s, [sample.rss_bytes / MIB for sample in samples], color="#1b9e77", label="resident memory")
    memory.plot(at_s, [sample.queue_bytes / MIB for sample in samples], color="#7570b3", linewidth=0.9,
                label="pictures that wait for a renderer")  # fmt: skip
    memory.axhline(found.budget_mb, color="#d95f02", label=f"--budget-mb {found.budget_mb:,}")
    memory.set_ylim(0, 1.15 * max(found.budget_mb, found.seen.peak_bytes / MIB))
    memory.set_ylabel("the daemon's memory (MiB)")
    memory.legend(loc="lower right", fontsize=8)
    for name, (label, color, style) in _LINES.items():
        points = rates(samples, name, over_s=found.logged_s / _POINTS)
        if points:
            pictures.plot(*zip(*points, strict=True), style, color=color, linewidth=1.2, label=label)
    pictures.set_ylim(bottom=0)
    pictures.set_ylabel("pictures a second")
    pictures.set_xlabel("time (s)")
    pictures.legend(loc="center right", fontsize=8)
    figure.suptitle(
        f"{found.workers} workers log {found.rates.get('logged', 0):,.0f} pictures a second, "
        f"{found.rates.get('written', 0):,.0f} a second are drawn", fontsize=10,
    )  # fmt: skip
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
