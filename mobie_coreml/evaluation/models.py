"""Models under evaluation behind one small interface: frames in, frames out, several at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch

from mobie_coreml.diffusion.guidance import combine_passes
from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.editing.open_model import checkpoint_method, open_editor, package_runtime
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.evaluation.frames import Pixels
from mobie_coreml.manifest.content import FILE_NAME
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint


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
        steps: Denoiser steps, None for the checkpoint's own.
        sampler: Sampler, None for the checkpoint's own.
        text_guidance: s_T, None for the checkpoint's default.
        image_guidance: s_I, likewise.
        seed: Of the noise.
        precision: "fp32", or "bf16" (autocast: about twice as fast where the processor has bf16 units).

    Raises:
        InputError: a value is unknown or out of range.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        label: str,
        *,
        steps: int | None = None,
        sampler: SamplerMethod | None = None,
        text_guidance: float | None = None,
        image_guidance: float | None = None,
        seed: int = 0,
        precision: str = "fp32",
    ) -> None:
        if precision not in ("fp32", "bf16"):
            raise InputError(f"A checkpoint cannot be run in {precision}.", "Choose fp32 or bf16.")
        self.label = label
        self._method = checkpoint_method(checkpoint).with_steps(steps, sampler)
        self._scales = (
            self._method.text_guidance.choose(text_guidance, "--text-guidance"),
            self._method.image_guidance.choose(image_guidance, "--image-guidance"),
        )
        self._passes = self._method.passes(*self._scales)
        self._precision = precision
        self._seed = seed
        self._draws = [torch.from_numpy(values) for values in self._method.noise(seed)]
        self._tokenizer = checkpoint.tokenizer
        self._autoencoder = checkpoint.autoencoder().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._unet = checkpoint.unet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._text_encoder = checkpoint.text_encoder()
        self._states: dict[str, torch.Tensor] = {}

    @property
    def description(self) -> dict[str, Any]:
        """Runtime, precision, schedule and guidance."""
        return {
            "runtime": "torch",
            "precision": self._precision,
            "sampler": self._method.sampler,
            "steps": len(self._method.steps),
            "passes": len(self._passes),
            "text_guidance": self._scales[0],
            "image_guidance": self._scales[1],
            "noise_seed": self._seed,
        }

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
        runtime: "coreml", "mil" or "torch"; None for what this machine has.
        precision: "fp32" or "fp16".
        steps: Denoiser steps, None for the model's own.
        sampler: Sampler, None for the model's own.
        text_guidance: s_T, None for the model's default.
        image_guidance: s_I, likewise.
        seed: Of the noise.

    Raises:
        InputError: it cannot be opened or a value is out of range.
    """

    def __init__(
        self,
        path: Path,
        label: str,
        *,
        runtime: str | None = None,
        precision: str = "fp32",
        steps: int | None = None,
        sampler: SamplerMethod | None = None,
        text_guidance: float | None = None,
        image_guidance: float | None = None,
        seed: int = 0,
    ) -> None:
        self.label = label
        self._editor = open_editor(str(path), runtime=runtime, precision=precision).with_steps(steps, sampler)
        self._runtime, self._precision, self._seed = runtime or package_runtime(), precision, seed
        self._scales = (text_guidance, image_guidance)

    @property
    def description(self) -> dict[str, Any]:
        """Runtime, precision, schedule and guidance."""
        method = self._editor.method
        text = method.text_guidance.choose(self._scales[0], "--text-guidance")
        image = method.image_guidance.choose(self._scales[1], "--image-guidance")
        return {
            "runtime": self._runtime,
            "precision": self._precision,
            "sampler": method.sampler,
            "steps": len(method.steps),
            "passes": len(method.passes(text, image)),
            "text_guidance": text,
            "image_guidance": image,
            "noise_seed": self._seed,
        }

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
    model: str,
    *,
    runtime: str | None = None,
    precision: str = "fp32",
    steps: int | None = None,
    sampler: SamplerMethod | None = None,
    text_guidance: float | None = None,
    image_guidance: float | None = None,
    seed: int = 0,
) -> EditingModel:
    """Opens a model folder (it holds `mobie.json`) or a checkpoint ("nano" for the one inside the package).

    Raises:
        InputError: it is neither, or an option doesn't fit it.
    """
    path = Path(model)
    label = path.absolute().name
    if (path / FILE_NAME).is_file():
        return FolderModel(
            path, label, runtime=runtime, precision=precision, steps=steps, sampler=sampler,
            text_guidance=text_guidance, image_guidance=image_guidance, seed=seed,
        )  # fmt: skip
    if runtime not in (None, "torch"):
        raise InputError(f"{model} is not a model folder, and a checkpoint runs on torch alone.", "Convert it first.")
    return CheckpointModel(
        load_checkpoint(model), label, steps=steps, sampler=sampler, text_guidance=text_guidance,
        image_guidance=image_guidance, seed=seed, precision=precision,
    )  # fmt: skip


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
