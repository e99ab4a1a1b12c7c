"""The layout of a checkpoint on disk and the one function that writes it.

unet/ vae/ text_encoder/     config.json and safetensors weights, named as in diffusers and transformers
tokenizer/                   vocab.json, merges.txt
scheduler/                   scheduler_config.json
model_index.json             which library and class reads which folder
mobie_checkpoint.json        preset, frame size, guidance ranges, sampling, licence, provenance; written last
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import nn

from mobie_coreml import __version__
from mobie_coreml.diffusion.guidance import GuidanceRange
from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.files import atomic_folder, check_output, check_replaceable, write_json
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.config import AutoencoderConfig, TextEncoderConfig, UNetConfig
from mobie_coreml.models.presets import Preset
from mobie_coreml.models.text_encoder import CLIPTextEncoder
from mobie_coreml.models.tokenizer import CLIPTokenizer
from mobie_coreml.models.unet import MobilePix2PixUNet
from mobie_coreml.models.weights import DTYPES, TensorEntry, write_safetensors

Part = Literal["unet", "vae", "text_encoder"]
PARTS: tuple[Part, ...] = get_args(Part)
STEMS: Mapping[Part, str] = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
}
INFO_FILE = "mobie_checkpoint.json"
SCHEMA_VERSION = 1
TOKENIZER_FILES = ("vocab.json", "merges.txt")
VOCABULARY = Path(__file__).parent / "vocabulary"
"""The embedded vocabulary of `nano` and of random checkpoints."""

NetworkConfig = UNetConfig | AutoencoderConfig | TextEncoderConfig
Progress = Callable[[int, int], None]
"""Called with (bytes written so far, bytes in all)."""


@dataclass(frozen=True)
class Networks:
    """The configurations of a checkpoint's three networks."""

    unet: UNetConfig
    autoencoder: AutoencoderConfig
    text_encoder: TextEncoderConfig

    def __post_init__(self) -> None:
        if self.autoencoder.latent_channels != self.unet.out_channels:
            raise InputError(
                f"The autoencoder has {self.autoencoder.latent_channels} latent channels, "
                f"the UNet {self.unet.out_channels}."
            )
        if self.text_encoder.hidden_size != self.unet.cross_attention_dim:
            raise InputError(
                f"The text encoder is {self.text_encoder.hidden_size} wide, "
                f"and the UNet attends to width {self.unet.cross_attention_dim}."
            )

    def config(self, part: Part) -> NetworkConfig:
        """The configuration of one part."""
        configs: dict[Part, NetworkConfig] = {
            "unet": self.unet,
            "vae": self.autoencoder,
            "text_encoder": self.text_encoder,
        }
        return configs[part]

    def build(self, part: Part, device: str = "meta") -> nn.Module:
        """One network, uninitialised on the meta device by default, in eval mode."""
        return _build(self.config(part), device)

    def shapes(self, part: Part) -> dict[str, tuple[int, ...]]:
        """Name and shape of every tensor of one network, in the modules' order."""
        return dict(_shapes(self.config(part)))


def _build(config: NetworkConfig, device: str) -> nn.Module:
    with torch.device(device):
        if isinstance(config, UNetConfig):
            return MobilePix2PixUNet(config).eval()
        if isinstance(config, AutoencoderConfig):
            return TinyAutoencoder(config).eval()
        return CLIPTextEncoder(config).eval()


