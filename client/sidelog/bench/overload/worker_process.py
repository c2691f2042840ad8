"""Run by its path: a worker that logs at a given pace. ``worker_process.py RUN SEED COUNTER_FILE``.

Says ``ready``; reads a line ``STEPS_PER_S SECONDS``, logs for so long, and says how much; says what became of it once
all has reached its end; goes when told by a line. How many steps it has logged stands in the counter file meanwhile.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time

# Run by its path, this folder would be where imports are looked for first; its modules have common names.
sys.path = [folder for folder in sys.path if not folder.endswith("/overload")]

SETTLE_TIMEOUT_S = 300.0


def main() -> None:
    run, seed, counter_file = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    os.nice(10)  # as the daemon: what more comes than can be drawn is to be seen, not who gets the processor
    import torch

    import sidelog
    from sidelog.bench.faults.training import smooth_maps
    from sidelog.bench.overload.load import MAPS, SCALARS

    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    maps = {tag: smooth_maps((2, *shape), generator) for tag, shape in MAPS.items()}
    counter = os.open(counter_file, os.O_WRONLY | os.O_CREAT, 0o600)
    writer = sidelog.SummaryWriter(run, rank=None)
    writer.add_scalar("begin", 0.0, 0)
    writer.flush(timeout_s=30.0)
    print("ready", flush=True)
    steps_per_s, seconds = map(float, sys.stdin.readline().split())
    begun = time.perf_counter()
    step = 0
    while (now := time.perf_counter() - begun) < seconds:
        if step / steps_per_s > now:
            time.sleep(min(step / steps_per_s - now, 0.05))
            continue
        for tag in SCALARS:
            writer.add_scalar(tag, float(step), step)
        for tag, pair in maps.items():
            writer.add_feature_map(tag, pair[step % 2], step)
        step += 1
        os.pwrite(counter, struct.pack("<q", step), 0)
    print(json.dumps({"steps": step, "seconds": time.perf_counter() - begun}), flush=True)
    writer.flush(pictures=True, timeout_s=SETTLE_TIMEOUT_S)
    found = writer.statistics()
    names = ("logged", "written", "dropped", "lost", "rejected", "pending", "spooled")
    words = {name: getattr(found, name) for name in names} | {"dropped_tags": dict(found.dropped_tags)}
    print(json.dumps(words), flush=True)
    sys.stdin.readline()
    writer.close()


if __name__ == "__main__":
    main()
