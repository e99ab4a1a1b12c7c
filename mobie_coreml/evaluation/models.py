"""Models under evaluation behind one small interface: frames in, frames out, several at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from mobie_coreml.diffusion.guidance import combine_passes
from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.editing.method import EditMethod
from mobie_coreml.editing.open_model import checkpoint_method, open_editor, package_runtime
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.evaluation.frames import Pixels
from mobie_coreml.manifest.content import FILE_NAME
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint


@dataclass(frozen=True)
class Sampling:
    """How edits are drawn from a model.

    Attributes:
        steps: Denoiser steps, None for the model's own.
        sampler: Sampler, None for the model's own.
        text_guidance: s_T, None for the model's default.
        image_guidance: s_I, likewise.
        seed: Of the noise.
    """

    steps: int | None = None
    sampler: SamplerMethod | None = None
    text_guidance: float | None = None
    image_guidance: float | None = None
    seed: int = 0


class EditingModel(Protocol):
    """What an evaluation asks of a model; all frames are RGB (N, H, W, 3) uint8 of the model's size."""

    @property
    def label(self) -> str:
        """Name in reports."""

    @property
    def description(self) -> dict[str, Any]:
        """How it is run, as plain values for JSON."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""

    def reconstruct(self, frames: Pixels) -> Pixels:
        """Frames through encoder and decoder alone."""

    def edit(self, frames: Pixels, prompts: Sequence[str]) -> Pixels:
        """Every frame edited by its prompt."""


class CheckpointModel:
    """A checkpoint that PyTorch runs directly, several frames and all passes of a step in one forward.

    The noise is that of an edit with `seed` and fixed noise, so a converted model gives the same frames.

    Args:
        checkpoint: Opened checkpoint.
        label: Name in reports.
        sampling: How edits are drawn.
        precision: "fp32", or "bf16" (autocast: about twice as fast where the processor has bf16 units).

    Raises:
        InputError: a value is unknown or out of range.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        label: str,
        sampling: Sampling = Sampling(),
        *,
        precision: str = "fp32",
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise InputError(f"A checkpoint cannot be run in {precision}.", "Choose fp32 or bf16.")
        self.label = label
        self._method = checkpoint_method(checkpoint).with_steps(sampling.steps, sampling.sampler)
        self._scales = _choose(self._method, sampling)
        self._passes = self._method.passes(*self._scales)
        self._precision = precision
        self._seed = sampling.seed
        self._draws = [torch.from_numpy(values) for values in self._method.noise(sampling.seed)]
        self._tokenizer = checkpoint.tokenizer
        self._autoencoder = checkpoint.autoencoder().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._unet = checkpoint.unet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._text_encoder = checkpoint.text_encoder()
        self._states: dict[str, torch.Tensor] = {}

    @property
    def description(self) -> dict[str, Any]:
        """Runtime, precision, schedule and guidance."""
        return _description("torch", self._precision, self._method, self._scales, self._seed)

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self._method.frame_size

    def reconstruct(self, frames: Pixels) -> Pixels:
        """Frames through encoder and decoder alone."""
        with torch.inference_mode(), self._arithmetic():
            return _to_pixels(self._autoencoder.decode(self._autoencoder.encode(_to_tensor(frames))))

    def edit(self, frames: Pixels, prompts: Sequence[str]) -> Pixels:
        """Every frame edited by its prompt."""
        if len(frames) != len(prompts):
            raise InputError(f"{len(frames)} frames need as many prompts, not {len(prompts)}.")
        with torch.inference_mode(), self._arithmetic():
            image_latents = self._autoencoder.encode(_to_tensor(frames)).float()
            null = self._text("").expand(len(frames), -1, -1)
            text = torch.cat([self._text(prompt) for prompt in prompts])
            states = torch.cat([text if one.text else null for one in self._passes])
            images = torch.cat([image_latents * float(one.image) for one in self._passes])
            draws = iter(self._draws)
            latents = next(draws).expand_as(image_latents)
            for step in self._method.steps:
                noisy = latents.repeat(len(self._passes), 1, 1, 1)
                output = self._unet(
                    torch.cat([noisy, images], dim=1),
                    torch.full((len(noisy),), float(step.timestep)),
                    states,
                    *self._guidance_inputs(len(noisy)),
                ).float()
                x_scale, out_scale = self._method.schedule.x0_scales(step.timestep)
                estimates = (x_scale * noisy + out_scale * output).chunk(len(self._passes))
                x0 = combine_passes(self._passes, estimates)
                latents = step.advance(latents, x0, next(draws).expand_as(latents) if step.noise else None)
            return _to_pixels(self._autoencoder.decode(latents))

    def _arithmetic(self) -> contextlib.AbstractContextManager[Any]:
        if self._precision == "fp32":
            return contextlib.nullcontext()
        return torch.autocast("cpu", torch.bfloat16)

    def _guidance_inputs(self, count: int) -> tuple[torch.Tensor, ...]:
        return tuple(torch.full((count,), scale) for scale in self._scales) if self._method.guidance_inputs else ()

    def _text(self, prompt: str) -> torch.Tensor:
        """Text states (1, 77, C) of a prompt, kept for the next time."""
        if prompt not in self._states:
            ids = torch.tensor([self._tokenizer.encode(prompt).ids])
            self._states[prompt] = self._text_encoder(ids).float()
        return self._states[prompt]


