"""What the loops log, and that the activations are real and change."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from sidelog.bench.activations import RING, Activations, make_activations
from sidelog.bench.blocks import _last_steps
from sidelog.bench.workloads import Device, Launch, Network, Workload


class Ledger:
    """A logger that only counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last_step: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def scalar(self, tag: str, value: object, step: int) -> None:
        float(value)  # type: ignore[arg-type]
        self.counts[tag] += 1
        self.last_step[tag] = step

    def feature_map(self, tag: str, feature_map: torch.Tensor, step: int) -> None:
        assert not feature_map.requires_grad or feature_map.grad_fn is not None
        self.shapes[tag] = tuple(feature_map.shape)
        self.counts[tag] += 1
        self.last_step[tag] = step


@pytest.fixture(scope="module")
def activations() -> Activations:
    return make_activations(0)


def test_activations_have_the_shapes_and_change(activations: Activations) -> None:
    assert activations.layer1.shape == (RING, 64, 56, 56)
    assert activations.layer2.shape == (RING, 128, 28, 28)
    for maps in (activations.layer1, activations.layer2):
        assert maps.isfinite().all()
        assert not maps.is_inference()
        assert len({float(one.double().sum()) for one in maps}) == RING


def test_activations_are_the_same_for_a_seed(activations: Activations) -> None:
    assert torch.equal(make_activations(0).layer2, activations.layer2)
    assert not torch.equal(make_activations(1).layer2, activations.layer2)


@pytest.mark.parametrize("name", ["device", "cpu", "launch"])
@pytest.mark.parametrize("steps", [1, 11, 12])
def test_a_loop_logs_what_it_says(activations: Activations, name: str, steps: int) -> None:
    made: dict[str, Workload] = {
        "device": Device(0.0, activations),
        "cpu": Network(activations, 0),
        "launch": Launch(activations),
    }
    ledger = Ledger()
    for step in range(steps):
        if step % 10 == 0 or name != "cpu":  # a step of the network takes long, and changes no count
            made[name].train(step)
        made[name].log(ledger, step)  # type: ignore[arg-type]
    assert ledger.counts == made[name].per_block(steps)
    assert ledger.last_step == _last_steps(made[name], steps)
    assert ledger.shapes["layer1"] == (64, 56, 56)
