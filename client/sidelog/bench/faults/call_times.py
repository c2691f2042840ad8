"""What a call costs while a fault is there, beside the bare copy of its bytes, in one loop."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter_ns

import numpy as np

from sidelog.bench.calls import busy_pace
from sidelog.bench.faults.scene import Outcome, Scene
from sidelog.bench.faults.training import AUDIO, AUDIO_RATE, LARGE, MAP, TEXT, smooth_maps
from sidelog.bench.pairs import percentile

ENOUGH_CALLS = 5_000
"""Five calls lie above a p99.9 of so many."""
LEAST_LIMIT_US = 1_000.0
COPIES = 1.5
"""The p99.9 of a call must be at most the larger of the two: 1 ms, and so many times the p99.9 of the bare copy."""
EVENT_BYTES = 500_000
"""What the pictures of one turn take in the event file, generously."""
_WARMUP = 20
_SLOTS = 4
"""Warm memory that the bare copies go to in turns."""
_LOOK_EVERY = 50


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of logging call.

    Attributes:
        label: for people.
        tag: in the event file.
        may_drop: its records may be dropped under pressure.
        call: makes the call for a step.
        copy: makes the bare copy of the bytes that the call before it took.
        nbytes: how many those are.
    """

    label: str
    tag: str
    may_drop: bool
    call: Callable[[int], object]
    copy: Callable[[int], object]
    nbytes: int


@dataclass(slots=True)
class CallTimes:
    """Calls of one kind during one fault.

    Attributes:
        fault: which.
        label: which kind.
        nbytes: what a call copies.
        calls_us: of each call.
        copies_us: of the bare copy beside it.
    """

    fault: str
    label: str
    nbytes: int
    calls_us: list[float] = field(default_factory=list)
    copies_us: list[float] = field(default_factory=list)

    @property
    def limit_us(self) -> float:
        """What the p99.9 of the call may be."""
        return max(LEAST_LIMIT_US, COPIES * percentile(self.copies_us, 99.9))

    @property
    def is_within(self) -> bool | None:
        """Whether it is; None when there are too few calls to say."""
        if len(self.calls_us) < ENOUGH_CALLS:
            return None
        return percentile(self.calls_us, 99.9) <= self.limit_us


@dataclass(slots=True)
class FaultyCalls:
    """The calls of one fault."""

    fault: str
    times: list[CallTimes]
    outcome: Outcome


def time_calls(
    scene: Scene,
    *,
    count: int,
    fault_s: float,
    pace_s: float,
    seed: int,
    progress: Callable[[str], None] = lambda _: None,
) -> FaultyCalls:
    """Make one call of each kind, and its bare copy, in each turn: ``count`` turns, more until ``fault_s`` have passed.

    Turns are ``pace_s`` apart; between them the thread launches tiny operations, as a training does. Which of call and
    copy comes first changes from turn to turn.
    """
    kinds = make_kinds(scene, seed)
    pace = busy_pace()
    for turn in range(_WARMUP):
        pace(pace_s)
        for kind in kinds:
            kind.call(turn)
            kind.copy(turn)
    scene.let_work(30.0)
    times = [CallTimes(scene.name, kind.label, kind.nbytes) for kind in kinds]
    scene.fault.begin()
    begun, turn = perf_counter_ns(), _WARMUP
    while turn < _WARMUP + count or perf_counter_ns() - begun < fault_s * 1e9:
        pace(pace_s)
        for kind, found in zip(kinds, times, strict=True):
            if turn % 2:
                found.calls_us.append(_time_us(kind.call, turn))
                found.copies_us.append(_time_us(kind.copy, turn))
            else:
                found.copies_us.append(_time_us(kind.copy, turn))
                found.calls_us.append(_time_us(kind.call, turn))
        if turn % _LOOK_EVERY == 0:
            progress(f"calls, {scene.name}: {turn - _WARMUP:,} of {count:,}")
            scene.fault.look()
        turn += 1
    scene.fault.wait_until_seen()
    scene.fault.end()
    progress(f"calls, {scene.name}: settles")
    outcome = scene.settle({kind.tag: turn for kind in kinds if not kind.may_drop})
    return FaultyCalls(scene.name, times, outcome)


def make_kinds(scene: Scene, seed: int) -> list[Kind]:
    """Every kind of call that the goal is for: small and large, of each lane."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    writer = scene.logger.writer
    maps = [smooth_maps(MAP, generator) for _ in range(2)]
    large = [smooth_maps(LARGE, generator) for _ in range(2)]
    text = np.frombuffer(TEXT.encode(), np.uint8)

    def picture(tag: str, batches: list[torch.Tensor]) -> Kind:
        shape = str(list(batches[0].shape)).replace(" ", "")
        first = [batch[0].numpy() for batch in batches]
        return Kind(
            f"add_feature_map, {shape}", tag, True, lambda k: writer.add_feature_map(tag, batches[k % 2], k),
            # The other one: what the call has just read lies in the caches.
            _copier([first[1], first[0]]), first[0].nbytes,
        )  # fmt: skip

    return [
        Kind("add_scalar", "scalar", False, lambda k: writer.add_scalar("scalar", 0.5, k), _copier([np.zeros(1)]), 8),
        Kind("add_text, 256 characters", "text/text_summary", False, lambda k: writer.add_text("text", TEXT, k),
             _copier([text]), text.nbytes),
        Kind("add_audio, 8,000 samples", "sound", False,
             lambda k: writer.add_audio("sound", AUDIO, k, sample_rate=AUDIO_RATE), _copier([AUDIO]), AUDIO.nbytes),
        picture("map", maps),
        picture("large", large),
    ]  # fmt: skip


def _copier(sources: list[np.ndarray]) -> Callable[[int], object]:
    """Copies one source after the other into one slot after the other; all of them have been touched before."""
    slots = [np.ones(sources[0].nbytes, np.uint8) for _ in range(_SLOTS)]
    places = [(slots[k % _SLOTS].ctypes.data, sources[k % len(sources)].ctypes.data) for k in range(_SLOTS)]
    nbytes, kept = sources[0].nbytes, (sources, slots)

    def copy(turn: int) -> object:
        to, source = places[turn % _SLOTS]
        ctypes.memmove(to, source, nbytes)
        return kept

    return copy


def _time_us(call: Callable[[int], object], turn: int) -> float:
    begun = perf_counter_ns()
    call(turn)
    return (perf_counter_ns() - begun) / 1e3


def summary_of(times: CallTimes) -> Mapping[str, float]:
    """Percentiles of a call and its copy, in microseconds."""
    both = {"call": times.calls_us, "copy": times.copies_us}
    return {f"{name}_p{which:g}": percentile(us, which) for name, us in both.items() for which in (50, 99, 99.9, 100)}
