"""A whole model folder from a checkpoint: components converted or reused, tokenizer, manifest last."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mobie_coreml.ane.components import Component, build_component
from mobie_coreml.convert import describe
from mobie_coreml.convert.component import convert_component
from mobie_coreml.convert.options import ConvertOptions
from mobie_coreml.convert.reuse import earlier_manifest, reuse_key, unchanged
from mobie_coreml.convert.staging import check_model_output, link_tree, staged_folder
from mobie_coreml.errors import InputError
from mobie_coreml.manifest import Manifest, save_manifest
from mobie_coreml.manifest.content import (
    COMPONENT_NAMES,
    DEFAULT_EDIT_GATE,
    DEFAULT_GATE,
    MACOS_ONLY_BITS,
    MACOS_ONLY_BYTES,
    ComponentInfo,
    Frame,
    Gates,
    Noise,
)
from mobie_coreml.models.checkpoint import Checkpoint
from palettization.package import WrittenPackage
from palettization.package.digests import combined_digest

Report = Callable[[str, int, int], None]
"""Called with a component's name, bytes of weights written and in all; (name, 0, 0) when it starts."""

_WEIGHT_BITS = 16


@dataclass(frozen=True)
class Conversion:
    """What `convert_model` did.

    Attributes:
        folder: The model folder.
        manifest: Its manifest.
        converted: Components that were made now.
        reused: Components that an earlier conversion had made from the same.
    """

    folder: Path
    manifest: Manifest
    converted: tuple[str, ...]
    reused: tuple[str, ...]


def convert_model(
    checkpoint: Checkpoint, out: Path, options: ConvertOptions | None = None, *, report: Report | None = None
) -> Conversion:
    """Converts a checkpoint into a model folder, whole or not at all.

    A model folder that exists at `out` is updated: components made from the same weights, options and code are reused
    (their files shared, not copied, where the file system can), others are converted, and those that
    `options.components` leaves out are kept if they belong to the same checkpoint and frame size. It is replaced in one
    rename after everything is written; until then, and after any failure or interruption, it stays as it was.

    Args:
        checkpoint: What to convert.
        out: The model folder.
        options: See `ConvertOptions`.
        report: Told about progress.

    Raises:
        InputError: `out` is something else than a model folder, the frame size is not one that the networks take, or
            weights do not fit.
        WorkError: a module cannot be converted, or the folder cannot be written.
        PackageError: a package cannot be written.
    """
    options = options or ConvertOptions()
    check_model_output(out)
    size = options.size or checkpoint.frame_size
    # Building is cheap without weights, and refuses sizes before anything is written.
    asked = {
        name: build_component(name, checkpoint, size=size, attention=options.attention, materialise=False)
        for name in COMPONENT_NAMES
        if name in options.components
    }
    base = _base(checkpoint, size)
    earlier = earlier_manifest(out)
    kept = _kept(earlier, base, asked) if earlier else {}
    converted: list[str] = []
    reused: list[str] = []
    with staged_folder(out) as staging:
        components: dict[str, ComponentInfo] = {}
        for name in COMPONENT_NAMES:
            before = earlier.components.get(name) if earlier else None
            if name in asked:
                key = _key(asked[name], checkpoint, options, size)
                if before and before.reuse_key == key and not options.force and unchanged(out, before.files):
                    link_tree(out / before.file, staging / before.file)
                    components[name] = replace(before, compute_units=options.units_of(name))
                    reused.append(name)
                    continue
                components[name] = _convert(asked[name], checkpoint, options, size, key, staging, report)
                converted.append(name)
            elif name in kept:
                link_tree(out / kept[name].file, staging / kept[name].file)
                components[name] = kept[name]
        manifest = _finish(base, components, checkpoint, staging)
    return Conversion(out, manifest, tuple(converted), tuple(reused))


