"""The discriminator of the adversarial stage: the teacher's down path, frozen, and a small trained head a level.

A head looks at the features of one level, place by place. It is told the timestep of the noise and both guidance scales
by scaling and shifting its normalised features, and the prompt by a product with its last features (a projection
discriminator, Miyato and Koyama 2018, arXiv 1802.05637).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.models.embeddings import sinusoidal_embedding
from mobie_coreml.models.unet import MobilePix2PixUNet

EMBEDDING = 64


def down_features(
    unet: MobilePix2PixUNet,
    sample: torch.Tensor,
    timesteps: torch.Tensor,
    states: torch.Tensor,
    scales: tuple[torch.Tensor, ...],
) -> list[torch.Tensor]:
    """What each level of the down path ends with before it is halved, highest resolution first: (B, C, h, w) each;
    arguments as of the UNet."""
    conditioning = unet.conditioning(timesteps, states, *scales)
    hidden = unet.conv_in(sample)
    features = []
    for block in unet.down_blocks:
        hidden, skips = block(hidden, conditioning, states)
        features.append(skips[-1] if block.downsamplers is None else skips[-2])
    return features


def pooled_text(states: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
    """The states (B, 77, C) at each prompt's end token (the largest id, at its first place): (B, C), as CLIP pools."""
    ends = ids == ids.amax(dim=1, keepdim=True)
    first = (ends.cumsum(dim=1) == 0).sum(dim=1)
    return states[torch.arange(len(states), device=states.device), first]


class Head(nn.Module):
    """One level's judgement: features (B, channels, h, w) to logits (B, 1, h, w)."""

    def __init__(self, channels: int, width: int, text_width: int, conditions: int) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(channels, width, 3, padding=1)
        self.norm = nn.GroupNorm(math.gcd(8, width), width, affine=False)
        self.embed = nn.Sequential(nn.Linear(conditions * EMBEDDING, width), nn.SiLU(), nn.Linear(width, 2 * width))
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.logit = nn.Conv2d(width, 1, 1)
        self.text = nn.Linear(text_width, width)

    def forward(self, features: torch.Tensor, conditions: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Features of a level, embedded conditions (B, conditions * EMBEDDING), pooled text (B, text_width)."""
        scale, shift = self.embed(conditions)[:, :, None, None].chunk(2, dim=1)
        hidden = F.silu(self.norm(self.conv_in(features)) * (1 + scale) + shift)
        hidden = F.silu(self.conv(hidden))
        agreement = (hidden * self.text(text)[:, :, None, None]).sum(dim=1, keepdim=True)
        result: torch.Tensor = self.logit(hidden) + agreement / math.sqrt(hidden.shape[1])
        return result


class Heads(nn.Module):
    """A head for each level; all that is trained of the discriminator.

    Args:
        channels: Of each level's features.
        width: Of a head.
        text_width: Of the text states.
        guidance: Whether heads are told the guidance scales.
    """

    def __init__(self, channels: tuple[int, ...], width: int, text_width: int, guidance: bool) -> None:
        super().__init__()
        self.guidance = guidance
        self.heads = nn.ModuleList(Head(one, width, text_width, 3 if guidance else 1) for one in channels)

    def forward(
        self,
        features: list[torch.Tensor],
        timesteps: torch.Tensor,
        scales: tuple[torch.Tensor, ...],
        text: torch.Tensor,
    ) -> list[torch.Tensor]:
        """Logits of every level, in fp32 whatever the features are (second derivatives are taken of them)."""
        values = (timesteps, *scales) if self.guidance else (timesteps,)
        with torch.autocast(text.device.type, enabled=False):
            conditions = torch.cat([sinusoidal_embedding(value, EMBEDDING) for value in values], dim=1)
            return [
                head(level.float(), conditions, text.float()) for head, level in zip(self.heads, features, strict=True)
            ]
