"""One network's descent: gradients of a mean of losses over batches and processes, clipped, applied by AdamW."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mobie_coreml.training.processes import Processes
from mobie_coreml.training.sharding import split_like, whole

Loss = Callable[[], tuple[torch.Tensor, dict[str, float]]]
"""Computes one batch's loss and other figures to log."""


@dataclass(frozen=True)
class Slope:
    """What a step is about to descend: the mean loss, its gradient's norm before clipping, figures to log."""

    loss: float
    norm: float
    figures: dict[str, float]

    @property
    def is_finite(self) -> bool:
        return math.isfinite(self.loss) and math.isfinite(self.norm)


class Descent:
    """A network with its optimiser."""

    def __init__(
        self,
        network: nn.Module,
        processes: Processes,
        *,
        learning_rate: float,
        betas: tuple[float, float],
        weight_decay: float,
        clip: float,
        is_split: bool = False,
    ) -> None:
        self.network, self.processes, self.is_split = network, processes, is_split
        self.learning_rate, self.clip = learning_rate, clip
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(network, weight_decay), lr=learning_rate, betas=betas, fused=True
        )

    def differentiate(self, losses: Sequence[Loss]) -> Slope:
        """Gradients of the mean of `losses` over all processes, computed one after the other."""
        self.optimizer.zero_grad(set_to_none=True)
        total = 0.0
        sums: dict[str, float] = {}
        for compute in losses:
            with self.processes.autocast():
                loss, figures = compute()
            self.processes.backward(loss / len(losses))
            total += float(loss.detach()) / len(losses)
            for name, figure in figures.items():
                sums[name] = sums.get(name, 0.0) + figure / len(losses)
        parameters = [item for item in self.network.parameters() if item.requires_grad]
        if not self.is_split:
            # The gradients of a split network are averaged while they are computed.
            self.processes.average_gradients(parameters)
        norm = float(whole(nn.utils.clip_grad_norm_(parameters, self.clip), keep=True))
        means = self.processes.mean({"loss": total, **sums})
        return Slope(means.pop("loss"), norm, means)

    def apply(self, factor: float) -> None:
        """Takes the step, at `factor` times the learning rate."""
        for group in self.optimizer.param_groups:
            group["lr"] = factor * self.learning_rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def load(self, optimizer: dict[str, Any]) -> None:
        """Takes over the moments of a saved optimiser, each in the memory layout of its parameter: the fused optimiser
        walks both in memory order."""
        self.optimizer.load_state_dict(optimizer)
        for parameter, moments in self.optimizer.state.items():
            for name, moment in moments.items():
                if moment.shape == parameter.shape:
                    part = split_like(moment, parameter)
                    moments[name] = torch.empty_like(parameter, requires_grad=False).copy_(part)


def _parameter_groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels, none for biases, norms and embeddings' offsets."""
    parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
    return [
        {"params": [item for item in parameters if item.ndim > 1], "weight_decay": weight_decay},
        {"params": [item for item in parameters if item.ndim <= 1], "weight_decay": 0.0},
    ]
