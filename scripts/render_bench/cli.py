"""The command line of ``scripts/bench_render.py``."""

from __future__ import annotations

import argparse
import os

from sidelog.bench import command
from sidelog.bench.arguments import count, show_progress, some_of
from sidelog_shared.errors import ConfigError

FORMAT = 1
"""Of the JSON; grows when a reader of an older one would misread it."""
TABLES = "render"
"""Of the tables, in a page's marks."""
PARTS = ("end-to-end", "stages", "scalars", "whole-path", "threads", "memory")
_NEEDED = ("torch", "torchvision", "sklearn", "tensorboardX", "tensorboard", "psutil", "sidelog_daemon")
_QUICK = {"rounds": 2, "rows": 10_000, "calls": 4, "pictures": 8}
"""What ``--quick`` takes where nothing is given."""
_ACCURATE = {"rounds": 15, "rows": 250_000, "calls": 40, "pictures": 200}
_QUICK_CASES = ("16 channels", "photograph, bytes", "weights")


def main(arguments: list[str]) -> int:
    """Measure, print the tables, write what was asked for.

    Returns:
        An exit code, see :func:`sidelog.bench.command.run`.
    """
    options = _parse(arguments)
    return command.run("bench_render", lambda: _run(options, arguments))


def _run(options: argparse.Namespace, arguments: list[str]) -> None:
    _check(options)
    import cv2
    import torch

    from render_bench import tables
    from sidelog.bench.machine import machine, versions

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    where, what = machine("cpu"), versions()
    found = _measure(options)
    show_progress("")
    print(tables.render(found, where, what))
    command.write_json(options, found.to_map(), version=FORMAT, machine=where, versions=what)
    if options.plot is not None:
        from render_bench.plot import plot

        plot(found.comparisons, found.profiles, options.plot)
    for page in options.markdown:
        tables.put_tables(page, found, arguments=arguments, machine=where, versions=what)


def _measure(options: argparse.Namespace):  # type: ignore[no-untyped-def]  # tables.Found, which imports torch
    from render_bench.cases import make_cases
    from render_bench.memory import measure_peak
    from render_bench.pool import measure_scaling
    from render_bench.scalars import measure_scalars
    from render_bench.stages import profile
    from render_bench.tables import Found
    from render_bench.timing import compare
    from render_bench.whole_path import measure_whole_path

    found = Found()
    show_progress("data: what two networks make of two photographs")
    cases = make_cases(options.seed)
    if options.quick:
        cases = [case for case in cases if any(word in case.name for word in _QUICK_CASES)]
    wanted = [case for case in cases if case.goal is not None and case.group == "feature map"] or cases[:1]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    try:
        if "end-to-end" in options.only:
            block_s = {"block_s": 0.01} if options.quick else {}
            found.comparisons = compare(cases, rounds=options.rounds, progress=show_progress, **block_s)
        if "stages" in options.only:
            found.profiles = profile(cases, rounds=min(5, options.rounds), progress=show_progress)
        if "scalars" in options.only:
            found.scalars = measure_scalars(rounds=options.rounds, rows=options.rows, progress=show_progress)
    finally:
        os.sched_setaffinity(0, cores)
    if "whole-path" in options.only:
        found.whole = measure_whole_path(wanted[0], rounds=options.rounds, calls=options.calls, progress=show_progress)
    if "threads" in options.only:
        found.scaling = measure_scaling(
            wanted, rounds=options.rounds, pictures=options.pictures, progress=show_progress
        )
    if "memory" in options.only:
        found.peak = measure_peak(progress=show_progress)
    return found


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench_render.py",
        description="What the daemon's drawing and writing costs, beside make_grid with tensorboardX and torch's "
                    "writer in the loop: end to end and stage by stage on one core, scalars per second, the whole way "
                    "with both processes, threads, memory. About ten minutes; Linux.",
    )  # fmt: skip
    add = parser.add_argument
    add("--only", type=some_of(PARTS), default=PARTS, metavar="PARTS", help=f"some of {','.join(PARTS)} (default: all)")
    add("--quick", action="store_true", help="some seconds: shows that it works, measures nothing well")
    add("--rounds", type=count, help="blocks of each logger (default: 15)")
    add("--rows", type=count, help="scalars of a block, in whole steps of 50 (default: 250000)")
    add("--calls", type=count, help="maps of a block of the whole path (default: 40)")
    add("--pictures", type=count, help="pictures of a block with threads (default: 200)")
    add("--seed", type=int, default=0, help="of weights and noise (default: %(default)s)")
    command.add_outputs(parser, plot="the ratios and stages")
    return command.parse(parser, arguments, quick=_QUICK, accurate=_ACCURATE)


def _check(options: argparse.Namespace) -> None:
    """Before anything is measured.

    Raises:
        ConfigError, MissingExtra: see :func:`sidelog.bench.command.check`; also for what does not go together.
    """
    command.check(options, name="scripts/bench_render.py", packages=_NEEDED, tables=(TABLES,))
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("bench_render binds itself to one core, which this system has no call for: expected Linux")
    if options.plot and "end-to-end" not in options.only:
        raise ConfigError(f"--plot shows end-to-end, which --only {','.join(options.only)} leaves out")
    if options.rows % 5_000:
        raise ConfigError(f"--rows is {options.rows:,}, expected a multiple of 5,000, the largest batch")
