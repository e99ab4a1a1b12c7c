"""The denoiser: a conditional UNet with Stable Diffusion's structure, noisy and image latents side by side as input.

One class, all presets: blocks without attention make it `mobile` or `nano`, guidance inputs make it a student of
multimodal guidance distillation. Parameter names are those of diffusers' UNet2DConditionModel.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.errors import InputError
from mobie_coreml.models.blocks import (
    Conditioning,
    Downsample2D,
    GuidanceGate,
    InputSkip,
    ResnetBlock2D,
    Transformer2DModel,
    Upsample2D,
)
from mobie_coreml.models.config import UNetConfig
from mobie_coreml.models.embeddings import ScalarEmbedding, sinusoidal_embedding


class DownBlock(nn.Module):
    """One level of the down path; every ResNet block's output and the downsampled result are kept as skips."""

    def __init__(self, config: UNetConfig, level: int) -> None:
        super().__init__()
        channels = config.block_out_channels[level]
        previous = config.block_out_channels[max(level - 1, 0)]
        layers = range(config.layers_per_block)
        self.resnets = nn.ModuleList(ResnetBlock2D(channels if i else previous, channels, config) for i in layers)
        self.attentions: nn.ModuleList | None = None
        if config.down_block_types[level] == "CrossAttnDownBlock2D":
            self.attentions = nn.ModuleList(_transformer(config, level) for _ in layers)
        is_last = level == len(config.block_out_channels) - 1
        self.downsamplers = None if is_last else nn.ModuleList([Downsample2D(channels)])

    def forward(
        self, hidden: torch.Tensor, conditioning: Conditioning, context: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(B, C_in, h, w) -> (B, C, h / 2, w / 2) (unhalved at the last level) and the skips, first made first."""
        skips = []
        for index, resnet in enumerate(self.resnets):
            hidden = resnet(hidden, conditioning)
            if self.attentions is not None:
                hidden = self.attentions[index](hidden, context)
            skips.append(hidden)
        if self.downsamplers is not None:
            hidden = self.downsamplers[0](hidden)
            skips.append(hidden)
        return hidden, skips


class MidBlock(nn.Module):
    """ResNet block, transformer, ResNet block at the lowest resolution."""

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        channels = config.block_out_channels[-1]
        self.attentions = nn.ModuleList([_transformer(config, len(config.block_out_channels) - 1)])
        self.resnets = nn.ModuleList(ResnetBlock2D(channels, channels, config) for _ in range(2))

    def forward(self, hidden: torch.Tensor, conditioning: Conditioning, context: torch.Tensor) -> torch.Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        hidden = self.resnets[0](hidden, conditioning)
        hidden = self.attentions[0](hidden, context)
        result: torch.Tensor = self.resnets[1](hidden, conditioning)
        return result


class UpBlock(nn.Module):
    """One level of the up path: one ResNet block more than the down path has, each on hidden states and one skip."""

    def __init__(self, config: UNetConfig, index: int) -> None:
        super().__init__()
        widths = config.block_out_channels
        level = len(widths) - 1 - index
        channels, below, above = widths[level], widths[min(level + 1, len(widths) - 1)], widths[max(level - 1, 0)]
        count = config.layers_per_block + 1
        self.resnets = nn.ModuleList(
            ResnetBlock2D((channels if i else below) + (above if i == count - 1 else channels), channels, config)
            for i in range(count)
        )
        self.attentions: nn.ModuleList | None = None
        if config.up_block_types[index] == "CrossAttnUpBlock2D":
            self.attentions = nn.ModuleList(_transformer(config, level) for _ in range(count))
        self.upsamplers = None if level == 0 else nn.ModuleList([Upsample2D(channels)])

    def forward(
        self, hidden: torch.Tensor, skips: list[torch.Tensor], conditioning: Conditioning, context: torch.Tensor
    ) -> torch.Tensor:
        """(B, C_below, h, w) -> (B, C, 2h, 2w), undoubled at the last level; takes its skips off the end of `skips`."""
        for index, resnet in enumerate(self.resnets):
            hidden = resnet(torch.cat([hidden, skips.pop()], dim=1), conditioning)
            if self.attentions is not None:
                hidden = self.attentions[index](hidden, context)
        if self.upsamplers is not None:
            height, width = skips[-1].shape[-2:]
            hidden = self.upsamplers[0](hidden, (height, width))
        return hidden


def _transformer(config: UNetConfig, level: int) -> Transformer2DModel:
    return Transformer2DModel(
        config.block_out_channels[level],
        config.num_attention_heads[level],
        config.cross_attention_dim,
        config.norm_num_groups,
    )


class MobilePix2PixUNet(nn.Module):
    """The UNet of every preset.

    With `config.guidance_embedding` it takes both guidance scales and answers in one pass what guidance otherwise needs
    three passes for. Its guidance projections start at zero, so that an untrained one equals the network without.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        widths = config.block_out_channels
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.time_embedding = ScalarEmbedding(widths[0], config.time_embed_dim)
        if config.text_embedding:
            self.text_embedding = ScalarEmbedding(config.cross_attention_dim, config.time_embed_dim)
        if config.guidance_embedding:
            self.text_guidance_embedding = ScalarEmbedding(widths[0], config.time_embed_dim)
            self.image_guidance_embedding = ScalarEmbedding(widths[0], config.time_embed_dim)
        self.guidance_gate = GuidanceGate(config) if config.guidance_gate else None
        self.down_blocks = nn.ModuleList(DownBlock(config, level) for level in range(len(widths)))
        self.mid_block = MidBlock(config)
        self.up_blocks = nn.ModuleList(UpBlock(config, index) for index in range(len(widths)))
        self.conv_norm_out = nn.GroupNorm(config.norm_num_groups, widths[0], eps=config.norm_eps)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)
        self.input_skip = InputSkip(config) if config.input_skip else None

    def forward(
        self,
        sample: torch.Tensor,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        text_guidance: torch.Tensor | None = None,
        image_guidance: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Predicts what the checkpoint was trained to predict (noise, velocity or x0).

        Args:
            sample: (B, 2 L, h, w): noisy latents, then image latents, on the channel axis; any h and w of at least 1.
            timestep: (B,), 0 to 999.
            encoder_hidden_states: (B, 77, C_text).
            text_guidance: (B,), s_T; only, and always, with guidance inputs.
            image_guidance: (B,), s_I; likewise.

        Returns:
            (B, L, h, w).

        Raises:
            InputError: guidance scales are given to a network without guidance inputs, or missing for one with them.
        """
        conditioning = self.conditioning(timestep, encoder_hidden_states, text_guidance, image_guidance)
        hidden = self.conv_in(sample)
        skips = [hidden]
        for block in self.down_blocks:
            hidden, made = block(hidden, conditioning, encoder_hidden_states)
            skips.extend(made)
        hidden = self.mid_block(hidden, conditioning, encoder_hidden_states)
        for block in self.up_blocks:
            hidden = block(hidden, skips, conditioning, encoder_hidden_states)
        result: torch.Tensor = self.conv_out(F.silu(self.conv_norm_out(hidden)))
        return result if self.input_skip is None else result + self.input_skip(sample, conditioning)

    def conditioning(
        self,
        timestep: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        text_guidance: torch.Tensor | None = None,
        image_guidance: torch.Tensor | None = None,
    ) -> Conditioning:
        """Embeds timestep and guidance scales into what every ResNet block projects and adds.

        Args:
            timestep, text_guidance, image_guidance: (B,), as for `forward`.
            encoder_hidden_states: (B, 77, C_text); looked at where the network embeds text.

        Raises:
            InputError: as for `forward`.
        """
        if not self.config.guidance_embedding:
            if text_guidance is not None or image_guidance is not None:
                raise InputError("This network has no guidance inputs.", "Guide it with three passes instead.")
            return Conditioning(self._embed_time(timestep, encoder_hidden_states))
        if text_guidance is None or image_guidance is None:
            raise InputError("This network needs text_guidance and image_guidance.")
        conditioning = Conditioning(
            self._embed_time(timestep, encoder_hidden_states),
            F.silu(self._embed(self.text_guidance_embedding, text_guidance)),
            F.silu(self._embed(self.image_guidance_embedding, image_guidance)),
        )
        return conditioning if self.guidance_gate is None else self.guidance_gate(conditioning)

    def _embed_time(self, timestep: torch.Tensor, encoder_hidden_states: torch.Tensor) -> torch.Tensor:
        """(B,), (B, 77, C_text) -> (B, time_embed_dim), SiLU applied."""
        time = self._embed(self.time_embedding, timestep)
        if self.config.text_embedding:
            # The largest value of each channel over all positions: most are padding, in whose mean words would drown.
            time = time + self.text_embedding(encoder_hidden_states.amax(dim=1))
        return F.silu(time)

    def _embed(self, embedding: ScalarEmbedding, values: torch.Tensor) -> torch.Tensor:
        config = self.config
        angles = sinusoidal_embedding(
            values, config.block_out_channels[0], flip_sin_to_cos=config.flip_sin_to_cos, freq_shift=config.freq_shift
        )
        result: torch.Tensor = embedding(angles.to(self.conv_in.weight.dtype))
        return result
