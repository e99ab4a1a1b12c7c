"""Checkpoints: loading, saving, and lazy access to single tensors.

Making them from nothing is in `random_checkpoint`, importing them from others' files in `import_checkpoint`; both are
reachable from here.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from mobie_coreml.diffusion.samplers import sampler_steps
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.files import read_json_object, sha256_file
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.checkpoint_files import (
    INFO_FILE,
    PARTS,
    SCHEMA_VERSION,
    STEMS,
    TOKENIZER_FILES,
    Networks,
    Part,
    Progress,
    text_encoder_name,
    write_checkpoint,
)
from mobie_coreml.models.config import AutoencoderConfig, TextEncoderConfig, UNetConfig
from mobie_coreml.models.import_checkpoint import import_checkpoint
from mobie_coreml.models.random_checkpoint import new_checkpoint
from mobie_coreml.models.text_encoder import CLIPTextEncoder
from mobie_coreml.models.tokenizer import CLIPTokenizer
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.models.weights import Array, TensorEntry, TensorFiles, check_names, find_weight_files

__all__ = [
    "EMBEDDED",
    "Checkpoint",
    "import_checkpoint",
    "load_checkpoint",
    "new_checkpoint",
    "save_checkpoint",
]

EMBEDDED = "nano"
"""What `load_checkpoint` takes for the checkpoint inside the package."""

_EMBEDDED_PATH = Path(__file__).parent / "default"


def load_checkpoint(path: Path | str) -> Checkpoint:
    """Opens a checkpoint and checks that it is whole; weights are read when asked for.

    Args:
        path: A folder, or "nano" for the checkpoint inside the package where no folder is called so.

    Raises:
        InputError: it is not a checkpoint, or a part is missing, broken or does not fit the others.
    """
    folder = Path(path)
    if str(path) == EMBEDDED and not folder.exists():
        folder = _EMBEDDED_PATH
    return Checkpoint(folder)


class Checkpoint:
    """An opened checkpoint.

    Attributes:
        path: Its folder.
        info: `mobie_checkpoint.json`: preset, frame_size [W, H], guidance {embedded, text, image: {minimum, maximum,
            default}}, sampling {method, steps}, licence, provenance.
        networks: Configurations of the three networks.
        schedule: Noise schedule and prediction type.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise InputError(f"There is no checkpoint at {path}.", "Make one with `mobie checkpoint new` or `import`.")
        if not (path / INFO_FILE).is_file():
            raise InputError(
                f"{path} is not a mobie checkpoint: it has no {INFO_FILE}.",
                "Turn a diffusers folder into one with `mobie checkpoint import`.",
            )
        self.path = path
        self.info: dict[str, Any] = read_json_object(path / INFO_FILE)
        _check_info(path / INFO_FILE, self.info)
        self.networks = Networks(
            UNetConfig.from_json(_read_config(path / "unet" / "config.json")),
            AutoencoderConfig.from_json(_read_config(path / "vae" / "config.json")),
            TextEncoderConfig.from_json(_read_config(path / "text_encoder" / "config.json")),
        )
        self.schedule = NoiseSchedule.from_json(_read_config(path / "scheduler" / "scheduler_config.json"))
        self._check_agreement()
        self._files = {part: self._open(part) for part in PARTS}
        if self.tokenizer.vocab_size > self.networks.text_encoder.vocab_size:
            raise InputError(
                f"The tokenizer of {path} has {self.tokenizer.vocab_size} tokens, "
                f"its text encoder {self.networks.text_encoder.vocab_size}."
            )

    @property
    def preset(self) -> str:
        """Name of the preset it was made from."""
        return str(self.info["preset"])

    @property
    def frame_size(self) -> tuple[int, int]:
        """Default (width, height) in pixels."""
        width, height = self.info["frame_size"]
        return int(width), int(height)

    @property
    def tokenizer_files(self) -> tuple[Path, Path]:
        """`vocab.json` and `merges.txt`."""
        vocab, merges = (self.path / "tokenizer" / name for name in TOKENIZER_FILES)
        return vocab, merges

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """The tokenizer."""
        return CLIPTokenizer(*self.tokenizer_files)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over all parts' digests and `mobie_checkpoint.json`; reads every file once."""
        lines = [f"{part}\0{self.part_digest(part)}\n" for part in (*PARTS, "tokenizer", "scheduler")]
        return hashlib.sha256("".join([*lines, sha256_file(self.path / INFO_FILE)]).encode()).hexdigest()

    def part_digest(self, part: str) -> str:
        """SHA-256 over the digests of one part's files: a part of PARTS, "tokenizer" or "scheduler"."""
        if part not in self._digests:
            if part in PARTS:
                files = [self.path / part / "config.json", *self._files[part].files]
            elif part == "tokenizer":
                files = list(self.tokenizer_files)
            else:
                files = [self.path / "scheduler" / "scheduler_config.json"]
            text = "".join(f"{file.name}\0{sha256_file(file)}\n" for file in sorted(files))
            self._digests[part] = hashlib.sha256(text.encode()).hexdigest()
        return self._digests[part]

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {}

    def shapes(self, part: Part) -> Mapping[str, tuple[int, ...]]:
        """Name and shape of every tensor of a part, without reading any."""
        return self._files[part].shapes

    def stored_bytes(self, part: Part) -> int:
        """Size of a part's weight files."""
        return sum(file.stat().st_size for file in self._files[part].files)

    def tensor(self, part: Part, name: str) -> Array:
        """One tensor in its stored dtype, read from the file's memory map.

        Raises:
            InputError: there is none of that name.
        """
        return self._files[part].numpy(name)

    def unet(self, *, meta: bool = False) -> MobilePix2PixUNet:
        """The denoiser: fp32 in eval mode, or without values on the meta device."""
        return cast(MobilePix2PixUNet, self._module("unet", meta))

    def autoencoder(self, *, meta: bool = False) -> TinyAutoencoder:
        """The autoencoder: fp32 in eval mode, or without values on the meta device."""
        return cast(TinyAutoencoder, self._module("vae", meta))

    def text_encoder(self, *, meta: bool = False) -> CLIPTextEncoder:
        """The text encoder: fp32 in eval mode, or without values on the meta device."""
        return cast(CLIPTextEncoder, self._module("text_encoder", meta))

    def _check_agreement(self) -> None:
        """Refuses an info file that says something else than the networks' configs."""
        where, unet, factor = self.path / INFO_FILE, self.networks.unet, self.networks.autoencoder.factor
        if self.info["guidance"]["embedded"] != unet.guidance_embedding:
            raise InputError(f"{where} and the UNet's config disagree on whether guidance scales are inputs.")
        if any(side % factor for side in self.frame_size):
            raise InputError(f"The frame size of {where} is not a multiple of the {factor} pixels of a latent.")
        sampler_steps(self.schedule, self.info["sampling"]["method"], self.info["sampling"]["steps"])

    def _module(self, part: Part, meta: bool) -> nn.Module:
        module = self.networks.build(part)
        if not meta:
            files = self._files[part]
            # A copy where the file is fp32 already, so that training cannot touch the mapped file.
            state = {name: files.torch(name).to(torch.float32, copy=True) for name in files.shapes}
            module.load_state_dict(state, assign=True)
            for parameter in module.parameters():
                parameter.requires_grad_(True)
        return module

    def _open(self, part: Part) -> TensorFiles:
        folder = self.path / part
        names = [file.name for file in folder.iterdir()] if folder.is_dir() else []
        chosen = find_weight_files(names, STEMS[part], read=lambda name: (folder / name).read_text(encoding="utf-8"))
        if not chosen:
            raise InputError(f"The checkpoint {self.path} has no weights in {part}/.")
        rename = text_encoder_name if part == "text_encoder" else (lambda name: name)
        files = TensorFiles((folder / name for name in chosen), rename)
        check_names(f"{self.path / part}", files.shapes, self.networks.shapes(part))
        return files


