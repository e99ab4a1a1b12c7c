"""The tiny autoencoder against diffusers' AutoencoderTiny with the same random weights."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import nn

from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.config import AutoencoderConfig
from mobie_coreml.models.presets import PRESETS

CONFIGS = {
    "taesd": AutoencoderConfig(),
    "narrow": AutoencoderConfig(
        latent_channels=16,
        encoder_block_out_channels=(16,) * 4,
        decoder_block_out_channels=(24,) * 4,
        num_encoder_blocks=(0, 1, 2, 1),
        num_decoder_blocks=(2, 1, 1, 0),
    ),
}


@pytest.mark.parametrize(("batch", "width", "height"), [(1, 64, 48), (3, 64, 48), (1, 40, 56)])
@pytest.mark.parametrize("name", CONFIGS)
def test_latents_and_images_are_those_of_diffusers(
    name: str, batch: int, width: int, height: int, randomise: Callable[[nn.Module], nn.Module]
) -> None:
    config = CONFIGS[name]
    ours = randomise(TinyAutoencoder(config))
    theirs = AutoencoderTiny.from_config(config.to_json()).eval().requires_grad_(False)
    theirs.load_state_dict(ours.state_dict())
    images = torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(batch)) * 2 - 1
    latents = ours.encode(images)
    assert latents.shape == (batch, config.latent_channels, height // 8, width // 8)
    assert (latents - theirs.encode(images).latents).abs().max() <= 1e-5
    assert (ours.decode(latents) - theirs.decode(latents).sample).abs().max() <= 1e-5


def test_latents_are_scaled_on_the_way_out_and_back_on_the_way_in(
    randomise: Callable[[nn.Module], nn.Module],
) -> None:
    plain, scaled = (randomise(TinyAutoencoder(replace(CONFIGS["narrow"], scaling_factor=f))) for f in (1.0, 0.25))
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(scaled.encode(images), plain.encode(images) * 0.25)
    assert torch.allclose(scaled(images), plain(images))


def test_a_linear_path_adds_a_map_of_blocks(randomise: Callable[[nn.Module], nn.Module]) -> None:
    config = replace(CONFIGS["narrow"], linear_path=True)
    assert AutoencoderConfig.from_json(config.to_json()) == config
    assert AutoencoderConfig.from_json(CONFIGS["narrow"].to_json()) == CONFIGS["narrow"]
    both = randomise(TinyAutoencoder(config))
    layers = TinyAutoencoder(CONFIGS["narrow"]).eval().requires_grad_(False)
    layers.load_state_dict(both.state_dict(), strict=False)
    images = torch.rand(1, 3, 24, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = both.encode(images)
    blocks = F.pixel_unshuffle(images.add(1).div(2), 8)
    encode, decode = both.get_submodule("encoder.linear"), both.get_submodule("decoder.linear")
    mapped = F.conv2d(blocks, encode.weight.flatten(1)[:, :, None, None], encode.bias)
    assert torch.allclose(latents, layers.encode(images) + mapped, atol=1e-5)
    added = 2 * F.pixel_shuffle(decode(latents), 8)
    assert torch.allclose(both.decode(latents), layers.decode(latents) + added, atol=1e-5)


def test_nano_latents_match_its_unet() -> None:
    nano = PRESETS["nano"]
    autoencoder = TinyAutoencoder(nano.autoencoder)
    width, height = nano.frame_size
    assert autoencoder.encode(torch.zeros(1, 3, height, width)).shape == (1, nano.unet.out_channels, 24, 32)
