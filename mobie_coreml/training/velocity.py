"""From noise to velocity prediction, before stage 4.

One step starts from pure noise, where x0 from predicted noise is a difference of large numbers divided by a small one;
velocity has no such place. The student starts from the teacher's weights and learns the velocity that the teacher's
noise means (Salimans and Ho 2022, arXiv 2202.00512, appendix D):

    x0 = (x_t - s e) / a,   v = a e - s x0
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.distillation import Material, scale_inputs
from mobie_coreml.training.regression import RegressionStage
from mobie_coreml.training.stage_config import RegressionTraining


def check_teacher(checkpoint: Checkpoint) -> None:
    """Refuses a checkpoint that does not predict noise.

    Raises:
        InputError: it predicts velocity already, or x0.
    """
    kind = checkpoint.schedule.prediction_type
    if kind == "v_prediction":
        raise InputError(
            f"{checkpoint.path} predicts velocity already: there is nothing to train.",
            "Go on with `mobie train one-step`.",
        )
    if kind != "epsilon":
        raise InputError(f"{checkpoint.path} predicts {kind}; this stage starts from one that predicts noise.")


def velocity_from_epsilon(
    schedule: NoiseSchedule, noisy: torch.Tensor, epsilon: torch.Tensor, timesteps: torch.Tensor
) -> torch.Tensor:
    """The velocity (B, ...) that predicted noise at `noisy` means."""
    x0 = schedule.x0_from_epsilon(noisy, epsilon, timesteps)
    return schedule.velocity(x0, epsilon, timesteps)


class VelocityStage(RegressionStage):
    """The student's velocity towards that of the teacher's noise.

    Args:
        teacher: Denoiser that predicts noise, with guidance inputs or without; it is frozen.
        student: Denoiser of the same shape.
        material: Data and what is written.
        config: Options.
    """

    name = "velocity"

    def __init__(
        self, teacher: MobilePix2PixUNet, student: MobilePix2PixUNet, material: Material, config: RegressionTraining
    ) -> None:
        super().__init__(teacher, student, material, config, material.parent.schedule.with_prediction("v_prediction"))

    @torch.no_grad()
    def target(self, noisy: torch.Tensor, tensors: Mapping[str, torch.Tensor], states: torch.Tensor) -> torch.Tensor:
        """The velocity of the teacher's noise."""
        teacher, timesteps = self.teacher.to(noisy.device), tensors["timesteps"]
        sample = torch.cat([noisy, tensors["images"]], dim=1)
        epsilon = teacher(sample, timesteps, states, *scale_inputs(teacher, tensors)).float()
        return velocity_from_epsilon(self.schedule, noisy, epsilon, timesteps)
