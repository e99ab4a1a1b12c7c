"""Sources of triples: a photograph, its edit, and the instruction that leads from one to the other.

| source | layout |
| --- | --- |
| folder | `triples.jsonl`: on each line {"source": path, "target": path, "instruction": text}, paths in the folder |
| shards | `*.tar` as of webdataset: KEY.source.EXT, KEY.target.EXT, KEY.txt (or KEY.json with "instruction") |
| datasets | Hugging Face `datasets`, a local folder or a name on the hub, with the columns of a known data set |
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from mobie_coreml.errors import InputError
from mobie_coreml.files import sha256_file

LIST_FILE = "triples.jsonl"
HUB_PREFIX = "hub:"
COLUMNS: Mapping[str, tuple[str, str, str]] = {
    "InstructPix2Pix": ("original_image", "edited_image", "edit_prompt"),
    "InstructPix2Pix samples": ("input_image", "edited_image", "edit_prompt"),
    "MagicBrush": ("source_img", "target_img", "instruction"),
}
"""Columns of source, target and instruction in the layouts that are known."""


@dataclass(frozen=True)
class Triple:
    """One triple; opening its images raises what Pillow raises (OSError, ValueError, SyntaxError)."""

    name: str
    source: Callable[[], Image.Image]
    target: Callable[[], Image.Image]
    instruction: str


class Triples(Protocol):
    """A source: triples in a fixed order, and what identifies them."""

    def __iter__(self) -> Iterator[Triple | str]:
        """Triples; for an entry that is none, why not."""
        ...

    def identity(self) -> str:
        """Text that changes when the data does."""
        ...


class TripleFolder:
    """A folder with `triples.jsonl`.

    Raises:
        InputError: the list cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._digest = sha256_file(folder / LIST_FILE)

    def __iter__(self) -> Iterator[Triple | str]:
        with (self.folder / LIST_FILE).open(encoding="utf-8", errors="replace") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                try:
                    entry = json.loads(line)
                    source, target = (self._inside(entry[key]) for key in ("source", "target"))
                    instruction = _text(entry["instruction"])
                except (ValueError, KeyError, TypeError):
                    yield "not a triple"
                    continue
                yield Triple(f"{LIST_FILE}:{number}", _opener(source), _opener(target), instruction)

    def identity(self) -> str:
        """The list's digest; images that change under their names are not noticed."""
        return f"folder {self._digest}"

    def _inside(self, name: Any) -> Path:
        path = (self.folder / _text(name)).resolve()
        if not path.is_relative_to(self.folder.resolve()):
            raise ValueError(name)
        return path


