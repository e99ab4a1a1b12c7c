"""Whole trainings of the stages after the teacher: from data and a checkpoint to a run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mobie_coreml.errors import InputError
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.text_encoder import CLIPTextEncoder
from mobie_coreml.training import guidance, one_step, velocity
from mobie_coreml.training.config import LoopConfig, PhotoConfig
from mobie_coreml.training.distillation import SAME_TEACHER, Material, require_same_family
from mobie_coreml.training.examples import EditedPhotos, Examples
from mobie_coreml.training.latents import cache_digest, load_pairs
from mobie_coreml.training.lineage import lineage
from mobie_coreml.training.loop import RunResult, Stage, train
from mobie_coreml.training.processes import main_first
from mobie_coreml.training.runs import Progress, check_start, open_checkpoint, read_photos
from mobie_coreml.training.settings import with_settings
from mobie_coreml.training.stage_config import (
    ONE_STEP,
    REGRESSION,
    STAGE_LOOPS,
    ScaleTraining,
    StageTraining,
    ablated,
    family,
    pair_sets,
)
from mobie_coreml.training.teacher_samples import TeacherSamples
from mobie_coreml.training.triple_cache import CachedTriples, cache_triples
from mobie_coreml.training.triples import open_triples


@dataclass(frozen=True)
class Request:
    """What is asked of a stage after the teacher.

    Attributes:
        data: A folder of photographs, or triples (see `triples.py`).
        out: Run folder; the trained checkpoint is `out/result`.
        teacher: Checkpoint, or run, that the stage starts from and learns from.
        start: One that the student's weights are taken from instead, with a fresh optimiser.
        preset: The preset that the teacher must be of; any, where unset.
        loop: Makes the stage's usual loop into the one wanted.
        settings: NAME=VALUE, changes of the stage's options.
        ablations: Names of ablations, stage 4 only.
        photo_config: Which photographs, how crops are drawn.
        split: Of a data set.
        most: Of triples.
        crops: Of photographs, all sizes together; as many as the preset says, where unset.
        command: What the result says it was made by.
        resume: Continue the run in `out`.
        force: Replace what is in `out`.
        progress: Callbacks.
    """

    data: str
    out: Path
    teacher: str
    start: str | None = None
    preset: str | None = None
    loop: Callable[[LoopConfig], LoopConfig] = lambda usual: usual
    settings: Sequence[str] = ()
    ablations: Sequence[str] = ()
    photo_config: PhotoConfig = field(default_factory=PhotoConfig)
    split: str = "train"
    most: int | None = None
    crops: int | None = None
    command: str = ""
    resume: bool = False
    force: bool = False
    progress: Progress = field(default_factory=Progress)


def train_guidance(request: Request) -> RunResult:
    """Stage 3.

    Raises:
        InputError: teacher, start, data or options do not fit, `out` exists or cannot be resumed.
        WorkError: the loss stopped being a number.
    """
    teacher, start = parents(request)
    guidance.check_teacher(teacher)
    if start is not None:
        if not start.networks.unet.guidance_embedding:
            raise InputError(
                f"--from {start.path} has no guidance inputs.", "Leave --from out to start from the teacher."
            )
        _same_prediction(teacher, start)
    config = with_settings(REGRESSION[family(teacher.preset)], request.settings)

    def stage(material: Material) -> Stage:
        unet = teacher.unet()
        student = guidance.with_guidance_inputs(unet, material.seed) if start is None else start.unet()
        return guidance.GuidanceStage(unet, student, material, config)

    return run_stage(request, "guidance", teacher, start, config, stage, scales=config.scales)


def train_velocity(request: Request) -> RunResult:
    """From noise to velocity prediction; raises as `train_guidance` does."""
    teacher, start = parents(request)
    velocity.check_teacher(teacher)
    if start is not None and start.schedule.prediction_type != "v_prediction":
        raise InputError(
            f"--from {start.path} does not predict velocity.", "Leave --from out to start from the teacher."
        )
    same_shape(teacher, start)
    config = with_settings(REGRESSION[family(teacher.preset)], request.settings)

    def stage(material: Material) -> Stage:
        return velocity.VelocityStage(teacher.unet(), (start or teacher).unet(), material, config)

    return run_stage(request, "velocity", teacher, start, config, stage, scales=config.scales)


def train_one_step(request: Request) -> RunResult:
    """Stage 4; raises as `train_guidance` does."""
    teacher, start = parents(request)
    one_step.check_teacher(teacher)
    one_step.check_student(start or teacher)
    same_shape(teacher, start)
    config = ONE_STEP[family(teacher.preset)]
    for name in request.ablations:
        config = ablated(config, name)
    config = with_settings(config, request.settings)
    one_step.check_options(config, teacher.schedule)

    def stage(material: Material) -> Stage:
        samples = TeacherSamples(teacher.unet(), material, config)
        if config.pool:
            samples.fill(request.out.parent, request.progress.samples)
        return one_step.OneStepStage(samples, (start or teacher).unet(), config)

    return run_stage(request, "one-step", teacher, start, config, stage, scales=config.scales)


def run_stage(
    request: Request,
    name: str,
    teacher: Checkpoint,
    start: Checkpoint | None,
    config: StageTraining,
    make: Callable[[Material], Stage],
    *,
    scales: ScaleTraining | None = None,
    autoencoder: TinyAutoencoder | None = None,
    text_encoder: CLIPTextEncoder | None = None,
    preset: str | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> RunResult:
    """Trains what `make` makes of the data.

    Args:
        request: What is asked for.
        name: The stage's.
        teacher, start: Checkpoints that it starts from.
        config: Its options.
        make: Makes the stage.
        scales: How guidance scales are drawn.
        autoencoder, text_encoder: Taken instead of the teacher's.
        preset: What the result is called, the teacher's by default.
        provenance: More that the result says of its making.

    Raises:
        InputError: the data cannot be used, `out` exists or cannot be resumed.
        WorkError: the loss stopped being a number.
    """
    loop = request.loop(STAGE_LOOPS[name, family(teacher.preset)])
    if loop.threads:
        torch.set_num_threads(loop.threads)
    with main_first():
        check_start(request.out, resume=request.resume, force=request.force)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    encoder = (autoencoder or teacher.autoencoder()).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    examples = _examples(request, teacher, encoder, config.batch, loop.seed)
    origin = {
        "started_from": None if start is None else start.digest,
        "command": request.command,
        "data": examples.summary(),
        "lineage": lineage(teacher, start),
        **(provenance or {}),
    }
    material = Material(
        teacher,
        examples,
        scales or ScaleTraining(),
        loop.seed,
        origin,
        autoencoder=autoencoder,
        text_encoder=text_encoder,
        preset=preset,
    )
    report = request.progress.step
    return train(make(material), loop, request.out, resume=request.resume, force=request.force, report=report)


def _examples(request: Request, teacher: Checkpoint, autoencoder: TinyAutoencoder, batch: int, seed: int) -> Examples:
    """The data as examples, encoded."""
    request.out.parent.mkdir(parents=True, exist_ok=True)
    triples = open_triples(request.data, request.split)
    if triples is None:
        return _edited_photos(request, teacher, autoencoder, batch, seed)
    progress = request.progress
    with main_first():
        folder = cache_triples(
            request.out.parent,
            triples,
            autoencoder,
            teacher.frame_size,
            held_out_every=request.photo_config.held_out_every,
            most=request.most,
            advance=progress.triples,
        )
    cached = CachedTriples(folder, batch)
    if progress.summary is not None:
        progress.summary(cached.summary())
    return cached


def _edited_photos(
    request: Request, teacher: Checkpoint, autoencoder: TinyAutoencoder, batch: int, seed: int
) -> EditedPhotos:
    config = pair_sets(teacher.preset, teacher.frame_size, batch, request.crops)
    smallest = min(min(item.size) for item in config.crop_sets)
    photos = read_photos(Path(request.data), request.photo_config, smallest, request.progress)
    with main_first():
        pairs = load_pairs(
            request.out.parent, autoencoder, photos, request.photo_config, config, seed, request.progress.pairs
        )
    digest = cache_digest(autoencoder, photos, request.photo_config, config, seed)
    return EditedPhotos(pairs, photos, config, teacher.frame_size, digest, seed)


def parents(request: Request) -> tuple[Checkpoint, Checkpoint | None]:
    """The checkpoints of --teacher and --from.

    Raises:
        InputError: one cannot be opened, is of another preset than asked for, or they do not go together.
    """
    teacher = open_checkpoint(request.teacher)
    if request.preset is not None and teacher.preset != request.preset:
        raise InputError(
            f"{teacher.path} is of the preset {teacher.preset}, not {request.preset}.",
            "Pass a teacher of that preset, or leave --preset out.",
        )
    start = None if request.start is None else open_checkpoint(request.start)
    if start is not None:
        require_same_family(teacher, start, "--from")
    return teacher, start


def _same_prediction(teacher: Checkpoint, start: Checkpoint) -> None:
    ours, theirs = teacher.schedule.prediction_type, start.schedule.prediction_type
    if ours != theirs:
        raise InputError(f"--from {start.path} predicts {theirs}, the teacher {teacher.path} {ours}.", SAME_TEACHER)


def same_shape(teacher: Checkpoint, start: Checkpoint | None) -> None:
    """Refuses a start whose denoiser has another shape than the teacher's.

    Raises:
        InputError: it has.
    """
    if start is not None and start.networks.unet != teacher.networks.unet:
        raise InputError(
            f"The denoiser of --from {start.path} has another shape than the teacher's {teacher.path}.", SAME_TEACHER
        )
