"""What is known about an input or output of a component, apart from its values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

TensorKind = Literal["int32", "float16", "float32", "image"]
"""Type of a tensor at the boundary of a package; "image" is 8-bit RGB."""

Source = Literal["", "frame", "noise", "conditioner", "latents", "prompt", "text_encoder", "schedule", "guidance"]
"""Where a host takes an input from; "" for outputs.

frame: the camera or clip. noise: noisy latents of the step, pure noise before the first. conditioner: the Conditioner's
output of the same name. latents: the output of that name (or, for the Decoder, the latents after the last step).
prompt: the tokenizer. text_encoder: its output. schedule: the step's timestep. guidance: the user's scale.
"""


@dataclass(frozen=True)
class TensorSpec:
    """An input or output of a component.

    Attributes:
        name: Its name in the package.
        shape: Its shape; (1, 3, H, W) for images.
        dtype: Its type in the package. Modules compute on fp32 tensors (int32 stays), images are 0 to 255.
        source: Where an input comes from.
        description: What it is, with its unit.
        minimum: Smallest sensible value, None where there is no bound.
        maximum: Largest sensible value, None where there is no bound.
    """

    name: str
    shape: tuple[int, ...]
    dtype: TensorKind
    source: Source
    description: str
    minimum: float | None = None
    maximum: float | None = None

    def example(self, device: torch.device | str = "cpu") -> torch.Tensor:
        """Zeros of its shape, of the type that the component's module takes."""
        return torch.zeros(self.shape, dtype=torch.int32 if self.dtype == "int32" else torch.float32, device=device)
