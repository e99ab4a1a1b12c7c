"""Which palette costs most: one weight at a time is put back, and what the output gains is what its palette costs."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from mobie_coreml.manifest.weights import palettized_weights
from mobie_coreml.metrics import psnr
from mobie_coreml.parity.localise import package_values
from mobie_coreml.parity.metrics import decibels
from mobie_coreml.parity.uncompressed import UncompressedWeights
from mobie_coreml.runtime.mil.program import MilProgram
from palettization.package import Package

Inputs = Mapping[str, npt.NDArray[Any]]

_LISTED = 5
_LEAST, _MOST = 4, 16
"""Weights that are put back however long that takes, and however little."""


@dataclass(frozen=True)
class TensorCost:
    """One weight and what its palette costs.

    Attributes:
        tensor: The checkpoint's parameter.
        value_db: PSNR of the output of the operation that reads it, when that operation's other inputs are right.
        restored_db: PSNR of the component's output when this weight alone has no palette.
        gain_db: By how much that is better than with all palettes.
    """

    tensor: str
    value_db: float
    restored_db: float
    gain_db: float


@dataclass(frozen=True)
class TensorCosts:
    """The palettes of a component that cost most, on one input.

    Attributes:
        palettized_db: PSNR of the component's output with all palettes, against the same package without any.
        palettes: How many weights have one.
        tried: How many were put back, those first whose operations are off by most.
        costs: The dearest ones.
    """

    palettized_db: float
    palettes: int
    tried: int
    costs: tuple[TensorCost, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite figures (equal values) become None."""
        costs = [
            {key: None if isinstance(item, float) and not math.isfinite(item) else item for key, item in row.items()}
            for row in map(asdict, self.costs)
        ]
        equal = not math.isfinite(self.palettized_db)
        return {**asdict(self), "palettized_db": None if equal else self.palettized_db, "costs": costs}

    def sentence(self) -> str:
        """For people."""
        if not self.costs:
            return "its palettes cost nothing on this input"
        dearest = self.costs[0]
        return (
            f"of its {self.palettes} palettes that of {dearest.tensor} costs most: without it the output is at "
            f"{decibels(dearest.restored_db)} instead of {decibels(self.palettized_db)} dB ({self.tried} tried)"
        )


def tensor_costs(
    weights: UncompressedWeights,
    path: Path,
    inputs: Inputs,
    precision: Literal["fp32", "fp16"] = "fp32",
    seconds: float = 30.0,
) -> TensorCosts:
    """Finds the palettes that cost most.

    Two runs rank them: each operation that reads a palette is given right inputs, and what its output is off by is the
    palette's doing. Then a few weights are put back one at a time in that order, each costing a run of the component,
    until the time is up.

    Args:
        weights: Of the component.
        path: Its palettized package.
        inputs: Arrays by input name.
        precision: Of the executor.
        seconds: After which no further weight is put back.
    """
    started = time.monotonic()
    with Package.open(path) as package:
        palettes = palettized_weights(package)
    uncompressed = MilProgram.load(weights.restore(path), precision=precision)
    right = package_values(uncompressed, inputs).values
    expected = {name: right[name].numpy() for name in uncompressed.outputs}
    program = MilProgram.load(path, precision=precision)
    palettized_db = _output_psnr(expected, program, inputs)
    values = _value_psnr(right, program, inputs, frozenset(palettes))
    del right
    costs: list[TensorCost] = []
    for tensor in sorted(palettes, key=lambda name: values.get(name, math.inf))[:_MOST]:
        if palettized_db == math.inf or (len(costs) >= _LEAST and time.monotonic() - started > seconds):
            break
        restored = MilProgram.load(weights.restore(path, {tensor}), precision=precision)
        restored_db = _output_psnr(expected, restored, inputs)
        name = weights.parameters.get(tensor, tensor)
        costs.append(TensorCost(name, values.get(tensor, math.inf), restored_db, restored_db - palettized_db))
    costs.sort(key=lambda cost: -cost.gain_db)
    return TensorCosts(palettized_db, len(palettes), len(costs), tuple(costs[:_LISTED]))


def _output_psnr(expected: Mapping[str, npt.NDArray[Any]], program: MilProgram, inputs: Inputs) -> float:
    """Of the worst output."""
    found = program.run({name: np.asarray(array) for name, array in inputs.items()})
    return min(psnr(expected[name], found[name]) for name in expected)


def _value_psnr(
    right: Mapping[str, torch.Tensor], program: MilProgram, inputs: Inputs, palettes: frozenset[str]
) -> dict[str, float]:
    """By weight, the PSNR of the outputs of the operations that read it, given right inputs; the worst of several."""
    readers = {
        operation.index: {name for names in operation.inputs.values() for name in names} & palettes
        for operation in program.operations
    }
    found: dict[str, float] = {}

    def observe(index: int, _: str, name: str, value: torch.Tensor) -> torch.Tensor | None:
        wanted = right.get(name)
        if wanted is None or not value.is_floating_point():
            return wanted
        for weight in readers.get(index, ()):
            error = psnr(wanted.numpy(), value.numpy())
            found[weight] = min(found.get(weight, math.inf), error)
        return wanted

    program.run({name: np.asarray(array) for name, array in inputs.items()}, on_value=observe)
    return found
