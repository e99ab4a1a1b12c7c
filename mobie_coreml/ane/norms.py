"""Normalisation that cannot overflow in fp16 and lowers to few operations.

A variance written down naively squares deviations: in fp16 any deviation of 256 or more becomes infinite. `GroupNorm`
here divides deviations by the group's range first, which keeps every intermediate within -1..1 whatever the input is.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from mobie_coreml.ane.operators import channel_layer_norm

# A smaller range is not scaled up to 1 but by 1 / SMALLEST_RANGE: the reciprocal and its product with sqrt(eps)
# stay far inside fp16's range, and the result is the same, since any scale gives the same result.
SMALLEST_RANGE = 2.0**-8


class GroupNorm(nn.Module):
    """Group normalisation of (B, C, H, W), equal to `torch.nn.GroupNorm`, safe in fp16 for values up to 32,752.

    With d = x - mean and r = 1 / (max x - min x) over the group,

        y = d * (r * rsqrt(mean((r d)^2) + r^2 eps)) * weight + bias

    equals (x - mean) / sqrt(variance + eps) * weight + bias (Wu and He 2018, arXiv 1803.08494) for every r > 0, and
    |r d| <= 1. Beyond 32,752 (half of fp16's largest value) the range itself is infinite.

    The mean is rounded to fp16 too, which is up to 0.125 where it is 500. What it is off by is found again as mean(r d)
    and subtracted from the bias. (Its square in the variance is far below fp16's precision.)

    The statistics are taken in rank 4, (B, groups, C / groups * H, W): the last axis stays as it is. The extremes cost
    two reads of the tensor more than a fixed scale such as 1/16 would, which keeps 4,000 from overflowing but loses
    deviations below 0.01 among fp16's smallest numbers.
    """

    def __init__(self, groups: int, channels: int, eps: float) -> None:
        super().__init__()
        self.groups = groups
        self.channels = channels
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, H, W) -> same."""
        batch, channels, height, width = x.shape
        each = channels // self.groups
        grouped = x.reshape(batch, self.groups, each * height, width)
        spread = grouped.amax((2, 3), keepdim=True) - grouped.amin((2, 3), keepdim=True)
        scale = spread.clamp(min=SMALLEST_RANGE).reciprocal()
        deviations = grouped - grouped.mean((2, 3), keepdim=True)
        scaled = deviations * scale
        missed = scaled.mean((2, 3), keepdim=True)
        scaled_eps = scale * math.sqrt(self.eps)
        inverse_deviation = torch.rsqrt((scaled * scaled).mean((2, 3), keepdim=True) + scaled_eps * scaled_eps)
        # Per group and channel of the group, small tensors all: (B, groups, C / groups, 1).
        gain = inverse_deviation * self.weight.reshape(1, self.groups, each, 1)
        shift = self.bias.reshape(1, self.groups, each, 1) - missed * gain
        factor = (scale * gain).reshape(batch, channels, 1, 1)
        return deviations.reshape(batch, channels, height, width) * factor + shift.reshape(batch, channels, 1, 1)


class LayerNorm(nn.Module):
    """Layer normalisation of (B, C, 1, S) over C, one `layer_norm` over axis 1 in a package.

    One high-level operation instead of a decomposed norm is what Apple recommends for the Neural Engine; the statistics
    never exist as fp16 tensors.
    """

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, C, 1, S) -> same."""
        result: torch.Tensor = channel_layer_norm(x, self.weight, self.bias, self.eps)
        return result
