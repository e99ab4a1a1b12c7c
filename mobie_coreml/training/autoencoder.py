"""Stage: the tiny autoencoder, trained to reconstruct crops of photographs and of their edits.

Latents have zero mean and unit variance in every channel by construction: while training they are normalised by running
statistics, and saving folds that normalisation into the encoder's last convolution.
"""

from __future__ import annotations

import copy
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from mobie_coreml.errors import InputError
from mobie_coreml.files import atomic_folder, write_json
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.config import AutoencoderConfig
from mobie_coreml.training.config import AutoencoderTraining, PhotoConfig, ReconstructionWeights
from mobie_coreml.training.loop import Batch
from mobie_coreml.training.photos import Photos, Pixels, center_crop, generator, random_crop, recolor
from mobie_coreml.training.validation import stack

LINEAR_START_BATCHES = 40
"""Batches of crops that linear paths start from."""


class RunningNorm(nn.BatchNorm2d):
    """Batch normalisation without scale and shift that always normalises by its running statistics.

    Normalising by a batch's own statistics, as BatchNorm does while training, would take the brightness and colour of
    the batch out of the latents. The statistics start as a plain average over the first batches.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-12, affine=False, momentum=0.01)

    def forward(self, latents: torch.Tensor) -> torch.Tensor:
        """(B, L, h, w) -> same; updates the statistics while training."""
        if self.training:
            self._update(latents.detach())
        mean, scale = self.moments()
        return (latents - mean[:, None, None]) * scale[:, None, None]

    def moments(self, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and reciprocal standard deviation of every channel, (L,) each."""
        mean, variance = self.running_mean, self.running_var
        assert mean is not None
        assert variance is not None
        return mean.to(dtype), (variance.to(dtype) + self.eps).rsqrt()

    def _update(self, latents: torch.Tensor) -> None:
        mean, variance, batches = self.running_mean, self.running_var, self.num_batches_tracked
        assert mean is not None
        assert variance is not None
        assert batches is not None
        batches += 1
        momentum = max(self.momentum or 0.0, 1 / float(batches))
        values = latents.float()
        mean.lerp_(values.mean(dim=(0, 2, 3)), momentum)
        variance.lerp_(values.var(dim=(0, 2, 3)), momentum)


