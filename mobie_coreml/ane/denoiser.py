"""The Denoiser: the UNet without timestep, guidance or text arithmetic, giving the x0 estimate."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.ane.attention import AttentionForm
from mobie_coreml.ane.blocks import Downsample2D, KeyValue, ResnetBlock2D, Transformer2DModel, Upsample2D
from mobie_coreml.ane.layout import conditioning_layout
from mobie_coreml.ane.norms import GroupNorm
from mobie_coreml.models.config import UNetConfig

Shifts = Iterator[torch.Tensor]
Texts = Iterator[KeyValue]


class DownBlock(nn.Module):
    """One level of the down path; every ResNet block's output and the downsampled result are kept as skips."""

    def __init__(self, config: UNetConfig, level: int, form: AttentionForm) -> None:
        super().__init__()
        channels = config.block_out_channels[level]
        previous = config.block_out_channels[max(level - 1, 0)]
        layers = range(config.layers_per_block)
        self.resnets = nn.ModuleList(ResnetBlock2D(channels if i else previous, channels, config) for i in layers)
        self.attentions: nn.ModuleList | None = None
        if config.down_block_types[level] == "CrossAttnDownBlock2D":
            self.attentions = nn.ModuleList(_transformer(config, level, form) for _ in layers)
        is_last = level == len(config.block_out_channels) - 1
        self.downsamplers = None if is_last else nn.ModuleList([Downsample2D(channels)])

    def forward(self, hidden: torch.Tensor, shifts: Shifts, texts: Texts) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """(1, C_in, h, w) -> (1, C, h / 2, w / 2) (unhalved at the last level) and the skips, first made first."""
        skips = []
        for index, resnet in enumerate(self.resnets):
            hidden = resnet(hidden, next(shifts))
            if self.attentions is not None:
                hidden = self.attentions[index](hidden, next(texts))
            skips.append(hidden)
        if self.downsamplers is not None:
            hidden = self.downsamplers[0](hidden)
            skips.append(hidden)
        return hidden, skips


class MidBlock(nn.Module):
    """ResNet block, transformer, ResNet block at the lowest resolution."""

    def __init__(self, config: UNetConfig, form: AttentionForm) -> None:
        super().__init__()
        channels = config.block_out_channels[-1]
        self.attentions = nn.ModuleList([_transformer(config, len(config.block_out_channels) - 1, form)])
        self.resnets = nn.ModuleList(ResnetBlock2D(channels, channels, config) for _ in range(2))

    def forward(self, hidden: torch.Tensor, shifts: Shifts, texts: Texts) -> torch.Tensor:
        """(1, C, h, w) -> same."""
        hidden = self.resnets[0](hidden, next(shifts))
        hidden = self.attentions[0](hidden, next(texts))
        result: torch.Tensor = self.resnets[1](hidden, next(shifts))
        return result


class UpBlock(nn.Module):
    """One level of the up path: one ResNet block more than the down path has, each on hidden states and one skip."""

    def __init__(self, config: UNetConfig, index: int, form: AttentionForm) -> None:
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
            self.attentions = nn.ModuleList(_transformer(config, level, form) for _ in range(count))
        self.upsamplers = None if level == 0 else nn.ModuleList([Upsample2D(channels)])

    def forward(self, hidden: torch.Tensor, skips: list[torch.Tensor], shifts: Shifts, texts: Texts) -> torch.Tensor:
        """(1, C_below, h, w) -> (1, C, 2h, 2w), undoubled at the last level; takes its skips off the end of `skips`."""
        for index, resnet in enumerate(self.resnets):
            hidden = resnet(torch.cat([hidden, skips.pop()], dim=1), next(shifts))
            if self.attentions is not None:
                hidden = self.attentions[index](hidden, next(texts))
        if self.upsamplers is not None:
            height, width = skips[-1].shape[-2:]
            hidden = self.upsamplers[0](hidden, (height, width))
        return hidden


def _transformer(config: UNetConfig, level: int, form: AttentionForm) -> Transformer2DModel:
    return Transformer2DModel(
        config.block_out_channels[level], config.num_attention_heads[level], config.norm_num_groups, form
    )


def linear_map(sample: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """The map at each position that an input skip adds.

    Args:
        sample: (1, 2 L, h, w).
        values: (1, 2 L * L + L, 1, 1): the matrix (L, 2 L) by rows, then the offset.

    Returns:
        (1, L, h, w).
    """
    _, inputs, height, width = sample.shape
    outputs = values.shape[1] // (inputs + 1)
    matrix, offset = torch.split(values, [outputs * inputs, outputs], dim=1)
    mapped = torch.matmul(matrix.reshape(1, 1, outputs, inputs), sample.reshape(1, 1, inputs, height * width))
    return mapped.reshape(1, outputs, height, width) + offset


class Denoiser(nn.Module):
    """Noisy and image latents to the x0 estimate, given what the Conditioner made.

    x0 = x_scale * noisy_latents + out_scale * prediction, with the two scales at the end of `shifts`, so that the graph
    is the same for every prediction type. For a checkpoint that predicts noise, x_scale = 1 / a and out_scale = -s / a
    reach 14.6 at the last timesteps: two terms of that size cancel, and their rounding in fp16 (2^-12 of them) remains.
    That loss is in the formula, whoever evaluates it; checkpoints that run in one step predict v or x0.

    Args:
        config: Shape of the reference UNet.
        form: Form of all its attentions.
    """

    def __init__(self, config: UNetConfig, form: AttentionForm) -> None:
        super().__init__()
        widths = config.block_out_channels
        self.layout = conditioning_layout(config)
        self.conv_in = nn.Conv2d(config.in_channels, widths[0], 3, padding=1)
        self.down_blocks = nn.ModuleList(DownBlock(config, level, form) for level in range(len(widths)))
        self.mid_block = MidBlock(config, form)
        self.up_blocks = nn.ModuleList(UpBlock(config, index, form) for index in range(len(widths)))
        self.conv_norm_out = GroupNorm(config.norm_num_groups, widths[0], config.norm_eps)
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)
        self.has_input_skip = config.input_skip

    def forward(
        self, image_latents: torch.Tensor, noisy_latents: torch.Tensor, shifts: torch.Tensor, text_kv: torch.Tensor
    ) -> torch.Tensor:
        """Estimates x0.

        Args:
            image_latents: (1, L, h, w), latents of the frame.
            noisy_latents: (1, L, h, w), x_t.
            shifts: (1, sum of C + 2, 1, 1), packed as `layout` says.
            text_kv: (1, sum of C, 1, 77), packed as `layout` says.

        Returns:
            (1, L, h, w).
        """
        *block_shifts, x_scale, out_scale = torch.split(shifts, self.layout.shift_sizes, dim=1)
        pieces = torch.split(text_kv, self.layout.key_value_sizes, dim=1)
        each_shift = iter(block_shifts)
        each_text = (KeyValue(key, value) for key, value in zip(pieces[::2], pieces[1::2], strict=True))

        sample = torch.cat([noisy_latents, image_latents], dim=1)
        hidden = self.conv_in(sample)
        skips = [hidden]
        for block in self.down_blocks:
            hidden, made = block(hidden, each_shift, each_text)
            skips.extend(made)
        hidden = self.mid_block(hidden, each_shift, each_text)
        for block in self.up_blocks:
            hidden = block(hidden, skips, each_shift, each_text)
        prediction = self.conv_out(F.silu(self.conv_norm_out(hidden)))
        if self.has_input_skip:
            prediction = prediction + linear_map(sample, next(each_shift))
        result: torch.Tensor = noisy_latents * x_scale + prediction * out_scale
        return result
