"""Losses of the adversarial stage, and the noise that its discriminator sees samples through."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

Logits = Sequence[torch.Tensor]
"""One tensor (B, 1, h, w) a head."""


def discriminator_hinge(real: Logits, made: Logits) -> torch.Tensor:
    """max(0, 1 - D(real)) + max(0, 1 + D(made)), means over examples, places and heads (Lim and Ye 2017, arXiv
    1705.02894): real samples are pushed above 1, made ones below -1."""
    terms = [F.relu(1 - one).mean() + F.relu(1 + other).mean() for one, other in zip(real, made, strict=True)]
    return torch.stack(terms).mean()


def student_hinge(made: Logits) -> torch.Tensor:
    """-D(made): the student raises what the discriminator thinks of its samples."""
    return -torch.stack([one.mean() for one in made]).mean()


def exact_r1(logits: Logits, features: Sequence[torch.Tensor]) -> torch.Tensor:
    """Squared norm over channels of the gradient of the logits by the features that the heads look at, mean over
    examples, places and heads (R1, Mescheder et al. 2018, arXiv 1801.04406; on the heads' inputs as in Sauer et al.
    2023, arXiv 2311.17042).

    Args:
        logits: Of real samples.
        features: What they were computed from, with gradients on.
    """
    gradients = torch.autograd.grad([one.sum() for one in logits], list(features), create_graph=True)
    return torch.stack([one.square().sum(dim=1).mean() for one in gradients]).mean()


def approximate_r1(logits: Logits, nudged: Logits, step: float) -> torch.Tensor:
    """The same kind of penalty without a second derivative: the squared change of the logits when noise of deviation
    `step` is added to the sample, over `step` squared (Lin et al. 2025, arXiv 2501.08316, eq. 4, there unscaled)."""
    changes = [(one - other).square().mean() for one, other in zip(logits, nudged, strict=True)]
    return torch.stack(changes).mean() / step**2


def logit_normal_timestep(rng: np.random.Generator, mean: float, deviation: float, timesteps: int) -> int:
    """A timestep t with logit(t / timesteps) normal (Esser et al. 2024, arXiv 2403.03206, section 3.1)."""
    level = 1 / (1 + np.exp(-rng.normal(mean, deviation)))
    return min(int(level * timesteps), timesteps - 1)


def ramp(step: int, start: int, length: int) -> float:
    """0 before `start`, then rising linearly to 1 over `length` steps."""
    if step < start:
        return 0.0
    return min((step - start + 1) / max(length, 1), 1.0)
