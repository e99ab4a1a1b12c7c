"""Whole trainings of a teacher: from nothing, or from another teacher of the same or a larger shape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.files import sha256_file
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mobie_coreml.models.checkpoint_files import TOKENIZER_FILES, VOCABULARY, describe
from mobie_coreml.models.config import UNetConfig
from mobie_coreml.models.import_checkpoint import without_top_attention
from mobie_coreml.models.presets import preset as find_preset
from mobie_coreml.models.tokenizer import CLIPTokenizer
from mobie_coreml.training.autoencoder import load_autoencoder
from mobie_coreml.training.config import LOOPS, LoopConfig, TeacherTraining
from mobie_coreml.training.distillation import SAME_TEACHER, Material
from mobie_coreml.training.distillation_runs import Request, run_stage
from mobie_coreml.training.fine_tuning import FineTuningStage, check_parent, with_weights_that_fit
from mobie_coreml.training.lineage import lineage
from mobie_coreml.training.loop import RunResult, Stage
from mobie_coreml.training.model_card import read_training
from mobie_coreml.training.runs import WEIGHTS, autoencoder_folder, open_checkpoint, train_teacher
from mobie_coreml.training.settings import with_settings
from mobie_coreml.training.stage_config import FINE_TUNING, STAGE_LOOPS, FineTuning, family, pair_sets
from mobie_coreml.training.teacher import new_teacher
from mobie_coreml.training.triples import open_triples


@dataclass(frozen=True)
class TeacherRequest(Request):
    """What is asked of a teacher's training.

    Attributes:
        teacher: Checkpoint that the weights are taken from; none, where the training starts from nothing.
        start: Of the same shape as the result: its weights are taken instead, with a fresh optimiser.
        preset: What to make of the teacher, "mobile" of one of "base" by default; nano where there is no teacher.
        autoencoder: A run, an autoencoder's folder or a checkpoint; the teacher's own by default.
        distill: Learn from the teacher's features too.
    """

    teacher: str = ""
    autoencoder: str | None = None
    distill: bool = False


def train_any_teacher(request: TeacherRequest) -> RunResult:
    """Fine-tunes `request.teacher`, or trains nano from nothing: on photographs by `train_teacher`, on triples by the
    stage that fine-tunes.

    Raises:
        InputError: teacher, start, autoencoder, data or options do not fit, `out` exists or cannot be resumed.
        WorkError: the loss stopped being a number.
    """
    if request.teacher:
        return _fine_tune(request, open_checkpoint(request.teacher))
    if request.autoencoder is None:
        raise InputError(
            "A teacher needs an autoencoder, or another teacher to start from.", "Pass --autoencoder or --teacher."
        )
    if request.distill:
        raise InputError("There is no network whose features to learn from.", "Pass --teacher with the unpruned one.")
    if request.preset not in (None, "nano"):
        raise InputError(
            f"A teacher of the preset {request.preset} is not trained from nothing.",
            "Import one with `mobie checkpoint import` and pass it as --teacher.",
        )
    if open_triples(request.data, request.split) is not None:
        seed = request.loop(LOOPS["teacher"]).seed
        with _untrained(Path(request.autoencoder), seed) as fresh:
            return _fine_tune(request, fresh)
    return _on_photographs(request, Path(request.autoencoder))


def _on_photographs(request: TeacherRequest, autoencoder: Path) -> RunResult:
    config = TeacherTraining()
    settings = list(request.settings)
    batch = [setting for setting in settings if setting.startswith("batch=")]
    if batch or request.crops is not None:
        # One size of batch stands for all sizes of crops, as in the stages that follow.
        wanted = with_settings(replace(FINE_TUNING["nano"], batch=config.crop_sets[0].batch), batch)
        sets = pair_sets("nano", find_preset("nano").frame_size, wanted.batch, request.crops)
        config = replace(config, crop_sets=sets.crop_sets)
    config = with_settings(config, [setting for setting in settings if setting not in batch])
    return train_teacher(
        Path(request.data),
        request.out,
        autoencoder,
        request.loop(LOOPS["teacher"]),
        photo_config=request.photo_config,
        config=config,
        start=None if request.start is None else Path(request.start),
        command=request.command,
        resume=request.resume,
        force=request.force,
        progress=request.progress,
    )


def _fine_tune(request: TeacherRequest, teacher: Checkpoint) -> RunResult:
    check_parent(teacher)
    preset, shape = _target(teacher, request.preset)
    start = _start(request, teacher, shape)
    config: FineTuning = with_settings(FINE_TUNING[family(preset)], request.settings)
    if request.distill:
        config = replace(config, distill=True)
    student = with_weights_that_fit(teacher.unet(), shape) if start is None else start.unet()
    autoencoder, digest = _autoencoder(request, teacher)

    def stage(material: Material) -> Stage:
        return FineTuningStage(student, material, config, teacher if config.distill else None)

    usual = STAGE_LOOPS["teacher", family(preset)] if request.teacher else LOOPS["teacher"]

    def loop(_: LoopConfig) -> LoopConfig:
        return request.loop(usual)

    provenance: dict[str, Any] = {}
    if request.autoencoder is not None:
        ancestors = [*read_training(autoencoder_folder(Path(request.autoencoder))), *lineage(teacher, start)]
        provenance = {"autoencoder_sha256": digest, "lineage": ancestors}
    asked = replace(request, loop=loop)
    return run_stage(
        asked,
        "teacher",
        teacher,
        start,
        config,
        stage,
        autoencoder=autoencoder,
        text_encoder=None if start is None else start.text_encoder(),
        preset=preset,
        provenance=provenance,
    )


def _target(teacher: Checkpoint, wanted: str | None) -> tuple[str, UNetConfig]:
    """Preset and shape of what is made of a teacher."""
    shape = teacher.networks.unet
    preset = wanted or ("mobile" if teacher.preset == "base" else teacher.preset)
    if preset == teacher.preset:
        return preset, shape
    if (teacher.preset, preset) != ("base", "mobile"):
        raise InputError(
            f"{teacher.path} is of the preset {teacher.preset}, and {preset} cannot be made of it.",
            "mobile is made of base; otherwise leave --preset out.",
        )
    return preset, without_top_attention(shape)


def _start(request: TeacherRequest, teacher: Checkpoint, shape: UNetConfig) -> Checkpoint | None:
    """The checkpoint of --from, which is further on the way from the teacher to the result."""
    if request.start is None:
        return None
    start = open_checkpoint(request.start)
    same = start.networks.unet == shape and start.networks.text_encoder == teacher.networks.text_encoder
    if not same or start.tokenizer.vocab != teacher.tokenizer.vocab:
        raise InputError(
            f"--from {start.path} (preset {start.preset}) is not of the shape that is made of {teacher.path}.",
            SAME_TEACHER,
        )
    if start.schedule.to_json() != teacher.schedule.to_json():
        raise InputError(f"--from {start.path} has another noise schedule than {teacher.path}.", SAME_TEACHER)
    return start


def _autoencoder(request: TeacherRequest, teacher: Checkpoint) -> tuple[TinyAutoencoder | None, str | None]:
    """The autoencoder to be swapped in and the digest of its weights; none where the teacher's own stays."""
    if request.autoencoder is None:
        return None, None
    folder = autoencoder_folder(Path(request.autoencoder))
    network = load_autoencoder(folder)
    wanted = teacher.networks.autoencoder
    if (network.config.latent_channels, network.config.factor) != (wanted.latent_channels, wanted.factor):
        raise InputError(
            f"The autoencoder in {folder} has {network.config.latent_channels} latent channels at a factor of "
            f"{network.config.factor}, that of the teacher {wanted.latent_channels} at {wanted.factor}.",
            "Pass one of the same latents, such as TAESD for Stable Diffusion's.",
        )
    return network, sha256_file(folder / WEIGHTS)


@contextmanager
def _untrained(autoencoder: Path, seed: int) -> Iterator[Checkpoint]:
    """A nano teacher before its training, for as long as the block runs."""
    preset = find_preset("nano")
    network = load_autoencoder(autoencoder_folder(autoencoder))
    tokenizer = CLIPTokenizer(*(VOCABULARY / name for name in TOKENIZER_FILES))
    teacher = new_teacher(preset, tokenizer, seed)
    with TemporaryDirectory() as folder:
        save_checkpoint(
            Path(folder) / "untrained",
            unet=teacher.unet,
            autoencoder=network,
            text_encoder=teacher.text_encoder,
            tokenizer_dir=VOCABULARY,
            schedule=NoiseSchedule(prediction_type=preset.prediction_type),
            info=describe(
                preset, licence="Apache-2.0", provenance={"kind": "untrained", "seed": seed}, guidance_embedding=False
            ),
            dtype="float32",
        )
        yield load_checkpoint(Path(folder) / "untrained")
