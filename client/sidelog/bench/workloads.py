"""The three training loops: a device that is busy, a network on all cores, a loop bound by launches."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from sidelog.bench.activations import RING, Activations
from sidelog.bench.loggers import Logger

if TYPE_CHECKING:
    import torch

OPS = 1000
"""Tiny operations in a step of the launch-bound loop."""
SCALARS = 50
"""Scalars in a step of the launch-bound loop."""
MAPS_EVERY = 10
"""Steps between two feature maps of one layer in the network's training."""


class Workload(Protocol):
    """One training loop.

    Attributes:
        name: as on the command line.
        summary: one line for people.
        slowdown_goal: percent that sidelog may slow it down; None where nothing was promised.
        beyond_calls_goal: the same for what the calls' own time does not explain.
    """

    name: str
    summary: str
    slowdown_goal: float | None
    beyond_calls_goal: float | None

    def train(self, step: int) -> None:
        """One step without logging; returns when it is really over."""

    def log(self, logger: Logger, step: int) -> None:
        """What a training would log at this step."""

    def per_block(self, steps: int) -> Mapping[str, int]:
        """How many records of each tag the logging of steps 0 to ``steps`` - 1 makes."""


class Device:
    """A device is busy for some time, the CPU waits for it, then the logging calls are made, then the next step.

    That is the loop that reads its loss each step (``loss.item()``): nothing of the calls is hidden behind the
    device. A loop that launches ahead would hide calls that are shorter than its step, of either logger.

    Args:
        step_s: how long the device is busy.
        activations: on that device.
    """

    name = "device"
    beyond_calls_goal: float | None = None

    def __init__(self, step_s: float, activations: Activations) -> None:
        self.summary = f"a device busy for {step_s * 1e3:g} ms, then a scalar and two maps, each step"
        self.slowdown_goal: float | None = 1.0 if step_s >= 0.05 else None
        self._step_s = step_s
        self._activations = activations
        self._launch = MatrixProducts(step_s) if activations.layer1.device.type == "cuda" else None

    def train(self, step: int) -> None:
        if self._launch is None:
            # Until a deadline, and with the interpreter free, as a wait for a device leaves it.
            until = time.perf_counter_ns() + int(self._step_s * 1e9)
            while (left := until - time.perf_counter_ns()) > 0:
                time.sleep(left / 1e9)
        else:
            self._launch()

    def log(self, logger: Logger, step: int) -> None:
        layer1, layer2 = self._activations.layer1[step % RING], self._activations.layer2[step % RING]
        # On a device the loss is a tensor there, as the training has it.
        logger.scalar("loss", 1.0 / (1 + step) if self._launch is None else layer1[0, 0, 0], step)
        logger.feature_map("layer1", layer1, step)
        logger.feature_map("layer2", layer2, step)

    def per_block(self, steps: int) -> Mapping[str, int]:
        return {"loss": steps, "layer1": steps, "layer2": steps}


class Network:
    """resnet18 trains on the CPU with all cores; its own activations are logged.

    Args:
        activations: whose crops it trains on.
        seed: of its weights.
    """

    name = "cpu"
    slowdown_goal: float | None = 2.0
    beyond_calls_goal: float | None = None

    def __init__(self, activations: Activations, seed: int) -> None:
        import torch
        from torchvision.models import resnet18

        self.summary = f"resnet18 trains on the CPU, a scalar each step, both maps every {MAPS_EVERY}th"
        self._activations = activations
        torch.manual_seed(seed)
        self._network = resnet18(num_classes=2).train()
        self._optimizer = torch.optim.SGD(self._network.parameters(), lr=1e-3)
        self._loss = torch.nn.CrossEntropyLoss()
        self._value = torch.zeros(())
        self._maps: dict[str, torch.Tensor] = {}
        for name in ("layer1", "layer2"):
            # The hook stands in every block, with logging or without.
            def keep(_module: object, _given: object, made: torch.Tensor, name: str = name) -> None:
                self._maps[name] = made[0]

            self._network.get_submodule(name).register_forward_hook(keep)

    def train(self, step: int) -> None:
        chosen = slice(step % RING, step % RING + 1)
        self._optimizer.zero_grad()
        loss = self._loss(self._network(self._activations.crops[chosen]), self._activations.photos[chosen])
        loss.backward()
        self._optimizer.step()
        self._value = loss.detach()

    def log(self, logger: Logger, step: int) -> None:
        logger.scalar("loss", self._value, step)
        if step % MAPS_EVERY == 0:
            for name, feature_map in self._maps.items():
                logger.feature_map(name, feature_map, step)

    def per_block(self, steps: int) -> Mapping[str, int]:
        pictures = -(-steps // MAPS_EVERY)
        return {"loss": steps, "layer1": pictures, "layer2": pictures}


class Launch:
    """A thousand tiny operations: the interpreter is busy all the time, and every disturbance of it shows.

    Args:
        activations: whose maps are logged; the operations run on the same device.
    """

    name = "launch"
    slowdown_goal: float | None = None
    beyond_calls_goal: float | None = 5.0

    def __init__(self, activations: Activations) -> None:
        import torch

        self.summary = f"{OPS:,} tiny operations, then {SCALARS} scalars and one map, each step"
        self._layer1 = activations.layer1
        self._tags = [f"scalar_{number:02d}" for number in range(SCALARS)]
        self._weight = torch.ones(64, device=activations.layer1.device)
        self._bias = torch.full((64,), 0.001, device=activations.layer1.device)
        self._synchronize = torch.cuda.synchronize if activations.layer1.device.type == "cuda" else None

    def train(self, step: int) -> None:
        weight, bias = self._weight, self._bias
        for _ in range(OPS // 2):
            weight.mul_(0.999).add_(bias)
        if self._synchronize is not None:
            self._synchronize()

    def log(self, logger: Logger, step: int) -> None:
        scalar, value = logger.scalar, 1.0 / (1 + step)
        for tag in self._tags:
            scalar(tag, value, step)
        logger.feature_map("layer1", self._layer1[step % RING], step)

    def per_block(self, steps: int) -> Mapping[str, int]:
        return dict.fromkeys(self._tags, steps) | {"layer1": steps}


class MatrixProducts:
    """Keeps a CUDA device busy for about a given time with matrix products, and waits for it."""

    def __init__(self, step_s: float) -> None:
        import torch

        self._torch = torch
        self._left = torch.randn(2048, 2048, device="cuda", dtype=torch.float16)
        self._right = torch.randn(2048, 2048, device="cuda", dtype=torch.float16)
        self._out = torch.empty_like(self._left)
        self._count = 200
        for _ in range(3):
            begun = time.perf_counter_ns()
            self()
            took_s = (time.perf_counter_ns() - begun) / 1e9
            self._count = max(1, round(self._count * step_s / took_s))

    def __call__(self) -> None:
        for _ in range(self._count):
            self._torch.mm(self._left, self._right, out=self._out)
        self._torch.cuda.synchronize()
