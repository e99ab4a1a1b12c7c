"""What a user asks of an edit, checked before any work."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.editing.geometry import FITS, Fit
from mobie_coreml.errors import InputError

Noise = Literal["fixed", "fresh"]
OutputSize = Literal["model", "source"]
_MOST_STEPS = 1000
_MOST_PROMPTS = 16


@dataclass(frozen=True)
class EditOptions:
    """Options of `edit_media`; None means what the model asks for.

    Args:
        prompts: Instructions, at least one.
        text_guidance: s_T: how strongly the prompt is followed.
        image_guidance: s_I: how closely the source frame is kept.
        steps: Denoiser steps per frame.
        sampler: "euler", "ddim" or "lcm".
        seed: Of the noise, 0 to 2^64 - 1.
        noise: "fixed": one noise for the whole clip; "fresh": new noise for every frame, which flickers.
        fit: How a frame is brought to the model's size, see `geometry`.
        output_size: "model": frames as the model makes them; "source": resized to the source's pixels.
        side_by_side: One output that shows the source and every prompt's result next to each other, captioned.
        start: Seconds of the clip that are skipped.
        limit: At most this many frames.

    Raises:
        InputError: a value is out of range, not a number, or not one of those listed.
    """

    prompts: tuple[str, ...]
    text_guidance: float | None = None
    image_guidance: float | None = None
    steps: int | None = None
    sampler: SamplerMethod | None = None
    seed: int = 0
    noise: Noise = "fixed"
    fit: Fit = "cover"
    output_size: OutputSize = "model"
    side_by_side: bool = False
    start: float = 0.0
    limit: int | None = None

    def __post_init__(self) -> None:
        if not self.prompts:
            raise InputError("There is no prompt.", "Say what to change: --prompt 'make it snow'.")
        if len(self.prompts) > _MOST_PROMPTS:
            raise InputError(
                f"{len(self.prompts)} prompts are too many for one call.", f"Give at most {_MOST_PROMPTS}."
            )
        for prompt in self.prompts:
            if not prompt.strip():
                raise InputError("The prompt is empty.", "Say what to change: --prompt 'make it snow'.")
        for option, value in (("--text-guidance", self.text_guidance), ("--image-guidance", self.image_guidance)):
            if value is not None and not math.isfinite(value):
                raise InputError(f"{option} {value} is not a finite number.", "Leave it out for the model's default.")
        _whole("--steps", self.steps, 1, _MOST_STEPS)
        _whole("--limit", self.limit, 1, 2**31 - 1)
        _whole("--seed", self.seed, 0, 2**64 - 1)
        if not math.isfinite(self.start) or not 0 <= self.start < 2**31:
            raise InputError(f"--start {self.start} is out of range.", "Give the seconds to skip, 0 or more.")
        _one_of("--sampler", self.sampler, get_args(SamplerMethod), optional=True)
        _one_of("--noise", self.noise, get_args(Noise))
        _one_of("--fit", self.fit, FITS)
        _one_of("--output-size", self.output_size, get_args(OutputSize))


def _whole(option: str, value: Any, least: int, most: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InputError(f"{option} {value} is out of range.", f"Give a whole number from {least} to {most}.")


def _one_of(option: str, value: Any, choices: tuple[str, ...], *, optional: bool = False) -> None:
    if value is None and optional:
        return
    if value not in choices:
        raise InputError(f"{option} {value} is unknown.", f"Choose one of {', '.join(choices)}.")
