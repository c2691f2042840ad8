"""What a person sees on a page: words, curves, pictures, sounds, and the page itself once it has come to rest.

TensorBoard's pages nest shadow roots and frames, so elements are searched for through all of them; pages fill in as
answers arrive, so every look is repeated until a deadline.
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image, ImageSequence

T = TypeVar("T")

EVERYWHERE = """
const everywhere = (root, selector) => [...root.querySelectorAll('*')].flatMap(element => [
    ...(element.matches(selector) ? [element] : []),
    ...(element.shadowRoot ? everywhere(element.shadowRoot, selector) : []),
    ...(element.tagName === 'IFRAME' && element.contentDocument
        ? everywhere(element.contentDocument, selector) : [])]);
"""
_IS_SHOWN = "const isShown = element => element.getClientRects().length > 0;"
_WORDS = """
const texts = root => [...root.childNodes].flatMap(node => node.nodeType === Node.TEXT_NODE ? [node]
    : node.nodeType !== Node.ELEMENT_NODE || ['STYLE', 'SCRIPT', 'TEMPLATE'].includes(node.tagName) ? []
    : [...(node.shadowRoot ? texts(node.shadowRoot) : []),
       ...(node.tagName === 'IFRAME' && node.contentDocument ? texts(node.contentDocument.body) : []),
       ...texts(node)]);
"""
# Both sides ran at moments of their own, and took their own time.
_HIDE_MOMENTS = r"""
const date = /[A-Z][a-z]{2} [A-Z][a-z]{2} \d{1,2} \d{4} \d\d:\d\d:\d\d GMT[+-]\d{4}( \([^)]*\))?/g;
const hidden = text => text.replace(date, 'some time').replace(/\b[\d.]+ (ms|sec|min)\b/g, 'some time');
for (const node of texts(document.body)) if (hidden(node.data) !== node.data) node.data = hidden(node.data);
"""
_STILL = 3
"""So many screenshots in a row are equal before a page counts as at rest."""


@dataclass(frozen=True)
class Seen:
    """A page at rest.

    Attributes:
        words: texts that are shown, in the order of the page.
        curves: the ``d`` of every path of a drawing that is shown, sorted: TensorBoard's fast reader hands tags on in
            the order of a hash map, and so the lines of one chart are drawn.
        pictures: frames of every picture, each uint8 [H, W, 4].
        sounds: bytes of what every player plays.
        shot: the page's pixels, uint8 [H, W, 3].
    """

    words: list[str]
    curves: list[str]
    pictures: list[list[np.ndarray]]
    sounds: list[bytes]
    shot: np.ndarray


def wait_for(look: Callable[[], T | None], what: str, timeout_s: float = 30) -> T:
    """Look until there is something to see; returns it."""
    deadline = time.monotonic() + timeout_s
    while (seen := look()) is None:
        assert time.monotonic() < deadline, f"not seen within {timeout_s:.0f} s: {what}"
        time.sleep(0.05)
    return seen


def count_of(browser: Any, selector: str) -> int:
    """How many elements that match are shown."""
    script = EVERYWHERE + _IS_SHOWN + "return everywhere(document, arguments[0]).filter(isShown).length;"
    return browser.execute_script(script, selector)


def open_categories(browser: Any, *, all_of_them: bool) -> None:
    """Groups of cards: all of them, or the first. When a page comes up, two or three are open."""
    browser.execute_script(
        EVERYWHERE + "everywhere(document, 'tf-category-paginated-view').forEach("
        "(view, index) => { view.opened = arguments[0] || index === 0; });",
        all_of_them,
    )


def shot_at_rest(browser: Any, what: str, at_rest: str) -> tuple[np.ndarray, bytes]:
    """The page once no answer is awaited and nothing moves: its pixels, and the PNG.

    Args:
        browser: shows the page.
        what: names the page.
        at_rest: a script that brings to rest what would not come to it; it returns whether it could.
    """
    seen: list[bytes] = []

    def still() -> bytes | None:
        if not browser.execute_script(EVERYWHERE + at_rest):
            return None
        browser.execute_script(_WORDS + _HIDE_MOMENTS)
        unanswered = browser.execute_script(
            EVERYWHERE + "return [window, ...everywhere(document, 'iframe').map(frame => frame.contentWindow)]"
            ".reduce((sum, one) => sum + (one.unanswered || 0), 0);"
        )
        if unanswered:
            seen.clear()
        seen.append(browser.get_screenshot_as_png())
        last = seen[-_STILL:]
        return last[-1] if len(last) == _STILL and len(set(last)) == 1 else None

    png = wait_for(still, f"{what} comes to rest", 45)
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")), png


def words_of(browser: Any) -> list[str]:
    """Texts that are shown, moments hidden."""
    script = (
        _WORDS + _IS_SHOWN + _HIDE_MOMENTS + "return texts(document.body).filter(node => node.data.trim() "
        "&& isShown(node.parentElement || node.parentNode.host)).map(node => node.data.trim().replace(/\\s+/g, ' '));"
    )
    return browser.execute_script(script)


def curves_of(browser: Any) -> list[str]:
    script = (
        EVERYWHERE + _IS_SHOWN + "return everywhere(document, 'svg path').filter(isShown)"
        ".map(path => path.getAttribute('d')).filter(d => d && d.includes('L'));"
    )
    return sorted(browser.execute_script(script))


def pictures_of(browser: Any) -> list[list[np.ndarray]]:
    """Every frame of every picture that is shown."""
    script = EVERYWHERE + _IS_SHOWN + "return everywhere(document, 'img').filter(isShown).map(image => image.src);"
    return [frames_of(fetched(browser, source)) for source in browser.execute_script(script)]


def sounds_of(browser: Any) -> list[bytes]:
    script = EVERYWHERE + (
        "return everywhere(document, 'audio').map(audio => audio.currentSrc || audio.src "
        "|| audio.querySelector('source').src);"
    )
    return [fetched(browser, source) for source in browser.execute_script(script)]


def fetched(browser: Any, source: str) -> bytes:
    """What stands at an address of the page, as the browser gets it."""
    content = browser.execute_async_script(
        "const [source, done] = arguments; fetch(source).then(answer => answer.blob()).then(blob => {"
        "const reader = new FileReader(); reader.onload = () => done(reader.result); reader.readAsDataURL(blob); });",
        source,
    )
    return base64.b64decode(content.partition(",")[2])


def frames_of(encoded: bytes) -> list[np.ndarray]:
    picture = Image.open(io.BytesIO(encoded))
    return [np.asarray(frame.convert("RGBA")) for frame in ImageSequence.Iterator(picture)]
