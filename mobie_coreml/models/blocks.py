"""Building blocks of the UNet, with diffusers' parameter names.

`Conditioning` carries what every ResNet block adds after its first convolution: the timestep embedding and, where the
network has guidance inputs, one embedding for each guidance scale.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.models.config import UNetConfig


class Conditioning(NamedTuple):
    """Embeddings (B, time_embed_dim) of the timestep and of the two guidance scales, SiLU applied."""

    time: torch.Tensor
    text_guidance: torch.Tensor | None = None
    image_guidance: torch.Tensor | None = None


class Conditioned(nn.Module):
    """Projects the embeddings to `channels` values an image, by linear layers that are added up."""

    def __init__(self, channels: int, config: UNetConfig) -> None:
        super().__init__()
        width = config.time_embed_dim
        self.time_emb_proj = nn.Linear(width, channels)
        if config.guidance_embedding:
            self.text_guidance_emb_proj = _zero_linear(width, channels)
            self.image_guidance_emb_proj = _zero_linear(width, channels)

    def project(self, conditioning: Conditioning) -> torch.Tensor:
        """Embeddings -> (B, channels)."""
        values: torch.Tensor = self.time_emb_proj(conditioning.time)
        if conditioning.text_guidance is not None and conditioning.image_guidance is not None:
            values = values + self.text_guidance_emb_proj(conditioning.text_guidance)
            values = values + self.image_guidance_emb_proj(conditioning.image_guidance)
        return values


class GuidanceGate(nn.Module):
    """Both guidance scales multiply the embedding of timestep and prompt, channel by channel.

    Guidance multiplies what a prompt does by a scale. Where the prompt reaches the blocks as an embedding that they
    project, projections of the scales that are only added to it cannot do that; this can. One until it is trained.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.text_guidance_emb_proj = _zero_linear(config.time_embed_dim, config.time_embed_dim)
        self.image_guidance_emb_proj = _zero_linear(config.time_embed_dim, config.time_embed_dim)

    def forward(self, conditioning: Conditioning) -> Conditioning:
        """The same embeddings with that of the timestep multiplied."""
        text, image = conditioning.text_guidance, conditioning.image_guidance
        gate = 1 + self.text_guidance_emb_proj(text) + self.image_guidance_emb_proj(image)
        return conditioning._replace(time=conditioning.time * gate)


class ResnetBlock2D(Conditioned):
    """Norm, SiLU, convolution, twice, around a shortcut; conditioning is added between the two."""

    def __init__(self, in_channels: int, out_channels: int, config: UNetConfig) -> None:
        super().__init__(out_channels, config)
        groups, eps = config.norm_num_groups, config.norm_eps
        self.norm1 = nn.GroupNorm(groups, in_channels, eps=eps)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, out_channels, eps=eps)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, hidden: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """(B, in_channels, h, w) -> (B, out_channels, h, w)."""
        residual = hidden if self.conv_shortcut is None else self.conv_shortcut(hidden)
        hidden = self.conv1(F.silu(self.norm1(hidden)))
        shift = self.project(conditioning)
        hidden = self.conv2(F.silu(self.norm2(hidden + shift[:, :, None, None])))
        return residual + hidden


class InputSkip(Conditioned):
    """A linear map of the input at each position, its matrix and offset chosen by the conditioning.

    What an edit leaves alone, and changes of brightness and colour, need not pass through the network: they are linear
    maps of latents, nearly, and so is the share of the noise in what is predicted.

    The projection's values are the matrix, (L, 2 L) by rows, and then the offset, (L,).
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__(config.out_channels * (config.in_channels + 1), config)
        self.out_channels, self.in_channels = config.out_channels, config.in_channels

    def forward(self, sample: torch.Tensor, conditioning: Conditioning) -> torch.Tensor:
        """(B, 2 L, h, w) -> (B, L, h, w)."""
        values = self.project(conditioning)
        matrix, offset = torch.split(values, [self.out_channels * self.in_channels, self.out_channels], dim=1)
        mapped = torch.matmul(matrix.reshape(-1, self.out_channels, self.in_channels), sample.flatten(2))
        return mapped.reshape(-1, self.out_channels, *sample.shape[2:]) + offset[:, :, None, None]


def _zero_linear(in_width: int, out_width: int) -> nn.Linear:
    """A linear layer whose output is exactly zero until it is trained."""
    layer = nn.Linear(in_width, out_width)
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Attention(nn.Module):
    """Multi-head attention with queries from `hidden` and keys and values from `context` (or `hidden` itself)."""

    def __init__(self, width: int, context_width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(context_width, width, bias=False)
        self.to_v = nn.Linear(context_width, width, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, hidden: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        """(B, S, C), context (B, T, C_context) -> (B, S, C)."""
        context = hidden if context is None else context
        query, key, value = (
            projected.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for projected in (self.to_q(hidden), self.to_k(context), self.to_v(context))
        )
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        result: torch.Tensor = self.to_out[0](attended)
        return result


class GEGLU(nn.Module):
    """Linear projection gated by the exact GELU of its second half (Shazeer 2020, arXiv 2002.05202)."""

    def __init__(self, width: int, out_width: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * out_width)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., out_width)."""
        value, gate = self.proj(hidden).chunk(2, dim=-1)
        gated: torch.Tensor = value * F.gelu(gate)
        return gated


class FeedForward(nn.Module):
    """GEGLU to four times the width and back; `net` has diffusers' indices (1 is its dropout, absent here)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([GEGLU(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(..., width) -> (..., width)."""
        result: torch.Tensor = self.net[2](self.net[0](hidden))
        return result


class BasicTransformerBlock(nn.Module):
    """Self-attention, cross-attention to the text states, feed-forward, each on a normalised residual branch."""

    def __init__(self, width: int, heads: int, context_width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attn1 = Attention(width, width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.attn2 = Attention(width, context_width, heads)
        self.norm3 = nn.LayerNorm(width)
        self.ff = FeedForward(width)

    def forward(self, hidden: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """(B, S, C), context (B, 77, C_text) -> (B, S, C)."""
        hidden = hidden + self.attn1(self.norm1(hidden))
        hidden = hidden + self.attn2(self.norm2(hidden), context)
        result: torch.Tensor = hidden + self.ff(self.norm3(hidden))
        return result


class Transformer2DModel(nn.Module):
    """One transformer block over all positions of a feature map, between two 1x1 convolutions, residual."""

    def __init__(self, width: int, heads: int, context_width: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.proj_in = nn.Conv2d(width, width, 1)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(width, heads, context_width)])
        self.proj_out = nn.Conv2d(width, width, 1)

    def forward(self, hidden: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w), context (B, 77, C_text) -> (B, C, h, w)."""
        size = hidden.shape[-2:]
        tokens = self.proj_in(self.norm(hidden)).flatten(2).transpose(1, 2)
        tokens = self.transformer_blocks[0](tokens, context)
        result: torch.Tensor = hidden + self.proj_out(tokens.transpose(1, 2).unflatten(2, size))
        return result


class Downsample2D(nn.Module):
    """Strided convolution to half the size (rounded up)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, C, ceil(h / 2), ceil(w / 2))."""
        result: torch.Tensor = self.conv(hidden)
        return result


class Upsample2D(nn.Module):
    """Nearest neighbour to the size of the skip connections that follow, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, hidden: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """(B, C, h, w) -> (B, C, *size)."""
        result: torch.Tensor = self.conv(F.interpolate(hidden, size=size, mode="nearest"))
        return result
