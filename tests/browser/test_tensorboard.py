"""What a person sees in TensorBoard: headless Chromium looks at a run that two workers logged through the sidecar."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from browser_training import MEAN, PALETTE, STD, STEPS, batch
from looking import EVERYWHERE, fetched, wait_for
from PIL import Image
from torchvision.utils import make_grid

pytestmark = pytest.mark.browser

RUNS = {".": 0, "rank_1": 1}
TAGS = {"batch/input", "batch/label_map", "feature_map"}


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
    return np.asarray(Image.open(io.BytesIO(fetched(browser, source))).convert("RGB"))


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
