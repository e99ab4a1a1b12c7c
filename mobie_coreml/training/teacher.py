"""Stage: the teacher, a denoiser of latents conditioned on image latents and text, trained from scratch with its text
encoder.

The network learns the schedule's target (v for nano) at random timesteps; dropping the image, the text or both in a
few percent of the examples teaches it the null conditions that three-pass guidance needs (Brooks et al. 2022, arXiv
2211.09800).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mobie_coreml.diffusion.samplers import sampler_steps
from mobie_coreml.diffusion.schedule import NoiseSchedule, PredictionType
from mobie_coreml.edits import EDITS
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.blocks import InputSkip, ResnetBlock2D
from mobie_coreml.models.checkpoint import save_checkpoint
from mobie_coreml.models.checkpoint_files import TOKENIZER_FILES, describe
from mobie_coreml.models.presets import Preset
from mobie_coreml.models.text_encoder import CLIPTextEncoder
from mobie_coreml.models.tokenizer import CLIPTokenizer
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.attention import fast_attention
from mobie_coreml.training.config import TeacherTraining
from mobie_coreml.training.distillation import noisy_latents
from mobie_coreml.training.latents import PairSet
from mobie_coreml.training.loop import Batch
from mobie_coreml.training.photos import Photos, generator
from mobie_coreml.training.sampling import sample
from mobie_coreml.training.validation import edited_photos, held_out_psnr
from mobie_coreml.training.wording import vary_wording

VALIDATION_STEPS = 4
CHANGE_LIMIT = 6.0


class TeacherNetwork(nn.Module):
    """Text encoder and denoiser, trained together."""

    def __init__(self, unet: MobilePix2PixUNet, text_encoder: CLIPTextEncoder) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def forward(self, sample: torch.Tensor, timestep: torch.Tensor, input_ids: torch.Tensor) -> torch.Tensor:
        """sample (B, 2 L, h, w), timestep (B,), input_ids (B, 77) -> the denoiser's output (B, L, h, w)."""
        result: torch.Tensor = self.unet(sample, timestep, self.text_encoder(input_ids))
        return result


def new_teacher(preset: Preset, tokenizer: CLIPTokenizer, seed: int) -> TeacherNetwork:
    """An untrained teacher.

    The ResNet branches of the UNet and its output start at zero (as in Dhariwal and Nichol 2021, arXiv 2105.05233); the
    transformers do not, so that the text is felt from the first steps on.
    """
    torch.manual_seed(seed)
    unet = MobilePix2PixUNet(preset.unet)
    text_encoder = CLIPTextEncoder(replace(preset.text_encoder, vocab_size=tokenizer.vocab_size))
    for embedding in (item for item in text_encoder.modules() if isinstance(item, nn.Embedding)):
        nn.init.normal_(embedding.weight, std=0.05)
    last_layers = [unet.conv_out]
    last_layers += [module.conv2 for module in unet.modules() if isinstance(module, ResnetBlock2D)]
    for layer in last_layers:
        nn.init.zeros_(layer.weight)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    if unet.input_skip is not None:
        start_skip(unet.input_skip, preset.prediction_type)
    return TeacherNetwork(unet, text_encoder)


@torch.no_grad()
def start_skip(skip: InputSkip, prediction_type: PredictionType) -> None:
    """Sets an input skip to answer, at the last timestep, that the edit is the image itself: v is -x0 there, almost.

    Args:
        skip: From noisy and image latents to the output, the same for every timestep and text.
        prediction_type: What the network predicts; a skip of one that predicts noise starts at zero.
    """
    matrix = torch.zeros(skip.out_channels, skip.in_channels)
    if prediction_type == "v_prediction":
        matrix[:, skip.out_channels :] = -torch.eye(skip.out_channels)
    nn.init.zeros_(skip.time_emb_proj.weight)
    skip.time_emb_proj.bias.copy_(torch.cat([matrix.flatten(), torch.zeros(skip.out_channels)]))


@torch.no_grad()
def channel_weights(autoencoder: TinyAutoencoder, latents: torch.Tensor) -> torch.Tensor:
    """How much an error in each latent channel changes the image, as weights (L,) of mean 1.

    Every channel is moved by half a standard deviation on its own; its weight is the mean squared change of the decoded
    image, kept between a fifth and five times the mean.

    Args:
        autoencoder: Decodes.
        latents: (B, L, h, w), examples.
    """
    plain = autoencoder.decode(latents)
    changes = []
    for channel in range(latents.shape[1]):
        moved = latents.clone()
        moved[:, channel] += 0.5
        changes.append((autoencoder.decode(moved) - plain).square().mean())
    weights = torch.stack(changes)
    weights = (weights / weights.mean()).clamp(1 / 5, 5)
    return weights / weights.mean()


def change_weights(images: torch.Tensor, edited: torch.Tensor, weight: float) -> torch.Tensor:
    """How much an error weighs at each place, (B, 1, h, w): 1 plus `weight` times the edit's squared change there over
    its mean over the example, the ratio kept to at most `CHANGE_LIMIT`; 1 where an edit changes nothing.

    Args:
        images, edited: (B, L, h, w) latents.
        weight: See `TeacherTraining.change_weight`.
    """
    change = (edited - images).square().mean(dim=1, keepdim=True)
    mean = change.mean(dim=(2, 3), keepdim=True)
    return 1 + weight * (change / mean.clamp_min(1e-4)).clamp_max(CHANGE_LIMIT)


