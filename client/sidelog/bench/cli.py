"""The command ``sidelog bench``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sidelog.bench import command
from sidelog.bench.arguments import count, positive, show_progress, some_of
from sidelog_shared.errors import ConfigError

if TYPE_CHECKING:
    from sidelog.bench.activations import Activations
    from sidelog.bench.figures import Measurement
    from sidelog.bench.sandbox import Sandbox

TABLES = ("methods", "costs")
"""Of the part ``methods``, in a page's marks: every figure, and what a user of tensorboardX wants to know."""
PARTS = ("start", "calls", "methods", "device", "cpu", "launch", "daemon", "memory")
_NEEDED = (
    "torch",
    "torchvision",
    "tensorboardX",
    "tensorboard",
    "matplotlib",
    "crc32c",
    "psutil",
    "sklearn",
    "PIL",
    "sidelog_daemon",
)
_QUICK = {
    "pairs": 2, "block_steps": 5, "launch_steps": 20, "step_ms": 50.0, "calls": 40, "maps": 40, "starts": 1,
    "memory_steps": 100, "rounds": 3,
}  # fmt: skip
"""What ``--quick`` takes where nothing is given."""
_ACCURATE = {
    "pairs": 30, "block_steps": 20, "launch_steps": 200, "step_ms": 50.0, "calls": 1000, "maps": 1000, "starts": 5,
    "memory_steps": 10_000, "rounds": 100,
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Measure, print the table, write what was asked for.

    Returns:
        An exit code, see :func:`sidelog.bench.command.run`.
    """
    options = _parse(arguments)
    return command.run("sidelog bench", lambda: _run(options, arguments))


def _run(options: argparse.Namespace, arguments: list[str]) -> None:
    command.check(options, name="sidelog bench", packages=_NEEDED, tables=TABLES)
    import torch

    from sidelog.bench import report
    from sidelog.bench.machine import machine, versions

    if options.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("--device is cuda, which torch does not find here: expected cpu")
    if options.method or options.markdown:
        _check_methods(options)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    where, what = machine(options.device), versions()
    found = [_measure(part, options) for part in PARTS if part in options.only]
    show_progress("")
    print(report.render(found, where, what))
    if options.json is not None:
        whole = report.to_map(found, machine=where, versions=what, settings=command.settings(options))
        options.json.write_text(json.dumps(whole, indent=1) + "\n")
    if options.plot is not None:
        from sidelog.bench.plot import plot

        plot(found, options.plot)
    if options.markdown:
        from sidelog.bench.methods.tables import put_tables

        put_tables(options.markdown, found, arguments=arguments, machine=where, versions=what)


def _check_methods(options: argparse.Namespace) -> None:
    """Before anything is measured.

    Raises:
        ConfigError: methods are not measured, or one is not known.
    """
    from sidelog.bench.methods import METHODS

    if "methods" not in options.only:
        raise ConfigError(
            f"--method and --markdown are for the part methods, which --only {','.join(options.only)} leaves out"
        )
    unknown = [name for name in options.method if name not in METHODS]
    if unknown:
        raise ConfigError(f"--method is {', '.join(unknown)}, expected some of {', '.join(METHODS)}")


@lru_cache(maxsize=1)
def _activations(seed: int) -> Activations:
    from sidelog.bench.activations import make_activations

    show_progress("activations: resnet18 over two photographs")
    return make_activations(seed)


def _measure(part: str, options: argparse.Namespace) -> Measurement:
    from sidelog.bench.sandbox import Sandbox

    if part == "start":
        from sidelog.bench.start import measure_start

        return measure_start(options.logdir, times=options.starts, progress=show_progress)
    with Sandbox(options.logdir) as sandbox:
        if part == "methods":
            from sidelog.bench.methods import measure_methods

            return measure_methods(sandbox, rounds=options.rounds, pause_s=options.pause_ms / 1e3,
                                   methods=options.method, seed=options.seed, progress=show_progress)  # fmt: skip
        activations = _activations(options.seed)
        there = activations.to(options.device)
        if part == "calls":
            from sidelog.bench.calls import measure_calls

            return measure_calls(there, sandbox, count=options.calls, progress=show_progress)
        if part == "daemon":
            from sidelog.bench.daemon_cost import measure_daemon

            return measure_daemon(there, sandbox, maps=options.maps, progress=show_progress)
        if part == "memory":
            from sidelog.bench.memory import measure_memory

            return measure_memory(
                activations, sandbox, steps=options.memory_steps, step_ms=options.memory_step_ms, progress=show_progress
            )
        return _measure_workload(part, options, activations, sandbox=sandbox)


def _measure_workload(
    part: str, options: argparse.Namespace, activations: Activations, *, sandbox: Sandbox
) -> Measurement:
    from sidelog.bench.blocks import Schedule, run_blocks
    from sidelog.bench.slowdown import measure_slowdown
    from sidelog.bench.workloads import Device, Launch, Network, Workload

    makers: dict[str, Callable[[], Workload]] = {
        "device": lambda: Device(options.step_ms / 1e3, activations.to(options.device)),
        "cpu": lambda: Network(activations, options.seed),
        "launch": lambda: Launch(activations.to(options.device)),
    }
    steps = options.launch_steps if part == "launch" else options.block_steps
    workload = makers[part]()
    schedule = Schedule(options.pairs, steps, min(steps, options.block_steps))
    return measure_slowdown(workload, run_blocks(workload, schedule, sandbox, progress=show_progress))


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="sidelog bench",
        description="Measure what logging costs: the same loop without logging, with inline tensorboardX and "
        "make_grid, and with sidelog, in alternating blocks of one run. docs/benchmarks.md says how.",
    )
    add = parser.add_argument
    add("--only", type=some_of(PARTS), default=PARTS, metavar="PARTS",
        help=f"some of {','.join(PARTS)} (default: all)")  # fmt: skip
    add("--quick", action="store_true", help="about a minute: shows that it works, measures nothing well")
    add("--pairs", type=count, help="pairs of blocks for each loop (default: 30)")
    add("--block-steps", type=count, help="steps of a block (default: 20)")
    add("--launch-steps", type=count,
        help="the same for the launch-bound loop, whose steps are short (default: 200)")  # fmt: skip
    add("--step-ms", type=positive, help="how long the device is busy (default: 50)")
    add("--calls", type=count, help="calls of each kind (default: 1000)")
    add("--rounds", type=count, help="calls of each method (default: 100)")
    add("--pause-ms", type=positive, default=20.0, help="between two of them (default: %(default)s)")
    add("--method", action="append", default=[], metavar="NAME", help="only this method; may be given several times")
    add("--maps", type=count, help="maps into the daemon (default: 1000)")
    add("--starts", type=count, help="starts of a daemon (default: 5)")
    add("--memory-steps", type=count, help="steps for the memory (default: 10,000; 2 GB on disk meanwhile)")
    add("--memory-step-ms", type=positive, default=15.0, help="their length (default: %(default)s)")
    add("--device", choices=("cpu", "cuda"), default="cpu", help="where the tensors are (default: %(default)s)")
    add("--threads", type=count, help="torch.set_num_threads (default: torch's own)")
    add("--seed", type=int, default=0, help="of weights, crops and noise (default: %(default)s)")
    command.add_outputs(parser, plot="the pairs", tables="the tables of the methods")
    add("--logdir", type=Path, metavar="DIR", help="keep the event files there (default: they are removed)")
    options = command.parse(parser, arguments, quick=_QUICK, accurate=_ACCURATE)
    if options.maps < 4:
        parser.error(f"--maps is {options.maps}, expected at least 4")
    if options.logdir is not None:
        options.logdir = options.logdir.absolute()
    return options