class FolderModel:
    """A converted model folder, run frame by frame through the editor that `mobie edit` uses.

    Args:
        path: Model folder.
        label: Name in reports.
        sampling: How edits are drawn.
        runtime: "coreml", "mil" or "torch"; None for what this machine has.
        precision: "fp32" or "fp16".

    Raises:
        InputError: it cannot be opened or a value is out of range.
    """

    def __init__(
        self,
        path: Path,
        label: str,
        sampling: Sampling = Sampling(),
        *,
        runtime: str | None = None,
        precision: str = "fp32",
    ) -> None:
        self.label = label
        editor = open_editor(str(path), runtime=runtime, precision=precision)
        self._editor = editor.with_steps(sampling.steps, sampling.sampler)
        self._runtime, self._precision, self._seed = runtime or package_runtime(), precision, sampling.seed
        self._scales = _choose(self._editor.method, sampling)

    @property
    def description(self) -> dict[str, Any]:
        """Runtime, precision, schedule and guidance."""
        return _description(self._runtime, self._precision, self._editor.method, self._scales, self._seed)

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self._editor.method.frame_size

    def reconstruct(self, frames: Pixels) -> Pixels:
        """Frames through encoder and decoder alone."""
        return np.stack([self._editor.decode(self._editor.encode(frame)) for frame in frames])

    def edit(self, frames: Pixels, prompts: Sequence[str]) -> Pixels:
        """Every frame edited by its prompt."""
        noise = self._editor.noise(self._seed)
        return np.stack(
            [
                self._editor.edit(frame, self._editor.condition(prompt, *self._scales), noise)
                for frame, prompt in zip(frames, prompts, strict=True)
            ]
        )


def open_model(
    model: str, sampling: Sampling = Sampling(), *, runtime: str | None = None, precision: str = "fp32"
) -> EditingModel:
    """Opens a model folder (it holds `mobie.json`) or a checkpoint ("nano" for the one inside the package).

    Raises:
        InputError: it is neither, or an option doesn't fit it.
    """
    path = Path(model)
    label = path.absolute().name
    if (path / FILE_NAME).is_file():
        return FolderModel(path, label, sampling, runtime=runtime, precision=precision)
    if runtime not in (None, "torch"):
        raise InputError(f"{model} is not a model folder, and a checkpoint runs on torch alone.", "Convert it first.")
    return CheckpointModel(load_checkpoint(model), label, sampling, precision=precision)


def _choose(method: EditMethod, sampling: Sampling) -> tuple[float, float]:
    """Both guidance scales, in the model's ranges."""
    return (
        method.text_guidance.choose(sampling.text_guidance, "--text-guidance"),
        method.image_guidance.choose(sampling.image_guidance, "--image-guidance"),
    )


def _description(
    runtime: str, precision: str, method: EditMethod, scales: tuple[float, float], seed: int
) -> dict[str, Any]:
    """Runtime, precision, schedule and guidance, as plain values."""
    return {
        "runtime": runtime,
        "precision": precision,
        "sampler": method.sampler,
        "steps": len(method.steps),
        "passes": len(method.passes(*scales)),
        "text_guidance": scales[0],
        "image_guidance": scales[1],
        "noise_seed": seed,
    }


def _to_tensor(frames: Pixels) -> torch.Tensor:
    """(N, H, W, 3) uint8 to (N, 3, H, W), -1..1."""
    images = torch.from_numpy(np.ascontiguousarray(frames.transpose(0, 3, 1, 2))).float()
    return (images / 127.5 - 1).contiguous(memory_format=torch.channels_last)


def _to_pixels(images: torch.Tensor) -> Pixels:
    """(N, 3, H, W), -1..1, to (N, H, W, 3) uint8, rounded.

    Raises:
        WorkError: there are values that are not numbers.
    """
    if not torch.isfinite(images).all():
        raise WorkError("The model returned values that are not numbers.", "Its weights are broken: train it again.")
    levels: npt.NDArray[np.float32] = ((images.float() + 1) * 127.5).clamp(0, 255).numpy()
    return np.ascontiguousarray(np.floor(levels + 0.5).astype(np.uint8).transpose(0, 2, 3, 1))
