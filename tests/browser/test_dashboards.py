"""Page by page: TensorBoard shows of sidelog's runs what it shows of the original writers'."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import dashboards
import numpy as np
import pytest
from chromium import HEIGHT, WIDTH
from dashboards import Dashboard
from looking import (
    EVERYWHERE,
    Seen,
    count_of,
    curves_of,
    open_categories,
    pictures_of,
    shot_at_rest,
    sounds_of,
    wait_for,
    words_of,
)

from program_runs import ORIGINAL, OURS

# The first test runs the programs.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

CLICK_TAB = (
    EVERYWHERE
    + """
const [tab] = everywhere(document, 'paper-tab').filter(tab => tab.textContent.trim().toLowerCase() === arguments[0]);
if (tab) tab.click();
return Boolean(tab);
"""
)
KEPT_IN = os.environ.get("SIDELOG_SCREENSHOTS")
"""A folder for the pictures of the pages; beside each test unless given."""
LEVELS = 1
"""How far apart the pixels of two pages may be: where translucent lines cross, even one page drawn twice is that."""
BAR = 70
"""Height of TensorBoard's own bar: colorful on an empty page too."""


def look(browser: Any, dashboard: Dashboard, url: str, kept_as: Path) -> list[Seen]:
    """Open a page, then its tabs; a picture of each is kept."""
    browser.get("about:blank")  # or a change behind the # alone would leave the old page
    browser.get(url + dashboard.address)
    seen = [_at_rest(browser, dashboard, dashboard.shows, kept_as)]
    for tab, shows in dashboard.tabs.items():
        wait_for(lambda tab=tab: browser.execute_script(CLICK_TAB, tab) or None, f"the tab {tab!r}")
        seen.append(_at_rest(browser, dashboard, shows, kept_as.with_stem(f"{kept_as.stem}-{tab.split()[0]}")))
    return seen


def _at_rest(browser: Any, dashboard: Dashboard, shows: dict[str, int], kept_as: Path) -> Seen:
    shown: dict[str, int] = {}

    def filled() -> bool | None:
        open_categories(browser, all_of_them=dashboard.opens_all)
        shown.update({selector: count_of(browser, selector) for selector in shows})
        return shown == shows or None

    try:
        wait_for(filled, dashboard.name)
        shot, png = shot_at_rest(browser, dashboard.name, dashboard.at_rest)
    except AssertionError as error:
        browser.save_screenshot(str(kept_as))
        raise AssertionError(f"{error}: it shows {shown}, expected {shows}; {kept_as}") from None
    kept_as.write_bytes(png)
    return Seen(words_of(browser), curves_of(browser), pictures_of(browser), sounds_of(browser), shot)


def ink(shot: np.ndarray) -> int:
    """Pixels that are neither white nor grey, below the bar."""
    return int((np.ptp(shot[BAR:].astype(int), 2) > 50).sum())


@pytest.mark.parametrize("dashboard", dashboards.ALL, ids=lambda dashboard: dashboard.name)
def test_it_shows_the_same(browser: Any, tensorboards: dict[str, str], tmp_path: Path, dashboard: Dashboard) -> None:
    folder = Path(KEPT_IN or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    original, ours = (
        look(browser, dashboard, tensorboards[side], folder / f"{dashboard.name}-{side}.png")
        for side in (ORIGINAL, OURS)
    )
    assert [word for word in dashboard.words if word not in "".join(ours[0].words)] == []
    assert sum(curve.count("L") >= 9 for curve in ours[0].curves) >= dashboard.curves
    for one, two in zip(original, ours, strict=True):
        assert one.shot.shape[1] == two.shot.shape[1] == WIDTH
        assert one.shot.shape[0] > HEIGHT / 2
        assert ink(two.shot) >= dashboard.ink
        assert two.words == one.words
        assert two.curves == one.curves
        assert two.sounds == one.sounds
        assert len(two.pictures) == len(one.pictures)
        for left, right in zip(one.pictures, two.pictures, strict=True):
            assert [frame.shape for frame in left] == [frame.shape for frame in right]
            assert all(farthest(a, b) <= dashboard.levels for a, b in zip(left, right, strict=True))
        apart = np.abs(one.shot.astype(int) - two.shot.astype(int)).max(2) > LEVELS
        assert apart.sum() <= dashboard.stray, f"{apart.sum()} pixels differ: see {folder}"


def farthest(one: np.ndarray, two: np.ndarray) -> int:
    """How far the pixels of two pictures are apart at most."""
    return int(np.abs(one.astype(int) - two.astype(int)).max())
