"""What the stages after the teacher are told: one dataclass each, and as data their presets and the ablations.

The presets of `mobile` (also taken for `base`) are the method's published values; those of `nano` are what its size and
a machine without a GPU ask for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mobie_coreml.diffusion.samplers import SamplerMethod
from mobie_coreml.errors import InputError
from mobie_coreml.training.config import CropSet, LoopConfig, TeacherTraining, _require

Range = tuple[float, float]


def _check_range(name: str, values: Range | None) -> None:
    low, high = values or (0.0, 0.0)
    _require(
        0 <= low <= high < float("inf"),
        f"The range of {name} guidance, {low:g}:{high:g}, makes no sense.",
        "Give the smallest and the largest scale, for example 2:14.",
    )


def _check_fraction(name: str, value: float) -> None:
    _require(0 <= value <= 1, f"The {name} must lie between 0 and 1.")


@dataclass(frozen=True)
class ScaleTraining:
    """How guidance scales are drawn: uniformly between the ends of each range, the checkpoint's own ranges by default;
    a fraction `usual` of the examples has both scales at the checkpoint's defaults instead."""

    text: Range | None = None
    image: Range | None = None
    usual: float = 0.0

    def __post_init__(self) -> None:
        _check_range("text", self.text)
        _check_range("image", self.image)
        _check_fraction("fraction of examples at the usual scales", self.usual)


@dataclass(frozen=True)
class NoiseTraining:
    """How noise levels are drawn: t = 1 - u^p of the schedule with u uniform and p = `high_noise` (1: uniform, more:
    more of the noisiest). A fraction `pure` of the examples is at the last timestep instead and sees noise alone there,
    which is what sampling starts from; at that timestep the schedule still lets a little of the image through."""

    high_noise: float = 1.0
    pure: float = 0.0

    def __post_init__(self) -> None:
        _require(self.high_noise > 0, "The exponent of noise levels must be positive.")
        _check_fraction("fraction of examples of pure noise", self.pure)


@dataclass(frozen=True)
class RescaleTraining:
    """How far the deviation that a guidance scale adds to x0 is taken back, 0 (none of it) to 1 (all): see
    `guidance.rescaled_guidance`."""

    text: float = 0.0
    image: float = 0.0

    def __post_init__(self) -> None:
        _check_fraction("fraction by which text guidance is rescaled", self.text)
        _check_fraction("fraction by which image guidance is rescaled", self.image)


@dataclass(frozen=True)
class RegressionTraining:
    """Stage 3 (multimodal guidance distillation), and from noise to velocity prediction before stage 4.

    Attributes:
        batch: Examples a batch.
        scales: How guidance scales are drawn.
        noise: How noise levels are drawn.
        rescale: How far guidance is kept from raising the contrast; stage 3 only.
    """

    batch: int = 512
    scales: ScaleTraining = field(default_factory=ScaleTraining)
    noise: NoiseTraining = field(default_factory=NoiseTraining)
    rescale: RescaleTraining = field(default_factory=RescaleTraining)

    def __post_init__(self) -> None:
        _require(self.batch >= 1, "A batch must hold at least one example.")


@dataclass(frozen=True)
class FeatureTraining:
    """Learning from an unpruned network (as Kim et al. 2023, arXiv 2305.15798, with block-pruned ones): squared errors
    between what the blocks of both networks give, and between their outputs.

    Attributes:
        down, middle, up: Weights of the mean over the levels of the down path, of the middle block, of the mean over
            the levels of the up path.
        output: Weight of the squared error of the network's output.
        relative: Whether the error of a level is divided by the mean square of the unpruned network's features there,
            so that levels of large values do not outweigh the others; there, errors are taken as they are.
    """

    down: float = 1.0
    middle: float = 1.0
    up: float = 1.0
    output: float = 1.0
    relative: bool = True

    def __post_init__(self) -> None:
        _require(min(self.down, self.middle, self.up, self.output) >= 0, "Weights of features must be at least 0 each.")


@dataclass(frozen=True)
class FineTuning:
    """A teacher made of another one: denoising the data's edits, with conditions dropped.

    Attributes:
        batch: Examples a batch.
        noise: How noise levels are drawn.
        drop_image, drop_both, drop_text: Fractions of the examples without image, without both, without text.
        train_text: Whether the text encoder is trained too.
        distill: Whether the features of the unpruned network are learnt from beside the data.
        features: How.
    """

    batch: int = 512
    noise: NoiseTraining = field(default_factory=NoiseTraining)
    drop_image: float = 0.05
    drop_both: float = 0.05
    drop_text: float = 0.05
    train_text: bool = False
    distill: bool = False
    features: FeatureTraining = field(default_factory=FeatureTraining)

    def __post_init__(self) -> None:
        _require(self.batch >= 1, "A batch must hold at least one example.")
        fractions = (self.drop_image, self.drop_both, self.drop_text)
        possible = min(fractions) >= 0 and sum(fractions) <= 1
        _require(possible, "Fractions of dropped conditions must add up to 1 at most.")


