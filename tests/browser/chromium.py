"""A headless Chromium, driven by selenium."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

WIDTH, HEIGHT = 1400, 1700
_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --force-prefers-reduced-motion "
    # Meshes and the projector need WebGL; drawn by software it gives the same pixels everywhere.
    "--use-angle=swiftshader --enable-unsafe-swiftshader "
    # Of a GIF the first frame stands: the frames are compared by their bytes, the page has to come to rest.
    f"--blink-settings=imageAnimationPolicy=2 --window-size={WIDTH},{HEIGHT}"
)
# How many answers a page and the frames in it wait for.
_COUNT_REQUESTS = """
window.unanswered = 0;
const send = XMLHttpRequest.prototype.send;
XMLHttpRequest.prototype.send = function (...given) {
    window.unanswered++;
    this.addEventListener('loadend', () => window.unanswered--);
    return send.apply(this, given);
};
const ask = window.fetch;
window.fetch = (...given) => {
    window.unanswered++;
    return ask(...given).finally(() => window.unanswered--);
};
"""


def start_chromium() -> Any:
    """A browser with an empty page; the caller quits it."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        pytest.fail('selenium is not installed: run  pip install "sidelog[browser]"', pytrace=False)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.fail("Chromium or its driver is not installed: run  apt-get install chromium chromium-driver "
                    "(other systems: chromium or google-chrome, and chromedriver, in PATH)", pytrace=False)  # fmt: skip
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in _FLAGS.split():
        options.add_argument(flag)
    browser = webdriver.Chrome(options=options, service=Service(driver))
    browser.set_page_load_timeout(60)
    browser.set_script_timeout(30)
    # Charts and graphs measure their labels once. A font that arrives before that at one time and after it at another
    # gives other pages: without TensorBoard's own, the system's is there from the beginning.
    browser.execute_cdp_cmd("Network.enable", {})
    browser.execute_cdp_cmd("Network.setBlockedURLs", {"urls": ["*.woff2", "*.woff", "*.ttf"]})
    browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _COUNT_REQUESTS})
    return browser
