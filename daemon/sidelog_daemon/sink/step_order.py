"""Steps that do not grow: noticed per tag of one run directory, counted, and told of once per tag.

TensorBoard's fast reader keeps steps rising within a tag: when a smaller or an equal step follows, it drops the tag's
points from that step on, and shows the new one in their place (its slow reader keeps them all). So a training that
goes back without saying so, or logs a tag twice in one step, loses points on the page though all of them stand in the
file. Used by the thread that writes the directory; looks at records that are written, and at no others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sidelog_shared.limits import STEP_MIN
from sidelog_shared.names import clean_tag
from sidelog_shared.records import Kind, Record, Series

MAX_TAGS = 10_000
"""So many tags of one directory are watched, about 2 MB; later ones are not."""
TAGS_TOLD = 8
_OF_SCALARS = "scalars"
AT_ONCE_FROM = 192
"""Rows from which on it is faster to look at all of them at once (``scripts/bench_render.py``)."""
_NOT_BY_STEP = frozenset({Kind.HPARAMS, Kind.LAYOUT, Kind.EMBEDDING, Kind.PURGE})
"""Kinds whose pages show no steps."""


@dataclass(frozen=True, slots=True)
class StepBack:
    """The first step of a tag that was not greater than the one before it."""

    tag: str
    before: int
    step: int


class StepOrder:
    """The last step of each tag.

    Attributes:
        backward: by tag, how many steps were not greater than the one before.
    """

    def __init__(self) -> None:
        self.backward: Counter[str] = Counter()
        self._last: dict[tuple[str, str], int] = {}

    def see_scalars(
        self, series: Sequence[Series], index: npt.NDArray[np.integer], steps: npt.NDArray[np.int64]
    ) -> list[StepBack]:
        """Look at scalars in the order in which they are written.

        Args:
            series: what the rows name.
            index: which of ``series`` each row belongs to.
            steps: as many, as they were sent: none (``limits.STEP_NONE``) and the next one (``limits.STEP_NEXT``, which
                grows by itself) are passed over.

        Returns:
            What is to be told: one for each tag of which this is the first.
        """
        logged = steps >= STEP_MIN
        if not logged.all():
            index, steps = index[logged], steps[logged]
        if len(steps) >= AT_ONCE_FROM and self._all_grow(series, index, steps):
            return []
        last = self._last
        keys: dict[int, tuple[str, str]] = {}
        news: list[StepBack] = []
        for which, step in zip(index.tolist(), steps.tolist(), strict=True):
            key = keys.get(which)
            if key is None:
                key = keys[which] = _key_of(series[which])
            before = last.get(key)
            if before is None:
                if len(last) >= MAX_TAGS:
                    continue
            elif step <= before:
                news += self._count(key[1], before, step)
            last[key] = step
        return news

    def _all_grow(self, series: Sequence[Series], index: npt.NDArray[np.integer], steps: npt.NDArray[np.int64]) -> bool:
        """Whether it can be seen without looking at each row that all is well; then it is remembered, too."""
        order = np.argsort(index, kind="stable")
        of, rising = index[order], steps[order]
        begins = np.flatnonzero(np.concatenate([[True], of[1:] != of[:-1]]))
        grows = rising[1:] > rising[:-1]
        grows[begins[1:] - 1] = True  # to another series
        if not grows.all():
            return False
        keys = [_key_of(series[which]) for which in of[begins].tolist()]
        lasts = rising[np.append(begins[1:], len(rising)) - 1].tolist()
        if len(set(keys)) < len(keys) or len(self._last) + len(keys) > MAX_TAGS:
            return False
        before = [self._last.get(key, STEP_MIN - 1) for key in keys]
        if (rising[begins] <= before).any():
            return False
        self._last.update(zip(keys, lasts, strict=True))
        return True

    def see(self, record: Record) -> list[StepBack]:
        """Look at one record, of whatever many events; see :meth:`see_scalars`."""
        step = record.step
        if step is not None and record.kind is Kind.PURGE:
            self._purge(step)
        if step is None or step < STEP_MIN or record.kind in _NOT_BY_STEP:
            return []
        key = (record.kind.name, record.tag)
        before = self._last.get(key)
        if before is None and len(self._last) >= MAX_TAGS:
            return []
        self._last[key] = step
        return [] if before is None or step > before else self._count(record.tag, before, step)

    def _purge(self, step: int) -> None:
        """The training begins again at ``step``, and said so: what is from there on is hidden."""
        self._last = {key: last if last < step else step - 1 for key, last in self._last.items()}

    def _count(self, tag: str, before: int, step: int) -> list[StepBack]:
        self.backward[tag] += 1
        return [StepBack(tag, before, step)] if self.backward[tag] == 1 else []


def _key_of(series: Series) -> tuple[str, str]:
    return _OF_SCALARS, clean_tag(series.tag)


def told(news: Sequence[StepBack], run: str) -> str:
    """What the user should read of tags whose steps did not grow, at least one."""
    first, others = news[0], [one.tag for one in news[1:]]
    more = len(others) - TAGS_TOLD
    names = ", ".join(others[:TAGS_TOLD]) + (f" and {more:,} others" if more > 0 else "")
    return (
        f"steps of {first.tag!r} in {run} do not grow: {first.step:,} follows {first.before:,}"
        f"{f' (likewise {names})' if others else ''}; all is written, but TensorBoard shows of a tag's earlier points "
        "only those before the new step. A training that resumes says SummaryWriter(purge_step=...); else give each "
        "point of a tag a larger step"
    )
