"""What the stages after the teacher share: conditions of an example, the parent's frozen parts, what is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mobie_coreml import __version__
from mobie_coreml.diffusion.guidance import GuidanceRange
from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.checkpoint import Checkpoint, save_checkpoint
from mobie_coreml.models.text_encoder import CLIPTextEncoder
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.training.examples import Example, Examples, choose_size
from mobie_coreml.training.loop import Batch
from mobie_coreml.training.photos import generator
from mobie_coreml.training.stage_config import NoiseTraining, Range, ScaleTraining, StageTraining
from mobie_coreml.training.text_states import TextStates
from mobie_coreml.training.validation import Validation

SAME_TEACHER = "Use checkpoints that come from the same teacher."
"""What to do where two checkpoints do not go together."""


@dataclass(frozen=True)
class Conditions:
    """An example with what the student is told beside it: token ids (77,) and both guidance scales."""

    example: Example
    ids: torch.Tensor
    text_guidance: float
    image_guidance: float


class Material:
    """Data and frozen parts of a stage that starts from a checkpoint.

    Args:
        parent: The checkpoint; its autoencoder, text encoder and tokenizer become the result's.
        examples: What is trained on.
        scales: How guidance scales are drawn.
        seed: Of all examples.
        provenance: What the result says of its making, beside what the loop knows.
        autoencoder: Taken instead of the parent's.
        preset: What the result is called, the parent's by default.
        text_encoder: Frozen here; the parent's by default.
    """

    def __init__(
        self,
        parent: Checkpoint,
        examples: Examples,
        scales: ScaleTraining,
        seed: int,
        provenance: Mapping[str, Any],
        *,
        autoencoder: TinyAutoencoder | None = None,
        preset: str | None = None,
        text_encoder: CLIPTextEncoder | None = None,
    ) -> None:
        self.parent, self.examples, self.scales, self.seed = parent, examples, scales, seed
        self.preset = preset or parent.preset
        self.provenance = dict(provenance)
        self.text_range = guidance_range(parent, "text", scales.text)
        self.image_range = guidance_range(parent, "image", scales.image)
        self.autoencoder = (autoencoder or parent.autoencoder()).requires_grad_(False)
        self.text_states = TextStates(text_encoder or parent.text_encoder(), parent.tokenizer)

    def conditions(self, size: int, rng: np.random.Generator) -> Conditions:
        """An example of a size and its guidance scales, drawn by `rng`."""
        example = self.examples.example(size, rng)
        ids = torch.tensor(self.parent.tokenizer.encode(example.prompt, truncate=True).ids)
        ranges = (self.text_range, self.image_range)
        drawn = [float(rng.uniform(one.minimum, one.maximum)) for one in ranges]
        text, image = [one.default for one in ranges] if rng.random() < self.scales.usual else drawn
        return Conditions(example, ids, text, image)

    def export(
        self,
        unet: MobilePix2PixUNet,
        schedule: NoiseSchedule,
        folder: Path,
        info: Mapping[str, Any],
        sampling: tuple[SamplerMethod, int] | None = None,
        text_encoder: CLIPTextEncoder | None = None,
    ) -> None:
        """Writes a whole checkpoint with fp16 weights: `unet` with the parent's other parts.

        Args:
            unet: The denoiser.
            schedule: With its prediction type.
            folder: Where to; replaced.
            info: What the loop knows of the run.
            sampling: Sampler and steps, the parent's by default.
            text_encoder: The parent's by default.
        """
        parent = self.parent.info
        method, steps = sampling or (parent["sampling"]["method"], parent["sampling"]["steps"])
        ranges = {"text": self.text_range, "image": self.image_range}
        save_checkpoint(
            folder,
            unet=unet,
            autoencoder=self.autoencoder,
            text_encoder=text_encoder or self.text_states.encoder,
            tokenizer_dir=self.parent.path / "tokenizer",
            schedule=schedule,
            info={
                **parent,
                "preset": self.preset,
                "guidance": {
                    "embedded": unet.config.guidance_embedding,
                    **{
                        name: {"minimum": one.minimum, "maximum": one.maximum, "default": one.default}
                        for name, one in ranges.items()
                    },
                },
                "sampling": {"method": method, "steps": steps},
                "provenance": {
                    "tool": f"mobie {__version__}",
                    "kind": "trained",
                    "parent_sha256": self.parent.digest,
                    "data_sha256": self.examples.digest,
                    **self.provenance,
                    **info,
                },
            },
            force=True,
        )

    def validation(self, schedule: NoiseSchedule, sampling: tuple[SamplerMethod, int] | None = None) -> Validation:
        """What averaged networks are judged by: edits at the default scales."""
        parent = self.parent.info["sampling"]
        method, steps = sampling or (parent["method"], parent["steps"])
        return Validation(
            self.examples.held_out(),
            self.autoencoder,
            self.text_states.encoder,
            self.parent.tokenizer,
            schedule,
            method,
            steps,
            (self.text_range.default, self.image_range.default),
        )

    def describe(self) -> dict[str, Any]:
        """What a resumed run must be given again."""
        return {
            "preset": self.preset,
            "parent_sha256": self.parent.digest,
            "started_from": self.provenance.get("started_from"),
            "data": self.examples.describe(),
        }


class DistillationStage:
    """What a stage is apart from its batches and its loss: a student, how it is judged, what it is saved as.

    Args:
        student: What is trained.
        material: Data and what is written.
        config: Options.
        schedule: With the student's prediction type.
        sampling: Sampler and steps of the student, the parent's by default.
    """

    channels_last = False
    splits = True

    def __init__(
        self,
        student: MobilePix2PixUNet,
        material: Material,
        config: StageTraining,
        schedule: NoiseSchedule,
        sampling: tuple[SamplerMethod, int] | None = None,
    ) -> None:
        self.network: nn.Module = student
        self.student, self.material, self.schedule = student, material, schedule
        self._options, self._sampling = asdict(config), sampling
        self._validation = material.validation(schedule, sampling)

    def validate(self, network: nn.Module) -> dict[str, float]:
        """PSNR of edits at the default scales."""
        assert isinstance(network, MobilePix2PixUNet)
        return self._validation.figures(network)

    def export(self, network: nn.Module, folder: Path, info: dict[str, Any]) -> None:
        """Writes a checkpoint with `network` as its denoiser."""
        assert isinstance(network, MobilePix2PixUNet)
        self.material.export(network, self.schedule, folder, info, self._sampling)

    def describe(self) -> dict[str, Any]:
        """Options and data."""
        return {"training": self._options, **self.material.describe()}


def guidance_range(checkpoint: Checkpoint, name: str, wanted: Range | None) -> GuidanceRange:
    """The range of a scale, "text" or "image": the checkpoint's own or `wanted`, with the checkpoint's default moved
    into it."""
    own = checkpoint.info["guidance"][name]
    low, high = wanted or (float(own["minimum"]), float(own["maximum"]))
    return GuidanceRange(low, high, min(max(float(own["default"]), low), high))


def collate(drawn: list[Conditions], step: int = 0) -> Batch:
    """Conditions of a batch side by side: images, edited, ids, text_guidance, image_guidance."""
    tensors = {
        "images": torch.stack([one.example.image for one in drawn]),
        "edited": torch.stack([one.example.edited for one in drawn]),
        "ids": torch.stack([one.ids for one in drawn]),
        "text_guidance": torch.tensor([one.text_guidance for one in drawn]),
        "image_guidance": torch.tensor([one.image_guidance for one in drawn]),
    }
    return Batch(tensors, tuple(one.example.name for one in drawn), step)


def noisy_batch(material: Material, noise: NoiseTraining, timesteps: int, number: int) -> Batch:
    """Conditions, noise and timesteps of a batch, and which examples see noise alone.

    Every example has a generator of its own, so that two batches of n hold the same examples as one of 2 n.
    """
    size = choose_size(material.examples, material.seed, number)
    count = material.examples.batches[size]
    drawn, levels, pure, noises = [], [], [], []
    for place in range(count):
        rng = generator(material.seed, 1, size, number * count + place)
        drawn.append(material.conditions(size, rng))
        level = int((1 - rng.random() ** noise.high_noise) * timesteps)
        pure.append(rng.random() < noise.pure)
        levels.append(timesteps - 1 if pure[-1] else min(level, timesteps - 1))
        noises.append(rng.standard_normal(tuple(drawn[-1].example.image.shape), np.float32))
    batch = collate(drawn)
    batch.tensors["timesteps"] = torch.tensor(levels)
    batch.tensors["pure"] = torch.tensor(pure)
    batch.tensors["noise"] = torch.from_numpy(np.stack(noises))
    return batch


def noisy_latents(schedule: NoiseSchedule, clean: torch.Tensor, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """`clean` with the batch's noise at its timesteps; the noise alone where the batch says so."""
    noisy = schedule.add_noise(clean, tensors["noise"], tensors["timesteps"])
    return torch.where(tensors["pure"][:, None, None, None], tensors["noise"], noisy)


