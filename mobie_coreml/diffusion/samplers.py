"""Samplers as data: every step is linear in what is known, so any host can run the list it gets from here.

    x <- x0_weight * x0 + latents_weight * x + noise_weight * fresh_noise

where x are the noisy latents, of variance a^2 + s^2 = 1 at every timestep, and x0 is the denoiser's estimate at x.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from mobie_coreml.diffusion.schedule import Array, NoiseSchedule
from mobie_coreml.errors import InputError

SamplerMethod = Literal["euler", "ddim", "lcm"]

# Latent consistency models are distilled on a grid of 50 DDIM steps (Luo et al. 2023, arXiv 2310.04378, section 5).
_LCM_GRID = 50


@dataclass(frozen=True)
class SamplerStep:
    """One denoiser evaluation at `timestep` and the weights that make the next x of x0, x and fresh noise."""

    timestep: int
    x0: float
    latents: float
    noise: float

    def advance(self, latents: Array, x0: Array, noise: Array | None = None) -> Array:
        """The next noisy latents; after the last step, the result.

        Args:
            latents: x at this step's timestep.
            x0: The denoiser's estimate, guidance applied.
            noise: Fresh standard normal noise; may be None where this step takes none.
        """
        result: Any = self.x0 * x0 + self.latents * latents if self.latents else self.x0 * x0
        if self.noise:
            if noise is None:
                raise InputError(f"The step at timestep {self.timestep} needs fresh noise.")
            result = result + self.noise * noise
        return result  # type: ignore[no-any-return]


def sampler_steps(schedule: NoiseSchedule, method: SamplerMethod, steps: int) -> list[SamplerStep]:
    """The steps from pure noise to a clean sample.

    - "euler": Euler's method on the probability flow ODE (Karras et al. 2022, arXiv 2206.00364, algorithm 1 without
      churn) on evenly spaced timesteps from the last to 0, diffusers' EulerDiscreteScheduler with "linspace" spacing,
      timesteps rounded to whole numbers. In the variance-preserving coordinates used here a step of it is DDIM's.
    - "ddim": deterministic DDIM (Song et al. 2020, arXiv 2010.02502, eq. 12 with sigma = 0) on "trailing" timesteps,
      so that the first is always the last of the schedule (Lin et al. 2023, arXiv 2305.08891, table 2).
    - "lcm": multistep consistency sampling: x0 noised again with fresh noise, on diffusers' LCMScheduler's timesteps.
      The consistency boundary scalings, below 1e-4 at every timestep of that grid, are left out.

    A single step starts at the last timestep and returns x0, whatever the method.

    Args:
        schedule: Betas and number of timesteps.
        method: One of the above.
        steps: Number of denoiser evaluations, 1 to the schedule's length (50 for "lcm").

    Raises:
        InputError: the method is not known, the number of steps is outside its range, or "lcm" meets a schedule whose
            length is not a multiple of 50.
    """
    if method not in get_args(SamplerMethod):
        raise InputError(f"There is no sampler {method!r}.", f"Samplers are {', '.join(get_args(SamplerMethod))}.")
    if method == "lcm" and schedule.num_train_timesteps % _LCM_GRID:
        raise InputError(f"The lcm sampler's grid does not divide {schedule.num_train_timesteps} timesteps.")
    most = _LCM_GRID if method == "lcm" else schedule.num_train_timesteps
    if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= most:
        raise InputError(f"{steps} steps are out of range.", f"The {method} sampler takes 1 to {most} steps.")
    timesteps = _timesteps(schedule.num_train_timesteps, method, steps)
    result = []
    for timestep, following in zip(timesteps, [*timesteps[1:], None], strict=True):
        if following is None:
            result.append(SamplerStep(timestep, 1.0, 0.0, 0.0))
            continue
        alpha, sigma = float(schedule.alpha(timestep)), float(schedule.sigma(timestep))
        next_alpha, next_sigma = float(schedule.alpha(following)), float(schedule.sigma(following))
        if method == "lcm":
            result.append(SamplerStep(timestep, next_alpha, 0.0, next_sigma))
        else:
            # next = a' x0 + s' epsilon with epsilon = (x - a x0) / s
            ratio = next_sigma / sigma
            result.append(SamplerStep(timestep, next_alpha - ratio * alpha, ratio, 0.0))
    return result


def _timesteps(total: int, method: SamplerMethod, steps: int) -> list[int]:
    """Falling timesteps, `total` - 1 first."""
    if steps == 1:
        return [total - 1]
    values: npt.NDArray[Any]
    if method == "euler":
        values = np.round(np.linspace(total - 1, 0, steps))
    elif method == "ddim":
        values = np.round(np.arange(total, 0, -total / steps))[:steps] - 1
    else:
        grid = np.arange(1, _LCM_GRID + 1) * (total // _LCM_GRID) - 1
        values = grid[::-1][np.floor(np.linspace(0, _LCM_GRID, steps, endpoint=False)).astype(np.int64)]
    return [int(value) for value in values]
