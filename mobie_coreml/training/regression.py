"""A student that answers in one pass what a frozen teacher's answer amounts to: plain squared error."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.attention import fast_attention
from mobie_coreml.training.distillation import (
    DistillationStage,
    Material,
    frozen,
    noisy_batch,
    noisy_latents,
    scale_inputs,
)
from mobie_coreml.training.loop import Batch
from mobie_coreml.training.stage_config import RegressionTraining


class RegressionStage(DistillationStage, ABC):
    """A stage that says what the student's output should be.

    Args:
        teacher: It is frozen.
        student: What is trained.
        material: Data and what is written.
        config: Options.
        schedule: With the student's prediction type.
    """

    def __init__(
        self,
        teacher: MobilePix2PixUNet,
        student: MobilePix2PixUNet,
        material: Material,
        config: RegressionTraining,
        schedule: NoiseSchedule,
    ) -> None:
        super().__init__(student, material, config, schedule)
        self.teacher, self._noise = frozen(teacher), config.noise

    def batch(self, step: int) -> Batch:
        """Images, edits, prompts, scales, noise."""
        return noisy_batch(self.material, self._noise, self.schedule.num_train_timesteps, step)

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean squared error against the target; also as a fraction of the error of answering zero."""
        tensors = batch.tensors
        noisy = noisy_latents(self.schedule, tensors["edited"], tensors)
        states = self.material.text_states(tensors["ids"])
        with fast_attention(noisy.device):
            target = self.target(noisy, tensors, states)
            sample = torch.cat([noisy, tensors["images"]], dim=1)
            output = self.network(sample, tensors["timesteps"], states, *scale_inputs(self.student, tensors)).float()
        error = (output - target).square().mean()
        return error, {"relative_error": float(error.detach() / target.square().mean())}

    @abstractmethod
    def target(self, noisy: torch.Tensor, tensors: Mapping[str, torch.Tensor], states: torch.Tensor) -> torch.Tensor:
        """What the student should answer, (B, L, h, w), without gradients.

        Args:
            noisy: (B, L, h, w).
            tensors: The batch's.
            states: (B, 77, C), text states.
        """
