#!/usr/bin/env python3
"""What drawing and writing costs the daemon, beside make_grid with tensorboardX and torch's writer.

    python scripts/bench_render.py [--json FILE] [--plot FILE.png] [--markdown docs/benchmarks.md]
    python scripts/bench_render.py --quick

On real data: what two networks with fixed random weights make of two photographs, the photographs, a label map, a
million weights. All loggers take turns in one process, on one core. About ten minutes; it needs
``pip install "sidelog[bench]"``.
"""

from __future__ import annotations

import os
import sys

# Before numpy is loaded: on one core its further threads would spin in everybody's figures. So does the daemon.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from render_bench.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