@dataclass(frozen=True)
class CriticTraining:
    """The discriminator of stage 4 and how it is trained.

    Attributes:
        width: Channels of a head.
        guidance: Whether heads are conditioned on both guidance scales.
        updates: Updates for each update of the student.
        learning_rate: Peak.
        noise: How timesteps of the noise on its inputs are drawn: "logit-normal" or "uniform".
        mean, deviation: Of the logit of that timestep, as a fraction of the schedule.
        r1: Penalty on its gradient at real samples: "exact", "approximate" or "none".
        r1_weight: Weight of that penalty.
        r1_step: Deviation of the noise that the approximate one adds.
    """

    width: int = 64
    guidance: bool = True
    updates: int = 1
    learning_rate: float = 1e-5
    noise: Literal["logit-normal", "uniform"] = "logit-normal"
    mean: float = -1.0
    deviation: float = 1.0
    r1: Literal["exact", "approximate", "none"] = "exact"
    r1_weight: float = 1e-2
    r1_step: float = 0.1

    def __post_init__(self) -> None:
        _require(self.width >= 1 and self.updates >= 1, "A discriminator needs channels and updates.")
        _require(self.learning_rate > 0, "The discriminator's learning rate must be positive.")
        _require(self.deviation > 0 and self.r1_step > 0, "Deviations of noise must be positive.")
        _require(self.r1_weight >= 0, "The weight of the gradient penalty must be at least 0.")
        _require(self.noise in ("logit-normal", "uniform"), f"There is no distribution of timesteps {self.noise!r}.")
        _require(self.r1 in ("exact", "approximate", "none"), f"There is no gradient penalty {self.r1!r}.")


@dataclass(frozen=True)
class OneStepTraining:
    """Stage 4, adversarial step distillation.

    Attributes:
        batch: Examples a batch.
        scales: How guidance scales are drawn.
        teacher_sampler, teacher_steps: How the teacher makes real samples.
        pool: How many of them are made beforehand and used again and again; 0 makes new ones at every step.
        true_edits: Whether the data's own edit is the real sample where both scales are 1: the teacher stands there for
            the distribution of the data itself.
        grid: Timesteps that the student sees, those of as many Euler steps.
        largest: The fraction of examples at the largest of them; the others are spread evenly over all.
        pure: The fraction of those at the largest timestep that see noise alone, as at test time.
        noise: What is added to the real sample: "fresh" noise, or the noise that the "teacher" started from.
        mse_steps: Steps of squared error alone before the adversarial term begins.
        ramp_steps: Steps over which its weight rises.
        adversarial: Weight of the adversarial term after that.
        critic: The discriminator.
    """

    batch: int = 512
    scales: ScaleTraining = field(default_factory=ScaleTraining)
    teacher_sampler: SamplerMethod = "lcm"
    teacher_steps: int = 5
    pool: int = 0
    true_edits: bool = False
    grid: int = 8
    largest: float = 0.5
    pure: float = 0.0
    noise: Literal["fresh", "teacher"] = "fresh"
    mse_steps: int = 1000
    ramp_steps: int = 1000
    adversarial: float = 0.01
    critic: CriticTraining = field(default_factory=CriticTraining)

    def __post_init__(self) -> None:
        _require(self.batch >= 1, "A batch must hold at least one example.")
        _require(self.teacher_steps >= 1 and self.grid >= 1, "Steps of teacher and grid must be 1 or more.")
        _require(min(self.pool, self.mse_steps, self.ramp_steps) >= 0, "Numbers of samples and steps are not negative.")
        _check_fraction("fraction of examples at the largest timestep", self.largest)
        _check_fraction("fraction of examples of pure noise", self.pure)
        _require(self.adversarial >= 0, "The adversarial weight must be at least 0.")
        _require(self.noise in ("fresh", "teacher"), f"There is no noise {self.noise!r}.", "Choose fresh or teacher.")


StageTraining = FineTuning | RegressionTraining | OneStepTraining

FINE_TUNING: Mapping[str, FineTuning] = {
    "mobile": FineTuning(),
    "nano": FineTuning(batch=24, noise=NoiseTraining(high_noise=2.0, pure=0.5), train_text=True),
}
REGRESSION: Mapping[str, RegressionTraining] = {
    "mobile": RegressionTraining(),
    "nano": RegressionTraining(
        batch=24,
        scales=ScaleTraining(usual=0.3),
        noise=NoiseTraining(high_noise=2.0, pure=0.5),
        rescale=RescaleTraining(text=0.7, image=1.0),
    ),
}
ONE_STEP: Mapping[str, OneStepTraining] = {
    "mobile": OneStepTraining(),
    "nano": OneStepTraining(
        batch=24,
        scales=ScaleTraining(usual=0.4),
        teacher_steps=1,
        pool=4000,
        true_edits=True,
        largest=0.75,
        pure=1.0,
        mse_steps=150,
        ramp_steps=150,
        critic=CriticTraining(learning_rate=3e-4),
    ),
}

