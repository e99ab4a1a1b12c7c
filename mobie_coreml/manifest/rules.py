"""What a manifest must say beyond its form: fields that speak of the same thing agree."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from mobie_coreml.manifest.content import (
    MACOS_ONLY_BITS,
    MACOS_ONLY_BYTES,
    ComponentInfo,
    FileInfo,
    Manifest,
    ScaleRange,
    TensorInfo,
)

_TOKENIZER_FILES = ("tokenizer/merges.txt", "tokenizer/vocab.json")
_LATENTS = ("image_latents", "noisy_latents", "denoised_latents")
_DENSE_BITS = 16
_SUFFIXES = {"package": ".mlpackage", "compiled": ".mlmodelc"}


def check_consistency(manifest: Manifest) -> str:
    """The first contradiction, as "field: what is wrong", or "" where there is none."""
    return next(_problems(manifest), "")


def _problems(manifest: Manifest) -> Iterator[str]:
    yield from _method(manifest)
    yield from _sizes(manifest)
    yield from _schedule(manifest)
    for name, component in manifest.components.items():
        yield from _component(f"components.{name}", name, component)
    yield from _flow(manifest)
    found = sorted(file.path for file in manifest.tokenizer.files)
    if found != list(_TOKENIZER_FILES):
        yield f"tokenizer.files: {', '.join(found)} instead of {', '.join(_TOKENIZER_FILES)}."
    yield from _paths(manifest)
    yield from _gates(manifest)


def _method(manifest: Manifest) -> Iterator[str]:
    schedule, guidance = manifest.method.noise_schedule, manifest.method.guidance
    if schedule.beta_start > schedule.beta_end:
        yield "method.noise_schedule.beta_start: larger than beta_end."
    for name, scale in (("text", guidance.text), ("image", guidance.image)):
        if not scale.minimum <= scale.default <= scale.maximum:
            yield f"method.guidance.{name}: the default {scale.default:g} is outside {_span(scale)}."
    if guidance.kind == "embedded" and len(guidance.passes) != 1:
        yield f"method.guidance.passes: {len(guidance.passes)} passes where guidance is embedded."
    sums = [math.fsum(getattr(one.weight, term) for one in guidance.passes) for term in ("constant", "text", "image")]
    if any(abs(total - wanted) > 1e-9 for total, wanted in zip(sums, (1, 0, 0), strict=True)):
        yield "method.guidance.passes: the weights do not sum to 1."


def _span(scale: ScaleRange) -> str:
    return f"{scale.minimum:g} to {scale.maximum:g}"


def _sizes(manifest: Manifest) -> Iterator[str]:
    frame, latents = manifest.frame, manifest.latents
    batch, _, height, width = latents.shape
    if batch != 1:
        yield f"latents.shape: a batch of {batch}."
    factor = latents.pixels_per_latent
    if (width * factor, height * factor) != (frame.width, frame.height):
        yield (
            f"latents.shape: {width}x{height} latents of {factor} pixels are not "
            f"a frame of {frame.width}x{frame.height}."
        )


def _schedule(manifest: Manifest) -> Iterator[str]:
    steps, total = manifest.schedule.steps, manifest.method.noise_schedule.train_timesteps
    previous = total
    for index, step in enumerate(steps):
        if step.timestep >= previous:
            bound = f"below {previous}" if index == 0 else f"below the step before ({previous})"
            yield f"schedule.steps[{index}].timestep: {step.timestep} is not {bound}."
        previous = step.timestep


def _component(field: str, name: str, component: ComponentInfo) -> Iterator[str]:
    wanted = name + _SUFFIXES[component.form]
    if component.file != wanted:
        yield f"{field}.file: {component.file} instead of {wanted}."
    for index, file in enumerate(component.files):
        if not file.path.startswith(f"{wanted}/"):
            yield f"{field}.files[{index}].path: {file.path} is not in {wanted}."
    for kind, tensors in (("inputs", component.inputs), ("outputs", component.outputs)):
        names = [tensor.name for tensor in tensors]
        if len(set(names)) != len(names):
            yield f"{field}.{kind}: a name appears twice."
        for index, tensor in enumerate(tensors):
            yield from _tensor(f"{field}.{kind}[{index}]", tensor, is_input=kind == "inputs")
    too_large = component.weight_bits > MACOS_ONLY_BITS and component.weight_bytes > MACOS_ONLY_BYTES
    if name == "Denoiser" and too_large and not component.macos_only:
        yield f"{field}.macos_only: false for {component.weight_bytes} bytes of {component.weight_bits:g}-bit weights."

    if component.palettes is None and component.weight_bits < _DENSE_BITS:
        yield f"{field}.weight_bits: {component.weight_bits:g} without palettes."


def _gates(manifest: Manifest) -> Iterator[str]:
    absent = manifest.gates.components.keys() ^ manifest.components.keys()
    if absent:
        yield f"gates.components: {', '.join(sorted(absent))} in one of gates and components only."
        return
    for name, component in manifest.components.items():
        gated = manifest.gates.components[name].palettized is not None
        if gated is not (component.palettes is not None):
            yield f"gates.components.{name}.palettized: {'no palettes' if gated else 'none, but palettes'} there."
    palettized = any(component.palettes for component in manifest.components.values())
    if (manifest.gates.edit.palettized is not None) is not palettized:
        yield f"gates.edit.palettized: {'none, but palettes' if palettized else 'no palettes'} in the components."


def _tensor(field: str, tensor: TensorInfo, *, is_input: bool) -> Iterator[str]:
    if bool(tensor.source) is not is_input:
        yield f"{field}.source: {tensor.source!r} for an {'input' if is_input else 'output'}."
    if tensor.minimum is not None and tensor.maximum is not None and tensor.minimum > tensor.maximum:
        yield f"{field}.minimum: larger than the maximum."
    if tensor.dtype == "image" and (len(tensor.shape) != 4 or tensor.shape[:2] != (1, 3)):
        yield f"{field}.shape: {list(tensor.shape)} is not an RGB image (1, 3, height, width)."


def _flow(manifest: Manifest) -> Iterator[str]:
    """Tensors that go from one component to another, or come from the frame, have one shape."""
    frame = (1, 3, manifest.frame.height, manifest.frame.width)
    made = {
        tensor.name: (name, tensor)
        for name, component in manifest.components.items()
        for tensor in component.outputs
        if tensor.name not in _LATENTS
    }
    for name, component in manifest.components.items():
        for kind, tensors in (("inputs", component.inputs), ("outputs", component.outputs)):
            for index, tensor in enumerate(tensors):
                field = f"components.{name}.{kind}[{index}].shape"
                if tensor.dtype == "image" and tensor.shape != frame:
                    yield f"{field}: {list(tensor.shape)} is not the frame's {list(frame)}."
                if tensor.name in _LATENTS and tensor.shape != manifest.latents.shape:
                    yield f"{field}: {list(tensor.shape)} is not the latents' {list(manifest.latents.shape)}."
                maker, source = made.get(tensor.name, (name, tensor))
                if (source.shape, source.dtype) != (tensor.shape, tensor.dtype):
                    yield f"{field}: {list(tensor.shape)} {tensor.dtype} is not what {maker} makes."
    embedded = manifest.method.guidance.kind == "embedded"
    conditioner = manifest.components.get("Conditioner")
    if conditioner and embedded is not any(tensor.source == "guidance" for tensor in conditioner.inputs):
        kind = manifest.method.guidance.kind
        yield f"method.guidance.kind: {kind}, which is not what the Conditioner's inputs say."


def _paths(manifest: Manifest) -> Iterator[str]:
    seen: set[str] = set()
    for field, files in all_files(manifest):
        for index, file in enumerate(files):
            where = f"{field}[{index}].path"
            if not is_safe(file.path):
                yield f"{where}: {file.path!r} leads out of the folder or is not portable."
            # Some file systems take names that differ in case alone for the same.
            if file.path.casefold() in seen:
                yield f"{where}: {file.path} appears twice."
            seen.add(file.path.casefold())


def all_files(manifest: Manifest) -> Iterable[tuple[str, tuple[FileInfo, ...]]]:
    """Every list of files and the field that it is in."""
    for name, component in manifest.components.items():
        yield f"components.{name}.files", component.files
    yield "tokenizer.files", manifest.tokenizer.files


def is_safe(path: str) -> bool:
    """Whether a relative path stays inside its folder on every system."""
    parts = path.split("/")
    return (
        path.isprintable()
        and not any(character in path for character in '\\:*?"<>|')
        and all(part not in ("", ".", "..") for part in parts)
    )
