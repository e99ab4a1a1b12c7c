"""Sinusoidal embeddings of scalars: the timestep and, where a checkpoint has them, the two guidance scales."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn


def sinusoidal_embedding(
    values: torch.Tensor, width: int, *, flip_sin_to_cos: bool = True, freq_shift: float = 0.0
) -> torch.Tensor:
    """Embeds scalars at geometrically spaced frequencies from 1 to 1/10000 (Vaswani et al. 2017, section 3.5).

    Args:
        values: (B,), any dtype; computed in fp32.
        width: Even number of channels.
        flip_sin_to_cos: Cosines first, as in Stable Diffusion.
        freq_shift: Subtracted from the number of frequencies in the exponent's denominator (0 in Stable Diffusion).

    Returns:
        (B, width), fp32.
    """
    half = width // 2
    exponents = -math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=values.device)
    angles = values.float()[:, None] * torch.exp(exponents / (half - freq_shift))[None, :]
    parts = (angles.cos(), angles.sin()) if flip_sin_to_cos else (angles.sin(), angles.cos())
    return torch.cat(parts, dim=-1)


class ScalarEmbedding(nn.Module):
    """Two linear layers with SiLU between them, over a sinusoidal embedding: (B, in_width) -> (B, out_width)."""

    def __init__(self, in_width: int, out_width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(in_width, out_width)
        self.linear_2 = nn.Linear(out_width, out_width)

    def forward(self, embedding: torch.Tensor) -> torch.Tensor:
        """(B, in_width) -> (B, out_width)."""
        hidden: torch.Tensor = self.linear_2(F.silu(self.linear_1(embedding)))
        return hidden
