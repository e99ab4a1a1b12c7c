"""Stage 3: multimodal guidance distillation.

A student that takes both guidance scales as inputs learns to answer in one pass what the teacher needs three for:

    e(x, 0, 0) + s_I [e(x, c_I, 0) - e(x, 0, 0)] + s_T [e(x, c_I, c_T) - e(x, c_I, 0)]

(Brooks et al. 2022, arXiv 2211.09800, eq. 3; distilled as in Meng et al. 2022, arXiv 2210.03142, for two scales). Its
new projections are zero at the start, so it starts as the teacher's conditional pass: the answer at scales 1 and 1.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.attention import fast_attention
from mobie_coreml.training.distillation import Material, frozen, noisy_batch, noisy_latents
from mobie_coreml.training.loop import Batch
from mobie_coreml.training.stage_config import GuidanceTraining


def check_teacher(checkpoint: Checkpoint) -> None:
    """Refuses a checkpoint that cannot be guided in three passes.

    Raises:
        InputError: it has guidance inputs.
    """
    if checkpoint.networks.unet.guidance_embedding:
        raise InputError(
            f"{checkpoint.path} has guidance inputs already; stage 3 starts from a teacher without them.",
            "Go on with `mobie train velocity` or `mobie train one-step`, or pass --from to train it further.",
        )


def with_guidance_inputs(unet: MobilePix2PixUNet, seed: int = 0) -> MobilePix2PixUNet:
    """A copy with guidance inputs whose projections are zero: whatever the scales, it answers as `unet` does."""
    torch.manual_seed(seed)
    student = MobilePix2PixUNet(replace(unet.config, guidance_embedding=True))
    student.load_state_dict(unet.state_dict(), strict=False)
    return student


def guided_output(outputs: torch.Tensor, text_guidance: torch.Tensor, image_guidance: torch.Tensor) -> torch.Tensor:
    """Three passes combined; the same sum holds for noise, velocity and x0.

    Args:
        outputs: (3 B, L, h, w): without conditions, with the image, with image and text.
        text_guidance: (B,), s_T.
        image_guidance: (B,), s_I.
    """
    neither, image, both = outputs.chunk(3)
    text_scale, image_scale = text_guidance[:, None, None, None], image_guidance[:, None, None, None]
    return neither + image_scale * (image - neither) + text_scale * (both - image)


class GuidanceStage:
    """The student's one pass towards the teacher's three, plain squared error.

    Args:
        teacher: Denoiser without guidance inputs; it is frozen.
        student: Denoiser with them.
        material: Data and what is written.
        config: Options.
    """

    name = "guidance"
    channels_last = False

    def __init__(
        self, teacher: MobilePix2PixUNet, student: MobilePix2PixUNet, material: Material, config: GuidanceTraining
    ) -> None:
        self.teacher, self.material, self.config = frozen(teacher), material, config
        self.network: nn.Module = student
        self.schedule = material.parent.schedule
        self._validation = material.validation(self.schedule)

    def batch(self, step: int) -> Batch:
        """Images, edits, prompts, scales, noise."""
        return noisy_batch(self.material, self.config.noise, self.schedule.num_train_timesteps, step)

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean squared error against the guided teacher; also as a fraction of the error of answering zero."""
        tensors = batch.tensors
        noisy = noisy_latents(self.schedule, tensors["edited"], tensors)
        states = self.material.text_states(tensors["ids"])
        with fast_attention(noisy.device):
            target = self.target(noisy, tensors, states)
            sample = torch.cat([noisy, tensors["images"]], dim=1)
            scales = (tensors["text_guidance"], tensors["image_guidance"])
            output = self.network(sample, tensors["timesteps"], states, *scales).float()
        error = (output - target).square().mean()
        return error, {"relative_error": float(error.detach() / target.square().mean())}

    @torch.no_grad()
    def target(self, noisy: torch.Tensor, tensors: dict[str, torch.Tensor], states: torch.Tensor) -> torch.Tensor:
        """The teacher's guided output (B, L, h, w), its three passes in one forward."""
        self.teacher.to(noisy.device)
        images, null = tensors["images"], self.material.text_states.null(len(noisy), noisy.device)
        sample = torch.cat([noisy.repeat(3, 1, 1, 1), torch.cat([torch.zeros_like(images), images, images])], dim=1)
        outputs = self.teacher(sample, tensors["timesteps"].repeat(3), torch.cat([null, null, states])).float()
        return guided_output(outputs, tensors["text_guidance"], tensors["image_guidance"])

    def validate(self, network: nn.Module) -> dict[str, float]:
        """PSNR of edits at the default scales."""
        assert isinstance(network, MobilePix2PixUNet)
        return self._validation.figures(network)

    def export(self, network: nn.Module, folder: Path, info: dict[str, Any]) -> None:
        """Writes a checkpoint with guidance inputs."""
        assert isinstance(network, MobilePix2PixUNet)
        self.material.export(network, self.schedule, folder, info)

    def describe(self) -> dict[str, Any]:
        """Options and data."""
        return {"training": asdict(self.config), **self.material.describe()}
