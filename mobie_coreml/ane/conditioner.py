"""The Conditioner: everything of the UNet that does not depend on the frame, computed in fp32.

Timesteps near 999 times frequencies near 1 are angles whose rounding to fp16 is half a radian: the arithmetic here is
fp32, and so are the constants it looks up (frequencies and scalings). Its weights may be stored in any precision.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import nn

from mobie_coreml.ane.layout import Layout, Slot, conditioning_layout
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.models.blocks import Conditioned, Conditioning, GuidanceGate
from mobie_coreml.models.config import UNetConfig
from mobie_coreml.models.embeddings import ScalarEmbedding


class KeyValueProjection(nn.Module):
    """Keys and values of one cross-attention."""

    def __init__(self, text_width: int, channels: int) -> None:
        super().__init__()
        self.to_k = nn.Conv2d(text_width, channels, 1, bias=False)
        self.to_v = nn.Conv2d(text_width, channels, 1, bias=False)

    def forward(self, text_states: torch.Tensor) -> list[torch.Tensor]:
        """(1, C_text, 1, 77) -> keys and values, (1, channels, 1, 77) each."""
        return [self.to_k(text_states), self.to_v(text_states)]


class Conditioner(nn.Module):
    """Text states, timestep and guidance scales to `shifts` and `text_kv`.

    Args:
        config: Shape of the reference UNet.
        schedule: Gives x_scale and out_scale of every timestep.

    Attributes:
        layout: How the outputs are packed.
        constants: Values of the buffers by name; they are no weights and must keep their fp32 precision.
    """

    def __init__(self, config: UNetConfig, schedule: NoiseSchedule) -> None:
        super().__init__()
        self.layout: Layout = conditioning_layout(config)
        self.flip_sin_to_cos = config.flip_sin_to_cos
        base, width = config.block_out_channels[0], config.time_embed_dim
        self.time_embedding = ScalarEmbedding(base, width)
        self.text_embedding = ScalarEmbedding(config.cross_attention_dim, width) if config.text_embedding else None
        if config.guidance_embedding:
            self.text_guidance_embedding = ScalarEmbedding(base, width)
            self.image_guidance_embedding = ScalarEmbedding(base, width)
        self.guidance_gate = GuidanceGate(config) if config.guidance_gate else None
        for slot in self.layout.shifts:
            self._place(slot, Conditioned(slot.channels, config))
        for slot in self.layout.attentions:
            self._place(slot, KeyValueProjection(config.cross_attention_dim, slot.channels))
        steps = schedule.num_train_timesteps
        self.last_timestep = steps - 1
        self.constants: Mapping[str, npt.NDArray[np.float32]] = {
            "frequencies": _frequencies(base, config.freq_shift),
            "x0_scales": np.array([schedule.x0_scales(step) for step in range(steps)], dtype=np.float32),
        }
        self.frequencies: torch.Tensor
        self.x0_scales: torch.Tensor
        for name, values in self.constants.items():
            self.register_buffer(name, torch.empty(values.shape))

    def forward(
        self,
        text_states: torch.Tensor,
        timestep: torch.Tensor,
        text_guidance: torch.Tensor | None = None,
        image_guidance: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Computes the conditioning.

        Args:
            text_states: (1, C_text, 1, 77).
            timestep: (1,), a whole number from 0 to 999.
            text_guidance: (1,), s_T; only, and always, with guidance inputs.
            image_guidance: (1,), s_I; likewise.

        Returns:
            `shifts` (1, sum of C + 2, 1, 1) and `text_kv` (1, sum of C, 1, 77), packed as `layout` says.
        """
        time = self._embed(self.time_embedding, timestep)
        if self.text_embedding is not None:
            time = time + self.text_embedding(text_states.amax(dim=(2, 3)))
        time = F.silu(time)
        conditioning = Conditioning(time)
        if text_guidance is not None and image_guidance is not None:
            conditioning = Conditioning(
                time,
                F.silu(self._embed(self.text_guidance_embedding, text_guidance)),
                F.silu(self._embed(self.image_guidance_embedding, image_guidance)),
            )
        if self.guidance_gate is not None:
            conditioning = self.guidance_gate(conditioning)
        index = timestep.round().clamp(0.0, float(self.last_timestep)).to(torch.int32)
        pieces = [self._projection(slot).project(conditioning) for slot in self.layout.shifts]
        shifts = torch.cat([*pieces, F.embedding(index, self.x0_scales)], dim=1)
        projected = [piece for slot in self.layout.attentions for piece in self.get_submodule(slot.path)(text_states)]
        return shifts.reshape(1, -1, 1, 1), torch.cat(projected, dim=1)

    def _embed(self, embedding: nn.Module, value: torch.Tensor) -> torch.Tensor:
        """(1,) -> (1, width): sinusoids and two linear layers."""
        angles = value.reshape(1, 1) * self.frequencies.reshape(1, -1)
        cosine, sine = angles.cos(), angles.sin()
        sinusoids = torch.cat([cosine, sine] if self.flip_sin_to_cos else [sine, cosine], dim=1)
        result: torch.Tensor = embedding(sinusoids)
        return result

    def _projection(self, slot: Slot) -> Conditioned:
        module = self.get_submodule(slot.path)
        assert isinstance(module, Conditioned)
        return module

    def _place(self, slot: Slot, module: nn.Module) -> None:
        """Adds `module` at a dotted path, with plain modules along the way."""
        *parents, name = slot.path.split(".")
        here: nn.Module = self
        for parent in parents:
            if parent not in dict(here.named_children()):
                here.add_module(parent, nn.Module())
            here = here.get_submodule(parent)
        here.add_module(name, module)


def _frequencies(width: int, freq_shift: float) -> npt.NDArray[np.float32]:
    """Frequencies of the sinusoidal embedding, 1 to 1/10000 geometrically (as `sinusoidal_embedding` has them)."""
    half = width // 2
    exponents = np.float32(-math.log(10000.0)) * np.arange(half, dtype=np.float32)
    frequencies: npt.NDArray[np.float32] = np.exp(exponents / np.float32(half - freq_shift)).astype(np.float32)
    return frequencies
