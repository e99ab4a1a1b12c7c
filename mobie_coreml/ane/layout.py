"""How the Conditioner packs its outputs and the Denoiser takes them apart: one order, written down once.

`shifts` holds one shift a channel for every ResNet block, in the order in which the UNet runs them (down, middle, up);
then, where the UNet has an input skip, its matrix (L, 2 L) by rows and its offset (L,); then x_scale and out_scale.
`text_kv` holds, for every cross-attention in the same order, its keys and then its values.
"""

from __future__ import annotations

from dataclasses import dataclass

from mobie_coreml.models.config import UNetConfig


@dataclass(frozen=True)
class Slot:
    """Path of a module of the UNet and the channels that it takes."""

    path: str
    channels: int


@dataclass(frozen=True)
class Layout:
    """Order and widths of everything that is packed.

    Attributes:
        shifts: ResNet blocks in running order, and the input skip, if there is one, last.
        attentions: Cross-attentions in running order; each has keys and values of `channels` channels.
    """

    shifts: tuple[Slot, ...]
    attentions: tuple[Slot, ...]

    @property
    def shift_sizes(self) -> list[int]:
        """Channels of the pieces of `shifts`: those of every slot, then 1 for x_scale and 1 for out_scale."""
        return [slot.channels for slot in self.shifts] + [1, 1]

    @property
    def key_value_sizes(self) -> list[int]:
        """Channels of the pieces of `text_kv`: keys, values, keys, values, and so on."""
        return [slot.channels for slot in self.attentions for _ in range(2)]


def conditioning_layout(config: UNetConfig) -> Layout:
    """The packing order of a UNet."""
    widths = config.block_out_channels
    shifts: list[Slot] = []
    attentions: list[Slot] = []

    def add(block: str, index: int, channels: int, has_attention: bool) -> None:
        shifts.append(Slot(f"{block}.resnets.{index}", channels))
        if has_attention:
            attentions.append(Slot(f"{block}.attentions.{index}.transformer_blocks.0.attn2", channels))

    for level, channels in enumerate(widths):
        for index in range(config.layers_per_block):
            add(f"down_blocks.{level}", index, channels, config.down_block_types[level] == "CrossAttnDownBlock2D")
    add("mid_block", 0, widths[-1], True)
    add("mid_block", 1, widths[-1], False)
    for position, channels in enumerate(reversed(widths)):
        for index in range(config.layers_per_block + 1):
            add(f"up_blocks.{position}", index, channels, config.up_block_types[position] == "CrossAttnUpBlock2D")
    if config.input_skip:
        shifts.append(Slot("input_skip", config.out_channels * (config.in_channels + 1)))
    return Layout(tuple(shifts), tuple(attentions))
