"""The command line of ``scripts/bench_overload.py``."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from typing import TYPE_CHECKING

from sidelog.bench import command
from sidelog.bench.arguments import count, positive, show_progress
from sidelog.bench.overload.load import EVENT_BYTES, MAPS
from sidelog_shared.errors import ConfigError, SidelogError

if TYPE_CHECKING:
    from sidelog.bench.overload.findings import Findings

NAME = "overload"
"""Of the tables, in a page's marks."""
FORMAT = 1
"""Of the JSON; grows when a reader of an older one would misread it."""
_NEEDED = ("torch", "crc32c", "psutil", "tensorboardX", "sidelog_daemon")
_QUICK: dict[str, float] = {"minutes": 0.1, "budget_mb": 384, "rate_s": 2.0}
"""What ``--quick`` takes where nothing is given."""
_ACCURATE: dict[str, float] = {"minutes": 10.0, "budget_mb": 1024, "rate_s": 15.0}
_SMALL_BUDGET_MB = 64
"""Of the daemon whose rate is measured: little is left to be written afterwards."""
_WARM_S = 1.0
_MOST_PER_S = 1000.0


def main(arguments: list[str]) -> int:
    """Measure, print the tables, write what was asked for.

    Returns:
        An exit code, see :func:`sidelog.bench.command.run`.
    """
    options = _parse(arguments)
    return command.run("bench_overload", lambda: _run(options, arguments))


def _run(options: argparse.Namespace, arguments: list[str]) -> None:
    command.check(options, name="scripts/bench_overload.py", packages=_NEEDED, tables=(NAME,))
    from sidelog.bench.machine import machine, versions
    from sidelog.bench.overload import tables

    where, what = machine("cpu"), versions()
    found = _measure(options)
    show_progress("")
    print(tables.render(found, where, what))
    command.write_json(options, found.to_map(), version=FORMAT, machine=where, versions=what)
    if options.plot is not None:
        from sidelog.bench.overload.plot import plot

        plot(found, options.plot)
    for page in options.markdown:
        tables.put_tables(page, found, arguments=arguments, machine=where, versions=what)


def _measure(options: argparse.Namespace) -> Findings:
    from sidelog.bench.overload.findings import Findings
    from sidelog.bench.overload.rig import Rig
    from sidelog.bench.overload.watch import Watch

    alone, drawn = (_drawn_per_s(render_ms, options.rate_s) for render_ms in (0.0, options.render_ms))
    steps_per_s = options.times * drawn / len(MAPS) / options.workers
    needed, folder = drawn * 60 * options.minutes * EVENT_BYTES, tempfile.gettempdir()
    if needed > shutil.disk_usage(folder).free:
        raise ConfigError(f"--minutes {options.minutes:g} needs {needed / 1e9:,.1f} GB in {folder} for event files: "
                          "give fewer, or TMPDIR on another disk")  # fmt: skip
    watch = Watch(show_progress)
    with Rig(budget_mb=options.budget_mb, workers=options.workers, render_ms=options.render_ms,
             told=watch.told) as rig:  # fmt: skip
        seen = watch.run(rig, steps_per_s=steps_per_s, seconds=60 * options.minutes, what="overload")
    return Findings(options.budget_mb, options.workers, options.render_ms, alone, drawn, steps_per_s, seen)


def _drawn_per_s(render_ms: float, seconds: float) -> float:
    """Pictures that a daemon draws of one worker that logs more than that.

    Raises:
        SidelogError: none was written.
    """
    from sidelog.bench.overload.rig import Rig
    from sidelog.bench.overload.watch import Watch, rates

    watch = Watch(show_progress)
    # More than it can draw, and not so much more that the worker takes the processor: it copies what it drops.
    steps_per_s = min(_MOST_PER_S, 2e3 / render_ms if render_ms else _MOST_PER_S) / len(MAPS)
    with Rig(budget_mb=_SMALL_BUDGET_MB, workers=1, render_ms=render_ms, told=watch.told) as rig:
        seen = watch.run(rig, steps_per_s=steps_per_s, seconds=seconds + _WARM_S, what=f"rate, {render_ms:g} ms longer")
    warm = [sample for sample in seen.samples if sample.at_s >= _WARM_S]
    found = rates(warm, "written", over_s=0.9 * (warm[-1].at_s - warm[0].at_s)) if warm else []
    if not found or not found[-1][1]:
        raise SidelogError(f"no picture was written within {seconds:g} s, expected the daemon's rate")
    return found[-1][1]


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench_overload.py",
        description="Ten times as many pictures as the daemon can draw: its memory against its bound, drops by tag, "
                    "whether each tag's newest picture is written, and how long scalars take. Eleven minutes.",
    )  # fmt: skip
    add = parser.add_argument
    add("--minutes", type=positive, help="so long the workers log (default: 10)")
    add("--times", type=positive, default=10.0, help="of what it can draw is logged (default: %(default)g)")
    add("--workers", type=count, default=3, help="processes that log (default: %(default)s)")
    add("--budget-mb", type=count, help="of the daemon (default: 1024, as the daemon's own)")
    add("--render-ms", type=_duration, default=20.0,
        help="by so much each picture takes longer to draw, so that ten times as many can be sent on few cores; 0 "
             "leaves the renderer as it is (default: %(default)g)")  # fmt: skip
    add("--rate-s", type=positive, help="so long the daemon's rate is measured (default: 15)")
    add("--quick", action="store_true", help="a few seconds: shows that it works, measures nothing well")
    command.add_outputs(parser, plot="memory and rates")
    return command.parse(parser, arguments, quick=_QUICK, accurate=_ACCURATE)


def _duration(text: str) -> float:
    """Reads a number of at least 0."""
    return 0.0 if text == "0" else positive(text)
