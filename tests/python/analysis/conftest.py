"""A narrow model with random weights, converted to fp16, and its sensitivity."""

from __future__ import annotations

import pytest
from narrow_model import Narrow, narrow_preset

from mobie_coreml.analysis.calibration import Calibration
from mobie_coreml.analysis.sensitivity import SensitivityOptions, take_sensitivity
from mobie_coreml.convert.model import convert_model
from mobie_coreml.convert.options import ConvertOptions
from mobie_coreml.models.checkpoint import load_checkpoint, new_checkpoint

CONVERTED = ("TextEncoder", "Denoiser")


@pytest.fixture(scope="session")
def options() -> SensitivityOptions:
    """Of the narrow model's sensitivity."""
    return SensitivityOptions(CONVERTED, Calibration(frames=4), probes=16, check=24)


@pytest.fixture(scope="session")
def narrow(tmp_path_factory: pytest.TempPathFactory, options: SensitivityOptions) -> Narrow:
    """Two components of a narrow model for iOS17."""
    folder = tmp_path_factory.mktemp("narrow")
    checkpoint = folder / "checkpoint"
    new_checkpoint(checkpoint, narrow_preset(), seed=5)
    asked = ConvertOptions(components=CONVERTED, weight_bits=16)
    convert_model(load_checkpoint(checkpoint), folder / "model", asked)
    taken = take_sensitivity(folder / "model", str(checkpoint), options)
    return Narrow(folder / "model", str(checkpoint), taken)
