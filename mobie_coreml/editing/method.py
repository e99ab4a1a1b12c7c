"""What a model asks of whoever runs it: frame size, schedule, guidance. Independent of where its components run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mobie_coreml.diffusion.guidance import GuidancePass, GuidanceRange
from mobie_coreml.diffusion.noise import standard_normal
from mobie_coreml.diffusion.samplers import SamplerMethod, SamplerStep, sampler_steps
from mobie_coreml.diffusion.schedule import NoiseSchedule


def one_pass(text_guidance: float, image_guidance: float) -> tuple[GuidancePass, ...]:
    """The passes of a model with embedded guidance: a single one, whatever the scales."""
    return (GuidancePass(text=True, image=True, weight=1.0),)


@dataclass(frozen=True)
class EditMethod:
    """How one frame is edited.

    Args:
        frame_size: (width, height) in pixels.
        latent_shape: (1, L, h, w).
        guidance_inputs: Whether the Conditioner takes the guidance scales.
        passes: The denoiser passes of one step from (text guidance, image guidance): one where guidance is embedded,
            up to three otherwise.
        text_guidance: Range of the text scale.
        image_guidance: Range of the image scale.
        steps: The model's own schedule.
        schedule: Its noise schedule, from which other numbers of steps are made.
        sampler: The sampler that `steps` came from.
        noise_stream: Stream of the generator that the first noise comes from.
        frame_stride: Added to it for every frame after the first, where noise is fresh a frame.
    """

    frame_size: tuple[int, int]
    latent_shape: tuple[int, int, int, int]
    guidance_inputs: bool
    passes: Callable[[float, float], tuple[GuidancePass, ...]]
    text_guidance: GuidanceRange
    image_guidance: GuidanceRange
    steps: tuple[SamplerStep, ...]
    schedule: NoiseSchedule
    sampler: SamplerMethod
    noise_stream: int = 0
    frame_stride: int = 1 << 32

    def noise(self, seed: int, frame: int = 0) -> list[npt.NDArray[np.float32]]:
        """Initial noise, then the fresh noise after each step that takes some, each of `latent_shape`.

        With n = `noise_stream` + frame * `frame_stride`, the initial noise is stream n of the generator and that after
        step i (from 0) stream n + 1 + i.

        Args:
            seed: Of the generator.
            frame: 0 for noise that is fixed for a clip, else the frame's index.

        Raises:
            InputError: the seed is out of range.
        """
        first = self.noise_stream + frame * self.frame_stride
        streams = [0, *(k + 1 for k, step in enumerate(self.steps) if step.noise)]
        return [standard_normal(seed, first + k, self.latent_shape).astype(np.float32) for k in streams]

    def with_steps(self, steps: int | None, sampler: SamplerMethod | None) -> EditMethod:
        """The same method with another number of steps or another sampler; None keeps what the model asks for.

        Raises:
            InputError: the number is out of the sampler's range.
        """
        if steps is None and sampler is None:
            return self
        chosen = sampler or self.sampler
        made = sampler_steps(self.schedule, chosen, len(self.steps) if steps is None else steps)
        return replace(self, steps=tuple(made), sampler=chosen)
