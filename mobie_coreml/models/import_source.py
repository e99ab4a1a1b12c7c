"""Where imported weights come from: a folder or the Hugging Face hub, opened and checked for being whole."""

from __future__ import annotations

import contextlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobie_coreml.errors import InputError
from mobie_coreml.files import read_json_object, write_json
from mobie_coreml.models.checkpoint_files import STEMS, TOKENIZER_FILES, text_encoder_name
from mobie_coreml.models.config import AutoencoderConfig
from mobie_coreml.models.hub import Download, fetch, is_hub_id
from mobie_coreml.models.weights import TensorFiles, find_weight_files

_TINY_FILES = ("taesd_encoder", "taesd_decoder")


@dataclass(frozen=True)
class SourceOptions:
    """Which weight files may be read: of one `variant` only, pickles or not."""

    variant: str | None = None
    allow_pickle: bool = False


@dataclass(frozen=True)
class TinySource:
    """A tiny autoencoder to be imported."""

    name: str
    revision: str | None
    licence: str
    config: AutoencoderConfig
    weights: TensorFiles


@dataclass(frozen=True)
class Source:
    """An InstructPix2Pix checkpoint to be imported; all its parts are there."""

    name: str
    revision: str | None
    licence: str
    folder: Path
    options: SourceOptions
    unet: TensorFiles
    text_encoder: TensorFiles
    unet_config: dict[str, Any]
    text_encoder_config: dict[str, Any]
    vae_config: dict[str, Any]
    scheduler_config: dict[str, Any]

    def own_tiny_autoencoder(self) -> TinySource:
        """The source's own autoencoder, where it is a tiny one.

        Raises:
            InputError: it is another kind.
        """
        if self.vae_config.get("_class_name") != "AutoencoderTiny":
            raise InputError(
                f"The autoencoder of {self.name} is {self.vae_config.get('_class_name', 'not named')}.",
                "Pass --taesd with a tiny autoencoder for its latents.",
            )
        weights = TensorFiles(_weight_files(self.folder / "vae", STEMS["vae"], self.options))
        config = AutoencoderConfig.from_json(self.vae_config)
        return TinySource(self.name, self.revision, self.licence, config, weights)

    @contextlib.contextmanager
    def tokenizer_folder(self) -> Iterator[Path]:
        """A folder with `vocab.json` and `merges.txt`, made from `tokenizer.json` where the source has only that."""
        folder = self.folder / "tokenizer"
        if all((folder / name).is_file() for name in TOKENIZER_FILES):
            yield folder
            return
        with tempfile.TemporaryDirectory(prefix="mobie-tokenizer-") as temporary:
            _split_tokenizer(folder / "tokenizer.json", Path(temporary))
            yield Path(temporary)


def open_source(source: str | Path, revision: str | None, options: SourceOptions) -> Source:
    """Opens an InstructPix2Pix folder or hub id.

    Raises:
        InputError: it does not exist, or parts are missing (all are listed) or broken.
    """
    download = _locate(source, revision, _source_files(options))
    folder = download.folder
    unet = _find(folder / "unet", STEMS["unet"], options)
    text_encoder = _find(folder / "text_encoder", STEMS["text_encoder"], options)
    tokenizer = folder / "tokenizer"
    has_tokenizer = (
        all((tokenizer / name).is_file() for name in TOKENIZER_FILES) or (tokenizer / "tokenizer.json").is_file()
    )
    configs = {part: folder / part / "config.json" for part in ("unet", "text_encoder", "vae")}
    configs["scheduler"] = folder / "scheduler" / "scheduler_config.json"
    missing = [str(path.relative_to(folder)) for path in configs.values() if not path.is_file()]
    missing += [f"{part}/ weights" for part, files in (("unet", unet), ("text_encoder", text_encoder)) if not files]
    missing += [] if has_tokenizer else ["tokenizer/vocab.json and merges.txt"]
    if missing:
        what = f" of variant {options.variant}" if options.variant else ""
        raise InputError(
            f"{download.name} is not a whole InstructPix2Pix checkpoint in diffusers layout{what}: "
            f"it lacks {', '.join(sorted(missing))}.",
            "The source is what save_pretrained of a pipeline writes.",
        )
    return Source(
        name=download.name,
        revision=download.revision,
        licence=download.licence,
        folder=folder,
        options=options,
        unet=TensorFiles(unet),
        text_encoder=TensorFiles(text_encoder, text_encoder_name),
        unet_config=read_json_object(configs["unet"]),
        text_encoder_config=_text_config(read_json_object(configs["text_encoder"])),
        vae_config=read_json_object(configs["vae"]),
        scheduler_config=read_json_object(configs["scheduler"]),
    )


def open_taesd(taesd: str | Path, revision: str | None, options: SourceOptions) -> TinySource:
    """Opens a tiny autoencoder: diffusers' AutoencoderTiny, or TAESD's own files `taesd_encoder` and `taesd_decoder`.

    Raises:
        InputError: it does not exist or is neither.
    """
    download = _locate(taesd, revision, _taesd_files(options))
    folder = download.folder
    if (folder / "config.json").is_file():
        config = AutoencoderConfig.from_json(read_json_object(folder / "config.json"))
        weights = TensorFiles(_weight_files(folder, STEMS["vae"], options))
        return TinySource(download.name, download.revision, download.licence, config, weights)
    suffixes = (".safetensors", ".pth") if options.allow_pickle else (".safetensors",)
    for suffix in suffixes:
        files = [folder / f"{name}{suffix}" for name in _TINY_FILES]
        if all(file.is_file() for file in files):
            weights = TensorFiles(files[:1], _own_name("encoder", 0))
            decoder = TensorFiles(files[1:], _own_name("decoder", -1))
            weights.merge(decoder)
            channels = weights.shapes.get("decoder.layers.0.weight", (0, 4))[1]
            config = AutoencoderConfig(latent_channels=channels)
            return TinySource(download.name, download.revision, download.licence, config, weights)
    raise InputError(
        f"{download.name} holds no tiny autoencoder.",
        "It needs config.json with AutoencoderTiny weights, or taesd_encoder and taesd_decoder as .safetensors "
        "(.pth with --allow-pickle).",
    )


