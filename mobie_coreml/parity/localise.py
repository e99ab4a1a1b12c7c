"""Where agreement is lost: every operation of a package judged on right inputs, one at a time.

The package runs once with every value that the reference knows replaced by the reference's right after it was compared:
each operation then starts from right inputs, and what it is off by is its own doing. A second run without replacements
shows how the error grows on the way. The reference is another package of the same component, or PyTorch itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mobie_coreml.ane.components import Component
from mobie_coreml.parity.reference_values import Reference, reference_values
from mobie_coreml.runtime.mil.program import MilProgram

Inputs = Mapping[str, npt.NDArray[Any]]

_CANDIDATES = 5


@dataclass(frozen=True)
class Suspect:
    """One operation of a package and how far it is off.

    Attributes:
        index: Position among the program's operations, constants not counted.
        operation: MIL operation.
        value: Name of its output.
        module: Path of the PyTorch module that it comes from; "" for the outermost or where nothing is known.
        own_db: PSNR of its output when its inputs are right.
        before_db: PSNR of the largest value that it reads, in a run from end to end.
        after_db: PSNR of its own output in that run.
    """

    index: int
    operation: str
    value: str
    module: str
    own_db: float
    before_db: float
    after_db: float

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; infinite figures (equal values) become None."""
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in asdict(self).items()
        }

    def sentence(self) -> str:
        """For people."""
        module = f" of {self.module}" if self.module else ""
        own, before, after = (
            "equal" if value == math.inf else "not a number" if value == -math.inf else f"{value:.1f} dB"
            for value in (self.own_db, self.before_db, self.after_db)
        )
        return (
            f"operation {self.index} ({self.operation}){module}, value {self.value}: {own} on right inputs; "
            f"from end to end {before} before it, {after} after it"
        )


@dataclass(frozen=True)
class Localisation:
    """Operations that are off by most, the first of them the culprit; empty where every value is equal."""

    compared: int
    suspects: tuple[Suspect, ...]

    @property
    def culprit(self) -> Suspect | None:
        """The operation where agreement is lost."""
        return self.suspects[0] if self.suspects else None


def localise_against_package(reference: MilProgram, tested: MilProgram, inputs: Inputs) -> Localisation:
    """Compares two packages of one component, value by value.

    Args:
        reference: The one that counts as right.
        tested: The one under test, loaded with the same precision.
        inputs: Arrays by input name.
    """
    return localise(package_values(reference, inputs), tested, inputs)


def localise_against_module(component: Component, target: str, tested: MilProgram, inputs: Inputs) -> Localisation:
    """Compares a package with the PyTorch module that it was converted from.

    Args:
        component: Materialised, in the attention form of the package.
        target: The package's deployment target.
        tested: The package.
        inputs: Arrays by input name.
    """
    return localise(reference_values(component, target, inputs), tested, inputs)


def package_values(program: MilProgram, inputs: Inputs) -> Reference:
    """What a package computes at every place."""
    values: dict[str, torch.Tensor] = {}

    def keep(_: int, __: str, name: str, value: torch.Tensor) -> None:
        values[name] = value.clone()

    program.run(inputs, on_value=keep)
    return Reference(values, {})


def localise(reference: Reference, tested: MilProgram, inputs: Inputs) -> Localisation:
    """Compares a package with values that are known to be right; one reference serves any number of packages.

    Args:
        reference: From `package_values` or `reference_values`, for the same inputs.
        tested: The package under test.
        inputs: Arrays by input name.
    """
    own = _psnr_by_value(reference, tested, inputs, replace=True)
    onward = {value: psnr for _, _, value, psnr in _psnr_by_value(reference, tested, inputs, replace=False)}
    reads = {
        name: [read for reads in operation.inputs.values() for read in reads]
        for operation in tested.operations
        for name in operation.outputs
    }
    suspects = []
    for index, operation, value, own_db in own:
        if own_db < math.inf:
            known = [name for name in reads.get(value, ()) if name in onward]
            largest = max(known, key=lambda name: reference.values[name].numel(), default=None)
            before = math.inf if largest is None else onward[largest]
            module = reference.modules.get(value, "")
            suspects.append(Suspect(index, operation, value, module, own_db, before, onward[value]))
    suspects.sort(key=lambda suspect: suspect.own_db)
    return Localisation(len(own), tuple(suspects[:_CANDIDATES]))


def _psnr_by_value(
    reference: Reference, tested: MilProgram, inputs: Inputs, *, replace: bool
) -> list[tuple[int, str, str, float]]:
    """(index, operation, value, PSNR) of every floating-point value that the reference knows, in running order."""
    found: list[tuple[int, str, str, float]] = []

    def observe(index: int, operation: str, name: str, value: torch.Tensor) -> torch.Tensor | None:
        expected = reference.values.get(name)
        if expected is None or expected.shape != value.shape:
            return None
        if value.is_floating_point():
            found.append((index, operation, name, _psnr(expected, value)))
        return expected if replace else None

    tested.run({name: np.asarray(array) for name, array in inputs.items()}, on_value=observe)
    return found


def _psnr(expected: torch.Tensor, value: torch.Tensor) -> float:
    """PSNR in dB with peak = max |expected|; inf for equal values, -inf for values that are not finite."""
    error = (value.double() - expected.double()).square().mean().item()
    if error == 0.0:
        return math.inf
    peak = expected.abs().max().item()
    if not math.isfinite(error) or peak == 0.0:
        return -math.inf
    return 20.0 * math.log10(peak) - 10.0 * math.log10(error)
