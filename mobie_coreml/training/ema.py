"""Exponential moving average of a network's weights."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from mobie_coreml.training.sharding import local, split_like, whole


class WeightAverage:
    """A copy of a network whose weights follow the trained ones slowly.

    The decay rises with the number of updates, min(decay, (1 + n) / (10 + n)), so that the first average is not the
    random start (the warm-up of Tensorflow's ExponentialMovingAverage).
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.updates = 0
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Moves towards the weights and floating-point buffers of `network`; other buffers are copied."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        averages, values = self._values(), network.state_dict()
        floating = [name for name, value in values.items() if value.is_floating_point()]
        ours, theirs = ([local(part[name]) for name in floating] for part in (averages, values))
        torch._foreach_lerp_(ours, theirs, 1 - decay)
        for name in values.keys() - set(floating):
            averages[name].copy_(values[name])

    def gather(self) -> None:
        """Makes `network` hold the average; every process must call it."""

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Takes over a saved average."""
        self.network.load_state_dict(weights)

    def _values(self) -> Mapping[str, torch.Tensor]:
        return self.network.state_dict()


class ShardedAverage(WeightAverage):
    """The average of a network that is split over processes: each follows its own part.

    Args:
        network: Before it is split; a whole copy of it stays, on the CPU.
        decay: See `WeightAverage`.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, decay)
        self.network.to("cpu")
        self._parts: dict[str, torch.Tensor] = {}

    def follow(self, network: nn.Module) -> None:
        """Starts at the weights of `network`, which is split by now."""
        self._parts = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def gather(self) -> None:
        """Puts the parts together in every process's whole copy."""
        self.network.load_state_dict(whole(self._parts, keep=True))

    def load(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Takes over a saved average, each process its part."""
        self._parts = {name: split_like(weights[name], part).clone() for name, part in self._parts.items()}

    def _values(self) -> Mapping[str, torch.Tensor]:
        return self._parts
