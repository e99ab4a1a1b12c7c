"""A few drawn photographs and a nano model narrowed until a training step takes milliseconds."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mobie_coreml.models.config import AutoencoderConfig
from mobie_coreml.models.presets import Preset, preset
from mobie_coreml.training.photos import Photo, Photos


def drawn_photo(index: int, size: tuple[int, int] = (96, 80)) -> Photo:
    """Smooth patches of saturated colours."""
    pixels = np.random.default_rng(index).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    return Photo(f"{index:04d}.png", Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


@pytest.fixture(scope="session")
def photos() -> Photos:
    return Photos(tuple(drawn_photo(index) for index in range(1, 13)), (drawn_photo(0), drawn_photo(20)), {})


@pytest.fixture(scope="session")
def small_preset() -> Preset:
    full = preset("nano")
    levels = len(full.unet.block_out_channels)
    return replace(
        full,
        unet=replace(
            full.unet,
            in_channels=8,
            out_channels=4,
            block_out_channels=(16,) * levels,
            num_attention_heads=(2,) * levels,
            norm_num_groups=4,
            cross_attention_dim=16,
        ),
        autoencoder=AutoencoderConfig(
            latent_channels=4,
            encoder_block_out_channels=(4, 4, 8, 8),
            decoder_block_out_channels=(8, 8, 4, 4),
            num_encoder_blocks=(0, 1, 1, 1),
            num_decoder_blocks=(1, 1, 1, 0),
        ),
        text_encoder=replace(
            full.text_encoder, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
        ),
        frame_size=(64, 48),
    )
