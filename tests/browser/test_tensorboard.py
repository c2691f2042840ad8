"""What a person sees in TensorBoard: headless Chromium looks at a run that two workers logged through the sidecar.

TensorBoard's pages nest shadow roots, so elements are searched for through all of them; pages fill in as answers
arrive, so every look is repeated until a deadline. A picture of the page as it was last seen is kept beside each test.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import torch
from browser_training import MEAN, PALETTE, STD, STEPS, batch
from PIL import Image
from torchvision.utils import make_grid

pytestmark = pytest.mark.browser

T = TypeVar("T")
RUNS = {".": 0, "rank_1": 1}
TAGS = {"batch/input", "batch/label_map", "feature_map"}
CHROMIUM_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --window-size=1400,1200"
)
EVERYWHERE = """
const everywhere = (root, selector) => [...root.querySelectorAll('*')].flatMap(element => [
    ...(element.matches(selector) ? [element] : []),
    ...(element.shadowRoot ? everywhere(element.shadowRoot, selector) : [])]);
"""


def wait_for(look: Callable[[], T | None], what: str, timeout_s: float = 30) -> T:
    """Look until there is something to see; returns it."""
    deadline = time.monotonic() + timeout_s
    while (seen := look()) is None:
        assert time.monotonic() < deadline, f"not seen within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)
    return seen


@pytest.fixture(scope="module")
def tensorboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the TensorBoard of ``sidelog daemon --tensorboard``, once it serves what two workers logged."""
    folder, runtime = tmp_path_factory.mktemp("browser"), tempfile.mkdtemp(prefix="sl-")
    plain = {key: value for key, value in os.environ.items() if not key.startswith("SIDELOG_")}
    environment = {**plain, "SIDELOG_RUNTIME_DIR": runtime}
    log = folder / "daemon.log"
    command = [sys.executable, "-m", "sidelog.cli", "daemon", "--logdir", str(folder / "run"), "--tensorboard"]
    with log.open("wb") as output:
        daemon = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        wait_for(lambda: re.search(r"is ready", log.read_text()), "the daemon's ready line")
        train(folder / "run", environment)
        found = wait_for(lambda: re.search(r"http://[\d.:]+/", log.read_text()), "TensorBoard's address in the log")
        wait_for(lambda: served(found[0]), "TensorBoard serves every step", 60)
        yield found[0]
    finally:
        daemon.terminate()
        daemon.wait(30)
        shutil.rmtree(runtime, ignore_errors=True)


def train(run: Path, environment: dict[str, str]) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("browser_training.py")), str(run)],
            env={**environment, "RANK": str(rank), "WORLD_SIZE": str(len(RUNS)), "OMP_NUM_THREADS": "1"},
        )
        for rank in RUNS.values()
    ]
    assert [worker.wait(60) for worker in workers] == [0, 0]


def served(url: str) -> bool | None:
    """True once both runs are there to their last step."""
    ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
    try:
        for run in RUNS:
            for tag in TAGS:
                with ask(f"{url}data/plugin/images/images?run={run}&tag={tag}&sample=0", timeout=10) as answer:
                    if json.load(answer)[-1]["step"] != STEPS - 1:
                        return None
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except (urllib.error.URLError, ConnectionError, LookupError):
        return None
    return True


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    """A headless Chromium of its own, driven by selenium."""
    try:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
    except ImportError:
        pytest.fail('selenium is not installed: run  pip install "sidelog[browser]"', pytrace=False)
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.fail("Chromium or its driver is not installed: run  apt-get install chromium chromium-driver "
                    "(other systems: chromium or google-chrome, and chromedriver, in PATH)", pytrace=False)  # fmt: skip
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in CHROMIUM_FLAGS.split():
        options.add_argument(flag)
    page = webdriver.Chrome(options=options, service=Service(driver))
    page.set_page_load_timeout(60)
    page.set_script_timeout(30)
    try:
        yield page
        page.save_screenshot(str(tmp_path / "page.png"))
        print(f"the page as it was last seen: {tmp_path / 'page.png'}")
    finally:
        page.quit()


