"""A training in a process of its own, whose resident memory is sampled: alone, or with sidelog.

Run by its path: ``training_process.py ARM STEPS STEP_MS RING RUN_FOLDER``. Alone it imports nothing of sidelog. Prints
JSON: when the last call was made, then, told to go on by a line of input, what was found.
"""

from __future__ import annotations

import json
import sys
import time

# Run by its path, this folder would be where imports are looked for first; its modules have common names.
sys.path = [folder for folder in sys.path if not folder.endswith("/bench")]

SAMPLES = 200


def main() -> None:
    arm, steps, step_s, ring_file, folder = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) / 1e3, *sys.argv[4:6]
    import psutil
    import torch

    layer1, layer2 = torch.load(ring_file, weights_only=True)
    process = psutil.Process()
    writer = None
    samples = []
    words: dict[str, object] = {}
    if arm == "sidelog":
        import sidelog

        writer = sidelog.SummaryWriter(folder, rank=None)
    every = max(1, steps // SAMPLES)
    due = time.perf_counter()
    for step in range(steps):
        due += step_s
        time.sleep(max(0.0, due - time.perf_counter()))
        if writer is not None:
            writer.add_scalar("loss", 1.0 / (1 + step), step)
            writer.add_feature_map("layer1", layer1[step % len(layer1)], step)
            writer.add_feature_map("layer2", layer2[step % len(layer2)], step)
        if step % every == every - 1:
            samples.append(process.memory_info().rss)
    if writer is not None:
        print(json.dumps({"last_call_at": time.time()}), flush=True)
        # Until the bench has seen the last record in the event file, or has given up: flush() would hasten it.
        sys.stdin.readline()
        writer.flush(pictures=True, timeout_s=120.0)
        found = writer.statistics()
        words |= {name: getattr(found, name) for name in ("written", "dropped", "lost", "rejected", "pending")}
        writer.close()
    print(json.dumps({"arm": arm, "rss_bytes": samples, **words}))


if __name__ == "__main__":
    main()
