#!/usr/bin/env python3
"""The last picture of every tag of a run, on one sheet: for people without a browser.

    python scripts/contact_sheet.py RUN_DIR [--output FILE]

Reads the event files of RUN_DIR and of the runs in its subfolders, whoever wrote them, and draws the curve of every
scalar below the pictures. Writes RUN_DIR/contact_sheet.png.
"""

from __future__ import annotations

import argparse
import io
import math
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont
from tensorboard.backend.event_processing import event_accumulator as events

WIDTH, SIDE, GAP, LINE = (
    1600,
    288,
    14,
    20,
)  # pixels: the sheet, about a picture's shorter side, between pictures, a caption
INK, PAPER, CURVE, FIELD = "#222222", "#e8e8e8", "#c04000", "white"


@dataclass(frozen=True)
class Figure:
    """One picture and the line above it; the first of a run begins a row."""

    caption: str
    image: Image.Image
    begins_row: bool = False


def figures_of(run: Path, name: str) -> list[Figure]:
    """The last picture of every tag of one run, then the curve of every scalar."""
    sizes = {
        events.IMAGES: 1,
        events.SCALARS: 1000,
        events.HISTOGRAMS: 1,
        events.TENSORS: 1,
    }  # of one picture: the last
    accumulator = events.EventAccumulator(str(run), size_guidance=sizes).Reload()
    prefix = f"{name}: " if name else ""
    figures: list[Figure] = []
    for tag in accumulator.Tags()["images"]:
        last = accumulator.Images(tag)[-1]
        image = Image.open(io.BytesIO(last.encoded_image_string)).convert("RGB")
        figures.append(Figure(f"{prefix}{tag}, step {last.step}", fitted(image), begins_row=not figures))
    for tag in accumulator.Tags()["scalars"]:
        points = [(event.step, event.value) for event in accumulator.Scalars(tag)]
        caption = f"{prefix}{tag}, {points[0][1]:.4g} to {points[-1][1]:.4g} at step {points[-1][0]}"
        figures.append(Figure(caption, curve(points), begins_row=not figures))
    return figures


def fitted(image: Image.Image) -> Image.Image:
    """Small pictures enlarged by a whole number, so that pixels stay squares; wide ones reduced to the sheet."""
    factor = max(1, min(round(SIDE / min(image.size)), (WIDTH - 2 * GAP) // image.width))
    image = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    image.thumbnail((WIDTH - 2 * GAP, 2 * WIDTH), Image.Resampling.LANCZOS)
    return image


def curve(points: list[tuple[int, float]]) -> Image.Image:
    """A line through (step, value), over the whole range of both."""
    size, margin = (5 * SIDE // 4, SIDE // 2), 6
    image = Image.new("RGB", size, FIELD)
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    if len(finite) > 1:
        (left, right), (low, high) = ((min(axis), max(axis)) for axis in zip(*finite, strict=True))
        across, up = (size[0] - 2 * margin) / ((right - left) or 1), (size[1] - 2 * margin) / ((high - low) or 1)
        line = [(margin + (step - left) * across, size[1] - margin - (value - low) * up) for step, value in finite]
        ImageDraw.Draw(image).line(line, fill=CURVE, width=2)
    return image


def sheet(figures: list[Figure]) -> Image.Image:
    """The figures from left to right and from top to bottom, each under its caption."""
    font = ImageFont.load_default(14)
    places: list[tuple[int, int]] = []
    x = y = bottom = GAP
    for figure in figures:
        width = max(figure.image.width, math.ceil(font.getlength(figure.caption)))
        if places and (figure.begins_row or x + width + GAP > WIDTH):
            x, y = GAP, bottom + GAP
        places.append((x, y))
        x += width + GAP
        bottom = max(bottom, y + LINE + figure.image.height)
    page = Image.new("RGB", (WIDTH, bottom + GAP), PAPER)
    for (x, y), figure in zip(places, figures, strict=True):
        ImageDraw.Draw(page).text((x, y), figure.caption, fill=INK, font=font)
        page.paste(figure.image, (x, y + LINE))
    return page


def main() -> int:
    """Returns 1 when there is no picture."""
    parser = argparse.ArgumentParser(description="Put the last picture of every tag of a run on one sheet.")
    parser.add_argument("run", type=Path, metavar="RUN_DIR")
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: RUN_DIR/contact_sheet.png")
    options = parser.parse_args()

    figures = []
    for folder in sorted({file.parent for file in options.run.rglob("*tfevents*")}):
        name = folder.relative_to(options.run).as_posix()
        figures += figures_of(folder, "" if name == "." else name)
    if not figures:
        print(f"contact_sheet: no picture and no scalar in {options.run}", file=sys.stderr)
        return 1
    output = options.output or options.run / "contact_sheet.png"
    sheet(figures).save(output)
    print(f"contact_sheet: {len(figures)} figures in {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
