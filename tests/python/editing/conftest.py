"""Tiny clips made on the spot, and a backend whose edits can be computed by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from mobie_coreml.diffusion.guidance import GuidanceRange, guidance_passes
from mobie_coreml.diffusion.samplers import sampler_steps
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.editing.editor import Editor
from mobie_coreml.editing.method import EditMethod, one_pass
from mobie_coreml.errors import InputError

MODEL_SIZE = (64, 48)


def picture(index: int, size: tuple[int, int] = (80, 60)) -> np.ndarray:
    """A frame (H, W, 3): a bright square that moves right on a colour ramp."""
    width, height = size
    x = np.linspace(0, 120, width)[None, :]
    y = np.linspace(60, 160, height)[:, None]
    frame = np.stack([np.broadcast_to(x, (height, width)), np.broadcast_to(y, (height, width)), (x + y) / 2], -1)
    left = (5 * index) % max(1, width - 8)
    frame[height // 4 : height // 2, left : left + 8] = 230
    return frame.astype(np.uint8)


def make_clip(
    path: Path,
    frames: list[np.ndarray],
    *,
    ticks: list[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: int | None = None,
    matrix: list[int] | None = None,
    audio: str | None = None,
    audio_seconds: float | None = None,
    colour: tuple[int, int] | None = None,
    aspect: Fraction | None = None,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Writes RGB frames as a clip; `ticks` are timestamps in `time_base`, `colour` is (H.273 matrix, range)."""
    height, width = frames[0].shape[:2]
    ticks = list(range(len(frames))) if ticks is None else ticks
    quiet = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options={**quiet, **(options or {})})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.time_base = stream.codec_context.time_base = time_base
        if colour is not None:
            stream.codec_context.colorspace, stream.codec_context.color_range = colour
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation is not None:
            stream.set_display_rotation(rotation)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        sound = container.add_stream(audio, rate=16000, layout="mono") if audio else None
        for pixels, tick in zip(frames, ticks, strict=True):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            if colour is not None and pix_fmt != "rgb24":
                libswscale = {1: 1, 5: 5, 6: 5, 9: 9}[colour[0]]
                frame = frame.reformat(
                    format=pix_fmt,
                    src_colorspace=libswscale,
                    dst_colorspace=libswscale,
                    src_color_range=2,
                    dst_color_range=colour[1],
                )
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if sound is not None:
            seconds = audio_seconds or float((ticks[-1] + 1) * time_base)
            add_tone(container, sound, round(seconds * 16000))
    return path


def add_tone(container: Any, stream: Any, samples: int) -> None:
    """Encodes a tone of so many samples at 16 kHz."""
    size = stream.codec_context.frame_size or 1024
    for begin in range(0, samples, size):
        tone = (9000 * np.sin(np.arange(begin, begin + size) / 12)).astype(np.int16)[None]
        block = av.AudioFrame.from_ndarray(tone, format="s16", layout="mono")
        block.sample_rate, block.pts = 16000, begin
        container.mux(stream.encode(block))
    container.mux(stream.encode())


class FakeBackend:
    """Components simple enough to compute by hand.

    Encoder: means of 8x8 blocks, to -1..1. Conditioner: passes on the prompt's shade, the timestep and the guidance.
    Denoiser: the image latents plus the shade, plus a hundredth of the noisy latents. Decoder: blocks of 8x8.
    """

    def __init__(self, *, guidance_inputs: bool = False) -> None:
        self.calls: list[tuple[str, dict[str, np.ndarray]]] = []
        self.released: list[str] = []
        self._guided = guidance_inputs

    def inputs(self, component: str) -> tuple[str, ...]:
        return {"Denoiser": ("image_latents", "noisy_latents", "shifts", "text_kv")}[component]

    def release(self, component: str) -> None:
        self.released.append(component)

    def count(self, component: str) -> int:
        return sum(1 for name, _ in self.calls if name == component)

    def run(self, component: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self.calls.append((component, dict(inputs)))
        return getattr(self, f"_{component.lower()}")(**inputs)

    def _textencoder(self, input_ids: np.ndarray) -> dict[str, np.ndarray]:
        return {"text_states": (input_ids.sum() * np.ones((1, 4, 1, 77))).astype(np.float16)}

    def _conditioner(self, text_states: np.ndarray, timestep: np.ndarray, **scales: np.ndarray) -> dict[str, Any]:
        assert set(scales) == ({"text_guidance", "image_guidance"} if self._guided else set())
        values = [timestep[0], *(scales[name][0] for name in sorted(scales))]
        return {"shifts": np.array(values, np.float32)[None, :, None, None], "text_kv": text_states / 1000}

    def _encoder(self, frame: np.ndarray) -> dict[str, np.ndarray]:
        n, c, h, w = frame.shape
        blocks = frame.reshape(n, c, h // 8, 8, w // 8, 8).mean(axis=(3, 5))
        return {"image_latents": (blocks / 127.5 - 1).astype(np.float32)}

    def _denoiser(self, image_latents: Any, noisy_latents: Any, shifts: Any, text_kv: Any) -> dict[str, Any]:
        return {"denoised_latents": image_latents + text_kv[0, 0, 0, 0] + 0.01 * noisy_latents}

    def _decoder(self, denoised_latents: np.ndarray) -> dict[str, np.ndarray]:
        blocks = np.clip((denoised_latents + 1) * 127.5, 0, 255)
        return {"edited_frame": blocks.repeat(8, axis=2).repeat(8, axis=3)}


def fake_tokenize(prompt: str) -> list[int]:
    if len(prompt.split()) > 75:
        raise InputError(f"The prompt needs {len(prompt.split()) + 2} tokens, and 77 fit.", "Shorten it.")
    return [len(prompt)] + [0] * 76


def fake_method(*, steps: int = 1, guidance_inputs: bool = True) -> EditMethod:
    schedule = NoiseSchedule(prediction_type="v_prediction")
    return EditMethod(
        frame_size=MODEL_SIZE,
        latent_shape=(1, 3, MODEL_SIZE[1] // 8, MODEL_SIZE[0] // 8),
        guidance_inputs=guidance_inputs,
        passes=one_pass if guidance_inputs else lambda text, image: tuple(guidance_passes(text, image)),
        text_guidance=GuidanceRange(2.0, 14.0, 7.5),
        image_guidance=GuidanceRange(1.0, 3.0, 1.5),
        steps=tuple(sampler_steps(schedule, "ddim", steps)),
        schedule=schedule,
        sampler="ddim",
    )


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend(guidance_inputs=True)


@pytest.fixture
def editor(backend: FakeBackend) -> Editor:
    return Editor(backend, fake_method(), fake_tokenize)


@pytest.fixture
def clip_maker() -> Callable[..., Path]:
    return make_clip
