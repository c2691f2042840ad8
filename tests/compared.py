"""Two logged folders beside each other: what differs, but for what differs on purpose."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Set
from pathlib import Path
from typing import Any

import numpy as np

from decoded import NOW, Decoded, decode_run, other_files


def differences(
    ours: Path, theirs: Path, *, since: float, rounded: Set[str], racy: Set[str], parallel: bool
) -> list[str]:
    """What a reader of both folders could tell apart, a line each.

    Args:
        ours: a folder that sidelog wrote.
        theirs: one that the original wrote.
        since: wall times after it are the writers' own, and not compared.
        rounded: tags and files of pictures made of floats: pixels may differ by one level.
        racy: tags of which only the steps are compared.
        parallel: which value of a tag has which step is open; that each step is there once is not.
    """
    left, right = decode_run(ours, since=since), decode_run(theirs, since=since)
    found = _keys("runs", _runs(ours), _runs(theirs)) + _keys("directories of values", left, right)
    for directory in sorted(left.keys() & right.keys()):
        mine, other = _by_tag(left[directory]), _by_tag(right[directory])
        found += _keys(f"tags in {directory}", mine, other)
        for tag in sorted(mine.keys() & other.keys()):
            where = f"{tag} in {directory}"
            steps = [[value.step for value in side] for side in (mine[tag], other[tag])]
            if parallel:  # theirs are numbered under a lock, but stand in the order in which processes hand them on
                steps = [sorted(side) for side in steps]
            if steps[0] != steps[1]:
                found.append(f"steps of {where}")
            elif parallel:
                if Counter(map(_without_step, mine[tag])) != Counter(map(_without_step, other[tag])):
                    found.append(f"values of {where}")
            elif tag not in racy:
                same = _nearly if tag in rounded else _equal
                pairs = zip(mine[tag], other[tag], strict=True)
                found += [f"step {one.step} of {where}" for one, two in pairs if not same(one, two)]
    return found + _files(ours, theirs, since, rounded)


def _runs(folder: Path) -> dict[str, int]:
    """Directories that TensorBoard lists, even if nothing was logged there: those with event files, and how many."""
    return Counter(str(path.parent.relative_to(folder)) for path in folder.rglob("*tfevents*"))


def _files(ours: Path, theirs: Path, since: float, rounded: Set[str]) -> list[str]:
    left, right = other_files(ours), other_files(theirs)
    found = _keys("files", left, right)
    for name in sorted(left.keys() & right.keys()):
        if name.endswith(".json"):
            same = _scalars(left[name], ours, since) == _scalars(right[name], theirs, since)
        elif name in rounded:
            same = _frames_nearly(left[name], right[name])
        else:
            same = left[name] == right[name]
        if not same:
            found.append(f"content of {name}")
    return found


def _keys(what: str, left: Any, right: Any) -> list[str]:
    found = []
    if left.keys() - right.keys():
        found.append(f"{what}, only ours: {sorted(left.keys() - right.keys())}")
    if right.keys() - left.keys():
        found.append(f"{what}, only theirs: {sorted(right.keys() - left.keys())}")
    return found


def _by_tag(values: list[Decoded]) -> dict[str, list[Decoded]]:
    found: dict[str, list[Decoded]] = {}
    for value in values:
        found.setdefault(value.tag, []).append(value)
    return found


def _without_step(value: Decoded) -> tuple[Any, ...]:
    return value.wall_time, value.content, value.metadata


_equal: Callable[[Decoded, Decoded], bool] = Decoded.__eq__


def _nearly(one: Decoded, two: Decoded) -> bool:
    facts = (one.wall_time, one.metadata, one.content[:3]) == (two.wall_time, two.metadata, two.content[:3])
    return facts and _frames_nearly(one.content[3], two.content[3])


def _frames_nearly(one: tuple[Any, ...], two: tuple[Any, ...]) -> bool:
    """Frames of ``decoded``: shape, bytes, duration. Truncated and rounded pixels are one level apart at most."""
    if [(shape, duration) for shape, _, duration in one] != [(shape, duration) for shape, _, duration in two]:
        return False
    levels = [[np.frombuffer(pixels, np.uint8).astype(int) for _, pixels, _ in frames] for frames in (one, two)]
    return all(np.abs(mine - other).max() <= 1 for mine, other in zip(*levels, strict=True))


def _scalars(content: bytes, folder: Path, since: float) -> dict[str, list[list[Any]]]:
    """``export_scalars_to_json``: {series: [[wall time, step, value], ...]}, the series named by its folder."""
    return {
        name.replace(str(folder), ""): [[NOW if time > since else time, step, value] for time, step, value in rows]
        for name, rows in json.loads(content).items()
    }
