"""How far the weights of one package are from those of another with the same network."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.errors import PackageError
from palettization.package import Constants, Function, Package, operation_name
from palettization.stored import stored_weights

_SUFFIXES = ("", "_palettized", "_palettized_pcs", "_quantized", "_sparsified")
"""What coremltools appends to the name of a weight that it compresses; this library keeps names."""
_PIECE = 1 << 18
_Place = tuple[Function, Any]


@dataclass(frozen=True)
class WeightError:
    """One weight against its original.

    Attributes:
        elements: Of the weight.
        squared_error: Sum of squared differences.
        energy: Sum of squares of the original.
    """

    elements: int
    squared_error: float
    energy: float

    @property
    def snr(self) -> float:
        """Energy over squared error in dB; infinite without error."""
        if not self.squared_error:
            return math.inf
        return 10 * math.log10(self.energy / self.squared_error) if self.energy else -math.inf


def total_error(errors: Iterable[WeightError]) -> WeightError:
    """Of several weights together."""
    listed = list(errors)
    return WeightError(
        sum(error.elements for error in listed),
        math.fsum(error.squared_error for error in listed),
        math.fsum(error.energy for error in listed),
    )


def compare_weights(package: Package, original: Package) -> dict[str, WeightError]:
    """The errors of a package's weights, by name; those that the original does not have are left out.

    Both may be compressed in any way. One pair of weights is in memory at a time.

    Raises:
        PackageError: no weight is in both, or two of one name differ in shape.
    """
    originals = _places(original)
    constants: dict[int, Constants] = {}

    def value(held: Package, place: _Place) -> npt.NDArray[Any]:
        function, operation = place
        known = constants.setdefault(id(function), Constants(held, function))
        return known.value(operation.outputs[0].name)

    errors: dict[str, WeightError] = {}
    for name, place in _places(package).items():
        given = next((originals[stem] for stem in _stems(name) if stem in originals), None)
        if given is None:
            continue
        one, two = value(package, place), value(original, given)
        if one.shape != two.shape:
            raise PackageError(
                f"{name} has the shape {one.shape} in {package.path} and {two.shape} in {original.path}.",
                "Compare packages of the same network.",
            )
        errors[name] = _error(one.reshape(-1), two.reshape(-1))
    if not errors:
        raise PackageError(
            f"{package.path} and {original.path} have no weight in common.", "Compare packages of the same network."
        )
    return errors


def _places(package: Package) -> dict[str, _Place]:
    """Function and operation of every weight, by all its names."""
    names = {name for weight in stored_weights(package) for name in weight.names}
    return {
        operation_name(located.operation): (function, located.operation)
        for function in package.functions.values()
        for located in function.walk()
        if operation_name(located.operation) in names and located.operation.outputs
    }


def _stems(name: str) -> list[str]:
    """What the weight may be called in the original."""
    return [name.removesuffix(suffix) for suffix in _SUFFIXES]


def _error(one: npt.NDArray[Any], two: npt.NDArray[Any]) -> WeightError:
    squared_error = energy = 0.0
    for start in range(0, one.size, _PIECE):
        part = slice(start, start + _PIECE)
        given = two[part].astype(np.float64)
        difference = one[part] - given
        squared_error += float(difference @ difference)
        energy += float(given @ given)
    return WeightError(one.size, squared_error, energy)
