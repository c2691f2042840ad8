"""One browser for all tests of a session, and TensorBoard on what the programs log, on either side."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import start_chromium
from looking import wait_for

from event_files import read_run
from program_runs import ORIGINAL, OURS, PROGRAMS, ProgramRuns


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    browser = start_chromium()
    try:
        yield browser
    finally:
        browser.quit()


@pytest.fixture
def browser(chromium: Any, tmp_path: Path) -> Iterator[Any]:
    """The browser with an empty page. A picture of the page as it was last seen is kept beside each test."""
    chromium.get("about:blank")
    yield chromium
    chromium.save_screenshot(str(tmp_path / "page.png"))
    print(f"the page as it was last seen: {tmp_path / 'page.png'}")


@pytest.fixture(scope="session")
def tensorboards(program_runs: ProgramRuns) -> Iterator[dict[str, str]]:
    """Addresses of two TensorBoards, by side, once both serve all that the programs with pages logged."""
    for name, program in PROGRAMS.items():
        if program.has_pages:
            program_runs.of(name)
    started: list[subprocess.Popen[bytes]] = []
    addresses = {}
    try:
        for side in (ORIGINAL, OURS):
            log = program_runs.folder / f"tensorboard-{side}.log"
            command = [sys.executable, "-m", "tensorboard.main", "--logdir", ".", "--port", "0", "--host", "127.0.0.1",
                       "--samples_per_plugin", "images=100"]  # fmt: skip
            with log.open("wb") as output:
                folder = program_runs.folder / side  # its name stands on no page
                started.append(subprocess.Popen(command, cwd=folder, stdout=output, stderr=output))
        for side in (ORIGINAL, OURS):
            log = program_runs.folder / f"tensorboard-{side}.log"
            found = wait_for(
                lambda log=log: re.search(r"http://[\d.:]+/", log.read_text()), "TensorBoard's address in its log", 60
            )
            addresses[side] = found[0]
            logged = last_steps(program_runs.folder / side)
            wait_for(lambda side=side, logged=logged: _serves(addresses[side], logged), "all that was logged", 60)
        yield addresses
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait(30)


def last_steps(folder: Path) -> dict[tuple[str, str, str], int]:
    """The last step of each (plugin, run, tag) of three kinds, by TensorBoard's other reader."""
    found = {}
    for directory in sorted({path.parent for path in folder.rglob("*tfevents*")}):
        run, content = str(directory.relative_to(folder)), read_run(directory)
        for plugin, tags in (
            ("scalars", content.scalars), ("images", content.images), ("histograms", content.histograms),
        ):  # fmt: skip
            found |= {(plugin, run, tag): points[-1][0] for tag, points in tags.items()}
    return found


def _serves(url: str, logged: dict[tuple[str, str, str], int]) -> bool | None:
    """True once the last points are there, and the projector, which looks for its files in the background."""
    try:
        for (plugin, run, tag), step in logged.items():
            query = urllib.parse.urlencode({"run": run, "tag": tag, "sample": 0})
            last = answer(f"{url}data/plugin/{plugin}/{plugin}?{query}")[-1]
            if (last["step"] if isinstance(last, dict) else last[1]) != step:
                return None
        return True if answer(f"{url}data/plugins_listing")["projector"]["enabled"] else None
    except urllib.error.HTTPError as error:
        error.close()
    except (urllib.error.URLError, ConnectionError, LookupError):
        pass
    return None


def answer(url: str) -> Any:
    """The JSON at an address of this machine, whatever proxies are configured."""
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    with ask(url, timeout=10) as response:
        return json.load(response)
