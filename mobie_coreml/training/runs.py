"""Whole trainings: from a folder of photographs to a run folder. What `mobie train` calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from mobie_coreml.errors import InputError
from mobie_coreml.files import check_output, check_replaceable, sha256_file
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint
from mobie_coreml.models.checkpoint_files import INFO_FILE, STEMS, TOKENIZER_FILES, VOCABULARY
from mobie_coreml.models.presets import Preset
from mobie_coreml.models.presets import preset as find_preset
from mobie_coreml.models.tokenizer import CLIPTokenizer
from mobie_coreml.training.autoencoder import AutoencoderStage, load_autoencoder
from mobie_coreml.training.config import AutoencoderTraining, LoopConfig, PhotoConfig, TeacherTraining
from mobie_coreml.training.latents import load_pairs
from mobie_coreml.training.lineage import lineage
from mobie_coreml.training.loop import Report, RunResult, Stage, train
from mobie_coreml.training.model_card import read_training
from mobie_coreml.training.photos import Photos, load_photos
from mobie_coreml.training.processes import main_first
from mobie_coreml.training.run_folder import RUN_FILE, recover_run
from mobie_coreml.training.teacher import TeacherNetwork, TeacherStage, new_teacher

WEIGHTS = f"{STEMS['vae']}.safetensors"


@dataclass(frozen=True)
class Progress:
    """Callbacks of a training; each may stay unset.

    Attributes:
        photos: (files read, files in all).
        summary: One line about the photographs.
        pairs: (crops encoded, crops in all).
        triples: Triples read so far.
        samples: (samples of a teacher made, samples in all).
        step: After every step.
    """

    photos: Callable[[int, int], None] | None = None
    summary: Callable[[str], None] | None = None
    pairs: Callable[[int, int], None] | None = None
    triples: Callable[[int], None] | None = None
    samples: Callable[[int, int], None] | None = None
    step: Report | None = None


def train_autoencoder(
    photos: Path,
    out: Path,
    loop: LoopConfig,
    *,
    photo_config: PhotoConfig | None = None,
    config: AutoencoderTraining | None = None,
    preset: Preset | None = None,
    start: Path | None = None,
    command: str = "",
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Trains the autoencoder of a preset (nano's by default) on a folder of photographs.

    Args:
        photos: Folder of photographs.
        out: Run folder; the trained autoencoder is `out/result`.
        loop: Length, rates, seed.
        photo_config: Which photographs, how crops are drawn.
        config: The stage's options.
        preset: Whose autoencoder.
        start: A run, autoencoder folder or checkpoint whose weights to start from, with a fresh optimiser.
        command: What the result says it was made by.
        resume: Continue the run in `out`.
        force: Replace what is in `out`.
        progress: Callbacks.

    Raises:
        InputError: too few photographs, `out` exists or cannot be resumed, `start` does not fit.
        WorkError: the loss stopped being a number.
    """
    photo_config, config = photo_config or PhotoConfig(), config or AutoencoderTraining()
    progress, preset = progress or Progress(), preset or find_preset("nano")
    with main_first():
        check_start(out, resume=resume, force=force)
    if config.decoder_only and start is None and not resume:
        raise InputError("Training the decoder alone needs a trained encoder.", "Pass --from with an autoencoder.")
    initial = None if start is None else load_autoencoder(autoencoder_folder(start))
    loaded = read_photos(photos, photo_config, config.crop, progress)
    stage = AutoencoderStage(loaded, photo_config, config, preset.autoencoder, loop.seed, preset.frame_size)
    if initial is not None:
        stage.start_from(initial)
    origin = None if start is None else sha256_file(autoencoder_folder(start) / WEIGHTS)
    return _run(stage, loop, out, loaded, command, resume, force, progress, started_from=origin)


