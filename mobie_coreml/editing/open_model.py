"""Opens what a user names as MODEL: a converted model folder, or a checkpoint that PyTorch runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mobie_coreml.diffusion.guidance import GuidancePass, GuidanceRange, guidance_passes
from mobie_coreml.diffusion.samplers import SamplerMethod, SamplerStep, sampler_steps
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.editing.backend import RunnerBackend
from mobie_coreml.editing.editor import Editor
from mobie_coreml.editing.method import EditMethod, one_pass
from mobie_coreml.errors import InputError
from mobie_coreml.manifest.content import FILE_NAME, Manifest
from mobie_coreml.manifest.folder import ModelFolder

if TYPE_CHECKING:
    from mobie_coreml.models.checkpoint import Checkpoint

RUNTIMES = ("coreml", "mil", "torch")
_SCALE_KEYS = ("minimum", "maximum", "default")


def open_editor(
    model: str, *, runtime: str | None = None, precision: str = "fp32", checkpoint: str | None = None
) -> Editor:
    """Opens a model for editing; components are loaded when they are first needed.

    Args:
        model: A model folder, a checkpoint folder, or "nano" for the checkpoint inside the package.
        runtime: "coreml" (macOS) or "mil" (anywhere) run a model folder's packages, "torch" runs a checkpoint. By
            default Core ML on macOS and mil elsewhere; torch for checkpoints.
        precision: "fp32" or "fp16" arithmetic of the mil runtime.
        checkpoint: With "torch" and a model folder: the checkpoint that the folder was converted from. The folder still
            says frame size and schedule.

    Raises:
        InputError: there is no such model, or it cannot run that way.
    """
    if runtime is not None and runtime not in RUNTIMES:
        raise InputError(f"--runtime {runtime} is unknown.", f"Choose one of {', '.join(RUNTIMES)}.")
    folder = Path(model)
    if (folder / FILE_NAME).is_file():
        return _open_folder(ModelFolder.open(folder), runtime, precision, checkpoint)
    from mobie_coreml.models.checkpoint import EMBEDDED, load_checkpoint
    from mobie_coreml.models.checkpoint_files import INFO_FILE

    if not (folder / INFO_FILE).is_file() and (model != EMBEDDED or folder.exists()):
        state = f"holds neither {FILE_NAME} nor {INFO_FILE}" if folder.exists() else "does not exist"
        raise InputError(f"The model {model} {state}.", "Make one with `mobie convert CHECKPOINT OUT`.")
    if runtime not in (None, "torch"):
        raise InputError(
            f"{model} is a checkpoint, which --runtime {runtime} cannot run.",
            "Convert it with `mobie convert`, or pass --runtime torch.",
        )
    if checkpoint is not None:
        raise InputError(f"{model} is a checkpoint already.", "Leave --checkpoint out.")
    _refuse_fp16(precision)
    opened = load_checkpoint(model)
    return _checkpoint_editor(opened, checkpoint_method(opened))


def package_runtime() -> str:
    """The runtime of packages unless asked otherwise: "coreml" on macOS, "mil" elsewhere."""
    return "coreml" if sys.platform == "darwin" else "mil"


def manifest_method(manifest: Manifest) -> EditMethod:
    """How a converted model edits a frame, as its manifest says."""
    noise, guidance = manifest.method.noise_schedule, manifest.method.guidance

    def passes(text: float, image: float) -> tuple[GuidancePass, ...]:
        weighted = [GuidancePass(one.text, one.image, one.weight.value(text, image)) for one in guidance.passes]
        return tuple(one for one in weighted if one.weight)

    text, image = (
        GuidanceRange(scale.minimum, scale.maximum, scale.default) for scale in (guidance.text, guidance.image)
    )
    return EditMethod(
        frame_size=manifest.frame_size,
        latent_shape=manifest.latents.shape,
        guidance_inputs=guidance.kind == "embedded",
        passes=passes,
        text_guidance=text,
        image_guidance=image,
        steps=tuple(SamplerStep(one.timestep, one.x0, one.latents, one.noise) for one in manifest.schedule.steps),
        schedule=NoiseSchedule(
            noise.beta_start, noise.beta_end, noise.train_timesteps, manifest.method.prediction_type
        ),
        sampler=manifest.schedule.sampler,
        noise_stream=manifest.noise.stream,
        frame_stride=manifest.noise.frame_stride,
    )


def checkpoint_method(checkpoint: Checkpoint) -> EditMethod:
    """How a checkpoint edits a frame of its own size, as its `mobie_checkpoint.json` says.

    Raises:
        InputError: its sampler is not known.
    """
    networks, info = checkpoint.networks, checkpoint.info
    width, height = checkpoint.frame_size
    factor = networks.autoencoder.factor
    sampler = cast(SamplerMethod, info["sampling"]["method"])
    embedded = networks.unet.guidance_embedding
    text, image = (
        GuidanceRange(*(float(info["guidance"][kind][key]) for key in _SCALE_KEYS)) for kind in ("text", "image")
    )
    return EditMethod(
        frame_size=(width, height),
        latent_shape=(1, networks.autoencoder.latent_channels, height // factor, width // factor),
        guidance_inputs=embedded,
        passes=one_pass if embedded else lambda text, image: tuple(guidance_passes(text, image)),
        text_guidance=text,
        image_guidance=image,
        steps=tuple(sampler_steps(checkpoint.schedule, sampler, int(info["sampling"]["steps"]))),
        schedule=checkpoint.schedule,
        sampler=sampler,
    )


def _open_folder(folder: ModelFolder, runtime: str | None, precision: str, checkpoint: str | None) -> Editor:
    method = manifest_method(folder.manifest)
    if runtime == "torch":
        if checkpoint is None:
            raise InputError(
                "--runtime torch runs a checkpoint, and a model folder does not hold one.",
                "Name it with --checkpoint, or give the checkpoint as MODEL.",
            )
        _refuse_fp16(precision)
        from mobie_coreml.models.checkpoint import load_checkpoint

        opened = load_checkpoint(checkpoint)
        if opened.digest != folder.manifest.provenance.checkpoint_sha256:
            raise InputError(
                f"{folder.path} was not converted from {checkpoint}.", "Name the checkpoint that it was converted from."
            )
        return _checkpoint_editor(opened, method)
    if checkpoint is not None:
        raise InputError("--checkpoint is for --runtime torch only.", "Leave it out, or pass --runtime torch.")
    folder.require_all()
    from mobie_coreml.models.tokenizer import CLIPTokenizer
    from mobie_coreml.runtime.base import open_runner

    tokenizer = CLIPTokenizer(folder.vocabulary, folder.merges)
    chosen = runtime or package_runtime()

    def open_component(name: str) -> Any:
        return open_runner(folder.package_path(name), chosen, precision)

    return Editor(RunnerBackend(open_component), method, lambda prompt: tokenizer.encode(prompt).ids)


def _refuse_fp16(precision: str) -> None:
    if precision != "fp32":
        raise InputError(
            f"PyTorch runs checkpoints in fp32, not in {precision}.",
            "Leave --precision out, or convert the checkpoint.",
        )


def _checkpoint_editor(checkpoint: Checkpoint, method: EditMethod) -> Editor:
    """An editor whose components PyTorch runs in fp32."""
    from mobie_coreml.ane.components import build_component
    from mobie_coreml.runtime.torch_runner import TorchRunner

    def open_component(name: str) -> Any:
        return TorchRunner(build_component(name, checkpoint, size=method.frame_size, attention="original"))

    return Editor(RunnerBackend(open_component), method, lambda prompt: checkpoint.tokenizer.encode(prompt).ids)
