"""The tiny autoencoder: TAESD's layout, with widths and block counts free at every level and, if wanted, a linear path.

Parameter names are those of diffusers' AutoencoderTiny (`encoder.layers.N`, `decoder.layers.N`), whose networks these
are where all widths are equal. Layout after TAESD (github.com/madebyollin/taesd): convolutions and residual blocks
with ReLU, no normalisation, no attention.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.models.config import AutoencoderConfig

IMAGE_CHANNELS = 3
LATENT_LIMIT = 3.0
"""The decoder squeezes its input to -3..3 with a tanh before anything else, as TAESD does."""


class AutoencoderTinyBlock(nn.Module):
    """Three 3x3 convolutions with ReLU around a shortcut, ReLU after the sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        self.fuse = nn.ReLU()

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(B, channels, h, w) -> same."""
        result: torch.Tensor = self.fuse(self.conv(hidden) + hidden)
        return result


class EncoderTiny(nn.Module):
    """Images to latents."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        previous = IMAGE_CHANNELS
        for level, (channels, blocks) in enumerate(
            zip(config.encoder_block_out_channels, config.num_encoder_blocks, strict=True)
        ):
            stride = 1 if level == 0 else 2
            layers.append(nn.Conv2d(previous, channels, 3, padding=1, stride=stride, bias=level == 0))
            layers.extend(AutoencoderTinyBlock(channels) for _ in range(blocks))
            previous = channels
        layers.append(nn.Conv2d(previous, config.latent_channels, 3, padding=1))
        self.layers = nn.Sequential(*layers)
        factor = config.factor
        self.linear = nn.Conv2d(IMAGE_CHANNELS, config.latent_channels, factor, factor) if config.linear_path else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in -1..1 -> (B, L, H / factor, W / factor), sides rounded up (multiples with a linear path)."""
        return self.encode(images.add(1).div(2))

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """`forward` for images in 0..1."""
        result: torch.Tensor = self.layers(images)
        return result if self.linear is None else result + self.linear(images)


class DecoderTiny(nn.Module):
    """Latents to images."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        widths = config.decoder_block_out_channels
        layers: list[nn.Module] = [nn.Conv2d(config.latent_channels, widths[0], 3, padding=1), nn.ReLU()]
        for level, (channels, blocks) in enumerate(zip(widths, config.num_decoder_blocks, strict=True)):
            layers.extend(AutoencoderTinyBlock(channels) for _ in range(blocks))
            if level + 1 < len(widths):
                layers.append(nn.Upsample(scale_factor=2, mode="nearest"))
                layers.append(nn.Conv2d(channels, widths[level + 1], 3, padding=1, bias=False))
            else:
                layers.append(nn.Conv2d(channels, IMAGE_CHANNELS, 3, padding=1))
        self.layers = nn.Sequential(*layers)
        self.factor = config.factor
        values = IMAGE_CHANNELS * self.factor**2
        self.linear = nn.Conv2d(config.latent_channels, values, 1) if config.linear_path else None

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """(B, L, h, w) -> (B, 3, factor * h, factor * w), nominally -1..1 but not clipped."""
        return self.decode(latents).mul(2).sub(1)

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """`forward` with images nominally in 0..1; the linear path takes the latents as they are, not squeezed."""
        squeezed = torch.tanh(latents / LATENT_LIMIT) * LATENT_LIMIT
        result: torch.Tensor = self.layers(squeezed)
        return result if self.linear is None else result + F.pixel_shuffle(self.linear(latents), self.factor)


class TinyAutoencoder(nn.Module):
    """Encoder and decoder between images in -1..1 and the latents of the diffusion model."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = EncoderTiny(config)
        self.decoder = DecoderTiny(config)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Encodes images.

        Args:
            images: (B, 3, H, W), -1..1; H and W multiples of `config.factor`.

        Returns:
            Latents (B, L, H / factor, W / factor), multiplied by `config.scaling_factor`.
        """
        latents: torch.Tensor = self.encoder(images)
        return latents * self.config.scaling_factor

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Decodes latents as `encode` makes them.

        Args:
            latents: (B, L, h, w).

        Returns:
            Images (B, 3, factor * h, factor * w), nominally -1..1 but not clipped.
        """
        images: torch.Tensor = self.decoder(latents / self.config.scaling_factor)
        return images

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Reconstructs images, shapes as for `encode`."""
        return self.decode(self.encode(images))
