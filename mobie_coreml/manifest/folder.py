"""A model folder: its manifest and where its packages are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mobie_coreml.errors import InputError
from mobie_coreml.manifest.content import COMPONENT_NAMES, ComponentInfo, Manifest
from mobie_coreml.manifest.read import load_manifest


@dataclass(frozen=True)
class ModelFolder:
    """An opened model folder.

    Attributes:
        path: The folder.
        manifest: Its manifest, checked.
    """

    path: Path
    manifest: Manifest

    @classmethod
    def open(cls, path: Path | str) -> ModelFolder:
        """Opens a model folder; only the manifest is read.

        Raises:
            InputError: not a model folder, or its manifest is damaged.
        """
        return cls(Path(path), load_manifest(Path(path)))

    def component(self, name: str) -> ComponentInfo:
        """What the manifest says of a component.

        Raises:
            InputError: the folder does not have it.
        """
        found = self.manifest.components.get(name)
        if found is None:
            more = f"; `mobie convert --component {name}` adds it" if name in COMPONENT_NAMES else ""
            raise InputError(f"{self.path} has no {name}.", f"It has {', '.join(self.manifest.components)}{more}.")
        return found

    def package_path(self, name: str) -> Path:
        """The package of a component.

        Raises:
            InputError: the folder does not have it, or has it compiled only.
        """
        component = self.component(name)
        if component.form != "package":
            raise InputError(f"{self.path} has {name} compiled only.", "Use the package that it was compiled from.")
        path = self.path / component.file
        if not path.is_dir():
            raise InputError(f"{path} is missing.", "Run `mobie verify`, and convert the checkpoint again.")
        return path

    def require_all(self) -> None:
        """Refuses a folder that lacks components.

        Raises:
            InputError: some are missing; the message lists them.
        """
        if self.manifest.missing:
            raise InputError(
                f"{self.path} lacks {', '.join(self.manifest.missing)}.",
                "Convert the whole checkpoint with `mobie convert CHECKPOINT OUT`.",
            )

    @property
    def vocabulary(self) -> Path:
        """`vocab.json` of the tokenizer."""
        return self.path / "tokenizer" / "vocab.json"

    @property
    def merges(self) -> Path:
        """`merges.txt` of the tokenizer."""
        return self.path / "tokenizer" / "merges.txt"