def _own_name(side: str, shift: int) -> Callable[[str], str | None]:
    """TAESD's names ("3.conv.0.weight") to diffusers' ("encoder.layers.3.conv.0.weight").

    TAESD's decoder counts its leading clamp as layer 0, which diffusers does outside the layers.
    """

    def rename(stored: str) -> str | None:
        index, _, rest = stored.partition(".")
        if not index.isdigit():
            raise InputError(f"The tensor {stored} of the tiny autoencoder's {side} has no place in TAESD's layout.")
        return f"{side}.layers.{int(index) + shift}.{rest}"

    return rename


def _locate(where: str | Path, revision: str | None, wanted: Callable[[list[str], Any], list[str]]) -> Download:
    folder = Path(where)
    if folder.is_dir():
        if revision is not None:
            raise InputError(f"{folder} is a folder and has no revision.", "Leave the revision out.")
        return Download(folder.absolute().name, None, read_licence(folder), folder)
    if not is_hub_id(str(where)):
        raise InputError(f"There is no folder {where}.", "Give a folder in diffusers layout or a hub id, owner/name.")
    return fetch(str(where), revision, wanted)


def _source_files(options: SourceOptions) -> Callable[[list[str], Callable[[str], str]], list[str]]:
    """Chooses what to fetch of a hub repository."""

    def wanted(names: list[str], read: Callable[[str], str]) -> list[str]:
        chosen = [name for name in names if re.fullmatch(_SMALL_FILES, name)]
        for part in ("unet", "vae", "text_encoder"):
            if part == "vae" and not _is_tiny(names, read):
                continue
            inside = [name.removeprefix(f"{part}/") for name in names if name.startswith(f"{part}/")]
            files = find_weight_files(
                inside,
                STEMS[part],
                variant=options.variant,
                pickle=options.allow_pickle,
                read=lambda name, part=part: read(f"{part}/{name}"),  # type: ignore[misc]
            )
            chosen += [f"{part}/{name}" for name in files]
        return chosen

    return wanted


_SMALL_FILES = (
    r"README\.md|model_index\.json|(unet|vae|text_encoder)/(config|[^/]*\.index[^/]*)\.json"
    r"|tokenizer/(vocab\.json|merges\.txt|tokenizer\.json)|scheduler/scheduler_config\.json"
)


def _is_tiny(names: list[str], read: Callable[[str], str]) -> bool:
    if "vae/config.json" not in names:
        return False
    return bool(json.loads(read("vae/config.json")).get("_class_name") == "AutoencoderTiny")


def _taesd_files(options: SourceOptions) -> Callable[[list[str], Callable[[str], str]], list[str]]:
    def wanted(names: list[str], read: Callable[[str], str]) -> list[str]:
        small = [name for name in names if name in ("README.md", "config.json")]
        files = find_weight_files(names, STEMS["vae"], variant=options.variant, pickle=options.allow_pickle, read=read)
        own = [f"{name}{'.pth' if options.allow_pickle else '.safetensors'}" for name in _TINY_FILES]
        return small + (files or [name for name in own if name in names])

    return wanted


def _find(folder: Path, stem: str, options: SourceOptions) -> list[Path]:
    names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
    found = find_weight_files(
        names,
        stem,
        variant=options.variant,
        pickle=options.allow_pickle,
        read=lambda name: (folder / name).read_text(encoding="utf-8"),
    )
    return [folder / name for name in found]


def _weight_files(folder: Path, stem: str, options: SourceOptions) -> list[Path]:
    files = _find(folder, stem, options)
    if not files:
        raise InputError(f"{folder} has no weights.", "Expected is diffusion_pytorch_model.safetensors.")
    return files


def _text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The text part of a config that may be a whole CLIP model's."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def _split_tokenizer(path: Path, folder: Path) -> None:
    """Writes `vocab.json` and `merges.txt` from the `tokenizer.json` of the tokenizers library."""
    model = read_json_object(path).get("model", {})
    vocab, merges = model.get("vocab"), model.get("merges")
    if not isinstance(vocab, dict) or not isinstance(merges, list):
        raise InputError(f"{path} holds no byte-pair vocabulary.")
    lines = [pair if isinstance(pair, str) else " ".join(pair) for pair in merges]
    write_json(folder / "vocab.json", vocab)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]), encoding="utf-8")


def read_licence(folder: Path) -> str:
    """The `license:` entry at the head of a folder's README.md, or "unknown"."""
    readme = folder / "README.md"
    if not readme.is_file():
        return "unknown"
    head = re.match(r"---\s*\n(.*?)\n---", readme.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    entry = re.search(r"^license:\s*[\"']?([^\"'\n]+)", head.group(1), re.MULTILINE) if head else None
    return entry.group(1).strip() if entry else "unknown"
