"""Which fault when: a schedule that follows from a seed alone.

What the processes do in between does not: the same seed gives the same faults in the same order, not the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

FIRST_S = 3.0
"""Until then everything comes up."""
GAPS_S = {"daemon": (3.0, 6.0), "local": (4.0, 8.0), "worker": (3.0, 7.0), "network": (3.0, 6.0)}
"""Target -> how long after the beginning of a fault the next one is planned. One that lasts longer delays it."""


@dataclass(frozen=True, slots=True)
class Planned:
    """One fault.

    Attributes:
        at_s: since the beginning.
        target: whom it meets; each target has a schedule of its own, so that faults of several overlap.
        fault: its name.
        seed: of what it chooses itself.
    """

    at_s: float
    target: str
    fault: str
    seed: int


def plan(seed: int, seconds: float, faults: Mapping[str, Sequence[str]]) -> list[Planned]:
    """The schedule.

    Args:
        seed: any number.
        seconds: how long.
        faults: target -> names. Each target goes through all of its own before one comes again.
    """
    schedule = []
    for target, names in faults.items():
        chosen = random.Random(f"{seed} {target}")
        deck: list[str] = []
        at_s = FIRST_S + chosen.uniform(0, GAPS_S[target][0])
        while names and at_s < seconds:
            if not deck:
                deck = chosen.sample(sorted(names), len(names))
            schedule.append(Planned(round(at_s, 3), target, deck.pop(), chosen.randrange(2**32)))
            at_s += chosen.uniform(*GAPS_S[target])
    return sorted(schedule, key=lambda planned: planned.at_s)
