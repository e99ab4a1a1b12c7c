"""A component on recorded inputs: what goes in, and the scale on which errors of its outputs are told."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from mobie_coreml.analysis.tensors import Palettes, half, palettized
from mobie_coreml.ane.components import Component
from mobie_coreml.errors import WorkError
from mobie_coreml.parity.record import Record
from mobie_coreml.runtime.features import check_inputs
from mobie_coreml.runtime.torch_runner import TorchRunner


@dataclass(frozen=True)
class Case:
    """Inputs of one run, in the module's order, and for each output 1 / (peak sqrt(count)).

    Outputs multiplied by their scale have squared errors that sum to the mean squared error over the squared peak,
    10^(-PSNR / 10).
    """

    inputs: tuple[torch.Tensor, ...]
    scales: tuple[float, ...]


class Cases:
    """A component with its cases; counts the passes it makes.

    Args:
        component: Materialised.
        records: Of the component.

    Attributes:
        forwards: Forward passes so far.
        backwards: Backward passes so far; one costs about as much as two forward passes.

    Raises:
        WorkError: an output is zero everywhere or not finite.
    """

    def __init__(self, component: Component, records: Sequence[Record]) -> None:
        self.component = component
        self.forwards = self.backwards = 0
        taken = TorchRunner(component).inputs
        self.cases = []
        for record in records:
            arrays = check_inputs(taken, record.inputs)
            inputs = tuple(torch.from_numpy(arrays[name]) for name in taken)
            scales = (_scale(component.name, spec.name, record.outputs[spec.name]) for spec in component.outputs)
            self.cases.append(Case(inputs, tuple(scales)))
        self._expected: list[list[torch.Tensor]] | None = None

    def scaled_outputs(self, case: Case) -> list[torch.Tensor]:
        """One forward pass: the outputs times their scales."""
        self.forwards += 1
        results = self.component.module(*case.inputs)
        results = results if isinstance(results, tuple) else (results,)
        return [result * scale for result, scale in zip(results, case.scales, strict=True)]

    def error(self, tensors: Sequence[Palettes], bits: Mapping[str, int]) -> float:
        """Measures what compression does: the mean over cases of squared error over squared peak, summed over outputs.

        Args:
            tensors: Of the component.
            bits: By parameter; tensors that are absent or have 16 stay as they are.
        """
        with torch.inference_mode():
            if self._expected is None:
                self._expected = [self.scaled_outputs(case) for case in self.cases]
            with self._compressed(tensors, bits):
                errors = [
                    sum(
                        float((got - right).double().square().sum()) for got, right in zip(found, expected, strict=True)
                    )
                    for expected, found in zip(self._expected, map(self.scaled_outputs, self.cases), strict=True)
                ]
        return math.fsum(errors) / len(errors)

    @contextmanager
    def _compressed(self, tensors: Sequence[Palettes], bits: Mapping[str, int]) -> Iterator[None]:
        """Palettized values, less what rounding to fp16 does, in the module; the given ones afterwards."""
        state = self.component.module.state_dict()
        kept: dict[str, torch.Tensor] = {}
        try:
            for tensor in tensors:
                width = bits.get(tensor.parameter, 16)
                if width in tensor.by_bits:
                    held = state[tensor.parameter]
                    kept[tensor.parameter] = held.clone()
                    given = half(held.numpy())
                    change = palettized(given, tensor.by_bits[width]) - given.astype(np.float32)
                    held += torch.from_numpy(change)
            yield
        finally:
            for name, values in kept.items():
                state[name].copy_(values)


def psnr_db(error: float) -> float:
    """PSNR in dB of a mean squared error over the squared peak; infinite without error."""
    return -10 * math.log10(error) if error > 0 else math.inf


def _scale(component: str, output: str, values: np.ndarray) -> float:
    peak = float(np.abs(values.astype(np.float64)).max())
    if not math.isfinite(peak) or peak == 0:
        raise WorkError(
            f"{component} gives a {output} that is {'zero everywhere' if peak == 0 else 'not finite'}.",
            "Nothing can be said of what compression does to it: check the checkpoint.",
        )
    return 1 / (peak * math.sqrt(values.size))
