"""Sampling with one pass a step, many examples at once."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from mobie_coreml.diffusion.samplers import SamplerStep
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.models.unet import MobilePix2PixUNet


def fresh_draws(steps: Sequence[SamplerStep]) -> int:
    """How many draws of noise a sampling takes beside the one it starts from."""
    return sum(bool(step.noise) for step in steps)


@torch.no_grad()
def sample(
    unet: MobilePix2PixUNet,
    schedule: NoiseSchedule,
    steps: Sequence[SamplerStep],
    images: torch.Tensor,
    states: torch.Tensor,
    scales: Sequence[torch.Tensor],
    noise: torch.Tensor,
) -> torch.Tensor:
    """Clean latents (B, L, h, w), fp32, from noise.

    Args:
        unet: The denoiser.
        schedule: With its prediction type.
        steps: From `sampler_steps`.
        images: (B, L, h, w), latents of the photographs.
        states: (B, 77, C), text states.
        scales: Text and image guidance, (B,) each, for a denoiser that takes them; else empty.
        noise: (B, 1 + `fresh_draws`, L, h, w); the first is started from.
    """
    draws = iter(noise.unbind(dim=1))
    noisy = next(draws)
    for step in steps:
        timestep = torch.full((len(images),), step.timestep, device=images.device)
        output = unet(torch.cat([noisy, images], dim=1), timestep, states, *scales).float()
        x0 = schedule.x0_from_output(noisy, output, timestep)
        noisy = step.advance(noisy, x0, next(draws) if step.noise else None)
    return noisy
