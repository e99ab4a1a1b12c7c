"""How well a denoiser edits what it was never trained on: mean PSNR against the true edits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from mobie_coreml.diffusion.noise import standard_normal
from mobie_coreml.diffusion.samplers import SamplerMethod, sampler_steps
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.edits import EDITS
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.text_encoder import CLIPTextEncoder
from mobie_coreml.models.tokenizer import CLIPTokenizer
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.photos import Photo, Pixels, center_crop
from mobie_coreml.training.sampling import fresh_draws, sample

MOST = 31
"""Examples that a validation looks at."""
TOGETHER = 8


@dataclass(frozen=True)
class HeldOut:
    """What is never trained on: photographs and their true edits (N, 3, H, W) in 0..1, and the instructions."""

    images: torch.Tensor
    edited: torch.Tensor
    prompts: tuple[str, ...]


def edited_photos(photos: Sequence[Photo], frame_size: tuple[int, int]) -> HeldOut:
    """The first photographs, each with another procedural edit at full strength in its canonical wording."""
    images, truths, prompts = [], [], []
    edits = list(EDITS.values())
    for index, photo in enumerate(photos[:MOST]):
        edit = edits[index % len(edits)]
        image = center_crop(photo, frame_size)
        images.append(image)
        truths.append(edit.apply(image, 1.0))
        prompts.append(edit.phrases[0])
    return HeldOut(stack(images), stack(truths), tuple(prompts))


def stack(images: Sequence[Pixels]) -> torch.Tensor:
    """(H, W, 3) arrays to one (N, 3, H, W) tensor."""
    if not images:
        return torch.empty(0, 3, 1, 1)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def held_out_psnr(
    held_out: HeldOut,
    tokenizer: CLIPTokenizer,
    edit: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    device: torch.device,
) -> dict[str, float]:
    """Mean PSNR in dB against the true edits; no figure where nothing is held out.

    Args:
        held_out: Frames, truths, prompts.
        tokenizer: Of the prompts.
        edit: Frames (B, 3, H, W) in 0..1 and token ids (B, 77) to edited frames.
        device: Where `edit` computes.
    """
    values = []
    for start in range(0, len(held_out.prompts), TOGETHER):
        part = slice(start, start + TOGETHER)
        ids = torch.tensor([tokenizer.encode(prompt, truncate=True).ids for prompt in held_out.prompts[part]])
        edited = edit(held_out.images[part].to(device), ids.to(device)).cpu()
        errors = (edited - held_out.edited[part]).square().mean(dim=(1, 2, 3))
        values.append(-10 * torch.log10(errors.clamp_min(1e-12)))
    return {"held_out_psnr": float(torch.cat(values).mean())} if values else {}


@dataclass(frozen=True)
class Validation:
    """A fixed task for denoisers that share autoencoder and text encoder.

    Attributes:
        held_out: Frames, truths, prompts.
        autoencoder: Frozen.
        text_encoder: Frozen.
        tokenizer: Of the prompts.
        schedule: With the prediction type of the denoiser.
        sampler, steps: How frames are sampled.
        scales: Text and image guidance, given to denoisers that take them.
    """

    held_out: HeldOut
    autoencoder: TinyAutoencoder
    text_encoder: CLIPTextEncoder
    tokenizer: CLIPTokenizer
    schedule: NoiseSchedule
    sampler: SamplerMethod
    steps: int
    scales: tuple[float, float]

    @torch.no_grad()
    def figures(self, unet: MobilePix2PixUNet) -> dict[str, float]:
        """Mean PSNR in dB of edits in one pass a step, from the noise of seed 0, against the true edits."""
        device = next(unet.parameters()).device
        self.autoencoder.to(device)
        self.text_encoder.to(device)
        return held_out_psnr(self.held_out, self.tokenizer, partial(self._edit, unet), device)

    def _edit(self, unet: MobilePix2PixUNet, images: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        latents = self.autoencoder.encode(2 * images - 1)
        states = self.text_encoder(ids)
        steps = sampler_steps(self.schedule, self.sampler, self.steps)
        shape = (1, *latents.shape[1:])
        draws = [torch.from_numpy(standard_normal(0, stream, shape)) for stream in range(fresh_draws(steps) + 1)]
        noise = torch.stack(draws, dim=1).to(latents).expand(len(latents), *[-1] * latents.ndim)
        scales = [torch.full((len(latents),), scale, device=latents.device) for scale in self.scales]
        guidance = scales if unet.config.guidance_embedding else []
        sampled = sample(unet, self.schedule, steps, latents, states, guidance, noise)
        return self.autoencoder.decode(sampled).add(1).div(2).clamp(0, 1)
