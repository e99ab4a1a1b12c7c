"""The reference networks against diffusers and transformers at their true sizes, with the same random weights.

    python benchmarks/identity.py [--preset base|mobile|nano ...] [--json]

The tests do the same with few channels; here every shape is the real one: the UNets of `base` (859.5 M parameters),
`mobile` (846.8 M) and `nano`, TAESD and the text encoder of CLIP ViT-L/14. Both sides share one set of weights.
Exit code 1 if any difference exceeds 1e-5.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import torch
from diffusers import AutoencoderTiny, UNet2DConditionModel
from diffusers.utils import logging as diffusers_logging
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.checkpoint_files import text_encoder_name
from mobie_coreml.models.config import AutoencoderConfig, TextEncoderConfig
from mobie_coreml.models.presets import PRESETS
from mobie_coreml.models.random_checkpoint import random_parameter
from mobie_coreml.models.text_encoder import CLIPTextEncoder
from mobie_coreml.models.unet import MobilePix2PixUNet

LIMIT = 1e-5
SIZES = [(64, 48), (60, 60), (48, 64)]
"""Widths and heights in latents: 512x384, 480x480 and 384x512 pixels."""


@dataclass(frozen=True)
class Row:
    """One comparison: largest difference, largest value of the reference, seconds of both sides."""

    network: str
    parameters: int
    batch: int
    size: str
    difference: float
    magnitude: float
    ours_s: float
    theirs_s: float


def pair(
    ours: Callable[[], nn.Module],
    theirs: Callable[[], nn.Module],
    rename: Callable[[str], str | None] = lambda name: name,
) -> tuple[nn.Module, nn.Module]:
    """Both networks with the same random parameters, held once."""
    with torch.device("meta"):
        first, second = ours().eval(), theirs().eval()
    state = {name: random_parameter(name, name, tuple(value.shape)) for name, value in first.state_dict().items()}
    first.load_state_dict(state, assign=True)
    names = {name: rename(name) for name in second.state_dict()}
    second.load_state_dict({name: state[own] for name, own in names.items() if own in state}, assign=True)
    return first.requires_grad_(False), second.requires_grad_(False)


def compare(
    network: str,
    size: str,
    batch: int,
    module: nn.Module,
    ours: Callable[[], torch.Tensor],
    theirs: Callable[[], torch.Tensor],
) -> Row:
    """Runs both sides once."""
    started = time.perf_counter()
    answer = ours()
    between = time.perf_counter()
    reference = theirs()
    ended = time.perf_counter()
    return Row(
        network,
        sum(parameter.numel() for parameter in module.parameters()),
        batch,
        size,
        float((answer - reference).abs().max()),
        float(reference.abs().max()),
        between - started,
        ended - between,
    )


def unet_rows(name: str) -> Iterator[Row]:
    """One preset's UNet, at batch 1 in every size and at batch 3 in the first."""
    config = PRESETS[name].unet
    ours, theirs = pair(lambda: MobilePix2PixUNet(config), lambda: UNet2DConditionModel.from_config(config.to_json()))
    for batch, (width, height) in [*((1, size) for size in SIZES), (3, SIZES[0])]:
        generator = torch.Generator().manual_seed(0)
        sample = torch.randn(batch, config.in_channels, height, width, generator=generator)
        timestep = torch.randint(0, 1000, (batch,), generator=generator)
        text = torch.randn(batch, 77, config.cross_attention_dim, generator=generator)
        yield compare(
            f"UNet {name}",
            f"{width}x{height}",
            batch,
            ours,
            lambda inputs=(sample, timestep, text): ours(*inputs),
            lambda inputs=(sample, timestep, text): theirs(*inputs).sample,
        )


def autoencoder_rows() -> Iterator[Row]:
    """TAESD, both ways, at 512x384 pixels."""
    config = AutoencoderConfig()
    ours, theirs = pair(lambda: TinyAutoencoder(config), lambda: AutoencoderTiny.from_config(config.to_json()))
    images = torch.rand(1, 3, 384, 512, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latents = ours.encode(images)
    yield compare(
        "TAESD encoder", "512x384", 1, ours.encoder, lambda: ours.encode(images), lambda: theirs.encode(images).latents
    )
    yield compare(
        "TAESD decoder", "512x384", 1, ours.decoder, lambda: ours.decode(latents), lambda: theirs.decode(latents).sample
    )


def text_encoder_rows() -> Iterator[Row]:
    """CLIP ViT-L/14's text encoder."""
    config = TextEncoderConfig()
    ours, theirs = pair(
        lambda: CLIPTextEncoder(config), lambda: CLIPTextModel(CLIPTextConfig(**config.to_json())), text_encoder_name
    )
    # Not a parameter, so it stays on the meta device otherwise.
    theirs.embeddings.position_ids = torch.arange(77)[None]
    for batch in (1, 3):
        ids = torch.randint(0, config.vocab_size, (batch, 77), generator=torch.Generator().manual_seed(0))
        yield compare(
            "CLIP ViT-L/14 text",
            "77",
            batch,
            ours,
            lambda ids=ids: ours(ids),
            lambda ids=ids: theirs(ids).last_hidden_state,
        )


def main() -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", action="append", choices=list(PRESETS), help="UNets to compare; all by default")
    parser.add_argument("--json", action="store_true", help="JSON alone on standard output")
    arguments = parser.parse_args()
    diffusers_logging.set_verbosity_error()

    rows: list[Row] = []
    table = sys.stderr if arguments.json else sys.stdout
    print(
        f"{'network':20} {'M param.':>8} {'batch':>5} {'size':>8} {'max diff':>9} {'max':>6} {'ours':>7} {'theirs':>7}",
        file=table,
    )
    sources = [text_encoder_rows(), autoencoder_rows(), *(unet_rows(name) for name in arguments.preset or PRESETS)]
    with torch.no_grad():
        for source in sources:
            for row in source:
                rows.append(row)
                print(
                    f"{row.network:20} {row.parameters / 1e6:8.1f} {row.batch:5} {row.size:>8} {row.difference:9.1e} "
                    f"{row.magnitude:6.2f} {row.ours_s:6.1f}s {row.theirs_s:6.1f}s",
                    file=table,
                    flush=True,
                )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    passed = all(row.difference <= LIMIT for row in rows)
    print(f"{'all within' if passed else 'NOT all within'} {LIMIT:.0e}; peak memory {peak / 1e9:.2f} GB", file=table)
    if arguments.json:
        result = {"limit": LIMIT, "passed": passed, "peak_bytes": peak, "rows": [asdict(row) for row in rows]}
        print(json.dumps(result, indent=2))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
