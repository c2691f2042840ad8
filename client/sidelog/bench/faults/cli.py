"""The command line of ``scripts/bench_faults.py``."""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import asdict

from sidelog.bench import command
from sidelog.bench.arguments import count, positive, show_progress, some_of
from sidelog.bench.faults.injection import DEAD, FAULTS, FROZEN, WELL
from sidelog.bench.faults.tables import NAME, Found
from sidelog_shared.errors import ConfigError

FORMAT = 1
"""Of the JSON; grows when a reader of an older one would misread it."""
PARTS = ("training", "calls", "endings")
DISKS = ("auto", "tmpfs", "told")
_NEEDED = ("torch", "crc32c", "psutil", "tensorboardX", "sidelog_daemon")
_QUICK = {"pairs": 2, "block_steps": 10, "fault_s": 1.5, "calls": 40, "pace_ms": 20.0, "endings": 1,
          "exit_timeout": 1.0}  # fmt: skip
"""What ``--quick`` takes where nothing is given."""
_ACCURATE = {"pairs": 40, "block_steps": 20, "fault_s": 15.0, "calls": 5_000, "pace_ms": 50.0, "endings": 5,
             "exit_timeout": 5.0}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Measure, print the tables, write what was asked for.

    Returns:
        An exit code, see :func:`sidelog.bench.command.run`.
    """
    options = _parse(arguments)
    return command.run("bench_faults", lambda: _run(options, arguments))


def _run(options: argparse.Namespace, arguments: list[str]) -> None:
    _check(options)
    import torch

    from sidelog.bench.faults import tables
    from sidelog.bench.machine import machine, versions

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    where, what = machine("cpu"), versions()
    found = _measure(options)
    show_progress("")
    print(tables.render(found, where, what))
    command.write_json(options, _to_map(found), version=FORMAT, machine=where, versions=what)
    if options.plot is not None and found.trainings:
        from sidelog.bench.faults.plot import plot

        plot(found.trainings, options.plot)
    for page in options.markdown:
        tables.put_tables(page, found, arguments=arguments, machine=where, versions=what)


def _measure(options: argparse.Namespace) -> Found:
    from sidelog.bench.faults.call_times import time_calls
    from sidelog.bench.faults.endings import time_endings
    from sidelog.bench.faults.phases import Schedule, train_through
    from sidelog.bench.faults.scene import Scene
    from sidelog.bench.faults.training import Training

    found = Found()
    if "training" in options.only:
        training = Training(options.seed)
        schedule = Schedule(options.pairs, options.block_steps, options.fault_s)
        for fault in options.faults:
            with Scene(fault, disk=options.disk) as scene:
                found.trainings.append(train_through(scene, training, schedule, progress=show_progress))
    if "calls" in options.only:
        for fault in (WELL, *options.faults):
            with Scene(fault, disk=options.disk) as scene:
                found.calls.append(time_calls(
                    scene, count=options.calls, fault_s=options.fault_s, pace_s=options.pace_ms / 1e3,
                    seed=options.seed, progress=show_progress,
                ))  # fmt: skip
    if "endings" in options.only:
        for fault in [fault for fault in (DEAD, FROZEN) if fault in options.faults]:
            with Scene(fault, disk=options.disk) as scene:
                found.endings += time_endings(scene, times=options.endings, exit_timeout_s=options.exit_timeout,
                                              progress=show_progress)  # fmt: skip
                if not scene.fault.evidence.shows(fault):
                    seen = scene.fault.evidence.to_map()
                    found.ending_objections.append(f"{fault}: the fault was not seen: {seen}")
    return found


def _to_map(found: Found) -> dict[str, object]:
    from sidelog.bench.faults.call_times import summary_of
    from sidelog.bench.faults.tables import slowdown_figure

    return {
        "objections": found.objections,
        "trainings": [
            {
                "fault": one.fault,
                "summary": one.summary,
                "outcome": one.outcome.to_map(),
                "phases": [
                    asdict(series) | {"slowdown": asdict(series.slowdown()),
                                      "figure": slowdown_figure(one, series).to_map()}
                    for series in one.series
                ],
            }
            for one in found.trainings
        ],
        "calls": [
            {
                "fault": one.fault,
                "outcome": one.outcome.to_map(),
                "kinds": [
                    asdict(times) | {"summary_us": summary_of(times), "limit_us": times.limit_us,
                                     "is_within": times.is_within}
                    for times in one.times
                ],
            }
            for one in found.calls
        ],
        "endings": [one.to_map() for one in found.endings],
    }  # fmt: skip


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bench_faults.py",
        description="What a dead, frozen or slow daemon, or a full disk, costs a training: its step time before, "
                    "during and after, each kind of logging call beside the bare copy of its bytes, and the end of "
                    "the process. About half an hour, 2.5 GB of disk meanwhile.",
    )  # fmt: skip
    add = parser.add_argument
    add("--only", type=some_of(PARTS), default=PARTS, metavar="PARTS", help=f"some of {','.join(PARTS)} (default: all)")
    add("--faults", type=some_of(FAULTS), default=FAULTS, metavar="FAULTS",
        help=f"some of {','.join(FAULTS)} (default: all)")  # fmt: skip
    add("--quick", action="store_true", help="about a minute: shows that it works, measures nothing well")
    add("--pairs", type=count, help="pairs of blocks in each phase (default: 40)")
    add("--block-steps", type=count, help="steps of a block (default: 20)")
    add("--fault-s", type=positive, help="seconds that a fault lasts at least (default: 15)")
    add("--calls", type=count, help="calls of each kind during each fault (default: 5000)")
    add("--pace-ms", type=positive, help="between two calls of a kind (default: 50)")
    add("--endings", type=count, help="ends of a process of each kind (default: 5)")
    add("--exit-timeout", type=positive, help="SIDELOG_EXIT_TIMEOUT of those (default: 5)")
    add("--disk", choices=DISKS, default="auto",
        help="how the disk is full: a small tmpfs that is filled, or a daemon whose writes are told so; auto takes "
             "the tmpfs where this user may mount one (default: %(default)s)")  # fmt: skip
    add("--threads", type=count, help="torch.set_num_threads (default: torch's own)")
    add("--seed", type=int, default=0, help="of weights and data (default: %(default)s)")
    command.add_outputs(parser, plot="the step times")
    return command.parse(parser, arguments, quick=_QUICK, accurate=_ACCURATE)


def _check(options: argparse.Namespace) -> None:
    """Before anything is measured.

    Raises:
        ConfigError, MissingExtra: see :func:`sidelog.bench.command.check`; also where the disk has no room.
    """
    from sidelog.bench.faults.call_times import EVENT_BYTES

    command.check(options, name="scripts/bench_faults.py", packages=_NEEDED, tables=(NAME,))
    if options.plot and "training" not in options.only:
        raise ConfigError(f"--plot shows the training, which --only {','.join(options.only)} leaves out")
    folder = tempfile.gettempdir()
    needed, free = options.calls * EVENT_BYTES / 1e9, shutil.disk_usage(folder).free / 1e9
    if "calls" in options.only and needed > free:
        raise ConfigError(
            f"--calls {options.calls:,} needs {needed:,.1f} GB in {folder} for event files, got {free:,.1f} GB free: "
            "give fewer calls, or TMPDIR on another disk"
        )
