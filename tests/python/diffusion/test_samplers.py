"""Samplers against diffusers' schedulers on the same denoiser, and their invariants."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, LCMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.diffusion.samplers import SamplerStep, sampler_steps
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError

BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def denoiser(x_t: torch.Tensor, timestep: float) -> torch.Tensor:
    """A fixed nonlinear prediction of the noise."""
    return torch.tanh(x_t * 0.7 + 0.1) + 0.001 * timestep / 1000


def run_ours(schedule: NoiseSchedule, steps: list[SamplerStep], start: torch.Tensor, noises: list[torch.Tensor]):
    latents = start
    for step, noise in zip(steps, noises, strict=True):
        x0 = schedule.x0_from_epsilon(latents, denoiser(latents, step.timestep), step.timestep)
        latents = step.advance(latents, x0, noise)
    return latents


@pytest.fixture
def start() -> torch.Tensor:
    return torch.randn(1, 4, 6, 6, generator=torch.Generator().manual_seed(3)).double()


@pytest.mark.parametrize("count", [1, 2, 4, 10, 25])
def test_ddim_is_that_of_diffusers(start: torch.Tensor, count: int) -> None:
    schedule = NoiseSchedule()
    steps = sampler_steps(schedule, "ddim", count)
    theirs = DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=True, timestep_spacing="trailing")
    theirs.set_timesteps(count)
    assert [step.timestep for step in steps] == theirs.timesteps.tolist()
    latents = start
    for timestep in theirs.timesteps:
        latents = theirs.step(denoiser(latents, float(timestep)), timestep, latents).prev_sample
    assert (run_ours(schedule, steps, start, [start] * count) - latents).abs().max() < 1e-4


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("count", [4, 10, 28])
def test_euler_is_that_of_diffusers(start: torch.Tensor, count: int) -> None:
    """For step counts whose evenly spaced timesteps are whole numbers: no rounding on our side."""
    schedule = NoiseSchedule()
    steps = sampler_steps(schedule, "euler", count)
    theirs = EulerDiscreteScheduler(**BETAS, timestep_spacing="linspace")
    theirs.set_timesteps(count)
    assert [step.timestep for step in steps] == theirs.timesteps.tolist()
    # Their samples live in x / a coordinates: x0 + (s / a) noise.
    latents = start / float(schedule.alpha(999))
    for timestep in theirs.timesteps:
        scaled = theirs.scale_model_input(latents, timestep)
        latents = theirs.step(denoiser(scaled, float(timestep)), timestep, latents).prev_sample
    assert (run_ours(schedule, steps, start, [start] * count) - latents).abs().max() < 2e-4


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_lcm_is_that_of_diffusers(start: torch.Tensor, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    schedule = NoiseSchedule()
    steps = sampler_steps(schedule, "lcm", count)
    theirs = LCMScheduler(**BETAS, clip_sample=False)
    theirs.set_timesteps(count)
    assert [step.timestep for step in steps] == theirs.timesteps.tolist()
    generator = torch.Generator().manual_seed(5)
    noises = [torch.randn(start.shape, generator=generator).double() for _ in range(count)]
    waiting = iter(noises)
    monkeypatch.setattr("diffusers.schedulers.scheduling_lcm.randn_tensor", lambda *_, **__: next(waiting))
    latents = start
    for timestep in theirs.timesteps:
        latents = theirs.step(denoiser(latents, float(timestep)), timestep, latents).prev_sample
    assert (run_ours(schedule, steps, start, noises) - latents).abs().max() < 1e-3


@settings(max_examples=80, deadline=None)
@given(method=st.sampled_from(["euler", "ddim", "lcm"]), count=st.integers(1, 50))
def test_steps_fall_and_end_at_x0(method: str, count: int) -> None:
    steps = sampler_steps(NoiseSchedule(), method, count)  # type: ignore[arg-type]
    timesteps = [step.timestep for step in steps]
    assert len(steps) == count
    assert timesteps[0] == 999
    assert all(first > second >= 0 for first, second in pairwise(timesteps))
    assert steps[-1] == SamplerStep(timesteps[-1], 1.0, 0.0, 0.0)
    assert all(step.noise == 0 for step in steps) or method == "lcm"


@settings(max_examples=40, deadline=None)
@given(method=st.sampled_from(["euler", "ddim", "lcm"]), count=st.integers(2, 50))
def test_a_perfect_denoiser_keeps_the_latents_on_the_forward_process(method: str, count: int) -> None:
    """If x0 is known, every x is a x0 + s e with unit-variance e: for DDIM and Euler even the same e."""
    schedule = NoiseSchedule()
    rng = np.random.default_rng(count)
    x0, noise = rng.standard_normal((2, 8))
    latents = schedule.add_noise(x0, noise, 999)
    steps = sampler_steps(schedule, method, count)  # type: ignore[arg-type]
    for step, following in pairwise(steps):
        fresh = rng.standard_normal(8)
        latents = step.advance(latents, x0, fresh)
        expected = schedule.add_noise(x0, fresh if method == "lcm" else noise, following.timestep)
        assert np.allclose(latents, expected, atol=1e-9)
    assert np.allclose(steps[-1].advance(latents, x0), x0)


def test_a_step_that_needs_noise_says_so() -> None:
    step = sampler_steps(NoiseSchedule(), "lcm", 2)[0]
    with pytest.raises(InputError, match="fresh noise"):
        step.advance(np.zeros(2), np.zeros(2))


@pytest.mark.parametrize(
    ("method", "count"), [("euler", 0), ("ddim", -1), ("ddim", 1001), ("lcm", 51), ("heun", 4), ("ddim", 2.5)]
)
def test_wrong_samplers_are_refused(method: str, count: int) -> None:
    with pytest.raises(InputError):
        sampler_steps(NoiseSchedule(), method, count)  # type: ignore[arg-type]


def test_lcm_needs_a_schedule_that_its_grid_divides() -> None:
    with pytest.raises(InputError, match="does not divide 999"):
        sampler_steps(NoiseSchedule(num_train_timesteps=999), "lcm", 4)
    assert sampler_steps(NoiseSchedule(num_train_timesteps=100), "lcm", 2)[0].timestep == 99
