"""A whole model folder from a checkpoint: components converted or reused, tokenizer, manifest last."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mobie_coreml.ane.components import Component, build_component
from mobie_coreml.convert import describe
from mobie_coreml.convert.component import ComponentPackage, convert_component
from mobie_coreml.convert.features import Metadata
from mobie_coreml.convert.options import DENSE_WEIGHT_BITS, ConvertOptions
from mobie_coreml.convert.reuse import earlier_manifest, reuse_key, unchanged
from mobie_coreml.convert.staging import check_model_output, link_tree, staged_folder
from mobie_coreml.convert.weights import WeightRecipe, palettes_of, weight_recipes
from mobie_coreml.errors import InputError
from mobie_coreml.manifest import Manifest, save_manifest
from mobie_coreml.manifest.content import (
    COMPONENT_NAMES,
    MACOS_ONLY_BITS,
    MACOS_ONLY_BYTES,
    ComponentInfo,
    Frame,
    Noise,
)
from mobie_coreml.manifest.gates import default_gates
from mobie_coreml.manifest.weights import stored_bits
from mobie_coreml.models.checkpoint import Checkpoint
from palettization.package import Package
from palettization.package.digests import combined_digest

Report = Callable[[str, int, int], None]
"""Called with a component's name, how much of its weights is done and how much there is; (name, 0, 0) at its start."""


@dataclass(frozen=True)
class Conversion:
    """What `convert_model` did.

    Attributes:
        folder: The model folder.
        manifest: Its manifest.
        converted: Components that were made now.
        reused: Components that an earlier conversion had made from the same.
        warnings: What the user should know of the components made now.
    """

    folder: Path
    manifest: Manifest
    converted: tuple[str, ...]
    reused: tuple[str, ...]
    warnings: tuple[str, ...] = ()


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
        InputError: `out` is something else than a model folder, the frame size is not one that the networks take,
            weights do not fit, or the target does not have what the recipe wants.
        WorkError: a module cannot be converted, or the folder cannot be written.
        PackageError: a package cannot be written, or the recipe cannot be read or does not fit.
    """
    options = options or ConvertOptions()
    check_model_output(out)
    recipes = weight_recipes(options)
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
    warnings: dict[str, None] = {}
    with staged_folder(out) as staging:
        components: dict[str, ComponentInfo] = {}
        for name in COMPONENT_NAMES:
            before = earlier.components.get(name) if earlier else None
            if name in asked:
                job = _Job(asked[name], checkpoint, options, size, recipes[name])
                key = job.key
                if before and before.reuse_key == key and not options.force and unchanged(out, before.files):
                    link_tree(out / before.file, staging / before.file)
                    components[name] = replace(before, compute_units=options.units_of(name))
                    reused.append(name)
                    continue
                components[name] = job.info(written := job.convert(staging, report))
                warnings |= dict.fromkeys(written.palettes.warnings if written.palettes else ())
                converted.append(name)
            elif name in kept:
                link_tree(out / kept[name].file, staging / kept[name].file)
                components[name] = kept[name]
        manifest = _finish(base, components, checkpoint, staging)
    return Conversion(out, manifest, tuple(converted), tuple(reused), tuple(warnings))


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


@dataclass(frozen=True)
class _Job:
    """One component to convert."""

    component: Component
    checkpoint: Checkpoint
    options: ConvertOptions
    size: tuple[int, int]
    weights: WeightRecipe | None

    @property
    def texts(self) -> Metadata:
        """What the package says about itself."""
        return describe.package_metadata(self.component, self.checkpoint, self.options, self.size, self.weights)

    @property
    def key(self) -> str:
        """Digest of everything that the package is made from."""
        return reuse_key(
            self.component,
            describe.weights_of(self.component, self.checkpoint),
            self.options.target,
            describe.attention_of(self.component.name, self.options),
            self.weights.digest if self.weights else "",
            self.texts,
        )

    def convert(self, folder: Path, report: Report | None) -> ComponentPackage:
        """Writes the package into `folder`."""
        name = self.component.name
        if report:
            report(name, 0, 0)
        return convert_component(
            self.component,
            folder / f"{name}.mlpackage",
            self.options.target,
            metadata=self.texts,
            recipe=self.weights.recipe if self.weights else None,
            progress=(lambda done, total: report(name, done, total)) if report else None,
        )

    def info(self, written: ComponentPackage) -> ComponentInfo:
        """What the manifest says of the package."""
        file, component = written.path.name, self.component
        files = tuple(
            describe.file_info(written.path.parent, f"{file}/{relative}", digest)
            for relative, digest in written.digests.items()
        )
        weight_bytes = sum(item.bytes for item in files if item.path.endswith("/weight.bin"))
        with Package.open(written.path) as package:
            weight_bits = round(stored_bits(package), 4) or float(DENSE_WEIGHT_BITS)
        too_large = weight_bytes > MACOS_ONLY_BYTES and weight_bits > MACOS_ONLY_BITS
        return ComponentInfo(
            file=file,
            form="package",
            sha256=combined_digest(written.digests),
            files=files,
            inputs=tuple(describe.tensor_info(spec) for spec in component.inputs),
            outputs=tuple(describe.tensor_info(spec) for spec in component.outputs),
            compute_units=self.options.units_of(component.name),
            arithmetic=component.compute,
            attention=describe.attention_of(component.name, self.options),
            weight_bits=weight_bits,
            weight_bytes=weight_bytes,
            deployment_target=self.options.target,
            macos_only=component.name == "Denoiser" and too_large,
            reuse_key=self.key,
            palettes=palettes_of(self.weights, written.palettes) if self.weights and written.palettes else None,
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
        gates=default_gates(components),
    )
    save_manifest(manifest, staging)
    return manifest
