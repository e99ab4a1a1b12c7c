"""Random checkpoints: untrained weights in a true shape, for conversion, cost and parity without trained ones."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import torch

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.errors import InputError
from mobie_coreml.models.checkpoint_files import (
    TOKENIZER_FILES,
    VOCABULARY,
    Networks,
    Part,
    Progress,
    check_checkpoint_output,
    describe,
    write_checkpoint,
)
from mobie_coreml.models.presets import Preset, preset
from mobie_coreml.models.tokenizer import CLIPTokenizer
from mobie_coreml.models.weights import Array, TensorEntry


def new_checkpoint(
    path: Path,
    preset_name: str | Preset,
    seed: int,
    *,
    guidance_embedding: bool = False,
    dtype: str = "float16",
    tokenizer_dir: Path = VOCABULARY,
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Writes a checkpoint with random weights; the same arguments give the same bytes.

    Each parameter is drawn from a generator of its own, seeded by `seed` and the parameter's name, and written before
    the next is made, so that memory holds one tensor at a time. Guidance projections are zero, as before training.

    Args:
        path: The checkpoint's folder.
        preset_name: "base", "mobile", "nano", or a Preset with other values.
        seed: Any integer from 0 on.
        guidance_embedding: Give the network both guidance scales as inputs.
        dtype: "float16" or "float32", how weights are stored.
        tokenizer_dir: Folder with `vocab.json` and `merges.txt`; the embedded vocabulary by default.
        force: Replace a checkpoint that exists.
        progress: Called with (bytes written so far, bytes in all).

    Raises:
        InputError: there is no such preset, the output exists, the seed is negative.
    """
    if seed < 0:
        raise InputError(f"The seed {seed} is negative.", "Seeds count from 0.")
    check_checkpoint_output(path, force=force)
    chosen = preset_name if isinstance(preset_name, Preset) else preset(preset_name)
    tokenizer = CLIPTokenizer(*(tokenizer_dir / name for name in TOKENIZER_FILES))
    networks = Networks(
        replace(chosen.unet, guidance_embedding=guidance_embedding),
        chosen.autoencoder,
        replace(chosen.text_encoder, vocab_size=tokenizer.vocab_size),
    )

    def weights(part: Part) -> Iterable[TensorEntry]:
        shapes = networks.shapes(part)
        last_weight, last_bias = (
            [name for name in shapes if name.startswith("decoder.layers.")][-2:] if part == "vae" else ("", "")
        )
        for name, shape in shapes.items():
            # Images around mid-grey with some contrast, where clipping to 0..255 hides no differences.
            scale, offset = 1.0, 0.0
            if name == last_weight:
                scale = 0.25
            elif name == "decoder.linear.weight":
                scale = 0.1
            elif name.startswith("input_skip."):
                # A matrix chosen by the embeddings, times inputs: much smaller than what the network itself gives.
                scale = 0.05
            elif name == last_bias:
                offset = 0.5
            yield TensorEntry(name, shape, _drawer(f"{seed}/{part}/{name}", name, shape, scale, offset))

    write_checkpoint(
        path,
        networks,
        weights,
        tokenizer_dir=tokenizer_dir,
        schedule=NoiseSchedule(prediction_type=chosen.prediction_type),
        info=describe(
            chosen,
            licence="Apache-2.0",
            provenance={"kind": "random", "seed": seed},
            guidance_embedding=guidance_embedding,
        ),
        dtype=dtype,
        force=force,
        progress=progress,
    )


def _drawer(key: str, name: str, shape: tuple[int, ...], scale: float, offset: float) -> Callable[[], Array]:
    return lambda: random_parameter(key, name, shape).mul_(scale).add_(offset).numpy()


def random_parameter(key: str, name: str, shape: tuple[int, ...]) -> torch.Tensor:
    """A random fp32 parameter that keeps activations near unit scale.

    Matrices and kernels are normal with variance 1 / fan-in (LeCun et al. 1998); norms are 1 + 0.1 n and 0.1 n rather
    than 1 and 0, so that nothing that multiplies by them can be lost unnoticed; embeddings are 0.1 n.

    Args:
        key: Seeds the generator; any text.
        name: The parameter's name, which says what it is.
        shape: Its shape.
    """
    if "guidance_emb_proj" in name:
        return torch.zeros(shape)
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little") >> 1
    normal = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if "token_embedding" in name or "position_embedding" in name or len(shape) < 2:
        is_norm_weight = len(shape) == 1 and name.endswith("weight")
        return normal.mul_(0.1).add_(1.0 if is_norm_weight else 0.0)
    return normal.div_(math.sqrt(math.prod(shape[1:])))
