"""Run by its path: ``duty_cycle.py PID RUN_S STOP_S`` lets a process run and stops it in turns, until stdin ends.

In a process of its own, so that the training has no thread that a user's would not have. The process goes on at the
end, also when the bench was killed.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys


def main() -> None:
    pid, run_s, stop_s = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])

    def is_over(wait_s: float) -> bool:
        return bool(select.select([0], [], [], wait_s)[0])

    with contextlib.suppress(ProcessLookupError):
        try:
            while not is_over(run_s):
                os.kill(pid, signal.SIGSTOP)
                if is_over(stop_s):
                    break
                os.kill(pid, signal.SIGCONT)
        finally:
            os.kill(pid, signal.SIGCONT)


if __name__ == "__main__":
    main()
