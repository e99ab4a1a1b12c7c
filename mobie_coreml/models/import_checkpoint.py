"""Importing InstructPix2Pix checkpoints from diffusers folders or the Hugging Face hub."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint_files import (
    Networks,
    Part,
    Progress,
    check_checkpoint_output,
    describe,
    write_checkpoint,
)
from mobie_coreml.models.config import AutoencoderConfig, TextEncoderConfig, UNetConfig
from mobie_coreml.models.import_source import Source, SourceOptions, open_source, open_taesd
from mobie_coreml.models.presets import preset
from mobie_coreml.models.weights import Array, TensorEntry, TensorFiles, check_names

# What Stable Diffusion 1's VAE multiplies its latents by; older configs do not say it.
_SD_SCALING_FACTOR = 0.18215


@dataclass(frozen=True)
class ImportReport:
    """What an import did.

    Attributes:
        source: The source's name and, from the hub, its commit.
        preset: "mobile" or "base".
        dropped: Names of the attention weights that the preset does without.
        dropped_parameters: How many numbers they are.
        image_latents_scale: What the image channels of `conv_in` were multiplied by.
        licence: The source's licence as it states it, or "unknown".
    """

    source: str
    preset: str
    dropped: tuple[str, ...]
    dropped_parameters: int
    image_latents_scale: float
    licence: str


def import_checkpoint(
    source: str | Path,
    out: Path,
    taesd: str | Path | None = None,
    *,
    preset_name: str = "mobile",
    revision: str | None = None,
    taesd_revision: str | None = None,
    variant: str | None = None,
    allow_pickle: bool = False,
    licence: str | None = None,
    image_latents_scale: float | None = None,
    dtype: str = "float16",
    force: bool = False,
    progress: Progress | None = None,
) -> ImportReport:
    """Makes a checkpoint of an InstructPix2Pix one.

    Attention at the highest resolution is dropped for "mobile" and kept for "base". InstructPix2Pix was trained with
    image latents that are NOT multiplied by its VAE's scaling factor f beside noisy latents that are. Here all latents
    are the scaled ones, so the image channels of `conv_in` are multiplied by 1 / f: convolution is linear, and
    w * (z / f) = (w / f) * z.

    Args:
        source: A folder in diffusers layout, or a hub id "owner/name".
        out: The checkpoint's folder.
        taesd: A folder or hub id with the tiny autoencoder (diffusers' AutoencoderTiny, or TAESD's own two files); may
            be left out where the source's own autoencoder is an AutoencoderTiny.
        preset_name: "mobile" or "base".
        revision: Commit, tag or branch of a hub source; the commit it stands for is recorded.
        taesd_revision: Likewise for `taesd`.
        variant: Only weight files of this variant, such as "fp16".
        allow_pickle: Read `.bin` files, through torch's weights-only loader.
        licence: Overrides what the source says of itself.
        image_latents_scale: Overrides 1 / scaling factor, for a UNet that was trained on other image latents.
        dtype: "float16" or "float32", how weights are stored.
        force: Replace a checkpoint that exists.
        progress: Called with (bytes written so far, bytes in all).

    Raises:
        InputError: the output exists or overlaps the source, or the source is incomplete, not an instruction editor,
            or has missing or unexpected weights.
        WorkError: the hub cannot be reached.
    """
    if preset_name not in ("base", "mobile"):
        raise InputError(f"An InstructPix2Pix checkpoint cannot become {preset_name!r}.", "Choose mobile or base.")
    check_checkpoint_output(out, force=force)
    if taesd is None and taesd_revision is not None:
        raise InputError("--taesd-revision is of --taesd, which is not given.", "Give both, or leave it out.")
    for place in (source, taesd):
        # Weights are read while the output is written: neither may be part of the other.
        if place is not None and Path(place).is_dir() and _overlap(Path(place).resolve(), out.resolve()):
            raise InputError(f"The output {out} and the source {place} overlap.", "Choose another output.")
    options = SourceOptions(variant=variant, allow_pickle=allow_pickle)
    opened = open_source(source, revision, options)
    tiny = open_taesd(taesd, taesd_revision, options) if taesd is not None else opened.own_tiny_autoencoder()
    networks, full_unet = _networks(opened, tiny.config, preset_name)

    dropped = _dropped(opened.unet.shapes, networks.shapes("unet"), full_unet)
    kept = {name: shape for name, shape in opened.unet.shapes.items() if name not in set(dropped)}
    check_names(f"{opened.name}/unet", kept, networks.shapes("unet"))
    check_names(f"{opened.name}/text_encoder", opened.text_encoder.shapes, networks.shapes("text_encoder"))
    check_names(f"the tiny autoencoder {tiny.name}", tiny.weights.shapes, networks.shapes("vae"))

    scale = image_latents_scale if image_latents_scale is not None else 1.0 / _scaling_factor(opened.vae_config)
    if not math.isfinite(scale) or scale <= 0:
        raise InputError(f"An image-latent scale of {scale} makes no sense.", "It must be positive.")
    files: dict[Part, TensorFiles] = {
        "unet": opened.unet,
        "vae": tiny.weights,
        "text_encoder": opened.text_encoder,
    }

    def weights(part: Part) -> Iterable[TensorEntry]:
        for name, shape in networks.shapes(part).items():
            read = _reader(files[part], name)
            if (part, name) == ("unet", "conv_in.weight"):
                read = _scaled_image_channels(read, scale)
            yield TensorEntry(name, shape, read)

    report = ImportReport(
        source=opened.name,
        preset=preset_name,
        dropped=tuple(dropped),
        dropped_parameters=sum(math.prod(opened.unet.shapes[name]) for name in dropped),
        image_latents_scale=scale,
        licence=licence or opened.licence,
    )
    with opened.tokenizer_folder() as tokenizer_dir:
        write_checkpoint(
            out,
            networks,
            weights,
            tokenizer_dir=tokenizer_dir,
            schedule=NoiseSchedule.from_json(opened.scheduler_config),
            info=describe(
                preset(preset_name),
                licence=report.licence,
                provenance={
                    "kind": "import",
                    "source": opened.name,
                    "revision": opened.revision,
                    "files": {
                        f"{part}/{name}": digest
                        for part, tensors in (("unet", opened.unet), ("text_encoder", opened.text_encoder))
                        for name, digest in tensors.digests().items()
                    },
                    "autoencoder": {
                        "source": tiny.name,
                        "revision": tiny.revision,
                        "licence": tiny.licence,
                        "files": tiny.weights.digests(),
                    },
                    "dropped_tensors": len(dropped),
                    "dropped_parameters": report.dropped_parameters,
                    "image_latents_scale_in_conv_in": scale,
                },
                guidance_embedding=networks.unet.guidance_embedding,
            ),
            dtype=dtype,
            force=force,
            progress=progress,
        )
    return report


def without_top_attention(unet: UNetConfig) -> UNetConfig:
    """The same shape without self- and cross-attention at the highest resolution, in the down and the up path."""
    return replace(
        unet,
        down_block_types=("DownBlock2D", *unet.down_block_types[1:]),
        up_block_types=(*unet.up_block_types[:-1], "UpBlock2D"),
    )


def _overlap(first: Path, second: Path) -> bool:
    return first == second or first in second.parents or second in first.parents


def _networks(source: Source, autoencoder: AutoencoderConfig, preset_name: str) -> tuple[Networks, UNetConfig]:
    """The networks of the new checkpoint, and the source's own UNet."""
    unet = UNetConfig.from_json(source.unet_config)
    chosen = without_top_attention(unet) if preset_name == "mobile" else unet
    return Networks(chosen, autoencoder, TextEncoderConfig.from_json(source.text_encoder_config)), unet


