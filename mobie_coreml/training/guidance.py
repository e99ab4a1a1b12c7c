"""Stage 3: multimodal guidance distillation.

A student that takes both guidance scales as inputs learns to answer in one pass what the teacher needs three for:

    e(x, 0, 0) + s_I [e(x, c_I, 0) - e(x, 0, 0)] + s_T [e(x, c_I, c_T) - e(x, c_I, 0)]

(Brooks et al. 2022, arXiv 2211.09800, eq. 3; distilled as in Meng et al. 2022, arXiv 2210.03142, for two scales). Its
new projections are zero at the start, so it starts as the teacher's conditional pass: the answer at scales 1 and 1.

Scales above 1 raise the contrast of the sum, and a teacher that answers from pure noise in a step or two has none left
to correct it in. `rescaled_guidance` brings it back (Lin et al. 2023, arXiv 2305.08891, section 3.4, there for one
scale).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.distillation import Material
from mobie_coreml.training.regression import RegressionStage
from mobie_coreml.training.stage_config import RegressionTraining, RescaleTraining


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


def rescaled(guided: torch.Tensor, conditional: torch.Tensor, fraction: float) -> torch.Tensor:
    """`guided` scaled towards the standard deviation of `conditional`, example by example.

    Args:
        guided, conditional: (B, L, h, w), estimates of x0.
        fraction: 0 leaves it as it is, 1 gives it that deviation whole.
    """
    ratio = conditional.std(dim=(1, 2, 3), keepdim=True) / guided.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-6)
    return guided * (1 + fraction * (ratio - 1))


def rescaled_guidance(
    estimates: torch.Tensor, text_guidance: torch.Tensor, image_guidance: torch.Tensor, rescale: RescaleTraining
) -> torch.Tensor:
    """Three estimates of x0 combined, one scale after the other, each brought back towards the deviation before it.

    Without rescaling this is `guided_output`. Text guidance comes first, and image guidance is rescaled to what text
    guidance alone gives: where it is 1, it changes nothing.

    Args:
        estimates: (3 B, L, h, w): without conditions, with the image, with image and text.
        text_guidance: (B,), s_T.
        image_guidance: (B,), s_I.
        rescale: How far, for either scale.
    """
    ones = torch.ones_like(text_guidance)
    conditional = estimates.chunk(3)[2]
    text = rescaled(guided_output(estimates, text_guidance, ones), conditional, rescale.text)
    added = guided_output(estimates, ones, image_guidance) - conditional
    return rescaled(text + added, text, rescale.image)


class GuidanceStage(RegressionStage):
    """The student's one pass towards the teacher's three.

    Args:
        teacher: Denoiser without guidance inputs; it is frozen.
        student: Denoiser with them.
        material: Data and what is written.
        config: Options.
    """

    name = "guidance"

    def __init__(
        self, teacher: MobilePix2PixUNet, student: MobilePix2PixUNet, material: Material, config: RegressionTraining
    ) -> None:
        super().__init__(teacher, student, material, config, material.parent.schedule)
        self._rescale = config.rescale

    @torch.no_grad()
    def target(self, noisy: torch.Tensor, tensors: Mapping[str, torch.Tensor], states: torch.Tensor) -> torch.Tensor:
        """The teacher's guided output, its three passes in one forward, rescaled as x0."""
        self.teacher.to(noisy.device)
        images, null = tensors["images"], self.material.text_states.null(len(noisy), noisy.device)
        sample = torch.cat([noisy.repeat(3, 1, 1, 1), torch.cat([torch.zeros_like(images), images, images])], dim=1)
        timesteps = tensors["timesteps"]
        outputs = self.teacher(sample, timesteps.repeat(3), torch.cat([null, null, states])).float()
        scales = tensors["text_guidance"], tensors["image_guidance"]
        if self._rescale == RescaleTraining():
            # The published target, as it is: nothing is gained or lost on the way to x0 and back.
            return guided_output(outputs, *scales)
        estimates = self.schedule.x0_from_output(noisy.repeat(3, 1, 1, 1), outputs, timesteps.repeat(3))
        x0 = rescaled_guidance(estimates, *scales, self._rescale)
        return self.schedule.target(x0, self.schedule.epsilon(x0, noisy, timesteps), timesteps)
