"""The same group norm as our converter and as coremltools writes it, both run by the fp16 executor, side by side."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from mobie_coreml.ane.norms import GroupNorm
from mobie_coreml.ane.tensors import TensorSpec
from mobie_coreml.convert.component import convert_component
from mobie_coreml.runtime.mil.runner import MilRunner

SHAPE = (1, 64, 24, 32)
GROUPS = 32
Psnr = Callable[[torch.Tensor, torch.Tensor], float]


@dataclass(frozen=True)
class NormComponent:
    """A group norm as something that can be converted."""

    module: GroupNorm
    name: str = "Norm"
    compute: str = "fp16"
    inputs: tuple[TensorSpec, ...] = (TensorSpec("x", SHAPE, "float16", "latents", "Features."),)
    outputs: tuple[TensorSpec, ...] = (TensorSpec("y", SHAPE, "float16", "", "Normalised features."),)

    def load_weight(self, name: str) -> npt.NDArray[np.generic]:
        array: npt.NDArray[np.generic] = self.module.state_dict()[name].numpy()
        return array


@dataclass(frozen=True)
class Pair:
    """Runs one input through both packages and the exact norm."""

    ours: MilRunner
    coremltools: MilRunner
    exact: nn.GroupNorm

    def run(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        given = {"x": x.numpy().astype(np.float16)}
        ours, coremltools = (
            torch.from_numpy(np.asarray(runner.run(given)["y"], dtype=np.float32))
            for runner in (self.ours, self.coremltools)
        )
        return ours, coremltools, self.exact(x.double()).float()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("norms")
    torch.manual_seed(3)
    exact = nn.GroupNorm(GROUPS, SHAPE[1]).requires_grad_(False)
    exact.weight.copy_(torch.randn(SHAPE[1]) * 0.5 + 1)
    exact.bias.copy_(torch.randn(SHAPE[1]))
    ours = GroupNorm(GROUPS, SHAPE[1], exact.eps).requires_grad_(False)
    ours.load_state_dict(exact.state_dict())
    convert_component(NormComponent(ours), folder / "ours.mlpackage")
    _convert_with_coremltools(exact, folder / "coremltools.mlpackage")
    return Pair(
        MilRunner(folder / "ours.mlpackage", "fp16"),
        MilRunner(folder / "coremltools.mlpackage", "fp16"),
        exact.double(),
    )


def _convert_with_coremltools(module: nn.Module, path: Path) -> None:
    program = torch.export.export(module.eval(), (torch.zeros(SHAPE),)).run_decompositions({})
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        import coremltools

        half = coremltools.converters.mil.mil.types.fp16
        model = coremltools.convert(
            program,
            inputs=[coremltools.TensorType(name="x", shape=SHAPE, dtype=half)],
            outputs=[coremltools.TensorType(name="y", dtype=half)],
            minimum_deployment_target=coremltools.target.iOS17,
            skip_model_load=True,
        )
        model.save(str(path))


def large() -> torch.Tensor:
    """Every group's mean about 500, values from -2000 to 2000."""
    torch.manual_seed(4)
    x = (torch.randn(SHAPE) * 600 + 500).clamp(-2000, 2000)
    x[:, ::2, 0, 0], x[:, ::2, 0, 1] = 2000, -2000
    return x.half().float()


def test_both_agree_with_pytorch_on_moderate_values(pair: Pair, psnr: Psnr) -> None:
    torch.manual_seed(5)
    ours, coremltools, exact = pair.run(torch.randn(SHAPE).half().float())
    assert psnr(ours, exact) >= 60
    assert psnr(coremltools, exact) >= 60


def test_ours_keeps_40_db_where_coremltools_gives_infinity(pair: Pair, psnr: Psnr) -> None:
    x = large()
    infinite: list[str] = []

    def watch(index: int, kind: str, name: str, value: torch.Tensor) -> None:
        if not torch.isfinite(value.float()).all():
            infinite.append(kind)

    ours, coremltools, exact = pair.run(x)
    assert psnr(ours, exact) >= 60
    assert psnr(coremltools, exact) < 20
    pair.coremltools.run({"x": x.numpy().astype(np.float16)}, watch)
    assert infinite, "coremltools' package was expected to overflow"
    infinite.clear()
    pair.ours.run({"x": x.numpy().astype(np.float16)}, watch)
    assert not infinite
