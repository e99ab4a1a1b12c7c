"""The parts of a manifest that come from the checkpoint, and the texts that packages carry."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Literal, cast

from mobie_coreml import __version__
from mobie_coreml.ane.components import Component
from mobie_coreml.ane.tensors import TensorSpec
from mobie_coreml.convert.features import Metadata
from mobie_coreml.convert.options import DENSE_WEIGHT_BITS, ConvertOptions
from mobie_coreml.convert.weights import WeightRecipe
from mobie_coreml.diffusion.samplers import sampler_steps
from mobie_coreml.files import sha256_file
from mobie_coreml.manifest import content
from mobie_coreml.models.checkpoint import Checkpoint
from mobie_coreml.models.config import POSITIONS

_TEXTS = {
    "TextEncoder": "Turns the tokens of an instruction into text states; runs once a prompt.",
    "Conditioner": "Computes everything in the denoiser that does not depend on the frame, from text states, timestep "
    "and guidance scales; runs when one of them changes.",
    "Encoder": "Turns a camera frame into image latents; runs once a frame.",
    "Denoiser": "Estimates the latents of the edited frame; runs once a frame, step and guidance pass.",
    "Decoder": "Turns latents into the edited frame; runs once a frame.",
}
_TOOLS = ("coremltools", "torch")
_ATTENTIVE = ("TextEncoder", "Denoiser")


def attention_of(component: str, options: ConvertOptions) -> str:
    """Form of a component's attentions, "" where it has none."""
    return options.attention if component in _ATTENTIVE else ""


def weights_of(component: Component, checkpoint: Checkpoint) -> dict[str, str]:
    """Digests of the parts of the checkpoint that a component is made from."""
    parts = [str(component.part), *(["scheduler"] if component.name == "Conditioner" else [])]
    return {part: checkpoint.part_digest(part) for part in parts}


def package_metadata(
    component: Component,
    checkpoint: Checkpoint,
    options: ConvertOptions,
    size: tuple[int, int],
    weights: WeightRecipe | None,
) -> Metadata:
    """What a component's package says about itself; what palettizing makes of its weights is added to it then."""
    provenance = checkpoint.info["provenance"]
    entries = {
        "mobie.component": component.name,
        "mobie.preset": checkpoint.preset,
        "mobie.prediction_type": checkpoint.schedule.prediction_type,
        "mobie.deployment_target": options.target,
        "mobie.weights_sha256": checkpoint.part_digest(component.part),
    }
    if component.name in ("Encoder", "Denoiser", "Decoder"):
        entries["mobie.frame_size"] = f"{size[0]}x{size[1]}"
    if weights is None:
        entries["mobie.weight_bits"] = str(DENSE_WEIGHT_BITS)
    else:
        entries |= {"mobie.recipe": weights.name, "mobie.recipe_sha256": weights.digest}
    if form := attention_of(component.name, options):
        entries["mobie.attention"] = form
    for kind in ("text", "image"):
        scale = checkpoint.info["guidance"][kind]
        entries[f"mobie.{kind}_guidance"] = (
            f"{scale['minimum']:g} to {scale['maximum']:g}, default {scale['default']:g}"
        )
    return Metadata(
        description=_TEXTS[component.name],
        author=str(provenance.get("author") or "Made with mobie"),
        licence=str(checkpoint.info["licence"]),
        version=__version__,
        entries=entries,
    )


def method_of(checkpoint: Checkpoint) -> content.Method:
    """Prediction type, noise schedule and guidance of a checkpoint."""
    schedule, stated = checkpoint.schedule, checkpoint.info["guidance"]

    def scale(kind: str) -> content.ScaleRange:
        return content.ScaleRange(*(float(stated[kind][name]) for name in ("minimum", "maximum", "default")))

    embedded = checkpoint.networks.unet.guidance_embedding
    weight = content.PassWeight
    passes = (
        (content.Pass(True, True, weight(1.0, 0.0, 0.0)),)
        if embedded
        else (
            content.Pass(False, False, weight(1.0, 0.0, -1.0)),
            content.Pass(False, True, weight(0.0, -1.0, 1.0)),
            content.Pass(True, True, weight(0.0, 1.0, 0.0)),
        )
    )
    return content.Method(
        prediction_type=schedule.prediction_type,
        noise_schedule=content.NoiseSchedule(
            "scaled_linear", schedule.beta_start, schedule.beta_end, schedule.num_train_timesteps
        ),
        guidance=content.Guidance("embedded" if embedded else "three-pass", scale("text"), scale("image"), passes),
    )


def schedule_of(checkpoint: Checkpoint) -> content.Schedule:
    """The steps that the checkpoint asks for."""
    sampling = checkpoint.info["sampling"]
    sampler = cast(Literal["euler", "ddim", "lcm"], sampling["method"])
    steps = sampler_steps(checkpoint.schedule, sampler, int(sampling["steps"]))
    return content.Schedule(
        sampler, tuple(content.Step(step.timestep, step.x0, step.latents, step.noise) for step in steps)
    )


def latents_of(checkpoint: Checkpoint, size: tuple[int, int]) -> content.Latents:
    """Shape and scaling of latents for frames of (width, height)."""
    autoencoder = checkpoint.networks.autoencoder
    factor = autoencoder.factor
    shape = (1, autoencoder.latent_channels, size[1] // factor, size[0] // factor)
    return content.Latents(shape, factor, autoencoder.scaling_factor)


def tokenizer_of(checkpoint: Checkpoint, folder: Path) -> content.Tokenizer:
    """The tokenizer whose files lie in `folder`/tokenizer."""
    names = ("tokenizer/merges.txt", "tokenizer/vocab.json")
    files = tuple(file_info(folder, name) for name in names)
    return content.Tokenizer("clip-bpe", POSITIONS, checkpoint.tokenizer.vocab_size, files)


def provenance_of(checkpoint: Checkpoint) -> content.Provenance:
    """Where the model comes from."""
    return content.Provenance(
        checkpoint_sha256=checkpoint.digest,
        preset=checkpoint.preset,
        licence=str(checkpoint.info["licence"]),
        origin=dict(checkpoint.info["provenance"]),
        tools={"mobie": __version__, **{name: metadata.version(name) for name in _TOOLS}},
    )


def tensor_info(spec: TensorSpec) -> content.TensorInfo:
    """A component's tensor in the manifest's words."""
    return content.TensorInfo(
        spec.name, spec.shape, spec.dtype, spec.source, spec.description, spec.minimum, spec.maximum
    )


def file_info(folder: Path, relative: str, digest: str | None = None) -> content.FileInfo:
    """A file of a model folder; `digest` where it is known already."""
    path = folder / relative
    return content.FileInfo(relative, digest or sha256_file(path), path.stat().st_size)