def save_checkpoint(
    path: Path,
    *,
    unet: MobilePix2PixUNet,
    autoencoder: TinyAutoencoder,
    text_encoder: CLIPTextEncoder,
    tokenizer_dir: Path,
    schedule: NoiseSchedule,
    info: Mapping[str, Any],
    dtype: str = "float16",
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Writes modules as a checkpoint, whole or not at all.

    Args:
        path: The checkpoint's folder.
        unet: The denoiser, any device and dtype; likewise `autoencoder` and `text_encoder`.
        autoencoder: See `unet`.
        text_encoder: See `unet`.
        tokenizer_dir: Folder with `vocab.json` and `merges.txt`.
        schedule: Noise schedule and prediction type.
        info: Contents of `mobie_checkpoint.json`, as `checkpoint_files.describe` makes it.
        dtype: "float16" or "float32", how weights are stored.
        force: Replace a checkpoint that exists.
        progress: Called with (bytes written so far, bytes in all).

    Raises:
        InputError: the output exists, parts do not fit each other, or values do not fit `dtype`.
    """
    networks = Networks(unet.config, autoencoder.config, text_encoder.config)
    _check_info(Path(INFO_FILE), info)
    modules: dict[Part, nn.Module] = {"unet": unet, "vae": autoencoder, "text_encoder": text_encoder}

    def weights(part: Part) -> Iterable[TensorEntry]:
        def reader(tensor: torch.Tensor) -> Callable[[], Array]:
            return lambda: tensor.detach().to("cpu", torch.float32).numpy()

        for name, tensor in modules[part].state_dict().items():
            yield TensorEntry(name, tuple(tensor.shape), reader(tensor))

    write_checkpoint(
        path,
        networks,
        weights,
        tokenizer_dir=tokenizer_dir,
        schedule=schedule,
        info=info,
        dtype=dtype,
        force=force,
        progress=progress,
    )


def _read_config(path: Path) -> dict[str, Any]:
    return read_json_object(path, "The checkpoint is not whole; make it again.")


def _check_info(path: Path, info: Mapping[str, Any]) -> None:
    """Refuses a `mobie_checkpoint.json` of another version or without what its readers need."""
    if info.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {info.get('schema_version')!r}; this version of mobie knows {SCHEMA_VERSION}."
        )
    try:
        width, height = info["frame_size"]
        ranges = [[info["guidance"][scale][key] for key in _RANGE_KEYS] for scale in ("text", "image")]
        numbers = [value for values in ranges for value in values]
        whole = [width, height, info["sampling"]["steps"]]
        texts = [info["preset"], info["licence"], info["sampling"]["method"]]
        good = (
            all(type(value) is int and value > 0 for value in whole)
            and max(width, height) <= MOST_PIXELS
            and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in numbers)
            and all(math.isfinite(value) for value in numbers)
            and all(isinstance(value, str) for value in texts)
            and isinstance(info["provenance"], dict)
            and isinstance(info["guidance"]["embedded"], bool)
            and all(low <= usual <= high for low, usual, high in ranges)
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path} is not complete: {error!r}.") from error
    if not good:
        raise InputError(f"{path} has values of the wrong kind or out of range.")


MOST_PIXELS = 16384
"""Of a frame's side: what a model folder can say."""

_RANGE_KEYS = ("minimum", "default", "maximum")
