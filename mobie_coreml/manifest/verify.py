"""Whether a model folder is whole: every file there, unchanged, and what the manifest says it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobie_coreml.files import sha256_file
from mobie_coreml.manifest.content import FILE_NAME, ComponentInfo, FileInfo, Manifest, TensorInfo
from mobie_coreml.manifest.read import ManifestError, load_manifest
from mobie_coreml.manifest.rules import all_files
from mobie_coreml.manifest.weights import palettized_weights, stored_bits

if TYPE_CHECKING:
    from palettization.package import Package

_IGNORED = {".DS_Store"}
"""Files that macOS puts into folders by itself."""

_BITS_TOLERANCE = 1e-3
_SPECIFICATION = {"iOS17": 8, "iOS18": 9}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the field of the manifest or file it concerns, and what."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True)
class Verification:
    """The result of verifying a folder.

    Attributes:
        folder: What was verified.
        problems: Everything found; empty when the folder is whole.
        components: Names of the components it has.
        files: Number of files checked.
        bytes: Their size.
    """

    folder: Path
    problems: tuple[Problem, ...]
    components: tuple[str, ...] = ()
    files: int = 0
    bytes: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify_model(folder: Path) -> Verification:
    """Checks a model folder against its manifest.

    Every file's presence, size and SHA-256, that there are no others, inputs and outputs of every package, that its
    weights lie inside its weight file and have the bits and palettes stated, its deployment target, and the
    tokenizer's files.

    Raises:
        InputError: there is no such folder, or it has no manifest. Everything else is a problem in the result.
    """
    try:
        manifest = load_manifest(folder)
    except ManifestError as error:
        return Verification(folder, (Problem(FILE_NAME, error.message.removeprefix(f"{folder / FILE_NAME}: ")),))
    listed = [file for _, files in all_files(manifest) for file in files]
    problems = [*_files(folder, manifest), *_strangers(folder, {file.path for file in listed})]
    damaged = {problem.where for problem in problems}
    for name, component in manifest.components.items():
        if component.form == "package" and not any(file.path in damaged for file in component.files):
            problems.extend(_package(folder, f"components.{name}", component))
    if not any(file.path in damaged for file in manifest.tokenizer.files):
        problems.extend(_tokenizer(folder, manifest))
    return Verification(
        folder, tuple(problems), tuple(manifest.components), len(listed), sum(file.bytes for file in listed)
    )


def _files(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    for _, files in all_files(manifest):
        for file in files:
            problem = _file(folder, file)
            if problem:
                yield Problem(file.path, problem)


def _file(folder: Path, file: FileInfo) -> str:
    """What is wrong with one file, "" where nothing is."""
    path = folder / file.path
    try:
        if _through_link(folder, file.path):
            return "a link; a model folder holds plain files."
        if not path.is_file():
            return "missing."
        if (size := path.stat().st_size) != file.bytes:
            return f"{size} bytes instead of {file.bytes}."
        if sha256_file(path) != file.sha256:
            return "its content was changed (SHA-256 differs)."
    except OSError as error:
        return f"cannot be read: {error.strerror or error}."
    return ""


def _through_link(folder: Path, relative: str) -> bool:
    here = folder
    for part in relative.split("/"):
        here = here / part
        if here.is_symlink():
            return True
    return False


def _strangers(folder: Path, listed: set[str]) -> Iterator[Problem]:
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder).as_posix()
        if path.name in _IGNORED or relative == FILE_NAME or relative in listed:
            continue
        if path.is_symlink() or not path.is_dir():
            yield Problem(relative, "not in the manifest.")


def _package(folder: Path, field: str, component: ComponentInfo) -> Iterator[Problem]:
    from palettization.errors import PackageError
    from palettization.package import Package, package_digest

    path = folder / component.file
    try:
        with Package.open(path) as package:
            package.check_weights()
            if package_digest(path) != component.sha256:
                yield Problem(f"{field}.sha256", "not the digest of the package's files.")
            version = package.spec.specificationVersion
            if version != _SPECIFICATION[component.deployment_target]:
                yield Problem(
                    f"{field}.deployment_target",
                    f"{component.deployment_target}, but the package has specification version {version}.",
                )
            yield from _weights(field, component, package)
            described = package.description()
            for kind, wanted, found in (
                ("inputs", component.inputs, described.input),
                ("outputs", component.outputs, described.output),
            ):
                yield from _tensors(f"{field}.{kind}", wanted, found)
    except PackageError as error:
        yield Problem(component.file, error.message)


def _weights(field: str, component: ComponentInfo, package: Package) -> Iterator[Problem]:
    """Bits a weight, and palettes with the recipe that made them, are those of the package."""
    bits = stored_bits(package)
    if bits and abs(bits - component.weight_bits) > _BITS_TOLERANCE:
        yield Problem(f"{field}.weight_bits", f"{component.weight_bits:g}, but the package has {bits:.4f}.")
    stated = component.palettes.tensors if component.palettes else 0
    found = len(palettized_weights(package))
    if found != stated:
        yield Problem(f"{field}.palettes", f"{stated} weights, but {found} of the package have palettes.")
    if component.palettes:
        recipe = package.metadata.get("mobie.recipe_sha256", "none")
        if recipe != component.palettes.recipe_sha256:
            yield Problem(f"{field}.palettes.recipe_sha256", f"the package names {recipe}.")


def _tensors(field: str, wanted: tuple[TensorInfo, ...], found: Any) -> Iterator[Problem]:
    names = [feature.name for feature in found]
    if names != [tensor.name for tensor in wanted]:
        yield Problem(field, f"the package has {', '.join(names) or 'none'}.")
        return
    for index, (tensor, feature) in enumerate(zip(wanted, found, strict=True)):
        actual = _feature(feature)
        if actual != (tensor.dtype, tensor.shape):
            dtype, shape = actual
            yield Problem(f"{field}[{index}]", f"{tensor.name} is {dtype} {list(shape)} in the package.")


def _feature(feature: Any) -> tuple[str, tuple[int, ...]]:
    """Type and shape of a package's input or output, in the manifest's words."""
    from palettization.package import proto

    types = proto().FeatureTypes_pb2
    kind = feature.type.WhichOneof("Type")
    if kind == "imageType":
        image = feature.type.imageType
        is_rgb = image.colorSpace == types.ImageFeatureType.RGB
        return "image" if is_rgb else "another image", (1, 3, int(image.height), int(image.width))
    array = feature.type.multiArrayType
    names = {
        types.ArrayFeatureType.FLOAT16: "float16",
        types.ArrayFeatureType.FLOAT32: "float32",
        types.ArrayFeatureType.INT32: "int32",
    }
    return names.get(array.dataType, str(kind)), tuple(int(size) for size in array.shape)


def _tokenizer(folder: Path, manifest: Manifest) -> Iterator[Problem]:
    """`vocab.json` numbers its tokens without a gap, and every merge makes one of them."""
    name = "tokenizer/vocab.json"
    try:
        vocabulary = json.loads((folder / name).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        yield Problem(name, f"not valid JSON: {error}.")
        return
    size = manifest.tokenizer.vocabulary_size
    is_map = isinstance(vocabulary, dict) and all(type(number) is int for number in vocabulary.values())
    if not is_map or sorted(vocabulary.values()) != list(range(size)):
        yield Problem(name, f"not a map of {size} tokens to the numbers 0 to {size - 1}.")
        return
    for token in ("<|startoftext|>", "<|endoftext|>"):
        if token not in vocabulary:
            yield Problem(name, f"lacks {token}.")
    name = "tokenizer/merges.txt"
    try:
        # Not splitlines, which also splits at characters that a token may hold.
        lines = (folder / name).read_text(encoding="utf-8").split("\n")
    except ValueError as error:
        yield Problem(name, f"not text: {error}.")
        return
    for number, line in enumerate(lines, 1):
        pair = line.rstrip("\r").split(" ")
        if (number == 1 and line.startswith("#version")) or not line:
            continue
        if len(pair) != 2 or "".join(pair) not in vocabulary:
            yield Problem(name, f"line {number} is not two tokens that make a third.")
            return
