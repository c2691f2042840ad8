#!/usr/bin/env python3
"""Ten times as many pictures as the daemon can draw: its memory, what is dropped, what is newest, scalars meanwhile.

    python scripts/bench_overload.py [--json FILE] [--plot FILE.png] [--markdown docs/benchmarks.md]
    python scripts/bench_overload.py --quick

Measures first how many pictures a second the daemon draws, then lets several workers log ten times as many for ten
minutes. Everything that it starts is stopped at the end, also at Ctrl-C. Eleven minutes, 2 GB of disk meanwhile; it
needs ``pip install "sidelog[bench]"``.
"""

from __future__ import annotations

import sys

from sidelog.bench.overload.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
