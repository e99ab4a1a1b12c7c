"""A narrow model whose tensors are just large enough for palettes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mobie_coreml.analysis.sensitivity import Sensitivity
from mobie_coreml.models.presets import PRESETS, Preset


def narrow_preset() -> Preset:
    """A nano of two levels and few channels, with tensors large enough for palettes."""
    nano = PRESETS["nano"]
    unet: dict[str, Any] = {
        "in_channels": 8,
        "out_channels": 4,
        "block_out_channels": (16, 32),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "num_attention_heads": (2, 2),
        "norm_num_groups": 8,
        "cross_attention_dim": 32,
    }
    autoencoder: dict[str, Any] = {
        "latent_channels": 4,
        "encoder_block_out_channels": (8, 8, 16, 16),
        "decoder_block_out_channels": (16, 16, 8, 8),
    }
    text: dict[str, Any] = {
        "hidden_size": 32,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    return dataclasses.replace(
        nano,
        frame_size=(64, 64),
        unet=dataclasses.replace(nano.unet, **unet),
        autoencoder=dataclasses.replace(nano.autoencoder, **autoencoder),
        text_encoder=dataclasses.replace(nano.text_encoder, **text),
    )


@dataclasses.dataclass(frozen=True)
class Narrow:
    """A model folder, the checkpoint it comes from, and its sensitivity."""

    model: Path
    checkpoint: str
    sensitivity: Sensitivity
