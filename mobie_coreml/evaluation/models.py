"""Models under evaluation behind one small interface: frames in, frames out, several at a time."""

from __future__ import annotations

import contextlib
import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

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

Latents = npt.NDArray[np.float32]


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


class EditingModel(ABC):
    """What an evaluation asks of a model.

    Frames are RGB (N, H, W, 3) uint8 of the model's size, latents (N, L, h, w) float32.

    Attributes:
        label: Name in reports.
        sampling: How edits are drawn.
    """

    label: str
    sampling: Sampling

    @property
    @abstractmethod
    def description(self) -> dict[str, Any]:
        """How it is run, as plain values for JSON."""

    @property
    @abstractmethod
    def method(self) -> EditMethod:
        """Frame size, schedule and guidance."""

    @abstractmethod
    def sampled(self, label: str, sampling: Sampling) -> EditingModel:
        """The same networks under another name, with edits drawn in another way.

        Raises:
            InputError: a value is out of range.
        """

    @abstractmethod
    def encode(self, frames: Pixels) -> Latents:
        """Image latents of frames."""

    @abstractmethod
    def denoise(self, image_latents: Latents, prompts: Sequence[str]) -> Latents:
        """Edited latents: every frame's by its prompt."""

    @abstractmethod
    def decode(self, latents: Latents) -> Pixels:
        """Frames of latents."""

    @property
    def frame_size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.method.frame_size

    def reconstruct(self, frames: Pixels) -> Pixels:
        """Frames through encoder and decoder alone."""
        return self.decode(self.encode(frames))

    def edit(self, frames: Pixels, prompts: Sequence[str]) -> Pixels:
        """Every frame edited by its prompt.

        Raises:
            InputError: their numbers differ.
        """
        if len(frames) != len(prompts):
            raise InputError(f"{len(frames)} frames need as many prompts, not {len(prompts)}.")
        return self.decode(self.denoise(self.encode(frames), prompts))

    def with_guidance(self, text: float, image: float) -> EditingModel:
        """The same model at other guidance scales."""
        return self.sampled(self.label, replace(self.sampling, text_guidance=text, image_guidance=image))


class CheckpointModel(EditingModel):
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
        self._precision = precision
        self._own_method = checkpoint_method(checkpoint)
        self._tokenizer = checkpoint.tokenizer
        self._set(label, sampling)
        self._autoencoder = checkpoint.autoencoder().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._unet = checkpoint.unet().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._text_encoder = checkpoint.text_encoder()
        self._states: dict[str, torch.Tensor] = {}

    def _set(self, label: str, sampling: Sampling) -> None:
        self.label, self.sampling = label, sampling
        self._method = self._own_method.with_steps(sampling.steps, sampling.sampler)
        self._scales = _choose(self._method, sampling)
        self._passes = self._method.passes(*self._scales)
        self._draws = [torch.from_numpy(values) for values in self._method.noise(sampling.seed)]

    def sampled(self, label: str, sampling: Sampling) -> CheckpointModel:
        """The same networks under another name, with edits drawn in another way."""
        other = copy.copy(self)
        other._set(label, sampling)
        return other

    @property
    def description(self) -> dict[str, Any]:
        """Runtime, precision, schedule and guidance."""
        return _description("torch", self._precision, self._method, self._scales, self.sampling.seed)

    @property
    def method(self) -> EditMethod:
        """Frame size, schedule and guidance."""
        return self._method

    def encode(self, frames: Pixels) -> Latents:
        """Image latents of frames."""
        with torch.inference_mode(), self._arithmetic():
            return np.asarray(self._autoencoder.encode(_to_tensor(frames)).float().numpy(), np.float32)

    def denoise(self, image_latents: Latents, prompts: Sequence[str]) -> Latents:
        """Edited latents: every frame's by its prompt."""
        with torch.inference_mode(), self._arithmetic():
            image = torch.from_numpy(image_latents)
            null = self._text("").expand(len(image), -1, -1)
            text = torch.cat([self._text(prompt) for prompt in prompts])
            states = torch.cat([text if one.text else null for one in self._passes])
            images = torch.cat([image * float(one.image) for one in self._passes])
            draws = iter(self._draws)
            latents = next(draws).expand_as(image)
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
            return np.asarray(latents.numpy(), np.float32)

    def decode(self, latents: Latents) -> Pixels:
        """Frames of latents."""
        with torch.inference_mode(), self._arithmetic():
            return _to_pixels(self._autoencoder.decode(torch.from_numpy(latents)))

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


class FolderModel(EditingModel):
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
        self._opened = open_editor(str(path), runtime=runtime, precision=precision)
        self._runtime, self._precision = runtime or package_runtime(), precision
        self._set(label, sampling)

    def _set(self, label: str, sampling: Sampling) -> None:
        self.label, self.sampling = label, sampling
        self._editor = self._opened.with_steps(sampling.steps, sampling.sampler)
        self._scales = _choose(self._editor.method, sampling)
        self._noise = self._editor.noise(sampling.seed)

    def sampled(self, label: str, sampling: Sampling) -> FolderModel:
        """The same packages under another name, with edits drawn in another way."""
        other = copy.copy(self)
        other._set(label, sampling)
        return other

    @property
    def description(self) -> dict[str, Any]:
        """Runtime, precision, schedule and guidance."""
        return _description(self._runtime, self._precision, self.method, self._scales, self.sampling.seed)

    @property
    def method(self) -> EditMethod:
        """Frame size, schedule and guidance."""
        return self._editor.method

    def encode(self, frames: Pixels) -> Latents:
        """Image latents of frames."""
        return np.concatenate([self._editor.encode(frame) for frame in frames]).astype(np.float32)

    def denoise(self, image_latents: Latents, prompts: Sequence[str]) -> Latents:
        """Edited latents: every frame's by its prompt."""
        return np.concatenate(
            [
                self._editor.denoise(latents[None], self._editor.condition(prompt, *self._scales), self._noise)
                for latents, prompt in zip(image_latents, prompts, strict=True)
            ]
        )

    def decode(self, latents: Latents) -> Pixels:
        """Frames of latents."""
        return np.stack([self._editor.decode(one[None]) for one in latents])


def open_model(
    model: str,
    sampling: Sampling = Sampling(),
    *,
    label: str | None = None,
    runtime: str | None = None,
    precision: str = "fp32",
) -> EditingModel:
    """Opens a model folder (it holds `mobie.json`) or a checkpoint ("nano" for the one inside the package).

    Args:
        model: Its path or name.
        sampling: How edits are drawn.
        label: Name in reports, None for the folder's.
        runtime: Of model folders.
        precision: Of the arithmetic.

    Raises:
        InputError: it is neither, or an option doesn't fit it.
    """
    path = Path(model)
    name = path.absolute().name if label is None else label
    if (path / FILE_NAME).is_file():
        return FolderModel(path, name, sampling, runtime=runtime, precision=precision)
    if runtime not in (None, "torch"):
        raise InputError(f"{model} is not a model folder, and a checkpoint runs on torch alone.", "Convert it first.")
    return CheckpointModel(load_checkpoint(model), name, sampling, precision=precision)


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
