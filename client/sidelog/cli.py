"""The command ``sidelog``: one subcommand per job."""

from __future__ import annotations

import importlib.util
import os
import sys

USAGE = """usage: sidelog COMMAND ...

  daemon   run the sidecar by hand         sidelog daemon --logdir runs [--bind tcp://127.0.0.1:5557] [--tensorboard]
  status   how things stand                sidelog status [--json] [--watch [S]] [--endpoint E]
  replay   write what a training left      sidelog replay FILE | --all
  bench    measure what logging costs      sidelog bench [--step-ms 50] [--json FILE] [--device cuda]

`sidelog COMMAND --help` says more. Training scripts need neither: sidelog.SummaryWriter("runs/exp1") starts the
sidecar by itself.
"""


def main() -> int:
    """Run a subcommand; returns its exit code."""
    command, arguments = (sys.argv[1] if len(sys.argv) > 1 else ""), sys.argv[2:]
    if command == "daemon":
        return _daemon(arguments)
    if command == "bench":
        from sidelog.bench.cli import main as bench

        return bench(arguments)
    if command == "status":
        from sidelog.status import main as status

        return status(arguments)
    if command == "replay":
        from sidelog.replay import main as replay

        return replay(arguments)
    if command == "--version":
        from importlib.metadata import version

        print(f"sidelog {version('sidelog')}")
        return 0
    print(USAGE, end="", file=sys.stdout if command in ("-h", "--help", "help") else sys.stderr)
    return 0 if command in ("-h", "--help", "help") else 2


def _daemon(arguments: list[str]) -> int:
    """Become the daemon: client and daemon share no code but the protocol."""
    if importlib.util.find_spec("sidelog_daemon") is None:
        print('sidelog: the daemon is not installed: run  pip install "sidelog[daemon]"', file=sys.stderr)
        return 3
    sys.stdout.flush()
    return os.execv(sys.executable, [sys.executable, "-m", "sidelog_daemon", *arguments])


if __name__ == "__main__":
    sys.exit(main())