def scale_inputs(unet: MobilePix2PixUNet, tensors: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Both guidance scales for a denoiser that takes them."""
    return (tensors["text_guidance"], tensors["image_guidance"]) if unet.config.guidance_embedding else ()


def frozen(unet: MobilePix2PixUNet) -> MobilePix2PixUNet:
    """The same network in evaluation mode and without gradients of its own."""
    return unet.eval().requires_grad_(False)


def require_same_family(first: Checkpoint, second: Checkpoint, option: str) -> None:
    """Refuses a checkpoint that cannot take part in a training beside another.

    Raises:
        InputError: preset, networks or vocabulary differ.
    """
    ours, theirs = first.networks, second.networks
    shapes = [(one.text_encoder, one.autoencoder, one.unet.block_out_channels) for one in (ours, theirs)]
    if first.preset != second.preset or shapes[0] != shapes[1] or first.tokenizer.vocab != second.tokenizer.vocab:
        raise InputError(
            f"{option} {second.path} (preset {second.preset}) does not fit the teacher {first.path} (preset "
            f"{first.preset}): its networks or its vocabulary differ.",
            SAME_TEACHER,
        )
    if first.schedule.alphas_cumprod.tolist() != second.schedule.alphas_cumprod.tolist():
        raise InputError(
            f"{option} {second.path} has another noise schedule than the teacher {first.path}.", SAME_TEACHER
        )
