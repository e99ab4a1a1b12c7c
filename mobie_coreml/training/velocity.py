"""From noise to velocity prediction, before stage 4.

One step starts from pure noise, where x0 from predicted noise is a difference of large numbers divided by a small one;
velocity has no such place. The student starts from the teacher's weights and learns the velocity that the teacher's
noise means (Salimans and Ho 2022, arXiv 2202.00512, appendix D):

    x0 = (x_t - s e) / a,   v = a e - s x0
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.attention import fast_attention
from mobie_coreml.training.distillation import Material, frozen, noisy_batch, noisy_latents, scale_inputs
from mobie_coreml.training.loop import Batch
from mobie_coreml.training.stage_config import VelocityTraining


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


class VelocityStage:
    """The student's velocity towards that of the teacher's noise, plain squared error.

    Args:
        teacher: Denoiser that predicts noise, with guidance inputs or without; it is frozen.
        student: Denoiser of the same shape.
        material: Data and what is written.
        config: Options.
    """

    name = "velocity"
    channels_last = False

    def __init__(
        self, teacher: MobilePix2PixUNet, student: MobilePix2PixUNet, material: Material, config: VelocityTraining
    ) -> None:
        self.teacher, self.material, self.config = frozen(teacher), material, config
        self.network: nn.Module = student
        self.schedule = material.parent.schedule.with_prediction("v_prediction")
        self._validation = material.validation(self.schedule)

    def batch(self, step: int) -> Batch:
        """Images, edits, prompts, scales, noise."""
        return noisy_batch(self.material, self.config.noise, self.schedule.num_train_timesteps, step)

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean squared error of the velocity."""
        tensors, timesteps = batch.tensors, batch.tensors["timesteps"]
        noisy = noisy_latents(self.schedule, tensors["edited"], tensors)
        states = self.material.text_states(tensors["ids"])
        inputs = (torch.cat([noisy, tensors["images"]], dim=1), timesteps, states, *scale_inputs(self.teacher, tensors))
        with fast_attention(noisy.device):
            with torch.no_grad():
                epsilon = self.teacher.to(noisy.device)(*inputs).float()
            output = self.network(*inputs).float()
        target = velocity_from_epsilon(self.schedule, noisy, epsilon, timesteps)
        error = (output - target).square().mean()
        return error, {"relative_error": float(error.detach() / target.square().mean())}

    def validate(self, network: nn.Module) -> dict[str, float]:
        """PSNR of edits at the default scales."""
        assert isinstance(network, MobilePix2PixUNet)
        return self._validation.figures(network)

    def export(self, network: nn.Module, folder: Path, info: dict[str, Any]) -> None:
        """Writes a checkpoint that predicts velocity."""
        assert isinstance(network, MobilePix2PixUNet)
        self.material.export(network, self.schedule, folder, info)

    def describe(self) -> dict[str, Any]:
        """Options and data."""
        return {"training": asdict(self.config), **self.material.describe()}
