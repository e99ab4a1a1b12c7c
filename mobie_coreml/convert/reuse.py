"""Which components of an earlier conversion are still good, and what that depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

from mobie_coreml.ane.components import Component
from mobie_coreml.convert.features import Metadata
from mobie_coreml.errors import InputError
from mobie_coreml.files import sha256_file
from mobie_coreml.manifest import Manifest, load_manifest
from mobie_coreml.manifest.content import FileInfo

_PACKAGES = (
    "mobie_coreml/ane",
    "mobie_coreml/convert",
    "mobie_coreml/diffusion",
    "mobie_coreml/models",
    "palettization",
)
"""Code that decides what a package contains."""


@cache
def code_digest() -> str:
    """SHA-256 over the source of everything that makes packages, and the versions of torch, which traces modules, and
    numpy, which clusters weights."""
    root = Path(__file__).resolve().parents[2]
    versions = " ".join(metadata.version(name) for name in ("torch", "numpy"))
    digest = hashlib.sha256(versions.encode())
    for package in _PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\0{sha256_file(path)}\n".encode())
    return digest.hexdigest()


def reuse_key(
    component: Component, weights: Mapping[str, str], target: str, attention: str, recipe: str, texts: Metadata
) -> str:
    """Digest of everything that a component's package is made from.

    Args:
        component: With its inputs and outputs, whose shapes the frame size decides.
        weights: Digests of the parts of the checkpoint that it reads.
        target: Deployment target.
        attention: Form of its attentions, "" where it has none.
        recipe: Digest of the recipe that its weights are palettized by, "" where they stay fp16.
        texts: The package's metadata.
    """
    content = {
        "component": component.name,
        "inputs": [dataclasses.asdict(tensor) for tensor in component.inputs],
        "outputs": [dataclasses.asdict(tensor) for tensor in component.outputs],
        "arithmetic": component.compute,
        "weights": dict(weights),
        "target": target,
        "attention": attention,
        "recipe": recipe,
        "texts": dataclasses.asdict(texts),
        "code": code_digest(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def earlier_manifest(folder: Path) -> Manifest | None:
    """The manifest of an earlier conversion, None where there is none that can be used."""
    try:
        return load_manifest(folder)
    except InputError:
        return None


def unchanged(folder: Path, files: tuple[FileInfo, ...]) -> bool:
    """Whether the files of a component are all there with their sizes and digests, and no others."""
    try:
        if any((folder / file.path).stat().st_size != file.bytes for file in files):
            return False
        package = folder / files[0].path.split("/")[0]
        found = {path.relative_to(folder).as_posix() for path in package.rglob("*") if not path.is_dir()}
        return found == {file.path for file in files} and all(
            sha256_file(folder / file.path) == file.sha256 for file in files
        )
    except OSError:
        return False