class NormalizedAutoencoder(nn.Module):
    """The autoencoder while it is trained: its latents pass through `RunningNorm`."""

    def __init__(self, config: AutoencoderConfig, *, decoder_only: bool = False) -> None:
        super().__init__()
        self.autoencoder = TinyAutoencoder(config)
        self.norm = RunningNorm(config.latent_channels)
        self.fixed_norm = decoder_only or config.linear_path
        self.autoencoder.encoder.requires_grad_(not decoder_only)
        for linear in (self.autoencoder.encoder.linear, self.autoencoder.decoder.linear):
            if linear is not None:
                # At the best linear map already, and a rate that suits the layers would shake it off.
                linear.requires_grad_(False)

    def train(self, mode: bool = True) -> NormalizedAutoencoder:
        """As for any module, but the norm's statistics stay where the encoder does, or where a linear path that starts
        with latents of unit variance makes them needless: what they wander by, the decoder cannot follow."""
        super().train(mode)
        self.norm.train(mode and not self.fixed_norm)
        return self

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in -1..1 -> normalised latents."""
        result: torch.Tensor = self.norm(self.autoencoder.encode(images))
        return result

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """(B, 3, H, W) in -1..1 -> its reconstruction."""
        return self.autoencoder.decode(self.encode(images))


@torch.no_grad()
def fold_normalization(network: NormalizedAutoencoder) -> TinyAutoencoder:
    """An autoencoder equal to `network` in evaluation, without the norm: y = (W x + b - m) / s has weights W / s and
    bias (b - m) / s."""
    folded = copy.deepcopy(network.autoencoder)
    mean, scale = network.norm.moments(torch.float64)
    last = folded.encoder.layers[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    last.bias.copy_((last.bias.double() - mean / folded.config.scaling_factor) * scale)
    last.weight.copy_(last.weight.double() * scale[:, None, None, None])
    return folded


@torch.no_grad()
def start_linear(autoencoder: TinyAutoencoder, images: torch.Tensor) -> None:
    """Sets the linear paths to the principal components of blocks of pixels, and what the layers add to zero.

    The best linear map of blocks to as many numbers and back (Eckart and Young 1936) is what training starts from; the
    latents have unit variance, the first component first.

    Args:
        autoencoder: With linear paths.
        images: (B, 3, H, W) in 0..1, examples; H and W multiples of the factor.
    """
    encode, decode, factor = autoencoder.encoder.linear, autoencoder.decoder.linear, autoencoder.config.factor
    assert encode is not None
    assert decode is not None
    assert encode.bias is not None
    assert decode.bias is not None
    # Blocks as `pixel_shuffle` lays them out: channel, row, column.
    blocks = F.pixel_unshuffle(images.double(), factor).permute(0, 2, 3, 1).flatten(0, 2)
    mean = blocks.mean(dim=0)
    variances, vectors = torch.linalg.eigh((blocks - mean).T @ (blocks - mean) / len(blocks))
    count = autoencoder.config.latent_channels
    components = vectors[:, -count:].flip(1).T
    deviations = variances[-count:].flip(0).clamp_min(1e-8).sqrt()[:, None]
    scaling = autoencoder.config.scaling_factor
    encode.weight.copy_((components / (deviations * scaling)).view_as(encode.weight))
    encode.bias.copy_(-(components / (deviations * scaling)) @ mean)
    decode.weight.copy_((components * deviations * scaling).T[:, :, None, None])
    decode.bias.copy_(mean)
    for layers in (autoencoder.encoder.layers, autoencoder.decoder.layers):
        last = layers[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        last.weight.zero_()
        last.bias.zero_()


def reconstruction_loss(output: torch.Tensor, target: torch.Tensor, weights: ReconstructionWeights) -> torch.Tensor:
    """Distance of two images (B, 3, H, W) in 0..1.

    Absolute and squared error; absolute error of the differences between neighbouring pixels (edges), of chroma (each
    channel minus the mean of the three), and of averages over 2x2, 4x4 and 8x8 pixels, chroma again on the last:
    luminance dominates plain errors, and without these green comes back as brown.
    """
    error = output - target
    chroma = error - error.mean(dim=1, keepdim=True)
    loss = weights.absolute * error.abs().mean() + weights.squared * error.square().mean()
    loss = loss + weights.gradient * (_differences(error, -1).abs().mean() + _differences(error, -2).abs().mean())
    loss = loss + weights.chroma * chroma.abs().mean()
    averaged = error
    for _ in range(3):
        averaged = F.avg_pool2d(averaged, 2)
        loss = loss + weights.averages * averaged.abs().mean()
    averaged_chroma = averaged - averaged.mean(dim=1, keepdim=True)
    return loss + weights.chroma_average * averaged_chroma.abs().mean()


def _differences(image: torch.Tensor, axis: int) -> torch.Tensor:
    return image.narrow(axis, 1, image.shape[axis] - 1) - image.narrow(axis, 0, image.shape[axis] - 1)


class AutoencoderStage:
    """Reconstruction of crops, a part of them edited or recoloured."""

    name = "autoencoder"
    channels_last = True

    def __init__(
        self,
        photos: Photos,
        photo_config: PhotoConfig,
        config: AutoencoderTraining,
        model: AutoencoderConfig,
        seed: int,
        validation_size: tuple[int, int] = (256, 192),
    ) -> None:
        self.photos, self.photo_config, self.config, self.seed = photos, photo_config, config, seed
        torch.manual_seed(seed)
        network = NormalizedAutoencoder(model, decoder_only=config.decoder_only)
        self.network: nn.Module = network
        if model.linear_path:
            examples = [self.batch(step).tensors["images"] for step in range(LINEAR_START_BATCHES)]
            start_linear(network.autoencoder, torch.cat(examples))
        self._validation = stack([center_crop(photo, validation_size) for photo in photos.held_out[:24]])

    def start_from(self, autoencoder: TinyAutoencoder) -> None:
        """Takes over trained weights, whose latents are normalised already.

        Raises:
            InputError: the autoencoder has another shape.
        """
        network = self.network
        assert isinstance(network, NormalizedAutoencoder)
        if autoencoder.config != network.autoencoder.config:
            raise InputError(
                "The autoencoder to start from has another shape than the one to train.",
                "Start from one of the same preset.",
            )
        network.autoencoder.load_state_dict(autoencoder.state_dict())

    def batch(self, step: int) -> Batch:
        """(batch, 3, crop, crop) images in 0..1."""
        crops, names = [], []
        for place in range(self.config.batch):
            rng = generator(self.seed, step, place)
            photo = self.photos.training[rng.integers(len(self.photos.training))]
            crops.append(self._vary(self._crop(photo, rng), rng))
            names.append(photo.name)
        return Batch({"images": stack(crops)}, tuple(names))

    def loss(self, batch: Batch, generator: torch.Generator) -> tuple[torch.Tensor, dict[str, float]]:
        """Reconstruction loss through noisy latents, plus a small pull of the latents' moments to 0 and 1."""
        network = self.network
        assert isinstance(network, NormalizedAutoencoder)
        images = batch.tensors["images"].contiguous(memory_format=torch.channels_last)
        latents = network.encode(2 * images - 1)
        deviation = self.config.latent_noise * torch.rand(latents.shape[0], 1, 1, 1, generator=generator)
        noise = deviation * torch.randn(latents.shape, generator=generator)
        output = network.autoencoder.decode(latents + noise.to(latents.device)).float().add(1).div(2)
        reconstruction = reconstruction_loss(output, images, self.config.weights)
        values = latents.float()
        moments = values.mean(dim=(0, 2, 3)).square().mean() + (values.std(dim=(0, 2, 3)) - 1).square().mean()
        squared = float((output.detach().clamp(0, 1) - images).square().mean())
        figures = {"training_psnr": -10 * float(np.log10(max(squared, 1e-12)))}
        return reconstruction + self.config.moment_penalty * moments, figures

    @torch.no_grad()
    def validate(self, network: nn.Module) -> dict[str, float]:
        """Mean PSNR over held-out photographs, in dB."""
        if not len(self._validation):
            return {}
        values = []
        device = next(network.parameters()).device
        for image in torch.split(self._validation, 1):
            output = network(2 * image.to(device) - 1).add(1).div(2).clamp(0, 1).cpu()
            values.append(-10 * float(torch.log10((output - image).square().mean().clamp_min(1e-12))))
        return {"held_out_psnr": float(np.mean(values))}

    def export(self, network: nn.Module, folder: Path, info: dict[str, Any]) -> None:
        """Writes the folded autoencoder in diffusers layout (fp32)."""
        assert isinstance(network, NormalizedAutoencoder)
        save_autoencoder(fold_normalization(network), folder, info)

    def describe(self) -> dict[str, Any]:
        """Options and photographs of this stage."""
        network = self.network
        assert isinstance(network, NormalizedAutoencoder)
        return {
            "training": asdict(self.config),
            "photos": asdict(self.photo_config),
            "model": network.autoencoder.config.to_json(),
            "photographs": len(self.photos.training),
        }

    def _crop(self, photo: Any, rng: np.random.Generator) -> Pixels:
        return random_crop(photo, (self.config.crop, self.config.crop), self.photo_config.max_zoom_out, rng)

    def _vary(self, crop: Pixels, rng: np.random.Generator) -> Pixels:
        """Edits or recolours a part of the crops, so that the colours of edits are known to the autoencoder."""
        drawn = rng.random()
        if drawn < self.config.recolored:
            return recolor(crop, rng)
        if drawn < self.config.recolored + self.config.edited:
            return random_edit(crop, rng)
        return crop


