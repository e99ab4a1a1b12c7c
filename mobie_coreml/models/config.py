"""Shapes of the reference networks, written to and read from the `config.json` files of the diffusers layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mobie_coreml.errors import InputError

DOWN_BLOCKS = ("CrossAttnDownBlock2D", "DownBlock2D")
UP_BLOCKS = ("CrossAttnUpBlock2D", "UpBlock2D")
POSITIONS = 77
"""Tokens of every prompt, start, end and padding included (CLIP's context length)."""


def _require(condition: bool, what: str, hint: str = "") -> None:
    if not condition:
        raise InputError(what, hint)


_MOST_WIDTH = 1 << 16
_MOST_BLOCKS = 64
"""Bounds far above every network of this family: a broken file must not ask for a network that never gets built."""


def _check_counts(config: Any, kind: str, bounds: Mapping[str, int]) -> None:
    """Raises InputError where a whole number, or one of a list, is not 1 to its bound."""
    for name, most in bounds.items():
        value = getattr(config, name)
        for number in value if isinstance(value, tuple) else (value,):
            _require(1 <= number <= most, f"{kind} config: {name} {number} is not between 1 and {most}.")


def _per_level(value: Any, levels: int) -> tuple[int, ...]:
    """One number for all levels, or a list with one for each, as diffusers' configs allow both."""
    if isinstance(value, (list, tuple)):
        return tuple(int(item) for item in value)
    return (int(value),) * levels


def _refuse_other(config: Mapping[str, Any], supported: Mapping[str, tuple[Any, ...]], kind: str) -> None:
    """Raises InputError where `config` sets an option to a value that these networks do not implement."""
    wrong = [
        f"{name}={config[name]!r} (supported: {', '.join(repr(item) for item in values)})"
        for name, values in supported.items()
        if name in config and config[name] not in values
    ]
    _require(not wrong, f"The {kind} config uses what is not supported: {'; '.join(wrong)}.")


@dataclass(frozen=True)
class UNetConfig:
    """Shape of a conditional UNet of the Stable Diffusion 1 family.

    Channel counts and block lists go from the highest resolution to the lowest for the down path; `up_block_types` goes
    from the lowest to the highest. `num_attention_heads` has one entry a level (of the down path; the up path mirrors
    it). With `guidance_embedding` the network takes both guidance scales as inputs. Two more options are not Stable
    Diffusion's: with `text_embedding` the text states, max-pooled over positions, are embedded and added to the
    timestep's embedding, and guidance scales that are inputs multiply the sum; with `input_skip` a linear map of the
    input at each position, which the embeddings choose, is added to the output.
    """

    in_channels: int = 8
    out_channels: int = 4
    block_out_channels: tuple[int, ...] = (320, 640, 1280, 1280)
    down_block_types: tuple[str, ...] = (*("CrossAttnDownBlock2D",) * 3, "DownBlock2D")
    up_block_types: tuple[str, ...] = ("UpBlock2D", *("CrossAttnUpBlock2D",) * 3)
    layers_per_block: int = 2
    num_attention_heads: tuple[int, ...] = (8, 8, 8, 8)
    cross_attention_dim: int = 768
    norm_num_groups: int = 32
    norm_eps: float = 1e-5
    flip_sin_to_cos: bool = True
    freq_shift: float = 0.0
    guidance_embedding: bool = False
    text_embedding: bool = False
    input_skip: bool = False

    def __post_init__(self) -> None:
        levels = len(self.block_out_channels)
        _require(1 <= levels <= 8, f"UNet config: {levels} levels; 1 to 8 are possible.")
        _check_counts(
            self,
            "UNet",
            {
                "out_channels": _MOST_WIDTH,
                "block_out_channels": _MOST_WIDTH,
                "num_attention_heads": _MOST_WIDTH,
                "cross_attention_dim": _MOST_WIDTH,
                "norm_num_groups": _MOST_WIDTH,
                "layers_per_block": _MOST_BLOCKS,
            },
        )
        _require(
            math.isfinite(self.norm_eps) and self.norm_eps > 0 and math.isfinite(self.freq_shift),
            "UNet config: norm_eps must be positive and freq_shift finite.",
        )
        for name in ("down_block_types", "up_block_types", "num_attention_heads"):
            _require(len(getattr(self, name)) == levels, f"UNet config: {name} needs {levels} entries, one a level.")
        for name, known in (("down_block_types", DOWN_BLOCKS), ("up_block_types", UP_BLOCKS)):
            unknown = sorted(set(getattr(self, name)) - set(known))
            _require(not unknown, f"UNet config: {name} has {', '.join(unknown)}; known are {', '.join(known)}.")
        for channels, heads in zip(self.block_out_channels, self.num_attention_heads, strict=True):
            _require(
                channels % self.norm_num_groups == 0,
                f"UNet config: {channels} channels are not a multiple of {self.norm_num_groups} norm groups.",
            )
            _require(channels % heads == 0, f"UNet config: {heads} heads do not divide {channels} channels.")
        _require(
            self.in_channels == 2 * self.out_channels,
            f"UNet config: {self.in_channels} input channels are not twice the {self.out_channels} output channels.",
            "An instruction editor takes noisy latents and image latents side by side.",
        )

    @property
    def time_embed_dim(self) -> int:
        """Width of the timestep and guidance embeddings: four times the first level's channels."""
        return 4 * self.block_out_channels[0]

    @property
    def guidance_gate(self) -> bool:
        """Whether guidance scales multiply the embedding of timestep and prompt; there is nothing of a prompt in it
        where text is not embedded."""
        return self.guidance_embedding and self.text_embedding

    def to_json(self) -> dict[str, Any]:
        """The diffusers `config.json` of this network (`attention_head_dim` there means the number of heads)."""
        return {
            "_class_name": "UNet2DConditionModel",
            "in_channels": self.in_channels,
            "out_channels": self.out_channels,
            "block_out_channels": list(self.block_out_channels),
            "down_block_types": list(self.down_block_types),
            "up_block_types": list(self.up_block_types),
            "mid_block_type": "UNetMidBlock2DCrossAttn",
            "layers_per_block": self.layers_per_block,
            "attention_head_dim": list(self.num_attention_heads),
            "cross_attention_dim": self.cross_attention_dim,
            "norm_num_groups": self.norm_num_groups,
            "norm_eps": self.norm_eps,
            "flip_sin_to_cos": self.flip_sin_to_cos,
            "freq_shift": self.freq_shift,
            "act_fn": "silu",
            **({"guidance_embedding": True} if self.guidance_embedding else {}),
            **({"text_embedding": True} if self.text_embedding else {}),
            **({"input_skip": True} if self.input_skip else {}),
        }

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> UNetConfig:
        """Reads a diffusers `config.json`.

        Raises:
            InputError: it describes a network outside this family, or a value is missing or inconsistent.
        """
        _refuse_other(
            config,
            {
                "mid_block_type": ("UNetMidBlock2DCrossAttn", None),
                "act_fn": ("silu", "swish"),
                "time_embedding_type": ("positional",),
                "resnet_time_scale_shift": ("default",),
                "class_embed_type": (None,),
                "addition_embed_type": (None,),
                "encoder_hid_dim_type": (None,),
                "time_cond_proj_dim": (None,),
                "transformer_layers_per_block": (1,),
                "use_linear_projection": (False,),
                "only_cross_attention": (False,),
                "dual_cross_attention": (False,),
                "center_input_sample": (False,),
                "downsample_padding": (1,),
                "mid_block_scale_factor": (1, 1.0),
                "conv_in_kernel": (3,),
                "conv_out_kernel": (3,),
                "resnet_out_scale_factor": (1, 1.0),
            },
            "UNet",
        )
        try:
            channels = tuple(int(item) for item in config["block_out_channels"])
            heads = config.get("num_attention_heads") or config.get("attention_head_dim", 8)
            return cls(
                in_channels=int(config["in_channels"]),
                out_channels=int(config["out_channels"]),
                block_out_channels=channels,
                down_block_types=tuple(config["down_block_types"]),
                up_block_types=tuple(config["up_block_types"]),
                layers_per_block=int(config.get("layers_per_block", 2)),
                num_attention_heads=_per_level(heads, len(channels)),
                cross_attention_dim=int(config["cross_attention_dim"]),
                norm_num_groups=int(config.get("norm_num_groups", 32)),
                norm_eps=float(config.get("norm_eps", 1e-5)),
                flip_sin_to_cos=bool(config.get("flip_sin_to_cos", True)),
                freq_shift=float(config.get("freq_shift", 0)),
                guidance_embedding=bool(config.get("guidance_embedding", False)),
                text_embedding=bool(config.get("text_embedding", False)),
                input_skip=bool(config.get("input_skip", False)),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise InputError(f"The UNet config cannot be read: {error!r}.") from error


@dataclass(frozen=True)
class TextEncoderConfig:
    """Shape of a CLIP text encoder; the defaults are those of CLIP ViT-L/14."""

    vocab_size: int = 49408
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    max_position_embeddings: int = POSITIONS
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    def __post_init__(self) -> None:
        _check_counts(
            self,
            "Text encoder",
            {
                "vocab_size": 1 << 24,
                "hidden_size": _MOST_WIDTH,
                "intermediate_size": 4 * _MOST_WIDTH,
                "num_hidden_layers": _MOST_BLOCKS,
                "num_attention_heads": _MOST_WIDTH,
            },
        )
        _require(
            math.isfinite(self.layer_norm_eps) and self.layer_norm_eps > 0,
            "Text encoder config: layer_norm_eps must be positive.",
        )
        _require(
            self.hidden_size % self.num_attention_heads == 0,
            f"Text encoder config: {self.num_attention_heads} heads do not divide width {self.hidden_size}.",
        )
        _require(
            self.hidden_act in ("quick_gelu", "gelu"),
            f"Text encoder config: activation {self.hidden_act!r} is not supported (quick_gelu, gelu are).",
        )
        _require(
            self.max_position_embeddings == POSITIONS,
            f"Text encoder config: {self.max_position_embeddings} positions; {POSITIONS} are supported.",
        )

    def to_json(self) -> dict[str, Any]:
        """The transformers `config.json` of this network."""
        return {
            "architectures": ["CLIPTextModel"],
            "model_type": "clip_text_model",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_hidden_layers,
            "num_attention_heads": self.num_attention_heads,
            "max_position_embeddings": self.max_position_embeddings,
            "hidden_act": self.hidden_act,
            "layer_norm_eps": self.layer_norm_eps,
            "bos_token_id": self.vocab_size - 2,
            "eos_token_id": self.vocab_size - 1,
            "pad_token_id": self.vocab_size - 1,
        }

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> TextEncoderConfig:
        """Reads a transformers `config.json` of a CLIP text model; absent values have CLIPTextConfig's defaults.

        Raises:
            InputError: a value cannot be read or is not supported.
        """
        try:
            return cls(
                vocab_size=int(config.get("vocab_size", 49408)),
                hidden_size=int(config.get("hidden_size", 512)),
                intermediate_size=int(config.get("intermediate_size", 2048)),
                num_hidden_layers=int(config.get("num_hidden_layers", 12)),
                num_attention_heads=int(config.get("num_attention_heads", 8)),
                max_position_embeddings=int(config.get("max_position_embeddings", POSITIONS)),
                hidden_act=str(config.get("hidden_act", "quick_gelu")),
                layer_norm_eps=float(config.get("layer_norm_eps", 1e-5)),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"The text encoder config cannot be read: {error!r}.") from error


@dataclass(frozen=True)
class AutoencoderConfig:
    """Shape of a tiny autoencoder; the defaults are TAESD's, layer by layer as in diffusers' AutoencoderTiny.

    The encoder's levels go from full resolution down, the decoder's from the latents up; every level but the first
    halves (encoder) or every level but the last doubles (decoder) the resolution. Where neighbouring levels differ in
    width, the strided convolution of the encoder and the convolution after upsampling of the decoder change it.
    Latents leave `encode` multiplied by `scaling_factor` and enter `decode` divided by it (1 for TAESD: its latents are
    already those of the diffusion model). With `linear_path`, which TAESD does not have, a linear map between each
    block of `factor` pixels a side and its latents runs beside the layers of both, and its result is added to theirs.
    """

    latent_channels: int = 4
    encoder_block_out_channels: tuple[int, ...] = (64, 64, 64, 64)
    decoder_block_out_channels: tuple[int, ...] = (64, 64, 64, 64)
    num_encoder_blocks: tuple[int, ...] = (1, 3, 3, 3)
    num_decoder_blocks: tuple[int, ...] = (3, 3, 3, 1)
    scaling_factor: float = 1.0
    linear_path: bool = False

    def __post_init__(self) -> None:
        for side in ("encoder", "decoder"):
            widths, blocks = getattr(self, f"{side}_block_out_channels"), getattr(self, f"num_{side}_blocks")
            _require(
                len(widths) == len(blocks) and 1 <= len(widths) <= 8,
                f"Autoencoder config: {len(widths)} {side} widths and {len(blocks)} block counts.",
            )
        _require(
            len(self.encoder_block_out_channels) == len(self.decoder_block_out_channels),
            "Autoencoder config: encoder and decoder have different numbers of levels.",
        )
        for side in ("encoder", "decoder"):
            _check_counts(self, "Autoencoder", {f"{side}_block_out_channels": _MOST_WIDTH})
            blocks = getattr(self, f"num_{side}_blocks")
            _require(
                all(0 <= count <= _MOST_BLOCKS for count in blocks),
                f"Autoencoder config: num_{side}_blocks {list(blocks)} are not between 0 and {_MOST_BLOCKS}.",
            )
        _require(
            1 <= self.latent_channels <= _MOST_WIDTH and 0 < self.scaling_factor < math.inf,
            "Autoencoder config: latent_channels and scaling_factor must be positive.",
        )

    @property
    def factor(self) -> int:
        """Pixels per latent along each axis: 8 for four levels."""
        return int(2 ** (len(self.encoder_block_out_channels) - 1))

    def to_json(self) -> dict[str, Any]:
        """The diffusers `config.json` of this network."""
        return {
            "_class_name": "AutoencoderTiny",
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": self.latent_channels,
            "encoder_block_out_channels": list(self.encoder_block_out_channels),
            "decoder_block_out_channels": list(self.decoder_block_out_channels),
            "num_encoder_blocks": list(self.num_encoder_blocks),
            "num_decoder_blocks": list(self.num_decoder_blocks),
            "act_fn": "relu",
            "upsample_fn": "nearest",
            "upsampling_scaling_factor": 2,
            "scaling_factor": self.scaling_factor,
            **({"linear_path": True} if self.linear_path else {}),
        }

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> AutoencoderConfig:
        """Reads a diffusers `config.json` of an AutoencoderTiny.

        Raises:
            InputError: it is another kind of autoencoder, or a value cannot be read or is not supported.
        """
        _refuse_other(
            config,
            {
                "_class_name": ("AutoencoderTiny",),
                "in_channels": (3,),
                "out_channels": (3,),
                "act_fn": ("relu",),
                "upsample_fn": ("nearest",),
                "upsampling_scaling_factor": (2,),
                "shift_factor": (0, 0.0),
            },
            "autoencoder",
        )
        default = cls()
        try:
            return cls(
                latent_channels=int(config.get("latent_channels", default.latent_channels)),
                scaling_factor=float(config.get("scaling_factor", default.scaling_factor)),
                linear_path=bool(config.get("linear_path", False)),
                **{
                    name: tuple(int(item) for item in config.get(name, getattr(default, name)))
                    for name in (
                        "encoder_block_out_channels",
                        "decoder_block_out_channels",
                        "num_encoder_blocks",
                        "num_decoder_blocks",
                    )
                },
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"The autoencoder config cannot be read: {error!r}.") from error
