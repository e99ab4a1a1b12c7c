"""Configs: round trips through the files of diffusers and transformers, and what is refused."""

from dataclasses import replace
from typing import Any

import pytest

from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint_files import Networks
from mobie_coreml.models.config import AutoencoderConfig, TextEncoderConfig, UNetConfig
from mobie_coreml.models.presets import PRESETS, narrowed, preset


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("chosen", [preset, narrowed])
def test_presets_survive_their_files(name: str, chosen: Any) -> None:
    values = chosen(name)
    assert values.name == name
    assert UNetConfig.from_json(values.unet.to_json()) == values.unet
    guided = replace(values.unet, guidance_embedding=True)
    assert UNetConfig.from_json(guided.to_json()) == guided
    assert AutoencoderConfig.from_json(values.autoencoder.to_json()) == values.autoencoder
    assert TextEncoderConfig.from_json(values.text_encoder.to_json()) == values.text_encoder
    Networks(values.unet, values.autoencoder, values.text_encoder)
    assert all(side % (values.autoencoder.factor * 4) == 0 for side in values.frame_size)


def test_a_file_of_diffusers_with_one_number_for_all_levels() -> None:
    config = {**UNetConfig().to_json(), "attention_head_dim": 8, "num_attention_heads": None}
    assert UNetConfig.from_json(config) == UNetConfig()


def test_method_ranges() -> None:
    """Of the models that were, or are made from, InstructPix2Pix."""
    for values in (PRESETS["base"], PRESETS["mobile"]):
        assert (values.text_guidance.minimum, values.text_guidance.maximum) == (2, 14)
        assert (values.image_guidance.minimum, values.image_guidance.maximum) == (1, 3)


def test_an_unknown_preset_lists_the_known() -> None:
    with pytest.raises(InputError) as caught:
        preset("huge")
    assert "base, mobile, nano" in caught.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 4}, "not twice"),
        ({"in_channels": "x"}, "cannot be read"),
        ({"block_out_channels": [320, 640]}, "needs 2 entries"),
        ({"block_out_channels": []}, "0 levels"),
        ({"block_out_channels": [320, 640, 1280, 1281]}, "not a multiple of 32"),
        ({"attention_head_dim": [7, 8, 8, 8]}, "do not divide"),
        ({"down_block_types": ["AttnDownBlock2D"] * 4}, "AttnDownBlock2D"),
        ({"up_block_types": ["SimpleUp"] * 4}, "SimpleUp"),
        ({"use_linear_projection": True}, "use_linear_projection=True"),
        ({"class_embed_type": "timestep"}, "class_embed_type"),
        ({"act_fn": "gelu"}, "act_fn"),
        ({"layers_per_block": 0}, "layers_per_block 0 is not between"),
        ({"layers_per_block": 10**9}, "layers_per_block 1000000000 is not between"),
        ({"norm_num_groups": 0}, "norm_num_groups 0"),
        ({"norm_num_groups": -32}, "norm_num_groups -32"),
        ({"in_channels": -2, "out_channels": -1}, "out_channels -1"),
        ({"in_channels": float("inf")}, "cannot be read"),
        ({"cross_attention_dim": 0}, "cross_attention_dim 0"),
        ({"norm_eps": float("nan")}, "norm_eps must be positive"),
        ({"freq_shift": float("inf")}, "freq_shift finite"),
        ({"layers_per_block": [2, 2, 2, 2]}, "cannot be read"),
    ],
)
def test_other_unets_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        UNetConfig.from_json({**UNetConfig().to_json(), **change})


def test_a_unet_file_without_a_needed_value_is_refused() -> None:
    config = UNetConfig().to_json()
    del config["cross_attention_dim"]
    with pytest.raises(InputError, match="cross_attention_dim"):
        UNetConfig.from_json(config)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "relu"}, "relu"),
        ({"num_attention_heads": 7}, "do not divide"),
        ({"max_position_embeddings": 248}, "248 positions"),
        ({"hidden_size": "wide"}, "cannot be read"),
        ({"num_attention_heads": 0}, "num_attention_heads 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers -1"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers 1000000000"),
        ({"vocab_size": float("inf")}, "cannot be read"),
        ({"vocab_size": -1}, "vocab_size -1"),
        ({"layer_norm_eps": float("nan")}, "layer_norm_eps must be positive"),
    ],
)
def test_other_text_encoders_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TextEncoderConfig.from_json({**TextEncoderConfig().to_json(), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"_class_name": "AutoencoderKL"}, "AutoencoderKL"),
        ({"act_fn": "silu"}, "act_fn"),
        ({"num_encoder_blocks": [1, 2]}, "block counts"),
        ({"scaling_factor": 0}, "positive"),
        ({"scaling_factor": float("inf")}, "positive"),
        ({"scaling_factor": float("nan")}, "positive"),
        ({"latent_channels": float("inf")}, "cannot be read"),
        ({"num_encoder_blocks": [-1, 1, 1, 1]}, "not between 0 and 64"),
        ({"num_decoder_blocks": [1, 1, 1, 10**9]}, "not between 0 and 64"),
        ({"encoder_block_out_channels": [0, 8, 8, 8]}, "encoder_block_out_channels 0"),
        ({"latent_channels": None}, "cannot be read"),
        (
            {"encoder_block_out_channels": [8, 8, 8], "num_encoder_blocks": [1, 1, 1]},
            "different numbers of levels",
        ),
    ],
)
def test_other_autoencoders_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        AutoencoderConfig.from_json({**AutoencoderConfig().to_json(), **change})


def test_networks_that_do_not_fit_each_other_are_refused() -> None:
    nano = PRESETS["nano"]
    with pytest.raises(InputError, match="4 latent channels, the UNet 16"):
        Networks(nano.unet, AutoencoderConfig(), nano.text_encoder)
    with pytest.raises(InputError, match="is 768 wide, and the UNet attends to width 128"):
        Networks(nano.unet, nano.autoencoder, TextEncoderConfig())