def dropped_conditions(
    drawn: torch.Tensor, image: float, both: float, text: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Which examples lose their image and which their text, (B,) each.

    Args:
        drawn: (B,), uniform between 0 and 1.
        image, both, text: Fractions that lose their image alone, both, their text alone.
    """
    return drawn < image + both, (drawn >= image) & (drawn < image + both + text)


class TeacherStage:
    """Denoising of edited latents, given the image's latents and the instruction."""

    name = "teacher"
    channels_last = False
    splits = True

    def __init__(
        self,
        network: TeacherNetwork,
        pairs: list[PairSet],
        photos: Photos,
        autoencoder: TinyAutoencoder,
        tokenizer_dir: Path,
        preset: Preset,
        config: TeacherTraining,
        seed: int,
        info: Mapping[str, Any],
    ) -> None:
        self.network: nn.Module = network
        self.pairs, self.photos, self.autoencoder = pairs, photos, autoencoder
        self.tokenizer_dir, self.preset, self.config, self.seed = tokenizer_dir, preset, config, seed
        self.info = dict(info)
        self.tokenizer = CLIPTokenizer(*(tokenizer_dir / name for name in TOKENIZER_FILES))
        self.schedule = NoiseSchedule(prediction_type=preset.prediction_type)
        self.phrases = [edit.phrases for edit in EDITS.values()]
        self._null = torch.tensor(self.tokenizer.encode("").ids)
        self._held_out = edited_photos(photos.held_out, preset.frame_size)
        self._weights = channel_weights(autoencoder, pairs[0].edited[:16, 0].float())[:, None, None]

    def batch(self, step: int) -> Batch:
        """Images, edited latents and token ids of one crop set's size, with conditions dropped."""
        rng = generator(self.seed, 1, step)
        shares = np.array([item.share for item in self.config.crop_sets])
        which = int(rng.choice(len(shares), p=shares / shares.sum()))
        pairs, count = self.pairs[which], self.config.crop_sets[which].batch
        rows = torch.from_numpy(rng.integers(len(pairs.images), size=count))
        columns = torch.from_numpy(rng.integers(pairs.edited.shape[1], size=count))
        images, edited = pairs.images[rows].float(), pairs.edited[rows, columns].float()
        change = change_weights(images, edited, self.config.change_weight)
        prompts = []
        for edit in pairs.edits[rows, columns].tolist():
            phrases = self.phrases[edit]
            prompts.append(vary_wording(phrases[rng.integers(len(phrases))], rng))
        ids = torch.tensor([self.tokenizer.encode(prompt, truncate=True).ids for prompt in prompts])
        config = self.config
        no_image, no_text = dropped_conditions(
            torch.from_numpy(rng.random(count)), config.drop_image, config.drop_both, config.drop_text
        )
        images[no_image] = 0.0
        ids[no_text] = self._null
        level = 1 - rng.random(count) ** self.config.high_noise
        last = self.schedule.num_train_timesteps - 1
        pure = rng.random(count) < self.config.pure_noise
        timesteps = np.where(pure, last, np.minimum((level * (last + 1)).astype(np.int64), last))
        sources = tuple(self.photos.training[index].name for index in pairs.photos[rows].tolist())
        tensors = {
            "images": images,
            "edited": edited,
            "change": change,
            "ids": ids,
            "timesteps": torch.from_numpy(timesteps),
            "pure": torch.from_numpy(pure),
        }
        return Batch(tensors, sources)

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Mean squared error of the output against the schedule's target, channels weighted by what they show and
        places by how much the edit changes them."""
        tensors = batch.tensors
        edited, timesteps = tensors["edited"], tensors["timesteps"]
        noise = torch.randn(edited.shape, generator=generator).to(edited.device)
        noisy = noisy_latents(self.schedule, edited, {**tensors, "noise": noise})
        sample = torch.cat([noisy, tensors["images"]], dim=1)
        with fast_attention(edited.device):
            output = self.network(sample, timesteps, tensors["ids"]).float()
        squared = (output - self.schedule.target(edited, noise, timesteps)).square()
        return (tensors["change"] * self._weights.to(squared.device) * squared).mean(), {
            "squared_error": float(squared.detach().mean())
        }

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean PSNR in dB of held-out photographs edited with full guidance 1, against the true edits."""
        assert isinstance(network, TeacherNetwork)
        device = next(network.parameters()).device
        self.autoencoder.to(device)
        return held_out_psnr(self._held_out, self.tokenizer, partial(self._edit, network), device)

    def export(self, network: nn.Module, folder: Path, info: dict[str, Any]) -> None:
        """Writes a whole checkpoint with fp16 weights."""
        assert isinstance(network, TeacherNetwork)
        provenance = {"kind": "trained", **self.info, **info}
        save_checkpoint(
            folder,
            unet=network.unet,
            autoencoder=self.autoencoder,
            text_encoder=network.text_encoder,
            tokenizer_dir=self.tokenizer_dir,
            schedule=self.schedule,
            info=describe(self.preset, licence="Apache-2.0", provenance=provenance, guidance_embedding=False),
            force=True,
        )

    def describe(self) -> dict[str, Any]:
        """Options and data of this stage."""
        return {
            "training": asdict(self.config),
            "preset": self.preset.name,
            "photographs": len(self.photos.training),
            **self.info,
        }

    def _edit(self, network: TeacherNetwork, images: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in 0..1 -> edited, by a few DDIM steps of the conditional pass from fixed noise."""
        latents = self.autoencoder.encode(2 * images - 1)
        noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(0)).to(latents.device)
        steps = sampler_steps(self.schedule, "ddim", VALIDATION_STEPS)
        started = noise.expand_as(latents)[:, None]
        noisy = sample(network.unet, self.schedule, steps, latents, network.text_encoder(ids), (), started)
        return self.autoencoder.decode(noisy).add(1).div(2).clamp(0, 1)
