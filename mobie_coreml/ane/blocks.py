"""Building blocks of the Denoiser: the UNet's, with everything that does not depend on the frame taken out.

Paths and parameter names are those of the reference UNet; linear weights (out, in) are 1x1 convolutions with weights
(out, in, 1, 1).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.ane.attention import AttentionForm, CrossAttention, SelfAttention
from mobie_coreml.ane.norms import GroupNorm, LayerNorm
from mobie_coreml.models.config import UNetConfig


class KeyValue(NamedTuple):
    """Projected text states of one cross-attention, (1, C, 1, 77) each."""

    key: torch.Tensor
    value: torch.Tensor


class ResnetBlock2D(nn.Module):
    """Norm, SiLU, convolution, twice, around a shortcut; the shift of time and guidance comes ready made."""

    def __init__(self, in_channels: int, out_channels: int, config: UNetConfig) -> None:
        super().__init__()
        groups, eps = config.norm_num_groups, config.norm_eps
        self.norm1 = GroupNorm(groups, in_channels, eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = GroupNorm(groups, out_channels, eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, hidden: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """(1, in_channels, h, w), shift (1, out_channels, 1, 1) -> (1, out_channels, h, w)."""
        residual = hidden if self.conv_shortcut is None else self.conv_shortcut(hidden)
        hidden = self.conv1(F.silu(self.norm1(hidden)))
        hidden = self.conv2(F.silu(self.norm2(hidden + shift)))
        return residual + hidden


class GEGLU(nn.Module):
    """1x1 convolution whose first half is gated by the exact GELU of its second."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(width, 2 * out_width, 1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(1, width, 1, S) -> (1, out_width, 1, S)."""
        value, gate = self.proj(hidden).chunk(2, dim=1)
        gated: torch.Tensor = value * F.gelu(gate)
        return gated


class FeedForward(nn.Module):
    """GEGLU to four times the width and back; `net` has diffusers' indices (1 is its dropout, absent here)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GEGLU(width, 4 * width), nn.Identity(), nn.Conv2d(4 * width, width, 1)])

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(1, width, 1, S) -> same."""
        result: torch.Tensor = self.net[2](self.net[0](hidden))
        return result


class BasicTransformerBlock(nn.Module):
    """Self-attention, cross-attention to ready-made keys and values, feed-forward, each on a residual branch."""

    def __init__(self, width: int, heads: int, form: AttentionForm) -> None:
        super().__init__()
        self.norm1 = LayerNorm(width)
        self.attn1 = SelfAttention(width, heads, form)
        self.norm2 = LayerNorm(width)
        self.attn2 = CrossAttention(width, heads, form)
        self.norm3 = LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, hidden: torch.Tensor, text: KeyValue) -> torch.Tensor:
        """(1, C, 1, S) -> same."""
        hidden = hidden + self.attn1(self.norm1(hidden))
        hidden = hidden + self.attn2(self.norm2(hidden), text.key, text.value)
        result: torch.Tensor = hidden + self.ff(self.norm3(hidden))
        return result


class Transformer2DModel(nn.Module):
    """One transformer block over all positions of a feature map, between two 1x1 convolutions, residual."""

    def __init__(self, width: int, heads: int, groups: int, form: AttentionForm) -> None:
        super().__init__()
        self.norm = GroupNorm(groups, width, 1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(width, heads, form)])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, hidden: torch.Tensor, text: KeyValue) -> torch.Tensor:
        """(1, C, h, w) -> same."""
        batch, channels, height, width = hidden.shape
        positions = self.proj_in(self.norm(hidden)).reshape(batch, channels, 1, height * width)
        positions = self.transformer_blocks[0](positions, text)
        result: torch.Tensor = hidden + self.proj_out(positions.reshape(batch, channels, height, width))
        return result


class Downsample2D(nn.Module):
    """Strided convolution to half the size (rounded up)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(1, C, h, w) -> (1, C, ceil(h / 2), ceil(w / 2))."""
        result: torch.Tensor = self.conv(hidden)
        return result


class Upsample2D(nn.Module):
    """Nearest neighbour to the size of the skip connections that follow, then a convolution.

    An odd size 2n - 1 is the doubled size without its last row or column: floor(i n / (2n - 1)) = floor(i / 2) for
    every i below 2n - 1. So the scale is always two, and the crop starts at zero.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """(1, C, h, w) -> (1, C, *size), each side of `size` twice that of `hidden` or one less."""
        doubled = F.interpolate(hidden, scale_factor=2.0, mode="nearest")
        if tuple(doubled.shape[2:]) != size:
            doubled = doubled[:, :, : size[0], : size[1]]
        result: torch.Tensor = self.conv(doubled)
        return result
