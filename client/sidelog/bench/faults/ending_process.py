"""Run by its path: a training that ends while its daemon does not work. ``ending_process.py RUN RECORDS exit|wait``.

It logs, says ``connected``, goes on when told by a line of input, logs RECORDS more, says ``logged``, and ends; or,
with ``wait``, goes on until it is interrupted.
"""

from __future__ import annotations

import sys
import time

# Run by its path, this folder would be where imports are looked for first; its modules have common names.
sys.path = [folder for folder in sys.path if not folder.endswith("/faults")]


def main() -> None:
    run, records, end = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    import sidelog

    writer = sidelog.SummaryWriter(run, rank=None)
    writer.add_scalar("loss", 0.0, 0)
    writer.flush(timeout_s=30.0)
    print("connected", flush=True)
    sys.stdin.readline()
    for step in range(1, records + 1):
        writer.add_scalar("loss", 1 / step, step)
    print("logged", flush=True)
    if end == "wait":
        while True:
            time.sleep(1.0)


if __name__ == "__main__":
    main()
