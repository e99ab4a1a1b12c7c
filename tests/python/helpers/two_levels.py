"""nano with two levels and few channels, for tests that convert and run whole models."""

from __future__ import annotations

from dataclasses import replace

from mobie_coreml.models.presets import PRESETS, Preset


def two_level_preset(frame_size: tuple[int, int]) -> Preset:
    """nano's own autoencoder, text encoder and latents, and a denoiser of 32 and 64 channels."""
    nano = PRESETS["nano"]
    unet = replace(
        nano.unet,
        block_out_channels=(32, 64),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        num_attention_heads=(1, 2),
    )
    return replace(nano, frame_size=frame_size, unet=unet)