STAGES: Mapping[str, Mapping[str, Any]] = {
    "teacher": FINE_TUNING,
    "guidance": REGRESSION,
    "velocity": REGRESSION,
    "one-step": ONE_STEP,
}
"""Each stage's options by family."""

ABLATIONS: Mapping[str, tuple[str, Mapping[str, Any], Mapping[str, Any]]] = {
    "noise-0-1": ("logit-normal noise of mean 0 and deviation 1", {}, {"mean": 0.0, "deviation": 1.0}),
    "noise-1-2": ("logit-normal noise of mean -1 and deviation 2", {}, {"mean": -1.0, "deviation": 2.0}),
    "noise-uniform": ("uniform noise levels, as in the paper's algorithm", {}, {"noise": "uniform"}),
    "heads-without-guidance": ("heads that are not told the guidance scales", {}, {"guidance": False}),
    "mse-only": ("squared error alone, no discriminator", {"adversarial": 0.0}, {}),
    "no-warm-up": ("adversarial term at full weight from the first step", {"mse_steps": 0, "ramp_steps": 0}, {}),
    "r1-approximate": ("the gradient penalty from finite differences", {}, {"r1": "approximate"}),
    "r1-none": ("no gradient penalty", {}, {"r1": "none"}),
    "critic-2": ("two updates of the discriminator a step", {}, {"updates": 2}),
    "last-timestep": ("the largest timestep alone instead of the grid", {"largest": 1.0}, {}),
    "true-edits": ("true edits as real samples where both scales are 1", {"true_edits": True}, {}),
    "teacher-noise": ("the student sees the noise that the teacher began with", {"noise": "teacher"}, {}),
}
"""What `mobie train one-step --ablation` takes: what it is, changes of the stage's options, of the discriminator's."""


def ablated(config: OneStepTraining, name: str) -> OneStepTraining:
    """`config` with the changes of an ablation.

    Raises:
        InputError: there is none of that name.
    """
    if name not in ABLATIONS:
        raise InputError(f"There is no ablation {name!r}.", f"Ablations are {', '.join(ABLATIONS)}.")
    _, stage, critic = ABLATIONS[name]
    return replace(config, **stage, critic=replace(config.critic, **critic))


def family(preset: str) -> str:
    """Whose presets a checkpoint takes: nano's or those of the full-size models."""
    return "nano" if preset == "nano" else "mobile"


STAGE_LOOPS: Mapping[tuple[str, str], LoopConfig] = {
    ("teacher", "mobile"): LoopConfig(steps=10000, learning_rate=5e-5),
    ("guidance", "mobile"): LoopConfig(steps=5000, learning_rate=1e-5),
    ("velocity", "mobile"): LoopConfig(steps=4000, learning_rate=1e-6),
    ("one-step", "mobile"): LoopConfig(steps=20000, learning_rate=1e-5),
    ("teacher", "nano"): LoopConfig(minutes=60, learning_rate=4e-4, validate_every=400),
    ("guidance", "nano"): LoopConfig(minutes=32, learning_rate=8e-4, warmup_steps=20, validate_every=400),
    ("velocity", "nano"): LoopConfig(minutes=20, learning_rate=2e-4, warmup_steps=20, validate_every=400),
    ("one-step", "nano"): LoopConfig(minutes=42, learning_rate=6e-4, warmup_steps=20, validate_every=400),
}
"""Length and rate of each stage for each family."""


def pair_sets(preset: str, frame_size: tuple[int, int], batch: int, crops: int | None = None) -> TeacherTraining:
    """Which crops and procedural edits are cached for a stage on photographs: nano's as for its teacher, with batches
    scaled to `batch` examples of the smallest size; otherwise 10,000 crops of the frame's size. `crops` is another
    number of them, all sizes together."""
    usual = TeacherTraining()
    if family(preset) != "nano":
        usual = TeacherTraining(crop_sets=(CropSet(frame_size, crops=10_000, batch=batch, share=1.0),))
    largest = max(item.batch for item in usual.crop_sets)
    total = sum(item.crops for item in usual.crop_sets)
    sets = tuple(
        replace(
            item,
            batch=max(1, round(item.batch * batch / largest)),
            crops=max(1, round(item.crops * (crops or total) / total)),
        )
        for item in usual.crop_sets
    )
    return replace(usual, crop_sets=sets)