def random_edit(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """A procedural edit drawn at random, at a random strength."""
    from mobie_coreml.edits import EDITS

    edit = EDITS[list(EDITS)[rng.integers(len(EDITS))]]
    strength = float(rng.uniform(0.4, 1.0)) if rng.random() < 0.5 else 1.0
    edited = edit.apply(crop, strength)
    return np.asarray(np.clip(edited, 0.0, 1.0), np.float32)


def save_autoencoder(autoencoder: TinyAutoencoder, folder: Path, info: dict[str, Any]) -> None:
    """Writes `config.json`, the weights and `training.json` (what they come from) in diffusers layout."""
    with atomic_folder(folder, force=True) as temporary:
        weights = {name: value.contiguous() for name, value in autoencoder.state_dict().items()}
        save_file(weights, temporary / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
        write_json(temporary / "config.json", autoencoder.config.to_json())
        write_json(temporary / "training.json", info)


def load_autoencoder(folder: Path) -> TinyAutoencoder:
    """Reads what `save_autoencoder` wrote, or any autoencoder folder in diffusers layout, in evaluation mode."""
    from safetensors.torch import load_file

    config = AutoencoderConfig.from_json(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    autoencoder = TinyAutoencoder(config)
    autoencoder.load_state_dict(load_file(folder / "diffusion_pytorch_model.safetensors"))
    return autoencoder.eval()
