"""Edits frames with the five components: everything that can be known before a frame arrives is computed before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.editing.backend import Array, ComponentBackend
from mobie_coreml.editing.method import EditMethod
from mobie_coreml.editing.resample import Pixels
from mobie_coreml.errors import InputError, WorkError

Latents = npt.NDArray[np.float32]


@dataclass(frozen=True)
class PassConditioning:
    """One denoiser pass: the Conditioner's outputs by name, whether it sees the frame, and its weight in the sum."""

    tensors: dict[str, Array]
    image: bool
    weight: float


Conditioning = tuple[tuple[PassConditioning, ...], ...]
"""Of one prompt: for every step of the schedule the passes of that step."""


class Editor:
    """Runs a model's schedule of steps and passes.

    Args:
        backend: Where the components run.
        method: Frame size, schedule and guidance of the model.
        tokenize: Ids (77) of a prompt; raises InputError for one that does not fit.
    """

    def __init__(self, backend: ComponentBackend, method: EditMethod, tokenize: Callable[[str], list[int]]) -> None:
        self.method = method
        self.backend = backend
        self._tokenize = tokenize
        self._text_states: dict[str, Array] = {}
        self._conditioner_outputs: dict[tuple[Any, ...], dict[str, Array]] = {}

    def with_steps(self, steps: int | None, sampler: SamplerMethod | None) -> Editor:
        """An editor on the same components with another schedule; None keeps what the model asks for.

        Raises:
            InputError: the number of steps is out of the sampler's range.
        """
        return Editor(self.backend, self.method.with_steps(steps, sampler), self._tokenize)

    def on(self, backend: ComponentBackend) -> Editor:
        """An editor with the same method on other components."""
        return Editor(backend, self.method, self._tokenize)

    def condition(
        self, prompt: str, text_guidance: float | None = None, image_guidance: float | None = None
    ) -> Conditioning:
        """Everything of a prompt and its guidance that the Denoiser needs; cached by prompt, guidance and timestep.

        Args:
            prompt: The instruction.
            text_guidance: s_T, None for the model's default.
            image_guidance: s_I, None for the model's default.

        Raises:
            InputError: the prompt is empty or over 77 tokens, or a scale is outside the model's range.
        """
        self.check_prompt(prompt)
        text = self.method.text_guidance.choose(text_guidance, "--text-guidance")
        image = self.method.image_guidance.choose(image_guidance, "--image-guidance")
        return tuple(
            tuple(
                PassConditioning(
                    self._conditioner(prompt if one.text else "", step.timestep, text, image), one.image, one.weight
                )
                for one in self.method.passes(text, image)
            )
            for step in self.method.steps
        )

    def check_prompt(self, prompt: str) -> None:
        """Refuses a prompt that the model cannot take, without running anything.

        Raises:
            InputError: it is empty or over 77 tokens.
        """
        if not prompt.strip():
            raise InputError("The prompt is empty.", "Say what to change: 'make it snow'.")
        self._tokenize(prompt)

    def finish_conditioning(self) -> None:
        """Frees the components that only prompts need; they come back if another prompt does."""
        for component in ("TextEncoder", "Conditioner"):
            self.backend.release(component)

    def noise(self, seed: int, frame: int = 0) -> list[Latents]:
        """The noise of one edit, see `EditMethod.noise`."""
        return self.method.noise(seed, frame)

    def encode(self, frame: Pixels) -> Array:
        """Image latents (1, L, h, w) of a frame (H, W, 3) uint8 RGB of the model's size.

        Raises:
            InputError: the frame has another size.
        """
        width, height = self.method.frame_size
        if frame.shape != (height, width, 3):
            raise InputError(f"The frame is {frame.shape[1]}x{frame.shape[0]} pixels, the model's is {width}x{height}.")
        planes = np.ascontiguousarray(frame.transpose(2, 0, 1)[None], np.float32)
        return self.backend.run("Encoder", {"frame": planes})["image_latents"]

    def denoise(self, image_latents: Array, conditioning: Conditioning, noise: list[Latents]) -> Latents:
        """Edited latents (1, L, h, w) fp32: the schedule from noise to the last step's result.

        Sums are kept in fp32 between steps; the backend rounds what it feeds the Denoiser to that input's type.
        """
        fresh = iter(noise)
        latents = next(fresh)
        nothing = np.zeros_like(image_latents)
        for step, passes in zip(self.method.steps, conditioning, strict=True):
            estimate = np.zeros(self.method.latent_shape, np.float32)
            for one in passes:
                inputs = {
                    "image_latents": image_latents if one.image else nothing,
                    "noisy_latents": latents,
                    **one.tensors,
                }
                wanted = {name: inputs[name] for name in self.backend.inputs("Denoiser")}
                output = self.backend.run("Denoiser", wanted)["denoised_latents"]
                estimate += np.float32(one.weight) * output.astype(np.float32)
            latents = step.advance(latents, estimate, next(fresh) if step.noise else None).astype(np.float32)
        return latents

    def decode(self, latents: Array) -> Pixels:
        """The frame (H, W, 3) uint8 RGB of latents; levels are rounded to the nearest, halves up.

        Raises:
            WorkError: the frame has values that are not numbers.
        """
        planes = self.backend.run("Decoder", {"denoised_latents": latents})["edited_frame"].astype(np.float32)
        if not np.isfinite(planes).all():
            raise WorkError("The model returned values that are not numbers.", "Check it with mobie parity.")
        levels = np.clip(np.floor(planes[0] + np.float32(0.5)), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(levels.transpose(1, 2, 0))

    def edit(self, frame: Pixels, conditioning: Conditioning, noise: list[Latents]) -> Pixels:
        """One frame of the model's size, edited: `encode`, `denoise` and `decode`."""
        return self.decode(self.denoise(self.encode(frame), conditioning, noise))

    def _conditioner(self, prompt: str, timestep: int, text: float, image: float) -> dict[str, Array]:
        guided = self.method.guidance_inputs
        key = (prompt, timestep, text, image) if guided else (prompt, timestep)
        if key not in self._conditioner_outputs:
            inputs: dict[str, Array] = {
                "text_states": self._text(prompt),
                "timestep": np.array([timestep], np.float32),
            }
            if guided:
                inputs["text_guidance"] = np.array([text], np.float32)
                inputs["image_guidance"] = np.array([image], np.float32)
            self._conditioner_outputs[key] = self.backend.run("Conditioner", inputs)
        return self._conditioner_outputs[key]

    def _text(self, prompt: str) -> Array:
        if prompt not in self._text_states:
            ids = np.array([self._tokenize(prompt)], np.int32)
            self._text_states[prompt] = self.backend.run("TextEncoder", {"input_ids": ids})["text_states"]
        return self._text_states[prompt]
