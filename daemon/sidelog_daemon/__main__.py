"""The command line of the daemon; ``sidelog daemon`` becomes this process."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from sidelog_daemon.config import MAX_PIXELS, DaemonConfig
from sidelog_shared.errors import ConfigError, MissingExtra, SidelogError
from sidelog_shared.limits import MIB

if TYPE_CHECKING:
    from sidelog_shared.rendezvous import Ready  # imports numpy, which must be told of threads before

_NICENESS = 10
_THREADS_OF_LIBRARIES = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""numpy's linear algebra starts a thread for each core, and those spin for a while after each sum of squares."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sidelog daemon",
        description="Receive what training processes log, render it, write TensorBoard event files. "
        "Without --bind it becomes this user's local daemon, which writers find by themselves.",
    )
    parser.add_argument("--logdir", default=os.environ.get("SIDELOG_LOGDIR") or "runs", metavar="DIR",
                        help="folder for runs that are given by name (default: %(default)s)")  # fmt: skip
    parser.add_argument("--bind", default="", metavar="ENDPOINT",
                        help="listen on tcp://127.0.0.1:PORT (PORT may be *) or ipc://PATH instead")  # fmt: skip
    parser.add_argument("--tensorboard", nargs="?", type=int, const=0, default=None, metavar="PORT",
                        help="start TensorBoard on the logdir (default port: a free one)")  # fmt: skip
    parser.add_argument("--render-threads", type=int, default=_environment("RENDER_THREADS", 1), metavar="N",
                        help="threads that draw pictures (default: %(default)s)")  # fmt: skip
    parser.add_argument("--budget-mb", type=int, default=_environment("BUDGET_MB", 1024), metavar="MB",
                        help="memory that it may take, by dropping pictures (default: %(default)s)")  # fmt: skip
    parser.add_argument("--max-pixels", type=int, default=_environment("MAX_PIXELS", MAX_PIXELS), metavar="N",
                        help="of one picture; a larger one is thinned (default: %(default)s)")  # fmt: skip
    parser.add_argument("--drain-timeout", type=float, default=30.0, metavar="S",
                        help="how long SIGTERM waits for what is queued (default: %(default)s s)")  # fmt: skip
    parser.add_argument("--idle-exit", type=float, default=None, metavar="S",
                        help="exit this long after the last worker is gone (default: stay)")  # fmt: skip
    parser.add_argument("--print-config", action="store_true", help="say what was chosen, and exit")
    parser.add_argument("--detach", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--ready-fd", type=int, default=None, help=argparse.SUPPRESS)
    parser.add_argument("--runtime-folder", type=Path, default=None, help=argparse.SUPPRESS)
    return parser


def _environment(name: str, default: int) -> str | int:
    """``SIDELOG_<name>``, which argparse reads as if it had been typed; it sets up a daemon that a writer starts."""
    return os.environ.get(f"SIDELOG_{name}") or default


def main(arguments: list[str] | None = None) -> int:
    """Run a daemon until it is told to stop.

    Returns:
        An exit code, see :class:`sidelog_daemon.daemon.Exit`.
    """
    options = _parser().parse_args(arguments)
    if options.detach:
        if os.fork():
            # The launcher waits for this process only; the daemon is nobody's child and leaves no zombie.
            os._exit(0)
        os.chdir("/")  # holds no folder of the training's
    try:
        return _run(options)
    except MissingExtra as error:
        return _fail(options, error, 3)
    except ConfigError as error:
        return _fail(options, error, 2)
    except SidelogError as error:
        from sidelog_daemon.daemon import AlreadyRunning, EndpointInUse, Exit

        codes: dict[type, int] = {AlreadyRunning: Exit.ALREADY_RUNNING, EndpointInUse: Exit.ENDPOINT_IN_USE}
        return _fail(options, error, codes.get(type(error), Exit.FAILED))


def _run(options: argparse.Namespace) -> int:
    config = DaemonConfig(
        logdir=Path(options.logdir).absolute(),
        bind=options.bind,
        idle_exit_s=options.idle_exit,
        drain_deadline_s=options.drain_timeout,
        budget_bytes=options.budget_mb * MIB,
        render_threads=options.render_threads,
        max_pixels=options.max_pixels,
        tensorboard_port=options.tensorboard,
    )
    if options.print_config:
        print(json.dumps(asdict(config), default=str, indent=2))
        return 0
    for variable in _THREADS_OF_LIBRARIES:
        os.environ.setdefault(variable, "1")
    _step_back()
    _raise_limits(resource.RLIMIT_NOFILE)  # a shell's 1,024 is meant for programs that use ``select``
    if options.detach:
        # It serves every training of this user: what the one that started it allows itself is not meant for it.
        _raise_limits(resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_CPU, resource.RLIMIT_FSIZE)
    try:
        from sidelog_daemon import allocator, tensorboardx
        from sidelog_daemon.daemon import Daemon, configure_logging
    except MissingExtra:
        raise
    except ImportError as error:
        raise MissingExtra(error.name or str(error), "daemon", "the daemon") from error
    allocator.use_one_arena()
    tensorboardx.check_fast_paths()
    configure_logging()

    def announce(ready: Ready) -> None:
        if options.ready_fd is not None:
            _say_to_launcher(options.ready_fd, {"ready": asdict(ready)})
        else:
            print(f"sidelog daemon {ready.version} is ready: {ready.endpoint}  logdir {ready.logdir}", flush=True)

    return Daemon(config, make_logdir=options.ready_fd is None, runtime_folder=options.runtime_folder).run(announce)


def _step_back() -> None:
    """The training and its data loaders come first."""
    os.nice(_NICENESS)
    # Linux ranks sessions before it ranks processes (autogroup): the daemon has a session of its own, and its
    # niceness counts only inside it unless the session is told too.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICENESS))


def _raise_limits(*limits: int) -> None:
    """As far as they may be raised: what an administrator has set stays."""
    for limit in limits:
        _, hard = resource.getrlimit(limit)
        with contextlib.suppress(ValueError, OSError):  # a container may forbid it: then there is less
            resource.setrlimit(limit, (hard, hard))


def _say_to_launcher(fd: int, words: dict[str, object]) -> None:
    with contextlib.suppress(BrokenPipeError):  # it has left; others find the daemon all the same
        os.write(fd, json.dumps(words).encode())
    os.close(fd)


def _fail(options: argparse.Namespace, error: SidelogError, code: int) -> int:
    if options.ready_fd is not None:
        _say_to_launcher(options.ready_fd, {"error": str(error), "code": int(code)})
    print(f"sidelog daemon: {error}", file=sys.stderr)
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
