"""Small checkpoints with random norm parameters, and arithmetic in which every result is rounded to fp16."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from mobie_coreml.diffusion.schedule import NoiseSchedule
from mobie_coreml.models.autoencoder import TinyAutoencoder
from mobie_coreml.models.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from mobie_coreml.models.checkpoint_files import VOCABULARY, Networks, describe
from mobie_coreml.models.presets import PRESETS, Preset
from mobie_coreml.models.tokenizer import CLIPTokenizer

WIDTH = 64


class HalfPrecision(TorchDispatchMode):
    """Rounds every operation's floating-point result to fp16; each accumulates in fp32, as a device does."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))

        def rounded(tensor: torch.Tensor) -> torch.Tensor:
            return tensor.half().float() if tensor.dtype == torch.float32 else tensor

        return tree_map_only(torch.Tensor, rounded, result)


@pytest.fixture(scope="session")
def half_precision() -> type[HalfPrecision]:
    return HalfPrecision


@pytest.fixture(scope="session")
def psnr() -> Callable[[torch.Tensor, torch.Tensor], float]:
    """10 log10(peak^2 / mean squared error) with peak = max |reference|; -inf where anything is not finite."""

    def measure(result: torch.Tensor, reference: torch.Tensor) -> float:
        if not torch.isfinite(result).all():
            return float("-inf")
        error = (result.double() - reference.double()).square().mean()
        return float(10 * torch.log10(reference.double().abs().max() ** 2 / error))

    return measure


def _narrow(preset: Preset) -> Preset:
    """The preset's structure with few channels; base and mobile keep four levels, eight heads and their block types."""
    if preset.name == "nano":
        return preset
    narrow_unet = dataclasses.replace(
        preset.unet,
        block_out_channels=(32, 64, 96, 96),
        num_attention_heads=(4, 4, 4, 4),
        cross_attention_dim=WIDTH,
        norm_num_groups=16,
    )
    narrow_text = dataclasses.replace(
        preset.text_encoder, hidden_size=WIDTH, intermediate_size=2 * WIDTH, num_hidden_layers=2, num_attention_heads=4
    )
    narrow_autoencoder = dataclasses.replace(
        preset.autoencoder, encoder_block_out_channels=(8,) * 4, decoder_block_out_channels=(8,) * 4
    )
    return dataclasses.replace(preset, unet=narrow_unet, text_encoder=narrow_text, autoencoder=narrow_autoencoder)


@pytest.fixture(scope="session")
def make_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Checkpoint]:
    """(preset name, guidance inputs, prediction type) to a checkpoint with random weights, norms' included."""
    made: dict[tuple[str, bool, str], Checkpoint] = {}

    def make(name: str, guidance: bool = False, prediction: str = "epsilon", act: str = "quick_gelu") -> Checkpoint:
        key = (name, guidance, prediction + act)
        if key not in made:
            preset = _narrow(PRESETS[name])
            vocabulary = CLIPTokenizer(VOCABULARY / "vocab.json", VOCABULARY / "merges.txt").vocab_size
            networks = Networks(
                dataclasses.replace(preset.unet, guidance_embedding=guidance),
                preset.autoencoder,
                dataclasses.replace(preset.text_encoder, vocab_size=vocabulary, hidden_act=act),
            )
            torch.manual_seed(7)
            unet, autoencoder, text_encoder = (networks.build(part, "cpu") for part in ("unet", "vae", "text_encoder"))
            for module in (unet, text_encoder):
                _randomise(module)
            _spread(cast(TinyAutoencoder, autoencoder))
            path = tmp_path_factory.mktemp("checkpoint") / "checkpoint"
            save_checkpoint(
                path,
                unet=unet,
                autoencoder=autoencoder,
                text_encoder=text_encoder,
                tokenizer_dir=VOCABULARY,
                schedule=NoiseSchedule(prediction_type=prediction),
                info=describe(preset, licence="none", provenance={}, guidance_embedding=guidance),
                dtype="float32",
            )
            made[key] = load_checkpoint(path)
        return made[key]

    return make


def _randomise(module: torch.nn.Module) -> None:
    """Norms away from identity and zero-initialised projections away from zero, where a mistake would not show."""
    for name, parameter in module.named_parameters():
        with torch.no_grad():
            if parameter.ndim == 1 and "norm" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.5 + (1.0 if name.endswith("weight") else 0.0))
            elif not parameter.any():
                parameter.copy_(torch.randn_like(parameter) * 0.05)


def _spread(autoencoder: TinyAutoencoder) -> None:
    """Scales the last layer so that decoded images reach beyond black and white; random ones are nearly constant."""
    last = cast(torch.nn.Conv2d, autoencoder.decoder.layers[-1])
    with torch.no_grad():
        images = autoencoder.decode(torch.randn(1, autoencoder.config.latent_channels, 16, 16))
        mean, deviation = images.mean((0, 2, 3)), images.std((0, 2, 3)).clamp(min=1e-6)
        # The image is 2 y - 1: mean 0 and deviation 1 of it are mean 1/2 and deviation 1/2 of y.
        last.weight.div_(deviation[:, None, None, None])
        last.bias.sub_((mean + 1) / 2).div_(deviation).add_(0.5)
