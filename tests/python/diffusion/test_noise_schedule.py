"""The noise schedule against diffusers and against its own algebra."""

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler
from hypothesis import given, settings
from hypothesis import strategies as st

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError

PREDICTIONS = ("epsilon", "v_prediction", "sample")
TIMESTEPS = st.integers(0, 999)


def diffusers_schedule(prediction: str = "epsilon") -> DDIMScheduler:
    return DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction, clip_sample=False
    )


def test_coefficients_are_those_of_diffusers() -> None:
    ours = NoiseSchedule().alphas_cumprod
    assert np.abs(ours - diffusers_schedule().alphas_cumprod.double().numpy()).max() < 1e-6
    assert ours.dtype == np.float64


def test_forward_process_and_velocity_are_those_of_diffusers() -> None:
    schedule, theirs = NoiseSchedule(prediction_type="v_prediction"), diffusers_schedule("v_prediction")
    x0, noise = torch.randn(2, 5, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    timesteps = torch.tensor([0, 17, 500, 731, 999])
    torch.testing.assert_close(
        schedule.add_noise(x0, noise, timesteps), theirs.add_noise(x0, noise, timesteps), atol=2e-6, rtol=0
    )
    torch.testing.assert_close(
        schedule.target(x0, noise, timesteps), theirs.get_velocity(x0, noise, timesteps), atol=2e-6, rtol=0
    )


@settings(max_examples=60, deadline=None)
@given(timestep=TIMESTEPS, seed=st.integers(0, 2**32 - 1))
def test_conversions_are_inverses_of_each_other(timestep: int, seed: int) -> None:
    schedule = NoiseSchedule()
    x0, noise = np.random.default_rng(seed).standard_normal((2, 3, 4))
    x_t = schedule.add_noise(x0, noise, timestep)
    velocity = schedule.velocity(x0, noise, timestep)
    assert np.allclose(schedule.epsilon(x0, x_t, timestep), noise, atol=1e-10)
    assert np.allclose(schedule.x0_from_epsilon(x_t, noise, timestep), x0, atol=1e-10)
    assert np.allclose(schedule.x0_from_velocity(x_t, velocity, timestep), x0, atol=1e-10)
    assert np.allclose(schedule.alpha(timestep) ** 2 + schedule.sigma(timestep) ** 2, 1.0)


@settings(max_examples=60, deadline=None)
@given(timestep=TIMESTEPS, prediction=st.sampled_from(PREDICTIONS), seed=st.integers(0, 2**32 - 1))
def test_x0_scales_give_x0_for_every_prediction_type(timestep: int, prediction: str, seed: int) -> None:
    schedule = NoiseSchedule().with_prediction(prediction)  # type: ignore[arg-type]
    x0, noise = np.random.default_rng(seed).standard_normal((2, 3, 4))
    x_t, output = schedule.add_noise(x0, noise, timestep), schedule.target(x0, noise, timestep)
    x_scale, out_scale = schedule.x0_scales(timestep)
    assert np.allclose(x_scale * x_t + out_scale * output, x0, atol=1e-10)
    assert np.allclose(schedule.x0_from_output(x_t, output, timestep), x0, atol=1e-10)


def test_arrays_keep_their_kind_and_dtype() -> None:
    schedule = NoiseSchedule()
    half = torch.ones(2, 3, dtype=torch.float16)
    assert schedule.add_noise(half, half, torch.tensor([1, 2])).dtype == torch.float16
    assert schedule.add_noise(half.numpy(), half.numpy(), np.array([1, 2])).dtype == np.float16
    assert isinstance(schedule.alpha(3), float)
    assert schedule.alpha(torch.tensor([[1, 2], [3, 4]])).shape == (2, 2)
    assert schedule.sigma(np.array([1.0, 2.0])).dtype == np.float64


@pytest.mark.parametrize("timestep", [-1, 1000, 3.5, np.array([0, 1000]), torch.tensor([-1])])
def test_timesteps_outside_the_schedule_are_refused(timestep: object) -> None:
    with pytest.raises(InputError, match="whole numbers from 0 to 999"):
        NoiseSchedule().alpha(timestep)


@pytest.mark.parametrize(
    "arguments",
    [
        {"beta_start": 0.0},
        {"beta_start": 0.5, "beta_end": 0.1},
        {"beta_end": 1.0},
        {"num_train_timesteps": 0},
        {"beta_start": float("nan")},
        {"prediction_type": "noise"},
    ],
)
def test_senseless_schedules_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(InputError):
        NoiseSchedule(**arguments)  # type: ignore[arg-type]


def test_config_round_trip_through_diffusers() -> None:
    schedule = NoiseSchedule(prediction_type="v_prediction")
    theirs = DDIMScheduler.from_config(schedule.to_json())
    again = NoiseSchedule.from_json(dict(theirs.config))
    assert again.to_json() == schedule.to_json()


@pytest.mark.parametrize(
    "config",
    [
        {"beta_schedule": "linear"},
        {"trained_betas": [0.1]},
        {"rescale_betas_zero_snr": True},
        {"beta_start": "small"},
        {"prediction_type": "flow"},
    ],
)
def test_other_schedules_are_refused(config: dict[str, object]) -> None:
    with pytest.raises(InputError):
        NoiseSchedule.from_json(config)
