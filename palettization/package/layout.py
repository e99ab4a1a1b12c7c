"""Where things are inside a package folder, trusting no name in it.

Manifest.json                         items with paths below Data/, and which of them is the model
Data/com.apple.CoreML/model.mlmodel   the specification
Data/com.apple.CoreML/weights/        weight files, named "@model_path/weights/..." inside the specification
"""

from __future__ import annotations

import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palettization.package.errors import BlobError, PackageLayoutError, UnsafePathError

MANIFEST = "Manifest.json"
DATA = "Data"
AUTHOR = "com.apple.CoreML"
MODEL_PATH = "@model_path"
_MANIFEST_LIMIT = 1 << 20
_EXPECTED = "Pass an .mlpackage folder of an ML Program (coremltools: convert_to='mlprogram')."


@dataclass(frozen=True)
class Layout:
    """A package on disk.

    Attributes:
        root: The .mlpackage folder, or the file's folder for a plain .mlmodel.
        model: The specification file.
        weights_root: The folder that "@model_path" stands for.
        plain: Whether this is a plain .mlmodel file, which has no weight files.
    """

    root: Path
    model: Path
    weights_root: Path
    plain: bool = False

    def weight_file(self, name: str) -> Path:
        """The file that `blobFileValue.fileName` names.

        Raises:
            UnsafePathError: the name leads out of the package.
            BlobError: there is no such file.
        """
        if self.plain:
            raise BlobError(f"{self.model} names the weight file {name!r}, but a plain .mlmodel has none.", _EXPECTED)
        prefix, _, relative = name.partition("/")
        if prefix != MODEL_PATH or not relative:
            raise UnsafePathError(f"{self.model} names the weight file {name!r}, which is not below {MODEL_PATH}/.")
        path = inside(self.weights_root, relative, self.root)
        if not path.is_file():
            raise BlobError(f"{self.root} has no weight file {relative}.", "Copy or convert the package again.")
        return path


def find_layout(path: Path) -> Layout:
    """Finds the specification of the package at `path`.

    Raises:
        PackageLayoutError: nothing there, a compiled model, not a package, or a manifest that does not name a model.
        UnsafePathError: a name in the manifest leads out of the package.
    """
    if not path.exists():
        raise PackageLayoutError(f"{path} does not exist.", _EXPECTED)
    if path.is_file():
        if path.suffix == ".mlmodel":
            return Layout(path.parent, path, path.parent, plain=True)
        raise PackageLayoutError(f"{path} is a file, not an .mlpackage folder.", _EXPECTED)
    if not path.is_dir():
        raise PackageLayoutError(f"{path} is neither a folder nor a file.", _EXPECTED)
    if path.suffix == ".mlmodelc" or (path / "coremldata.bin").exists():
        raise PackageLayoutError(
            f"{path} is a compiled model; its program cannot be read back.", "Pass the .mlpackage it was compiled from."
        )
    manifest = path / MANIFEST
    if not manifest.is_file():
        raise PackageLayoutError(f"{path} has no {MANIFEST}, so it is not an .mlpackage.", _EXPECTED)
    model = inside(path / DATA, _root_item_path(manifest), path)
    if not model.is_file():
        raise PackageLayoutError(
            f"{path} has no specification at {model.relative_to(path)}.", "Copy or convert it again."
        )
    return Layout(path, model, model.parent)


def _root_item_path(manifest: Path) -> str:
    """The path of the root item, as the manifest gives it."""
    entry = read_manifest(manifest)
    root = entry.get("rootModelIdentifier")
    items = entry.get("itemInfoEntries")
    if not isinstance(root, str) or not isinstance(items, dict) or not isinstance(items.get(root), dict):
        raise PackageLayoutError(
            f"{manifest} does not say which item is the model.", "Copy or convert the package again."
        )
    item = items[root].get("path")
    if not isinstance(item, str):
        raise PackageLayoutError(f"{manifest} gives the model no path.", "Copy or convert the package again.")
    return item


def read_manifest(manifest: Path) -> dict[str, Any]:
    """A package's Manifest.json.

    Raises:
        PackageLayoutError: not a JSON object, or larger than a manifest can sensibly be.
    """
    hint = "Copy or convert the package again."
    try:
        if manifest.stat().st_size > _MANIFEST_LIMIT:
            raise PackageLayoutError(f"{manifest} is larger than {_MANIFEST_LIMIT} bytes.", hint)
        value = json.loads(manifest.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise PackageLayoutError(f"{manifest} is not readable JSON: {error}.", hint) from error
    if not isinstance(value, dict):
        raise PackageLayoutError(f"{manifest} is not a JSON object.", hint)
    return value


def inside(folder: Path, relative: str, root: Path) -> Path:
    """`folder / relative`, refused unless it stays inside `root` after following links.

    Raises:
        UnsafePathError: absolute, with '..', or through a link that leaves `root`.
    """
    parts = relative.replace("\\", "/").split("/")
    if not relative or "\0" in relative or any(part in ("", "..", ".") for part in parts) or ":" in parts[0]:
        raise UnsafePathError(f"{root} names {relative!r}, which is not a plain path inside the package.")
    path = folder.joinpath(*parts)
    try:
        resolved, base = path.resolve(), root.resolve()
        special = path.exists() and not (stat.S_ISREG(mode := path.stat().st_mode) or stat.S_ISDIR(mode))
    except (OSError, RuntimeError) as error:
        raise UnsafePathError(f"{root} names {relative!r}, which cannot be followed: {error}.") from error
    if not resolved.is_relative_to(base):
        raise UnsafePathError(
            f"{root} names {relative!r}, a link to {resolved} outside the package.",
            "Copy the package with links followed: cp -RL.",
        )
    if special:
        raise UnsafePathError(f"{root} names {relative!r}, which is not a regular file.")
    return path
