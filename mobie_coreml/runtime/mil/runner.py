"""Runs packages with our own executor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np

from mobie_coreml.runtime.base import Arrays, TensorInfo
from mobie_coreml.runtime.features import check_inputs, default_value, describe
from mobie_coreml.runtime.mil.errors import ProgramError
from mobie_coreml.runtime.mil.execute import OnValue
from mobie_coreml.runtime.mil.program import MilProgram
from palettization.package import Package


class MilRunner:
    """A package on this machine's CPU, anywhere (see `MilProgram` for the arithmetic).

    States of the package live in the runner: each run continues where the one before it ended.

    Args:
        path: The package.
        precision: "fp32" or "fp16".
        function: Function of a multifunction package; None is its default.

    Raises:
        PackageError: the package cannot be read or contradicts itself, or uses operations that the executor doesn't
            know (one error lists them all).
    """

    def __init__(self, path: Path, precision: Literal["fp32", "fp16"] = "fp32", function: str | None = None) -> None:
        package = Package.open(path)
        description = package.description(function)
        self._features = {feature.name: feature for feature in description.input}
        self._inputs = describe(description.input)
        self._outputs = describe(description.output)
        self.program = MilProgram.load(package, function, precision)
        for name, declared, computed in (
            ("inputs", set(self._inputs), set(self.program.inputs)),
            ("outputs", set(self._outputs), set(self.program.outputs)),
        ):
            if declared != computed:
                raise ProgramError(
                    f"{path} describes the {name} {sorted(declared)} but its program has {sorted(computed)}."
                )

    @property
    def inputs(self) -> dict[str, TensorInfo]:
        """Inputs by name."""
        return self._inputs

    @property
    def outputs(self) -> dict[str, TensorInfo]:
        """Outputs by name."""
        return self._outputs

    def run(self, inputs: Mapping[str, np.ndarray], on_value: OnValue | None = None) -> Arrays:
        """Runs once; `on_value` as in `MilProgram.run`.

        Raises:
            InputError: a missing or unknown name, a wrong shape or element type.
            ProgramError: the program failed.
        """
        arrays = check_inputs(self._inputs, inputs)
        for name, info in self._inputs.items():
            if name not in arrays:
                arrays[name] = default_value(self._features[name], info)
            elif info.color == "BGR":
                arrays[name] = arrays[name][:, ::-1]
        results = self.program.run(arrays, on_value)
        return {
            name: np.ascontiguousarray(results[name][:, ::-1]) if info.color == "BGR" else results[name]
            for name, info in self._outputs.items()
        }

    def reset_state(self) -> None:
        """Starts over with empty states."""
        self.program.reset_state()
