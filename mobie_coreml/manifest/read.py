"""Reading and writing `mobie.json`: strict about form, every error naming the field."""

from __future__ import annotations

import json
import math
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from mobie_coreml.errors import InputError
from mobie_coreml.files import write_json
from mobie_coreml.manifest.content import FILE_NAME, SCHEMA_VERSION, Manifest
from mobie_coreml.manifest.encode import from_json, to_json
from mobie_coreml.manifest.rules import check_consistency

_LIMIT = 16 << 20
_HINT = "The model folder was changed or made by another version: convert the checkpoint again."


class ManifestError(InputError):
    """`mobie.json` cannot be read, or says something that cannot be true; the message names the field."""


@cache
def schema() -> dict[str, Any]:
    """The published JSON Schema of `mobie.json`."""
    text = resources.files("mobie_coreml.manifest").joinpath("schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def load_manifest(folder: Path) -> Manifest:
    """Reads the manifest of a model folder.

    Only the manifest is checked: its form, and that what it says agrees with itself. `verify_model` checks the folder.

    Raises:
        InputError: there is no such folder, or it has no manifest.
        ManifestError: the manifest is damaged, of another version, or contradicts itself.
    """
    return parse_manifest(read_text(folder), str(folder / FILE_NAME))


def read_text(folder: Path) -> str:
    """The text of the folder's manifest.

    Raises:
        InputError: there is no such folder, or it has no manifest.
        ManifestError: it is too large or not text.
    """
    path = folder / FILE_NAME
    if not folder.is_dir():
        raise InputError(f"There is no model folder at {folder}.", "Make one with `mobie convert CHECKPOINT OUT`.")
    if not path.is_file():
        raise InputError(
            f"{folder} is not a model folder: it has no {FILE_NAME}.", "Make one with `mobie convert CHECKPOINT OUT`."
        )
    if path.stat().st_size > _LIMIT:
        raise ManifestError(f"{path} is larger than {_LIMIT >> 20} MiB.", _HINT)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path} cannot be read: {error}.", _HINT) from error


def parse_manifest(text: str, name: str = FILE_NAME) -> Manifest:
    """The manifest that `text` holds; `name` is what errors call it.

    Raises:
        ManifestError: see `load_manifest`.
    """
    value = _parse_json(text, name)
    if not isinstance(value, dict):
        raise ManifestError(f"{name} is not a JSON object.", _HINT)
    version = value.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        raise ManifestError(
            f"{name}: schema_version is {version!r}; this version of mobie knows {SCHEMA_VERSION}.",
            "Update mobie, or convert the checkpoint again.",
        )
    _check_schema(value, name)
    manifest = from_json(Manifest, value)
    problem = check_consistency(manifest)
    if problem:
        raise ManifestError(f"{name}: {problem}", _HINT)
    return manifest


def save_manifest(manifest: Manifest, folder: Path) -> None:
    """Writes the manifest of a model folder, atomically; it must be the last file written.

    Raises:
        ManifestError: it would not be read back: its form is wrong, or it contradicts itself.
    """
    # Written as it would be read, so that 16 and 16.0 are the same bytes.
    read_back = parse_manifest(json.dumps(manifest_json(manifest)))
    write_json(folder / FILE_NAME, manifest_json(read_back))


def manifest_json(manifest: Manifest) -> dict[str, Any]:
    """The JSON value of a manifest, in the file's order: version first."""
    content = to_json(manifest)
    extensions = content.pop("extensions")
    return {
        "schema_version": content.pop("schema_version"),
        **content,
        **({"extensions": extensions} if extensions else {}),
    }


def _parse_json(text: str, name: str) -> Any:
    def constant(word: str) -> Any:
        raise ValueError(f"{word} is not a JSON number")

    def number(digits: str) -> float:
        value = float(digits)
        if not math.isfinite(value):
            raise ValueError(f"{digits} is too large")
        return value

    def integer(digits: str) -> int:
        if len(digits) > 20:
            raise ValueError(f"{digits[:20]}... is too large")
        return int(digits)

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, item in pairs:
            if key in found:
                raise ValueError(f"the key {key!r} appears twice")
            found[key] = item
        return found

    try:
        return json.loads(
            text, parse_constant=constant, parse_float=number, parse_int=integer, object_pairs_hook=unique
        )
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise ManifestError(f"{name} is not valid JSON: {reason}.", _HINT) from error


def _check_schema(value: dict[str, Any], name: str) -> None:
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema())
    # best_match prefers errors near the root, which are rarely the telling ones: take the first in document order.
    error = min(validator.iter_errors(value), key=lambda item: [str(part) for part in item.absolute_path], default=None)
    if error is None:
        return
    raise ManifestError(f"{name}: {field_name(error.absolute_path)}: {_shortened(error.message)}.", _HINT)


def field_name(path: Any) -> str:
    """A path into JSON as people write it: components.Denoiser.inputs[0].shape."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.lstrip(".") or "the whole file"


def _shortened(message: str) -> str:
    return message if len(message) <= 300 else f"{message[:200]} ... {message[-90:]}"
