"""What a training run is told: one dataclass for the loop, one for each stage, and the presets as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from mobie_coreml.errors import InputError

Precision = Literal["bf16", "no"]


def _require(condition: bool, what: str, hint: str = "") -> None:
    if not condition:
        raise InputError(what, hint)


@dataclass(frozen=True)
class LoopConfig:
    """How long and how fast: everything a stage's objective does not need to know.

    A run ends after `steps` or, where `minutes` is given, after that much time in the loop; the learning rate follows
    whichever is further along. Only runs bounded by steps alone resume to the same bits. A step descends the mean loss
    of `accumulate` batches in every process.
    """

    steps: int | None = None
    minutes: float | None = None
    learning_rate: float = 1e-3
    warmup_steps: int = 100
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.99)
    gradient_clip: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0
    save_minutes: float = 3.0
    log_every: int = 20
    validate_every: int = 500
    threads: int = 0
    precision: Precision = "bf16"
    accumulate: int = 1

    def __post_init__(self) -> None:
        _require(
            self.steps is not None or self.minutes is not None,
            "A training run needs an end.",
            "Pass a number of steps or of minutes.",
        )
        _require(
            self.steps is None or self.steps >= 1, f"{self.steps} training steps make no sense.", "Pass 1 or more."
        )
        _require(
            self.minutes is None or 0 < self.minutes < float("inf"),
            f"{self.minutes} minutes of training make no sense.",
            "Pass a positive number.",
        )
        _require(0 < self.learning_rate < float("inf"), "The learning rate must be positive and finite.")
        _require(self.save_minutes >= 0, "The minutes between two saves must be at least 0.")
        _require(self.accumulate >= 1, f"{self.accumulate} batches a step make no sense.", "Pass 1 or more.")
        _require(0 <= self.ema_decay < 1, "The EMA's decay must be at least 0 and below 1.")
        _require(self.threads >= 0, "The number of threads must be at least 0 (0: torch's choice).")


@dataclass(frozen=True)
class PhotoConfig:
    """Which photographs are trained on and how crops are drawn.

    Every photograph whose number (the digits of its file name, or its place in the sorted folder) is divisible by
    `held_out_every` is kept for evaluation; 0 keeps none. `short_side` bounds the resolution kept in memory. A crop
    shows between 1 and `max_zoom_out` times as many pixels a side as it has, so that things also appear small.
    """

    held_out_every: int = 20
    short_side: int = 384
    min_photos: int = 8
    max_zoom_out: float = 4.0

    def __post_init__(self) -> None:
        _require(self.held_out_every >= 0, "held_out_every must be at least 0.")
        _require(self.max_zoom_out >= 1, "max_zoom_out must be at least 1.")


@dataclass(frozen=True)
class ReconstructionWeights:
    """Weights of the terms of the reconstruction loss, images in 0..1; see `autoencoder.py`."""

    absolute: float = 1.0
    squared: float = 10.0
    gradient: float = 1.0
    chroma: float = 2.0
    averages: float = 1.0
    chroma_average: float = 2.0


@dataclass(frozen=True)
class AutoencoderTraining:
    """The autoencoder's stage: crops, how they are varied, and the loss.

    `edited` and `recolored` are the fractions of crops that a procedural edit or a random colour change is applied to;
    `latent_noise` is the largest standard deviation of the noise added to (unit variance) latents before decoding.
    With `decoder_only` the encoder stays as it is, so that denoisers trained on its latents stay valid.
    """

    batch: int = 6
    crop: int = 128
    edited: float = 1 / 3
    recolored: float = 0.15
    latent_noise: float = 0.04
    moment_penalty: float = 0.01
    decoder_only: bool = False
    weights: ReconstructionWeights = field(default_factory=ReconstructionWeights)

    def __post_init__(self) -> None:
        _require(self.batch >= 1, "The batch must hold at least one crop.")
        _require(0 <= self.edited + self.recolored <= 1, "The fractions of changed crops must add up to at most 1.")


@dataclass(frozen=True)
class CropSet:
    """One size of crop in the latent cache: (width, height) in pixels, how many crops, how many of them a batch holds.

    `share` is the fraction of steps that train on this size.
    """

    size: tuple[int, int]
    crops: int
    batch: int
    share: float


@dataclass(frozen=True)
class TeacherTraining:
    """The teacher's stage: which pairs are cached, how noise levels are drawn, how often conditions are dropped.

    Every cached crop has `edits` edited versions beside it. `full_strength` is the fraction of them at strength 1; the
    others are uniform between `min_strength` and 1. `local_share` is the fraction that are local edits, which are
    harder than the others and often have nothing to do. Where an edit changes the latents more than elsewhere in the
    same crop, the error weighs more: 1 + `change_weight` times the squared change over its mean there (at most
    `CHANGE_LIMIT` times it), else the small regions of local edits are lost in the rest. `high_noise` is the exponent p
    of t = 1 - u^p with u uniform: 1 draws timesteps uniformly, more draws more of the noisiest. `pure_noise` is the
    fraction of examples at the last timestep whose input is noise alone: there the schedule still lets 7 % of the
    edited latents through, enough to tell the edit by its brightness and colour, and a network that may look there does
    not learn to read the prompt and fails from the pure noise that sampling starts at (Lin et al. 2023, arXiv
    2305.08891, section 3.1). Conditions are dropped for guidance: image alone, both, text alone, each with its own
    probability.
    """

    crop_sets: tuple[CropSet, ...] = (
        CropSet((128, 128), crops=8000, batch=20, share=0.6),
        CropSet((256, 192), crops=2000, batch=7, share=0.4),
    )
    edits: int = 3
    full_strength: float = 0.7
    min_strength: float = 0.4
    local_share: float = 0.33
    recolored: float = 0.2
    change_weight: float = 0.5
    high_noise: float = 2.0
    pure_noise: float = 0.5
    drop_image: float = 0.05
    drop_both: float = 0.05
    drop_text: float = 0.05

    def __post_init__(self) -> None:
        _require(len(self.crop_sets) >= 1 and self.edits >= 1, "A teacher needs crops and edits to train on.")
        _require(
            all(item.crops >= 1 and item.batch >= 1 and item.share > 0 for item in self.crop_sets),
            "Every set of crops needs at least one crop, one a batch, and a positive share.",
        )
        _require(0 <= self.local_share <= 1, "The fraction of local edits must lie between 0 and 1.")
        _require(self.change_weight >= 0, "The weight of changes must be at least 0.")
        _require(0 <= self.pure_noise <= 1, "The fraction of examples of pure noise must lie between 0 and 1.")
        _require(
            self.drop_image + self.drop_both + self.drop_text <= 1, "Conditions are dropped more often than always."
        )


LOOPS: dict[str, LoopConfig] = {
    "autoencoder": LoopConfig(minutes=45, learning_rate=8e-4, warmup_steps=300),
    "teacher": LoopConfig(minutes=60, learning_rate=8e-4, warmup_steps=100, validate_every=500),
}
"""Length and rate of each stage, about as the embedded checkpoint was trained on 2 cores."""
