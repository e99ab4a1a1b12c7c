"""The nano model's components, converted, against their PyTorch modules with plain attention."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobie_coreml.ane.components import COMPONENTS, build_component
from mobie_coreml.convert.component import convert_component
from mobie_coreml.models.checkpoint import load_checkpoint
from mobie_coreml.runtime import open_runner
from mobie_coreml.runtime.features import random_inputs
from mobie_coreml.runtime.torch_runner import TorchRunner


@pytest.fixture(scope="module")
def checkpoint() -> Any:
    return load_checkpoint("nano")


def psnr(reference: np.ndarray, value: np.ndarray) -> float:
    """dB, with peak = max |reference|."""
    error = float(np.square(reference.astype(np.float64) - value).mean())
    return float("inf") if error == 0 else 10 * np.log10(float(np.abs(reference).max()) ** 2 / error)


def agree(checkpoint: Any, name: str, attention: str, target: str, folder: Path) -> None:
    reference = TorchRunner(build_component(name, checkpoint, attention="original"))
    inputs = random_inputs(reference.inputs, 1)
    if name == "Conditioner":
        inputs["timestep"] = np.array([999.0], np.float32)
    if name == "Denoiser":
        inputs["shifts"] *= 0.1
    package = folder / f"{name}.mlpackage"
    convert_component(build_component(name, checkpoint, attention=attention, materialise=False), package, target)
    expected = reference.run(inputs)
    for precision, least in (("fp32", 60.0), ("fp16", 50.0)):
        runner = open_runner(package, precision=precision)
        assert {key: info.shape for key, info in runner.inputs.items()} == {
            key: info.shape for key, info in reference.inputs.items()
        }
        outputs = runner.run(inputs)
        assert set(outputs) == set(expected)
        for key, array in expected.items():
            assert psnr(array, outputs[key]) >= least, f"{name}.{key} in {precision}"


@pytest.mark.parametrize("name", COMPONENTS)
def test_component(checkpoint: Any, name: str, tmp_path: Path) -> None:
    agree(checkpoint, name, "split-einsum", "iOS17", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["iOS17", "iOS18"])
@pytest.mark.parametrize("attention", ["original", "split-einsum", "split-einsum-v2"])
@pytest.mark.parametrize("name", ["TextEncoder", "Denoiser"])
def test_component_in_every_form(checkpoint: Any, name: str, attention: str, target: str, tmp_path: Path) -> None:
    agree(checkpoint, name, attention, target, tmp_path)