@lru_cache(maxsize=16)
def _shapes(config: NetworkConfig) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Building a full-size network without memory still takes a second, and a checkpoint needs its shapes often."""
    return tuple((name, tuple(tensor.shape)) for name, tensor in _build(config, "meta").state_dict().items())


def text_encoder_name(stored: str) -> str | None:
    """The classic name of a text encoder's tensor, None for one that is not a weight.

    transformers 5 names them without the prefix `text_model.`, which every earlier version writes.
    """
    name = stored.removeprefix("text_model.")
    return None if name == "embeddings.position_ids" else f"text_model.{name}"


def describe(
    preset: Preset, *, licence: str, provenance: Mapping[str, Any], guidance_embedding: bool, **more: Any
) -> dict[str, Any]:
    """The contents of `mobie_checkpoint.json` for a checkpoint with the values of `preset`."""

    def scale(range_: GuidanceRange) -> dict[str, float]:
        return {"minimum": range_.minimum, "maximum": range_.maximum, "default": range_.default}

    return {
        "schema_version": SCHEMA_VERSION,
        "preset": preset.name,
        "frame_size": list(preset.frame_size),
        "guidance": {
            "embedded": guidance_embedding,
            "text": scale(preset.text_guidance),
            "image": scale(preset.image_guidance),
        },
        "sampling": {"method": preset.sampler, "steps": preset.steps},
        "licence": licence,
        "provenance": {"tool": f"mobie {__version__}", **provenance},
        **more,
    }


def check_checkpoint_output(path: Path, *, force: bool) -> None:
    """Refuses, before any work, a place where no checkpoint can be written.

    Raises:
        InputError: something is there and `force` is false, it is no checkpoint, or its parent cannot take it.
    """
    check_output(path, force=force)
    check_replaceable(path, INFO_FILE)


def write_checkpoint(
    path: Path,
    networks: Networks,
    weights: Callable[[Part], Iterable[TensorEntry]],
    *,
    tokenizer_dir: Path,
    schedule: NoiseSchedule,
    info: Mapping[str, Any],
    dtype: str = "float16",
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Writes a whole checkpoint or nothing, one tensor in memory at a time.

    Args:
        path: The checkpoint's folder.
        networks: Configurations; the text encoder's vocabulary must be the tokenizer's.
        weights: Gives the tensors of one part.
        tokenizer_dir: Folder with `vocab.json` and `merges.txt`.
        schedule: Noise schedule and prediction type.
        info: As `describe` makes it.
        dtype: "float16" or "float32", how weights are stored.
        force: Replace a checkpoint that exists.
        progress: See `Progress`.

    Raises:
        InputError: the output exists, is no checkpoint, the tokenizer does not fit, or values do not fit `dtype`.
        WorkError: the disk is full.
    """
    check_checkpoint_output(path, force=force)
    if dtype not in DTYPES:
        raise InputError(f"Weights cannot be stored as {dtype!r}.", f"Dtypes are {', '.join(DTYPES)}.")
    tokenizer = CLIPTokenizer(*(tokenizer_dir / name for name in TOKENIZER_FILES))
    if tokenizer.vocab_size != networks.text_encoder.vocab_size:
        raise InputError(
            f"The tokenizer has {tokenizer.vocab_size} tokens, the text encoder {networks.text_encoder.vocab_size}."
        )
    try:
        with atomic_folder(path, force=force) as folder:
            _fill(folder, networks, weights, tokenizer_dir, schedule, info, dtype, progress)
    except OSError as error:
        raise WorkError(f"{path} cannot be written: {error.strerror or error}.", "Nothing was left behind.") from error


def _fill(
    folder: Path,
    networks: Networks,
    weights: Callable[[Part], Iterable[TensorEntry]],
    tokenizer_dir: Path,
    schedule: NoiseSchedule,
    info: Mapping[str, Any],
    dtype: str,
    progress: Progress | None,
) -> None:
    """Writes every file of a checkpoint into an empty folder."""
    parts = {part: list(weights(part)) for part in PARTS}
    item = 2 if dtype == "float16" else 4
    total = sum(item * torch.Size(entry.shape).numel() for entries in parts.values() for entry in entries)
    done = 0

    def count(written: int) -> None:
        nonlocal done
        done += written
        if progress is not None:
            progress(done, total)

    for part, entries in parts.items():
        (folder / part).mkdir()
        write_json(folder / part / "config.json", {**networks.config(part).to_json(), "torch_dtype": dtype})
        write_safetensors(folder / part / f"{STEMS[part]}.safetensors", entries, dtype, count)
    (folder / "tokenizer").mkdir()
    for name in TOKENIZER_FILES:
        shutil.copyfile(tokenizer_dir / name, folder / "tokenizer" / name)
    write_json(folder / "tokenizer" / "tokenizer_config.json", _TOKENIZER_CONFIG)
    (folder / "scheduler").mkdir()
    write_json(folder / "scheduler" / "scheduler_config.json", schedule.to_json())
    write_json(folder / "model_index.json", _MODEL_INDEX)
    write_json(folder / INFO_FILE, dict(info))


_TOKENIZER_CONFIG = {
    "tokenizer_class": "CLIPTokenizer",
    "model_max_length": 77,
    "bos_token": "<|startoftext|>",
    "eos_token": "<|endoftext|>",
    "unk_token": "<|endoftext|>",
    "pad_token": "<|endoftext|>",
}
_MODEL_INDEX = {
    "_class_name": "StableDiffusionInstructPix2PixPipeline",
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderTiny"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "safety_checker": [None, None],
    "requires_safety_checker": False,
}