def _dropped(
    found: Mapping[str, tuple[int, ...]], wanted: Mapping[str, tuple[int, ...]], source: UNetConfig
) -> list[str]:
    """The source's attention weights at the highest resolution that the new network does without."""
    prefixes = ("down_blocks.0.attentions.", f"up_blocks.{len(source.up_block_types) - 1}.attentions.")
    return [name for name in found if name.startswith(prefixes) and name not in wanted]


def _scaling_factor(vae_config: Mapping[str, Any]) -> float:
    try:
        factor = float(vae_config.get("scaling_factor", _SD_SCALING_FACTOR))
    except (TypeError, ValueError) as error:
        raise InputError(f"The scaling factor of the source's VAE cannot be read: {error}.") from error
    if not math.isfinite(factor) or factor <= 0:
        raise InputError(f"The scaling factor {factor} of the source's VAE makes no sense.")
    return factor


def _reader(files: TensorFiles, name: str) -> Callable[[], Array]:
    return lambda: files.numpy(name)


def _scaled_image_channels(read: Callable[[], Array], scale: float) -> Callable[[], Array]:
    """The kernel of `conv_in` with its second half of input channels, the image latents', multiplied by `scale`."""

    def make() -> Array:
        kernel = read().astype(np.float32)
        kernel[:, kernel.shape[1] // 2 :] *= np.float32(scale)
        return kernel

    return make