def shown_images(browser: Any) -> dict[tuple[str, str], tuple[str, int, int]] | None:
    """Source, width and height of the picture of every (run, tag); None until all of them have arrived."""
    found = browser.execute_script(
        EVERYWHERE + "return everywhere(document, 'tf-image-loader').map(card => [card.run, card.tag, "
        "everywhere(card.shadowRoot, 'img').filter(image => image.complete && image.naturalWidth)"
        ".map(image => [image.src, image.naturalWidth, image.naturalHeight])]);"
    )
    images = {(run, tag): tuple(images[0]) for run, tag, images in found if images}
    return images if len(images) == len(RUNS) * len(TAGS) else None


def pixels_of(browser: Any, source: str) -> np.ndarray:
    """The pixels of a picture of the page, as the browser got it: uint8 [H, W, 3]."""
    content = browser.execute_async_script(
        "const [source, done] = arguments; fetch(source).then(answer => answer.blob()).then(blob => {"
        "const reader = new FileReader(); reader.onload = () => done(reader.result); reader.readAsDataURL(blob); });",
        source,
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content.partition(",")[2]))).convert("RGB"))


def expected_pixels(tag: str, rank: int) -> np.ndarray:
    """What the last step must look like, drawn by torchvision and by hand: uint8 [H, W, 3]."""
    last = batch(rank, STEPS - 1)
    if tag == "batch/label_map":
        return np.array(PALETTE, np.uint8)[last.labels.numpy()]
    if tag == "batch/input":
        drawn = last.image * torch.tensor(STD)[:, None, None] + torch.tensor(MEAN)[:, None, None]
    else:
        drawn = make_grid(last.maps, padding=20, normalize=True, scale_each=True, pad_value=1)
    return (drawn * 255 + 0.5).clamp(0, 255).byte().permute(1, 2, 0).numpy()


def test_the_images_page_shows_every_picture_of_every_rank(browser: Any, tensorboard: str) -> None:
    browser.get(f"{tensorboard}#images")
    images = wait_for(lambda: shown_images(browser), "six pictures on the images page")
    assert set(images) == {(run, tag) for run in RUNS for tag in TAGS}
    for (run, tag), (source, width, height) in images.items():
        expected = expected_pixels(tag, RUNS[run])
        assert (height, width) == expected.shape[:2], f"{tag} of {run}"
        shown = pixels_of(browser, source)
        if tag == "batch/input":  # undone in another order of operations: the last bit may differ
            assert np.abs(shown.astype(int) - expected).max() <= 1, f"{tag} of {run}"
        else:
            np.testing.assert_array_equal(shown, expected, f"{tag} of {run}")


def test_the_scalars_page_shows_a_falling_curve_of_every_rank(browser: Any, tensorboard: str) -> None:
    browser.get(f"{tensorboard}#scalars")

    def curves() -> list[list[tuple[float, float]]] | None:
        paths = browser.execute_script(
            EVERYWHERE + "return everywhere(document, 'tf-scalar-card').filter(card => card.tag === 'loss').flatMap("
            "card => everywhere(card.shadowRoot, 'path.line').map(path => path.getAttribute('d') || ''));"
        )
        found = [[(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path)] for path in paths]
        drawn = [points for points in found if len(points) > STEPS // 2]
        return drawn if len(drawn) >= len(RUNS) else None

    for points in wait_for(curves, "a curve for each run in the chart of the loss"):
        across, down = zip(*points, strict=True)
        assert list(across) == sorted(across)
        assert down[0] < down[len(down) // 2] < down[-1], "the loss falls: in SVG, y grows downwards"


def test_the_first_page_draws_the_loss(browser: Any, tensorboard: str) -> None:
    from selenium.common.exceptions import StaleElementReferenceException

    browser.get(f"{tensorboard}?tagFilter=loss#timeseries")

    def inked_pixels() -> int | None:
        """Pixels of the chart's canvas that are neither white nor grey, once there are any."""
        charts = browser.find_elements("css selector", "scalar-card canvas")
        try:
            if not charts or not all(charts[0].size.values()):
                return None
            content = charts[0].screenshot_as_png
        except StaleElementReferenceException:  # the page has just drawn the card anew
            return None
        chart = np.asarray(Image.open(io.BytesIO(content)).convert("RGB")).astype(int)
        return int((np.ptp(chart, 2) > 50).sum()) or None

    assert wait_for(inked_pixels, "a curve on the time series page") > 50
    card = browser.find_element("css selector", "scalar-card").text
    assert card.startswith("loss"), card
