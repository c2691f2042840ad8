"""Run by its path with a daemon's arguments: the daemon, each of whose pictures takes longer to draw.

By ``RENDER_MS`` of the environment, as on a slower core; it waits for so long, and takes no processor from who sends.
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import time

RENDER_MS = "BENCH_RENDER_MS"


def main() -> None:
    # Run by its path, this folder would be where imports are looked for first; its modules have common names.
    sys.path = [folder for folder in sys.path if not folder.endswith("/overload")]
    wait_s = float(os.environ.pop(RENDER_MS)) / 1e3
    renderer = importlib.import_module("sidelog_daemon.renderer")
    make_content = renderer.make_content

    def make_content_slowly(record: object, **options: object) -> object:
        content = make_content(record, **options)
        time.sleep(wait_s)
        return content

    renderer.make_content = make_content_slowly  # type: ignore[attr-defined]  # the renderers' threads call that
    runpy.run_module("sidelog_daemon", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
