"""The three model families: `base` and `mobile` are shaped as Stable Diffusion 1.5, `nano` for small machines."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mobie_coreml.diffusion.guidance import GuidanceRange
from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.diffusion.schedule import PredictionType
from mobie_coreml.errors import InputError
from mobie_coreml.models.config import AutoencoderConfig, TextEncoderConfig, UNetConfig


@dataclass(frozen=True)
class Preset:
    """The networks of one family and what a host must know to run them.

    `frame_size` is (width, height) in pixels; `sampler` and `steps` are how a new checkpoint is sampled by default. The
    text encoder's `vocab_size` is replaced by the size of the vocabulary that a checkpoint is made with.
    """

    name: str
    unet: UNetConfig
    autoencoder: AutoencoderConfig
    text_encoder: TextEncoderConfig
    frame_size: tuple[int, int]
    prediction_type: PredictionType
    text_guidance: GuidanceRange
    image_guidance: GuidanceRange
    sampler: SamplerMethod = "euler"
    steps: int = 10


# Without attention at the highest resolution of the down and of the up path.
_MOBILE_DOWN = ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
_MOBILE_UP = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D")

# The method's ranges: text 2 to 14, image 1 to 3; defaults are those of InstructPix2Pix.
_TEXT_GUIDANCE = GuidanceRange(2.0, 14.0, 7.5)
_IMAGE_GUIDANCE = GuidanceRange(1.0, 3.0, 1.5)

_NANO_WIDTH = 128

PRESETS: dict[str, Preset] = {
    "base": Preset(
        name="base",
        unet=UNetConfig(),
        autoencoder=AutoencoderConfig(),
        text_encoder=TextEncoderConfig(),
        frame_size=(512, 384),
        prediction_type="epsilon",
        text_guidance=_TEXT_GUIDANCE,
        image_guidance=_IMAGE_GUIDANCE,
    ),
    "mobile": Preset(
        name="mobile",
        unet=UNetConfig(down_block_types=_MOBILE_DOWN, up_block_types=_MOBILE_UP),
        autoencoder=AutoencoderConfig(),
        text_encoder=TextEncoderConfig(),
        frame_size=(512, 384),
        prediction_type="epsilon",
        text_guidance=_TEXT_GUIDANCE,
        image_guidance=_IMAGE_GUIDANCE,
    ),
    "nano": Preset(
        name="nano",
        unet=UNetConfig(
            in_channels=32,
            out_channels=16,
            block_out_channels=(96, 128),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            layers_per_block=2,
            num_attention_heads=(3, 4),
            cross_attention_dim=_NANO_WIDTH,
            # Groups of 32 would hold two channels at the first level, and normalising a pair takes brightness out.
            norm_num_groups=8,
            text_embedding=True,
            input_skip=True,
        ),
        autoencoder=AutoencoderConfig(
            latent_channels=16,
            encoder_block_out_channels=(8, 24, 64, 96),
            decoder_block_out_channels=(96, 64, 32, 8),
            num_encoder_blocks=(0, 1, 1, 1),
            num_decoder_blocks=(2, 2, 1, 0),
            linear_path=True,
        ),
        text_encoder=TextEncoderConfig(
            vocab_size=4096,
            hidden_size=_NANO_WIDTH,
            intermediate_size=4 * _NANO_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
        ),
        frame_size=(256, 192),
        prediction_type="v_prediction",
        text_guidance=GuidanceRange(1.0, 4.0, 1.0),
        image_guidance=GuidanceRange(1.0, 2.0, 1.0),
        sampler="ddim",
        steps=1,
    ),
}


def preset(name: str) -> Preset:
    """The preset called `name`.

    Raises:
        InputError: there is none.
    """
    if name not in PRESETS:
        raise InputError(f"There is no preset {name!r}.", f"Presets are {', '.join(PRESETS)}.")
    return PRESETS[name]


def narrowed(name: str) -> Preset:
    """A preset with the same blocks and few channels, for checks that must be quick: 3 to 6 M parameters.

    Its name stays the preset's; the frame size becomes 128x96.

    Raises:
        InputError: there is no such preset.
    """
    full = preset(name)
    levels = len(full.unet.block_out_channels)
    factor_levels = len(full.autoencoder.encoder_block_out_channels)
    return replace(
        full,
        unet=replace(
            full.unet,
            block_out_channels=(32, 64, 96, 96)[:levels],
            num_attention_heads=(2, 2, 3, 3)[:levels],
            cross_attention_dim=64,
        ),
        autoencoder=replace(
            full.autoencoder,
            encoder_block_out_channels=(16,) * factor_levels,
            decoder_block_out_channels=(16,) * factor_levels,
        ),
        text_encoder=replace(
            full.text_encoder, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2
        ),
        frame_size=(128, 96),
    )
