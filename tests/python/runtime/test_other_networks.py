"""Packages that coremltools makes of other projects' networks agree with PyTorch."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import pytest
import torch
from torch import nn

from mobie_coreml.runtime import open_runner

Network = Callable[[], tuple[nn.Module, dict[str, torch.Tensor]]]


def psnr(reference: np.ndarray, value: np.ndarray) -> float:
    """dB, with peak = max |reference|."""
    error = float(np.square(reference.astype(np.float64) - value).mean())
    return float("inf") if error == 0 else 10 * np.log10(float(np.abs(reference).max()) ** 2 / error)


def randomise(module: nn.Module) -> nn.Module:
    """Norms with weight 1 and bias 0 would hide mistakes."""
    generator = torch.Generator().manual_seed(0)
    for parameter in module.parameters():
        if parameter.dim() == 1:
            parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return module.eval()


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Plain(nn.Module):
    """A diffusers or transformers network with positional inputs and its first tensor as output."""

    def __init__(self, network: nn.Module, **options: Any) -> None:
        super().__init__()
        self.network = network
        self.options = options

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.network(*inputs, **self.options)[0]


def convolutional() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    def block(cin: int, cout: int, stride: int) -> list[nn.Module]:
        depthwise = nn.Conv2d(cin, cin, 3, stride, 1, groups=cin, bias=False)
        return [
            depthwise,
            nn.BatchNorm2d(cin),
            nn.Hardswish(),
            nn.Conv2d(cin, cout, 1),
            nn.BatchNorm2d(cout),
            nn.ReLU6(),
        ]

    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.MaxPool2d(3, 2, 1), *block(8, 16, 1), *block(16, 24, 2)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10), nn.Softmax(-1)]
    return nn.Sequential(*layers, *head), {"x": normal(1, 3, 32, 32)}


def transformer() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(50, 32)
            self.qkv = nn.Linear(32, 96)
            self.norm = nn.LayerNorm(32)
            self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(approximate="tanh"), nn.Linear(64, 32))

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            x = self.embed(ids)
            q, k, v = (part.unflatten(-1, (4, 8)).transpose(1, 2) for part in self.qkv(self.norm(x)).chunk(3, -1))
            causal = torch.full((12, 12), -1e4).triu(1)
            x = x + nn.functional.scaled_dot_product_attention(q, k, v, causal).transpose(1, 2).flatten(-2)
            return x + self.mlp(self.norm(x))

    return Attention(), {"ids": torch.arange(12, dtype=torch.int32)[None]}


def recurrent() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 8, 2, batch_first=True, bidirectional=True)
            self.out = nn.Linear(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.log_softmax(self.out(self.lstm(x)[0]), -1)

    return Tagger(), {"x": normal(1, 7, 6)}


def unet() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    from diffusers import UNet2DConditionModel

    network = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    inputs = {"sample": normal(1, 4, 8, 8), "timestep": torch.tensor([250.0]), "text": normal(1, 7, 16)}
    return Plain(network, return_dict=False), inputs


def variational() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    from diffusers import AutoencoderKL

    network = AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=8,
        sample_size=16,
    )

    class Decode(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, latents: torch.Tensor) -> torch.Tensor:
            return self.network.decode(latents, return_dict=False)[0]

    return Decode(), {"latents": normal(1, 4, 8, 8)}


def vision() -> tuple[nn.Module, dict[str, torch.Tensor]]:
    from transformers import CLIPVisionConfig, CLIPVisionModel

    config = CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, image_size=16, patch_size=4
    )
    return Plain(CLIPVisionModel(config), return_dict=False), {"pixels": normal(1, 3, 16, 16)}


def agree(network: Network, opset: Any, path: Path) -> None:
    module, inputs = network()
    module = randomise(module)
    with torch.no_grad():
        reference = module(*inputs.values()).numpy()
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        if network is recurrent:  # coremltools takes no LSTM from torch.export
            exported = torch.jit.trace(module, tuple(inputs.values()))
        else:
            exported = torch.export.export(module, tuple(inputs.values())).run_decompositions({})
        model = ct.convert(
            exported,
            inputs=[
                ct.TensorType(name, shape=value.shape, dtype=value.numpy().dtype.type) for name, value in inputs.items()
            ],
            outputs=[ct.TensorType("y", dtype=np.float32)],
            minimum_deployment_target=opset,
            compute_precision=ct.precision.FLOAT16,
            skip_model_load=True,
        )
        model.save(str(path))
    arrays = {name: value.numpy() for name, value in inputs.items()}
    assert psnr(reference, open_runner(path).run(arrays)["y"]) >= 55
    assert psnr(reference, open_runner(path, precision="fp16").run(arrays)["y"]) >= 40


@pytest.mark.parametrize("network", [convolutional, transformer, recurrent], ids=lambda network: network.__name__)
def test_network(network: Network, tmp_path: Path) -> None:
    agree(network, ct.target.iOS17, tmp_path / "network.mlpackage")


@pytest.mark.slow
@pytest.mark.parametrize("opset", [ct.target.iOS15, ct.target.iOS16, ct.target.iOS17, ct.target.iOS18])
@pytest.mark.parametrize(
    "network", [convolutional, transformer, recurrent, unet, variational, vision], ids=lambda network: network.__name__
)
def test_network_for_every_target(network: Network, opset: Any, tmp_path: Path) -> None:
    agree(network, opset, tmp_path / "network.mlpackage")