class TripleShards:
    """Tar files whose members of one triple follow each other, as webdataset writes them.

    Raises:
        InputError: there are none.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self.files = sorted(files)
        if not self.files:
            raise InputError("There are no .tar files to read triples from.")

    def __iter__(self) -> Iterator[Triple | str]:
        for file in self.files:
            yield from self._read(file)

    def identity(self) -> str:
        """Names and sizes of the files."""
        return "shards " + json.dumps([(file.name, file.stat().st_size) for file in self.files])

    def _read(self, file: Path) -> Iterator[Triple | str]:
        members: dict[str, bytes] = {}
        current = ""
        try:
            with tarfile.open(file, "r|*") as archive:
                for member in archive:
                    if not member.isfile():
                        continue
                    folder, _, base = member.name.rpartition("/")
                    key, _, kind = base.partition(".")
                    key = f"{folder}/{key}"
                    if key != current and members:
                        yield _from_members(file, current, members)
                        members = {}
                    current = key
                    opened = archive.extractfile(member)
                    assert opened is not None
                    members[kind.lower()] = opened.read()
        except (OSError, EOFError, tarfile.TarError):
            # What came before a shard's damage is whole; the member that was cut short is not.
            yield "in a damaged shard"
            return
        if members:
            yield _from_members(file, current, members)


class TripleDataset:
    """A data set that Hugging Face `datasets` reads, streamed.

    Args:
        name: A folder (of data files, or as `save_to_disk` writes it) or a name on the hub.
        split: Which part.

    Raises:
        InputError: `datasets` is not installed, the data set cannot be opened, or its columns are no known layout.
    """

    def __init__(self, name: str, split: str = "train") -> None:
        self.name, self.split = name, split
        self._rows = _open_dataset(name, split)
        names = set(self._rows.column_names or [])
        found = [(layout, columns) for layout, columns in COLUMNS.items() if set(columns) <= names]
        if not found:
            known = "; ".join(f"{layout}: {', '.join(columns)}" for layout, columns in COLUMNS.items())
            raise InputError(
                f"The data set {name} has the columns {', '.join(sorted(names)) or 'none'}.", f"Known are {known}."
            )
        self.layout, self.columns = found[0]

    def __iter__(self) -> Iterator[Triple | str]:
        for number, row in enumerate(self._whole_rows()):
            source, target, instruction = (row[column] for column in self.columns)
            if not isinstance(instruction, str) or not instruction.strip() or source is None or target is None:
                yield "not a triple"
                continue
            yield Triple(f"{self.name}:{number}", _decoder(source), _decoder(target), instruction)

    def _whole_rows(self) -> Iterator[Mapping[str, Any]]:
        try:
            yield from self._rows
        except Exception as error:  # as when it is opened; a stream can also break on its way
            raise InputError(
                f"The data set {self.name} cannot be read on: {_first_line(error)}",
                "Run again, or read fewer with --max-triples.",
            ) from error

    def identity(self) -> str:
        """Name, split and columns; a data set that changes under its name is not noticed."""
        return f"dataset {self.name} {self.split} {self.layout}"


def open_triples(spec: str, split: str = "train") -> Triples | None:
    """The source that a user means by `spec`; None for a folder that is neither of triples, of shards nor of a data set
    (which then is one of photographs).

    Args:
        spec: A folder, one .tar file, or `hub:NAME`.
        split: Of a data set.

    Raises:
        InputError: it cannot be opened.
    """
    if spec.startswith(HUB_PREFIX):
        return TripleDataset(spec.removeprefix(HUB_PREFIX), split)
    path = Path(spec)
    if path.suffix == ".tar" and path.is_file():
        return TripleShards([path])
    if not path.is_dir():
        raise InputError(f"There is no data at {spec}.", f"Pass a folder, a .tar file or {HUB_PREFIX}NAME.")
    if (path / LIST_FILE).is_file():
        return TripleFolder(path)
    if any(path.glob("*.tar")):
        return TripleShards(path.glob("*.tar"))
    is_dataset = any((path / name).is_file() for name in ("dataset_info.json", "dataset_dict.json", "state.json"))
    if is_dataset or any(path.rglob("*.parquet")) or any(path.rglob("*.arrow")):
        return TripleDataset(str(path), split)
    return None


def _open_dataset(name: str, split: str) -> Any:
    try:
        datasets = import_module("datasets")
    except ImportError as error:
        raise InputError(
            f"Reading the data set {name} needs the package datasets.",
            "Install it: pip install 'mobie-coreml[datasets]'",
        ) from error
    try:
        if any((Path(name) / file).is_file() for file in ("dataset_dict.json", "state.json")):
            loaded = datasets.load_from_disk(name)
            return loaded[split] if isinstance(loaded, Mapping) else loaded
        return datasets.load_dataset(name, split=split, streaming=True)
    except Exception as error:  # the library raises a different kind for everything that can be wrong
        raise InputError(
            f"The data set {name} (split {split}) cannot be opened: {_first_line(error)}",
            "Check its name, --split and the network.",
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _from_members(file: Path, key: str, members: Mapping[str, bytes]) -> Triple | str:
    """The triple of one key's members, by what follows the first dot of their names."""
    images: dict[str, bytes] = {}
    for kind, content in members.items():
        images.setdefault(kind.split(".")[0], content)
    try:
        instruction = _text(members["txt"].decode() if "txt" in members else json.loads(members["json"])["instruction"])
        source, target = images["source"], images["target"]
    except (ValueError, KeyError, TypeError):
        return "not a triple"
    return Triple(f"{file.name}:{key.lstrip('/')}", _decoder(source), _decoder(target), instruction)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(value)
    return value.strip()


def _opener(path: Path) -> Callable[[], Image.Image]:
    return lambda: Image.open(path)


def _decoder(value: Any) -> Callable[[], Image.Image]:
    """An image from bytes, from what `datasets` keeps undecoded ({"bytes": ...}), or the image itself."""

    def decode() -> Image.Image:
        if isinstance(value, Image.Image):
            return value
        content = value["bytes"] if isinstance(value, Mapping) else value
        return Image.open(io.BytesIO(content))

    return decode


def content_digest(parts: Iterable[bytes]) -> str:
    """SHA-256 over parts and their lengths."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.hexdigest()
