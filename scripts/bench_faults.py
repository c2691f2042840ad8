#!/usr/bin/env python3
"""What faults of the daemon cost a training: a dead, frozen or slow daemon, a full disk.

    python scripts/bench_faults.py [--json FILE] [--plot FILE.png] [--markdown docs/benchmarks.md]
    python scripts/bench_faults.py --quick

The time of a training's steps before, during and after each fault, beside the same steps without logging; each kind of
logging call beside the bare copy of its bytes; how long the process takes to end. Everything that it starts is stopped
at the end, also at Ctrl-C. Half an hour, 2.5 GB of disk meanwhile; it needs ``pip install "sidelog[bench]"``.
"""

from __future__ import annotations

import sys

from sidelog.bench.faults.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
