"""The manifest's schema as a Swift text: the package needs no resource bundle, and there is one schema."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources

PATH = "ios_app/Sources/MobieCore/Manifest/ManifestSchemaText.swift"


def make() -> Iterator[tuple[str, bytes]]:
    """The Swift source."""
    schema = resources.files("mobie_coreml.manifest").joinpath("schema.json").read_text(encoding="utf-8")
    text = (
        "// Made by scripts/make_vectors.py from mobie_coreml/manifest/schema.json.\n// swift-format-ignore-file\n\n"
        f'/// The published JSON Schema of `mobie.json`.\nlet manifestSchemaText = #"""\n{schema.rstrip()}\n"""#\n'
    )
    yield PATH, text.encode()
