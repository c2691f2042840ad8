#!/usr/bin/env python3
"""Torture sidelog: workers log while daemons, workers, network and disk fail; then every record is looked for.

    scripts/torture.py --minutes 2 --seed 1 [--workers N] [--faults NAME,NAME] [--json FILE]

The seed decides which faults come, in which order and when; what the processes do in between is the machine's. Exit
codes: 0 every record stands as promised; 1 something does not, and the folder is kept; 2 bad arguments.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / folder) for folder in ("tests", "client", "daemon", "shared")]

MOST_TOLD = 20


def main() -> int:
    """Run one torture; returns an exit code."""
    from processes import foreign_variables
    from torture.faults import FAULTS
    from torture.report import report
    from torture.torture import Torture

    parser = argparse.ArgumentParser(
        description="Workers log while faults are injected at random; then every record is looked for.",
        epilog="faults: " + ", ".join(FAULTS),
    )
    parser.add_argument("--minutes", type=float, default=2.0, metavar="M", help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="of the schedule (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="at once (default: %(default)s)")
    parser.add_argument("--faults", default=",".join(FAULTS), metavar="NAME,NAME", help="these alone (default: all)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="all figures, the schedule and the violations")
    options = parser.parse_args()
    faults = [name for name in options.faults.split(",") if name]
    unknown = sorted(set(faults) - set(FAULTS))
    if unknown or options.minutes <= 0 or options.workers < 1:
        parser.error(f"faults {', '.join(unknown)} are not known" if unknown else "--minutes or --workers is too small")
    for name in foreign_variables():  # of a job, or for another daemon
        del os.environ[name]
    outcome = Torture(minutes=options.minutes, seed=options.seed, workers=options.workers, faults=faults).run()
    if options.json is not None:
        options.json.write_text(json.dumps(outcome.to_map(), indent=2) + "\n")
    print(report(outcome, most_told=MOST_TOLD))
    return 1 if outcome.violations else 0


if __name__ == "__main__":
    sys.exit(main())
