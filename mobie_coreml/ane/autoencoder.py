"""Encoder and Decoder: the tiny autoencoder with 8-bit images at its outer ends.

The reference network maps images in -1..1 to 0..1 before its first layer and back after its last; in 8-bit steps that
is one division by 255 and one product with 255, both exact constants in fp16.
"""

from __future__ import annotations

import torch
from torch import nn

from mobie_coreml.models.autoencoder import DecoderTiny, EncoderTiny
from mobie_coreml.models.config import AutoencoderConfig

WHITE = 255.0
"""The largest value of an 8-bit channel."""


class Encoder(nn.Module):
    """Frame to image latents."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.encoder = EncoderTiny(config)
        self.scaling_factor = config.scaling_factor

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        """(1, 3, H, W), 0 to 255 -> scaled latents (1, L, H / factor, W / factor)."""
        latents: torch.Tensor = self.encoder.encode(frame / WHITE)
        return latents if self.scaling_factor == 1.0 else latents * self.scaling_factor


class Decoder(nn.Module):
    """Latents to edited frame."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.decoder = DecoderTiny(config)
        self.scaling_factor = config.scaling_factor

    def forward(self, denoised_latents: torch.Tensor) -> torch.Tensor:
        """Scaled latents (1, L, h, w) -> (1, 3, factor * h, factor * w), clipped to 0..255, not rounded."""
        latents = denoised_latents if self.scaling_factor == 1.0 else denoised_latents / self.scaling_factor
        result: torch.Tensor = (self.decoder.decode(latents) * WHITE).clamp(0.0, WHITE)
        return result
