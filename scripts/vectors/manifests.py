"""The corpus of manifests: what the reader accepts, and of what it refuses which field it names.

`tests/vectors/manifests.json` holds `bases`, whole texts, and `cases`. A case's text is its base with `removed` bytes
at byte `at` replaced by `inserted`. `kind` is "" where the manifest is accepted, else what is wrong ("json",
"version", "manifest"), and `field` what the error names.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from mobie_coreml.manifest.read import ManifestError, parse_manifest
from vectors.base_manifests import BASES
from vectors.changes import CHANGES, DELETED, TEXTS

PATH = "tests/vectors/manifests.json"
_MUTATIONS = 300


def make() -> Iterator[tuple[str, bytes]]:
    """The corpus."""
    texts = {name: _text(base()) for name, base in BASES.items()}
    cases = [_case(f"{name} as it is", name, texts[name], texts[name]) for name in texts]
    for number, (base, change) in enumerate([*CHANGES, *_mutations()]):
        value = BASES[base]()
        for path, new in change:
            put(value, path, _copy(new))
        cases.append(_case(f"{number}: {', '.join(path for path, _ in change)}", base, texts[base], _text(value)))
    cases += [_case(f"text: {text[:40]}", "embedded", texts["embedded"], text) for text in TEXTS]
    head = json.dumps(texts, ensure_ascii=False, indent=1)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    yield PATH, f'{{"bases": {head},\n"cases": [\n{lines}\n]}}\n'.encode()


def verdict(text: str) -> tuple[str, str]:
    """(kind, field) of the error that a manifest's text meets, ("", "") for none."""
    try:
        parse_manifest(text)
    except ManifestError as error:
        if "is not valid JSON" in error.message or "is not a JSON object" in error.message:
            return "json", ""
        problem = error.message.removeprefix("mobie.json: ")
        if problem.startswith("schema_version is"):
            return "version", "schema_version"
        return "manifest", problem.split(": ")[0]
    return "", ""


def put(value: Any, path: str, new: Any) -> None:
    """Sets the field at `path`, like "components.Denoiser.inputs[0].shape"; `DELETED` removes it."""
    steps: list[str | int] = []
    for part in path.split("."):
        name, *indices = part.split("[")
        steps += [name, *(int(index.rstrip("]")) for index in indices)]
    for step in steps[:-1]:
        value = value[step]
    if new is DELETED:
        del value[steps[-1]]
    else:
        value[steps[-1]] = new


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _case(name: str, base: str, before: str, after: str) -> dict[str, Any]:
    old, new = before.encode(), after.encode()
    at = 0
    while at < min(len(old), len(new)) and old[at] == new[at]:
        at += 1
    same_end = 0
    while same_end < min(len(old), len(new)) - at and old[-1 - same_end] == new[-1 - same_end]:
        same_end += 1
    # Not inside a character: the insertion is text.
    while at and not _is_start(new, at):
        at -= 1
    while same_end and not _is_start(new, len(new) - same_end):
        same_end -= 1
    kind, field = verdict(after)
    return {
        "name": name,
        "base": base,
        "at": at,
        "removed": len(old) - at - same_end,
        "inserted": new[at : len(new) - same_end].decode(),
        "kind": kind,
        "field": field,
    }


def _is_start(text: bytes, at: int) -> bool:
    return at >= len(text) or text[at] & 0xC0 != 0x80


def _copy(new: Any) -> Any:
    # Through JSON: a deep copy would keep one list in two places as one.
    return new if new is DELETED else json.loads(json.dumps(new))


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    if path:
        yield path


def _mutations() -> Iterator[tuple[str, list[tuple[str, Any]]]]:
    """One random field, or two, set to something else, or removed."""
    source = random.Random(7)
    values: list[Any] = [
        DELETED, None, True, False, 0, 1, -1, 2, 77, 1.0, 0.5, 128.0, 1e-9, -1e9, 2**53, 10**19, "", "x", "all",
        "compiled", "float32", "guidance", "image", [], [1], [1, 3, 192, 256], [1, 8, 24, 32], {}, {"x": 1},
    ]  # fmt: skip
    for _ in range(_MUTATIONS):
        base = source.choice(list(BASES))
        value = BASES[base]()
        change: list[tuple[str, Any]] = []
        for _ in range(source.choice([1] * 19 + [2])):
            path = source.choice([leaf for leaf in _leaves(value) if not leaf.startswith("provenance.origin.")])
            new = source.choice(values)
            try:
                put(value, path, _copy(new))
            except (KeyError, IndexError, TypeError):
                continue
            change.append((path, new))
        yield base, change
