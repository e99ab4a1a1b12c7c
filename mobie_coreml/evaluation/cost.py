"""What a frame costs: floating-point operations, and seconds on this machine with all models timed in turn."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mobie_coreml.evaluation.frames import Pixels
from mobie_coreml.evaluation.models import EditingModel

Shape = Sequence[int]


@dataclass(frozen=True)
class Operations:
    """Floating-point operations of a frame, two a multiply-add: convolutions, linear layers and attention.

    Those of the prompt (the text encoder) are not counted. Key and value projections of the text are: PyTorch computes
    them with every step, a converted model once a prompt.

    Attributes:
        denoiser: All steps and passes.
        attention: The part of it that multiplies queries, keys and values, which some published counts leave out;
            None where it is executed as plain matrix products.
        autoencoder: Encoder and decoder.
    """

    denoiser: int
    attention: int | None
    autoencoder: int

    @property
    def total(self) -> int:
        """Of the whole frame."""
        return self.denoiser + self.autoencoder


@dataclass(frozen=True)
class Seconds:
    """Medians over the rounds, one frame at a time.

    Attributes:
        denoise: All steps and passes.
        frame: Encoder, denoiser and decoder.
    """

    denoise: float
    frame: float


@dataclass(frozen=True)
class Cost:
    """Both; operations are None where they cannot be counted (Core ML)."""

    operations: Operations | None
    seconds: Seconds


def measure_costs(
    models: Sequence[EditingModel],
    frame: Pixels,
    prompt: str,
    *,
    rounds: int = 5,
    advance: Callable[[int, int], None] | None = None,
) -> list[Cost]:
    """Counts and times every model on one frame; the models take turns, so that a busy machine slows all of them.

    Args:
        models: The models.
        frame: (H, W, 3) uint8 of their size.
        prompt: An instruction.
        rounds: Timed frames a model, after one that is not timed.
        advance: Told (frames done, frames in all).
    """
    operations = []
    for done, model in enumerate(models, 1):
        model.edit(frame[None], [prompt])
        operations.append(count_operations(model, frame, prompt))
        if advance is not None:
            advance(done, len(models) * (1 + rounds))
    times: list[list[tuple[float, float]]] = [[] for _ in models]
    for turn in range(1, rounds + 1):
        for place, model in enumerate(models):
            times[place].append(_time(model, frame, prompt))
            if advance is not None:
                advance(turn * len(models) + place + 1, len(models) * (1 + rounds))
    return [
        Cost(of, Seconds(*(statistics.median(column) for column in zip(*rows, strict=True))))
        for of, rows in zip(operations, times, strict=True)
    ]


def _time(model: EditingModel, frame: Pixels, prompt: str) -> tuple[float, float]:
    started = time.perf_counter()
    latents = model.encode(frame[None])
    encoded = time.perf_counter()
    edited = model.denoise(latents, [prompt])
    denoised = time.perf_counter()
    model.decode(edited)
    return denoised - encoded, time.perf_counter() - started


def count_operations(model: EditingModel, frame: Pixels, prompt: str) -> Operations | None:
    """The operations that PyTorch executes for a frame whose prompt was used before; None if it executes none."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    # PyTorch's table has attention for GPUs alone.
    attention = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu

    def counter() -> Any:
        return FlopCounterMode(display=False, custom_mapping={attention: _attention_operations})

    with counter() as encoder:
        latents = model.encode(frame[None])
    with counter() as denoiser:
        edited = model.denoise(latents, [prompt])
    with counter() as decoder:
        model.decode(edited)
    by_kind = denoiser.get_flop_counts().get("Global", {})
    counted = Operations(
        denoiser=int(denoiser.get_total_flops()),
        attention=sum(int(count) for kind, count in by_kind.items() if "attention" in str(kind)) or None,
        autoencoder=int(encoder.get_total_flops() + decoder.get_total_flops()),
    )
    return counted if counted.total else None


def _attention_operations(query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Of both products, for shapes (batch, heads, positions, channels)."""
    batch, heads, positions, channels = query
    return 2 * batch * heads * positions * key[2] * (channels + value[3])