def train_teacher(
    photos: Path,
    out: Path,
    autoencoder: Path,
    loop: LoopConfig,
    *,
    photo_config: PhotoConfig | None = None,
    config: TeacherTraining | None = None,
    preset: Preset | None = None,
    tokenizer_dir: Path = VOCABULARY,
    start: Path | None = None,
    command: str = "",
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> RunResult:
    """Trains denoiser and text encoder of a preset (nano's by default); arguments as for `train_autoencoder`.

    Args:
        photos: Folder of photographs.
        out: Run folder; the trained checkpoint is `out/result`.
        autoencoder: A run of `train_autoencoder`, a folder in diffusers layout, or a checkpoint (its `vae` is taken).
        loop: Length, rates, seed.
        photo_config: Which photographs, how crops are drawn.
        config: The stage's options.
        preset: Whose networks.
        tokenizer_dir: Folder with `vocab.json` and `merges.txt`.
        start: A checkpoint whose denoiser and text encoder to start from, with a fresh optimiser.
        command: What the result says it was made by.
        resume: Continue the run in `out`.
        force: Replace what is in `out`.
        progress: Callbacks.

    Raises:
        InputError: as for `train_autoencoder`, or the autoencoder has other latents than the preset.
        WorkError: the loss stopped being a number.
    """
    photo_config, config = photo_config or PhotoConfig(), config or TeacherTraining()
    progress, preset = progress or Progress(), preset or find_preset("nano")
    with main_first():
        check_start(out, resume=resume, force=force)
    folder = autoencoder_folder(autoencoder)
    network = load_autoencoder(folder)
    channels = network.config.latent_channels
    if channels != preset.unet.out_channels:
        raise InputError(
            f"The autoencoder in {folder} has {channels} latent channels, the denoiser {preset.unet.out_channels}.",
            "Train an autoencoder of the same preset.",
        )
    teacher, begun = _teacher(preset, tokenizer_dir, start, loop.seed)
    smallest = min(min(item.size) for item in config.crop_sets)
    loaded = read_photos(photos, photo_config, smallest, progress)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with main_first():
        pairs = load_pairs(out.parent, network, loaded, photo_config, config, loop.seed, progress.pairs)
    info = {
        "autoencoder_sha256": sha256_file(folder / WEIGHTS),
        "started_from": None if begun is None else begun.digest,
    }
    stage = TeacherStage(teacher, pairs, loaded, network, tokenizer_dir, preset, config, loop.seed, info)
    ancestors = [*read_training(folder), *lineage(begun)]
    return _run(stage, loop, out, loaded, command, resume, force, progress, lineage=ancestors)


def _run(
    stage: Stage,
    loop: LoopConfig,
    out: Path,
    photos: Photos,
    command: str,
    resume: bool,
    force: bool,
    progress: Progress,
    **more: Any,
) -> RunResult:
    said = {"command": command, "data_sha256": photos.digest(), "data": photos.summary()}
    provenance = {**said, **{name: value for name, value in more.items() if value}}
    return train(stage, loop, out, resume=resume, force=force, report=progress.step, provenance=provenance)


def autoencoder_folder(path: Path) -> Path:
    """The folder in diffusers layout that a run, a checkpoint or such a folder itself means.

    Raises:
        InputError: there is no autoencoder.
    """
    for folder in (path, path / "result", path / "vae"):
        if (folder / "config.json").is_file() and (folder / WEIGHTS).is_file():
            return folder
    raise InputError(f"There is no autoencoder in {path}.", "Pass a folder that `mobie train autoencoder` wrote.")


def open_checkpoint(path: Path | str) -> Checkpoint:
    """A checkpoint, or the one that a run has written.

    Raises:
        InputError: there is none.
    """
    inside = Path(path) / "result"
    if (Path(path) / RUN_FILE).is_file() and not inside.exists():
        # Killed at the moment of putting a new one in the place of the last.
        inside = next(Path(path).glob(".result-old-*/was"), inside)
    is_run = not (Path(path) / INFO_FILE).is_file() and (inside / INFO_FILE).is_file()
    return load_checkpoint(inside if is_run else path)


def _teacher(
    preset: Preset, tokenizer_dir: Path, start: Path | None, seed: int
) -> tuple[TeacherNetwork, Checkpoint | None]:
    """The network to train and the checkpoint it starts from."""
    tokenizer = CLIPTokenizer(*(tokenizer_dir / name for name in TOKENIZER_FILES))
    if start is None:
        return new_teacher(preset, tokenizer, seed), None
    checkpoint = open_checkpoint(start)
    if checkpoint.networks.unet != preset.unet or checkpoint.tokenizer.vocab != tokenizer.vocab:
        raise InputError(
            f"The checkpoint {start} has another shape or vocabulary than what is trained here.",
            "Start from a checkpoint of the same preset.",
        )
    return TeacherNetwork(checkpoint.unet(), checkpoint.text_encoder()), checkpoint


def read_photos(folder: Path, config: PhotoConfig, min_side: int, progress: Progress) -> Photos:
    """The photographs of a folder, with progress and a summary."""
    loaded = load_photos(folder, config, min_side=min_side, advance=progress.photos)
    if progress.summary is not None:
        progress.summary(loaded.summary())
    return loaded


def check_start(out: Path, *, resume: bool, force: bool) -> None:
    """Refuses before any work is done what the loop would refuse after it."""
    if not resume:
        check_output(out, force=force)
        check_replaceable(out, RUN_FILE)
        return
    recover_run(out)
    if not (out / "state").is_dir():
        raise InputError(f"{out} holds no run to resume.", "Start it without --resume.")


def with_length(loop: LoopConfig, steps: int | None, minutes: float | None) -> LoopConfig:
    """`loop` with another length, where one is given."""
    if steps is None and minutes is None:
        return loop
    return replace(loop, steps=steps, minutes=minutes)
