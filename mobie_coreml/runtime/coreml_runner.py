"""Runs packages with Core ML itself, on macOS."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mobie_coreml.errors import InputError, WorkError
from mobie_coreml.runtime.base import COMPUTE_UNITS, Arrays, TensorInfo
from mobie_coreml.runtime.features import check_inputs, describe
from palettization.package import Package


class CoreMLRunner:
    """A package in Core ML.

    Images cross as 8-bit pixel buffers, as in an app: inputs are rounded and limited to 0..255.

    Args:
        path: The package.
        compute_units: One of COMPUTE_UNITS.
        function: Function of a multifunction package; None is its default.

    Raises:
        InputError: not on macOS.
        WorkError: Core ML cannot load the package.
        PackageError: the package cannot be read.
    """

    def __init__(self, path: Path, compute_units: str = "cpuOnly", function: str | None = None) -> None:
        if platform.system() != "Darwin":
            raise InputError("Core ML runs on macOS only.", "Use --runtime mil, which executes the same package here.")
        with Package.open(path) as package:
            description = package.description(function)
            self._inputs = describe(description.input)
            self._outputs = describe(description.output)
            stateful = len(description.state) > 0
        import coremltools

        units = getattr(coremltools.ComputeUnit, COMPUTE_UNITS[compute_units])
        options = {} if function is None else {"function_name": function}
        try:
            self._model = coremltools.models.MLModel(str(path), compute_units=units, **options)
            self._state = self._model.make_state() if stateful else None
        except Exception as error:
            # Core ML's failures come as RuntimeError and as plain Exception, depending on where it fails.
            raise WorkError(
                f"Core ML cannot load {path}: {error}.", "`mobie run --runtime mil` may say more."
            ) from error

    @property
    def inputs(self) -> dict[str, TensorInfo]:
        """Inputs by name."""
        return self._inputs

    @property
    def outputs(self) -> dict[str, TensorInfo]:
        """Outputs by name."""
        return self._outputs

    def run(self, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """Runs once.

        Raises:
            InputError: a missing or unknown name, a wrong shape or element type.
            WorkError: Core ML failed.
        """
        arrays = check_inputs(self._inputs, inputs)
        given = {
            name: to_picture(array) if self._inputs[name].is_image else _typed(array, self._inputs[name])
            for name, array in arrays.items()
        }
        try:
            results = self._model.predict(given, self._state) if self._state else self._model.predict(given)
        except Exception as error:
            raise WorkError(f"Core ML failed: {error}.") from error
        missing = sorted(set(self._outputs) - set(results))
        if missing:
            raise WorkError(f"Core ML gave no {', '.join(missing)}.")
        return {name: _array(results[name], info) for name, info in self._outputs.items()}


def to_picture(array: np.ndarray) -> Any:
    """(1, 1 or 3, H, W), 0 to 255, as an 8-bit PIL image, rounded half to even and limited to 0..255."""
    from PIL import Image

    pixels = np.clip(np.rint(array[0]), 0, 255).astype(np.uint8)
    return (
        Image.fromarray(pixels[0], "L") if pixels.shape[0] == 1 else Image.fromarray(pixels.transpose(1, 2, 0), "RGB")
    )


def from_picture(picture: Any) -> np.ndarray:
    """A PIL image as float32 (1, 1 or 3, H, W), 0 to 255; transparency is dropped."""
    pixels = np.asarray(picture if picture.mode in ("L", "F") else picture.convert("RGB"), dtype=np.float32)
    return pixels[None, None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])


def _typed(array: np.ndarray, info: TensorInfo) -> np.ndarray:
    return array.astype(np.dtype(info.dtype))


def _array(value: Any, info: TensorInfo) -> np.ndarray:
    if info.is_image:
        return from_picture(value)
    if isinstance(value, dict):
        return np.array(list(value.values()), dtype=np.float32)
    array = np.asarray(value)
    return array.astype(np.float32) if array.dtype.kind == "f" else array
