"""The same files by TensorBoard's own readers: the one in Python, and the data server."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.data.grpc_provider import GrpcDataProvider

from fast_reader import fast_reader
from torture.content import Place
from torture.strict_reader import Value

SETTLE_S = 120.0
"""How long the data server may take to read all; it shows what it has so far."""
_KEPT = ("scalar", "text", "picture", "audio")
"""Kinds of values that are compared: those that both readers show value by value."""
Shown = Counter[tuple[Place, Hashable]]


def expected(values: list[Value]) -> Shown:
    """What the readers must show: scalars with their values, of the others where they stand."""
    shown: Shown = Counter()
    for value in values:
        assert isinstance(value.content, tuple)
        kind = value.content[0]
        if kind in _KEPT:
            shown[value.place, value.content[1] if kind == "scalar" else kind] += 1
    return shown


def by_python(logdir: Path, runs: set[str]) -> Shown:
    """By ``EventAccumulator``, all of it kept."""
    shown: Shown = Counter()
    for run in sorted(runs):
        accumulator = EventAccumulator(
            str(logdir / run), size_guidance={"scalars": 0, "tensors": 0, "images": 0, "audio": 0}
        )
        accumulator.Reload()
        tags = accumulator.Tags()
        for tag in tags["scalars"]:
            shown.update((Place(run, tag, one.step), one.value) for one in accumulator.Scalars(tag))
        for tag in tags["images"]:
            shown.update((Place(run, tag, one.step), "picture") for one in accumulator.Images(tag))
        for tag in tags["audio"]:
            shown.update((Place(run, tag, one.step), "audio") for one in accumulator.Audio(tag))
        for tag in tags["tensors"]:
            if tag.endswith("/text_summary"):
                shown.update((Place(run, tag, one.step), "text") for one in accumulator.Tensors(tag))
    return shown


def by_data_server(logdir: Path, wanted: Shown) -> Shown:
    """By TensorBoard's data server, once it shows ``wanted`` or at a deadline: it loads in the background."""
    deadline = time.monotonic() + SETTLE_S
    with fast_reader(logdir) as provider:
        while (shown := _shown(provider)) != wanted and time.monotonic() < deadline:
            threading.Event().wait(0.2)
    return shown


def _shown(provider: GrpcDataProvider) -> Shown:
    shown: Shown = Counter()
    most: dict[str, Any] = {"experiment_id": "", "downsample": 10_000_000}
    for run, tags in provider.read_scalars(None, plugin_name="scalars", **most).items():
        for tag, points in tags.items():
            shown.update((Place(run, tag, point.step), point.value) for point in points)
    for run, tags in provider.read_tensors(None, plugin_name="text", **most).items():
        for tag, points in tags.items():
            shown.update((Place(run, tag, point.step), "text") for point in points)
    for plugin, kind in (("images", "picture"), ("audio", "audio")):
        for run, sequences in provider.read_blob_sequences(None, plugin_name=plugin, **most).items():
            for tag, points in sequences.items():
                shown.update((Place(run, tag, point.step), kind) for point in points)
    return shown
