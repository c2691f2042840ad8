"""A run directory as TensorBoard's own reader sees it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@dataclass(frozen=True)
class RunContent:
    """What stands in a run directory; nothing sampled, in the order of the files.

    Attributes:
        scalars: tag -> (step, value).
        texts: tag -> (step, text).
        images: tag -> (step, PNG or JPEG).
        histograms: tag -> (step, number of values).
    """

    scalars: dict[str, list[tuple[int, float]]]
    texts: dict[str, list[tuple[int, str]]]
    images: dict[str, list[tuple[int, bytes]]]
    histograms: dict[str, list[tuple[int, float]]]

    def steps(self, tag: str) -> list[int]:
        """Steps of a tag, whatever kind it is."""
        for kind in (self.scalars, self.texts, self.images, self.histograms):
            if tag in kind:
                return [step for step, _ in kind[tag]]
        return []

    def pixels(self, tag: str, index: int = -1) -> np.ndarray:
        """A picture as an array; of a palette, its colors."""
        picture = Image.open(io.BytesIO(self.images[tag][index][1]))
        return np.asarray(picture.convert("RGB") if picture.mode == "P" else picture)


def read_run(directory: Path | str) -> RunContent:
    """Read a run directory, its sub-runs not included."""
    accumulator = EventAccumulator(
        str(directory), size_guidance={"scalars": 0, "tensors": 0, "images": 0, "histograms": 0}
    )
    accumulator.Reload()
    tags = accumulator.Tags()
    return RunContent(
        scalars={tag: [(one.step, one.value) for one in accumulator.Scalars(tag)] for tag in tags["scalars"]},
        texts={
            tag.removesuffix("/text_summary"): [
                (one.step, one.tensor_proto.string_val[0].decode()) for one in accumulator.Tensors(tag)
            ]
            for tag in tags["tensors"]
            if tag.endswith("/text_summary")
        },
        images={
            tag: [(one.step, one.encoded_image_string) for one in accumulator.Images(tag)] for tag in tags["images"]
        },
        histograms={
            tag: [(one.step, one.histogram_value.num) for one in accumulator.Histograms(tag)]
            for tag in tags["histograms"]
        },
    )