def _base(checkpoint: Checkpoint, size: tuple[int, int]) -> dict[str, Any]:
    """The parts of the manifest that do not depend on what is written."""
    return {
        "method": describe.method_of(checkpoint),
        "frame": Frame(*size),
        "latents": describe.latents_of(checkpoint, size),
        "noise": Noise(),
        "schedule": describe.schedule_of(checkpoint),
        "provenance": describe.provenance_of(checkpoint),
    }


def _kept(earlier: Manifest, base: Mapping[str, Any], asked: Mapping[str, Component]) -> dict[str, ComponentInfo]:
    """Components of the earlier folder that this conversion does not make.

    Raises:
        InputError: they come from another checkpoint or frame size.
    """
    others = {name: component for name, component in earlier.components.items() if name not in asked}
    same_weights = earlier.provenance.checkpoint_sha256 == base["provenance"].checkpoint_sha256
    if others and not (same_weights and earlier.frame == base["frame"]):
        was = "another checkpoint" if not same_weights else f"{earlier.frame.width}x{earlier.frame.height} frames"
        raise InputError(
            f"The folder has {', '.join(others)} for {was}, which would not fit the components asked for.",
            "Convert all components, or into another folder.",
        )
    return others


def _key(component: Component, checkpoint: Checkpoint, options: ConvertOptions, size: tuple[int, int]) -> str:
    texts = describe.package_metadata(component, checkpoint, options, size)
    attention = describe.attention_of(component.name, options)
    return reuse_key(component, describe.weights_of(component, checkpoint), options.target, attention, texts)


def _convert(
    component: Component,
    checkpoint: Checkpoint,
    options: ConvertOptions,
    size: tuple[int, int],
    key: str,
    staging: Path,
    report: Report | None,
) -> ComponentInfo:
    name = component.name
    if report:
        report(name, 0, 0)
    written = convert_component(
        component,
        staging / f"{name}.mlpackage",
        options.target,
        metadata=describe.package_metadata(component, checkpoint, options, size),
        progress=(lambda done, total: report(name, done, total)) if report else None,
    )
    return _component_info(component, written, options, key)


def _component_info(component: Component, written: WrittenPackage, options: ConvertOptions, key: str) -> ComponentInfo:
    file = written.path.name
    files = tuple(
        describe.file_info(written.path.parent, f"{file}/{relative}", digest)
        for relative, digest in written.digests.items()
    )
    weight_bytes = sum(item.bytes for item in files if item.path.endswith("/weight.bin"))
    too_large = weight_bytes > MACOS_ONLY_BYTES and _WEIGHT_BITS > MACOS_ONLY_BITS
    return ComponentInfo(
        file=file,
        form="package",
        sha256=combined_digest(written.digests),
        files=files,
        inputs=tuple(describe.tensor_info(spec) for spec in component.inputs),
        outputs=tuple(describe.tensor_info(spec) for spec in component.outputs),
        compute_units=options.units_of(component.name),
        arithmetic=component.compute,
        attention=describe.attention_of(component.name, options),
        weight_bits=_WEIGHT_BITS,
        weight_bytes=weight_bytes,
        deployment_target=options.target,
        macos_only=component.name == "Denoiser" and too_large,
        reuse_key=key,
    )


def _finish(
    base: Mapping[str, Any], components: dict[str, ComponentInfo], checkpoint: Checkpoint, staging: Path
) -> Manifest:
    """Adds the tokenizer and, last, the manifest."""
    (staging / "tokenizer").mkdir()
    for source, name in zip(checkpoint.tokenizer_files, ("vocab.json", "merges.txt"), strict=True):
        shutil.copyfile(source, staging / "tokenizer" / name)
    manifest = Manifest(
        **base,
        components=components,
        tokenizer=describe.tokenizer_of(checkpoint, staging),
        gates=Gates(dict.fromkeys(components, DEFAULT_GATE), DEFAULT_EDIT_GATE),
    )
    save_manifest(manifest, staging)
    return manifest
