"""base and mobile with few channels and one layer a block, for tests that train whole stages."""

from __future__ import annotations

from dataclasses import replace

from mobie_coreml.models.presets import Preset, narrowed


def thin(name: str) -> Preset:
    """A preset with its levels, blocks and autoencoder's levels, 1 M parameters, for frames of 64x48."""
    preset = narrowed(name)
    unet = replace(
        preset.unet, layers_per_block=1, block_out_channels=(32, 32, 64, 64), num_attention_heads=(2, 2, 2, 2)
    )
    return replace(preset, unet=unet, frame_size=(64, 48))
