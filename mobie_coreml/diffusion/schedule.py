"""Noise schedules and the relations between noise (epsilon), velocity (v) and the clean sample (x0).

With a = sqrt(alphas_cumprod[t]) and s = sqrt(1 - alphas_cumprod[t]):

    x_t = a x0 + s epsilon          (forward process; Ho et al. 2020, arXiv 2006.11239, eq. 4)
    v   = a epsilon - s x0          (Salimans and Ho 2022, arXiv 2202.00512, appendix D)
    x0  = (x_t - s epsilon) / a  =  a x_t - s v

Everything here works on NumPy arrays and on torch tensors alike; coefficients are computed in float64 and rounded once,
to the dtype of the array they multiply.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, get_args

import numpy as np
import numpy.typing as npt

from mobie_coreml.errors import InputError

if TYPE_CHECKING:
    import torch

PredictionType = Literal["epsilon", "v_prediction", "sample"]
"""What a denoiser's output is: the noise, the velocity, or x0 itself (diffusers' names)."""

_MOST_TIMESTEPS = 100_000

Floats = npt.NDArray[np.float64]
Array = TypeVar("Array", npt.NDArray[Any], "torch.Tensor")


class NoiseSchedule:
    """A discrete variance-preserving schedule with Stable Diffusion's "scaled_linear" betas.

    beta_i = (sqrt(beta_start) + i / (N - 1) * (sqrt(beta_end) - sqrt(beta_start)))^2 for i = 0 .. N - 1.

    Args:
        beta_start: First beta.
        beta_end: Last beta.
        num_train_timesteps: N, the number of timesteps; timesteps are the integers 0 to N - 1.
        prediction_type: What the denoiser's output is.

    Raises:
        InputError: a value is outside its range.
    """

    def __init__(
        self,
        beta_start: float = 0.00085,
        beta_end: float = 0.012,
        num_train_timesteps: int = 1000,
        prediction_type: PredictionType = "epsilon",
    ) -> None:
        if not 0 < beta_start <= beta_end < 1 or not 1 <= num_train_timesteps <= _MOST_TIMESTEPS:
            raise InputError(
                f"A noise schedule from beta {beta_start} to {beta_end} in {num_train_timesteps} steps makes no sense.",
                f"Betas rise and lie between 0 and 1; there are at most {_MOST_TIMESTEPS} steps.",
            )
        if not isinstance(prediction_type, str) or prediction_type not in get_args(PredictionType):
            raise InputError(
                f"Prediction type {prediction_type!r} is not known.",
                f"Known are {', '.join(get_args(PredictionType))}.",
            )
        self.beta_start = beta_start
        self.beta_end = beta_end
        self.num_train_timesteps = num_train_timesteps
        self.prediction_type: PredictionType = prediction_type
        betas = np.linspace(beta_start**0.5, beta_end**0.5, num_train_timesteps, dtype=np.float64) ** 2
        self.alphas_cumprod: Floats = np.cumprod(1.0 - betas).astype(np.float64)
        """Product of (1 - beta) up to and including each timestep, shape (N,), float64."""

    def alpha(self, timestep: Any) -> Any:
        """a(t) = sqrt(alphas_cumprod[t]).

        Args:
            timestep: Integers 0 to N - 1: a number, a NumPy array or a torch tensor of any shape.

        Returns:
            Signal coefficients, float64, of the same shape and kind (a float for a number).

        Raises:
            InputError: a timestep is outside 0 to N - 1 or not a whole number.
        """
        return self._gather(np.sqrt(self.alphas_cumprod), timestep)

    def sigma(self, timestep: Any) -> Any:
        """s(t) = sqrt(1 - alphas_cumprod[t]); as `alpha` otherwise."""
        return self._gather(np.sqrt(1.0 - self.alphas_cumprod), timestep)

    def x0_scales(self, timestep: int) -> tuple[float, float]:
        """(x_scale, out_scale) such that x0 = x_scale * x_t + out_scale * output, whatever the prediction type."""
        alpha, sigma = float(self.alpha(timestep)), float(self.sigma(timestep))
        if self.prediction_type == "epsilon":
            return 1.0 / alpha, -sigma / alpha
        if self.prediction_type == "v_prediction":
            return alpha, -sigma
        return 0.0, 1.0

    def add_noise(self, x0: Array, noise: Array, timestep: Any) -> Array:
        """x_t of shape (B, ...); `timestep` is a number or has shape (B,)."""
        return self._mix(x0, self.alpha(timestep), noise, self.sigma(timestep))

    def epsilon(self, x0: Array, x_t: Array, timestep: Any) -> Array:
        """The noise that leads from x0 to x_t."""
        sigma = np.asarray(self.sigma(timestep))
        return self._mix(x_t, 1.0 / sigma, x0, -np.asarray(self.alpha(timestep)) / sigma)

    def velocity(self, x0: Array, noise: Array, timestep: Any) -> Array:
        """v = a epsilon - s x0."""
        return self._mix(noise, self.alpha(timestep), x0, -self.sigma(timestep))

    def x0_from_epsilon(self, x_t: Array, epsilon: Array, timestep: Any) -> Array:
        """x0 = (x_t - s epsilon) / a."""
        alpha = np.asarray(self.alpha(timestep))
        return self._mix(x_t, 1.0 / alpha, epsilon, -np.asarray(self.sigma(timestep)) / alpha)

    def x0_from_velocity(self, x_t: Array, velocity: Array, timestep: Any) -> Array:
        """x0 = a x_t - s v."""
        return self._mix(x_t, self.alpha(timestep), velocity, -self.sigma(timestep))

    def x0_from_output(self, x_t: Array, output: Array, timestep: Any) -> Array:
        """x0 from the denoiser's output, whatever this schedule's prediction type."""
        if self.prediction_type == "epsilon":
            return self.x0_from_epsilon(x_t, output, timestep)
        if self.prediction_type == "v_prediction":
            return self.x0_from_velocity(x_t, output, timestep)
        return output

    def target(self, x0: Array, noise: Array, timestep: Any) -> Array:
        """What the denoiser's output is trained towards."""
        if self.prediction_type == "epsilon":
            return noise
        if self.prediction_type == "v_prediction":
            return self.velocity(x0, noise, timestep)
        return x0

    def with_prediction(self, prediction_type: PredictionType) -> NoiseSchedule:
        """The same betas with another prediction type."""
        return NoiseSchedule(self.beta_start, self.beta_end, self.num_train_timesteps, prediction_type)

    def to_json(self) -> dict[str, Any]:
        """The diffusers `scheduler_config.json` of this schedule."""
        return {
            "_class_name": "EulerDiscreteScheduler",
            "beta_schedule": "scaled_linear",
            "beta_start": self.beta_start,
            "beta_end": self.beta_end,
            "num_train_timesteps": self.num_train_timesteps,
            "prediction_type": self.prediction_type,
        }

    @classmethod
    def from_json(cls, config: Mapping[str, Any]) -> NoiseSchedule:
        """Reads a diffusers `scheduler_config.json` of any scheduler class.

        Raises:
            InputError: its betas are not "scaled_linear" or a value cannot be read.
        """
        kind = config.get("beta_schedule", "scaled_linear")
        if kind != "scaled_linear" or config.get("trained_betas") is not None:
            raise InputError(
                f"The scheduler's betas ({kind!r}) are not supported.", "Supported are scaled_linear ones."
            )
        if config.get("rescale_betas_zero_snr"):
            raise InputError("The scheduler rescales its betas to zero terminal SNR, which is not supported.")
        try:
            return cls(
                float(config.get("beta_start", 0.00085)),
                float(config.get("beta_end", 0.012)),
                int(config.get("num_train_timesteps", 1000)),
                cast(PredictionType, config.get("prediction_type", "epsilon")),
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(f"The scheduler config cannot be read: {error!r}.") from error

    def _gather(self, table: Floats, timestep: Any) -> Any:
        is_tensor = hasattr(timestep, "detach")
        values = timestep.detach().cpu().numpy() if is_tensor else np.asarray(timestep)
        with np.errstate(invalid="ignore"):  # of NaN and infinity, which the check refuses
            index = values.astype(np.int64)
        if np.any(index != values) or np.any(index < 0) or np.any(index >= self.num_train_timesteps):
            raise InputError(f"Timesteps must be whole numbers from 0 to {self.num_train_timesteps - 1}.")
        gathered = table[index]
        if is_tensor:
            import torch

            return torch.from_numpy(np.asarray(gathered)).to(timestep.device)
        return float(gathered) if gathered.ndim == 0 else gathered

    @staticmethod
    def _mix(first: Array, first_scale: Any, second: Array, second_scale: Any) -> Array:
        """first_scale * first + second_scale * second; scales are numbers or (B,), broadcast over trailing axes."""
        mixed: Any = _scaled(first, first_scale) + _scaled(second, second_scale)
        return mixed  # type: ignore[no-any-return]


def _scaled(array: Array, scale: Any) -> Array:
    """`array` times `scale` (a number or one a batch element), rounded once to the array's dtype."""
    trailing = (1,) * (array.ndim - 1)
    if isinstance(array, np.ndarray):
        factors = np.asarray(scale, dtype=np.float64).astype(array.dtype)
        scaled: Any = array * (factors if factors.ndim == 0 else factors.reshape(-1, *trailing))
    else:
        import torch

        tensor = torch.as_tensor(scale, dtype=torch.float64).to(device=array.device, dtype=array.dtype)
        scaled = array * (tensor if tensor.ndim == 0 else tensor.view(-1, *trailing))
    return cast(Array, scaled)
