"""The tensors of a component that can have palettes, and their palettes of every width."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mobie_coreml.analysis.calibration import Told
from mobie_coreml.ane.components import Component
from mobie_coreml.errors import InputError
from palettization.clustering import BITS, Palette, palette_of_histogram
from palettization.histogram import bit_patterns, histogram_of, pattern_values
from palettization.package import Package
from palettization.recipe import package_name
from palettization.rules import SkipRules
from palettization.stored import CAST, DENSE, StoredWeight, architecture_digest, stored_weights

_PIECE = 1 << 20
"""Elements taken at a time where numpy would widen a whole tensor."""
_THREADS = 2


@dataclass(frozen=True)
class Palettes:
    """One tensor and what tables can do for it.

    Attributes:
        parameter: Its name in the checkpoint.
        shape: In the component's module.
        distinct: Different values it has.
        energy: Sum of its squares.
        by_bits: The best palette of each width.
    """

    parameter: str
    shape: tuple[int, ...]
    distinct: int
    energy: float
    by_bits: Mapping[int, Palette]

    def projections(self, sums: npt.NDArray[np.float64]) -> dict[int, float]:
        """By bits, the inner product of a gradient with what palettizing changes.

        Args:
            sums: (65536,) as `sums_by_pattern` gives them for the gradient.
        """
        order, values = _ascending()
        ordered = sums[order]
        before = float(np.dot(ordered, values))
        # The entry nearest to a value rises with it: every entry stands for one run of ascending values.
        upto = np.concatenate([[0.0], np.cumsum(ordered)])
        found = {}
        for bits, palette in self.by_bits.items():
            table = palette.table.astype(np.float64)
            found[bits] = float(np.dot(np.diff(upto[self.runs[bits]]), table)) - before
        return found

    @cached_property
    def runs(self) -> dict[int, npt.NDArray[np.int64]]:
        """By bits, (2^bits + 1,) where the runs of ascending finite values that map to each entry begin and end."""
        order, _ = _ascending()
        return {
            bits: np.searchsorted(palette.lookup[order], np.arange(palette.table.size + 1))
            for bits, palette in self.by_bits.items()
        }


@dataclass(frozen=True)
class Layout:
    """What a component's package says of its weights.

    Attributes:
        architecture: Digest of their names and shapes.
        weights: Float weights of the package.
        palettizable: Those that can have palettes, by the checkpoint's parameter.
    """

    architecture: str
    weights: tuple[StoredWeight, ...]
    palettizable: Mapping[str, StoredWeight]


def read_layout(package: Path, component: Component) -> Layout:
    """Reads a component's package, palettized or not; no weight is read.

    Tensors are those that palettization compresses unless told otherwise, as far as the component has them under the
    same name: a constant that the converter made itself is not the checkpoint's.

    Args:
        package: The component's .mlpackage.
        component: The same component; its parameters may be on the meta device.

    Raises:
        PackageError: the package cannot be read.
        InputError: a weight has another number of elements than the component's parameter.
    """
    with Package.open(package) as opened:
        weights = stored_weights(opened)
        digest = architecture_digest(weights)
    parameters = {package_name(name): (name, value) for name, value in component.module.state_dict().items()}
    palettizable: dict[str, StoredWeight] = {}
    rules = SkipRules()
    for weight in weights:
        name = next((name for name in weight.names if name in parameters), None)
        if name is None or (weight.form == DENSE and weight.element != "float16") or rules.reason(weight, 0, 0):
            continue
        parameter, value = parameters[name]
        if value.numel() != weight.elements:
            raise InputError(
                f"{weight.name} has {weight.elements:,} elements in {package}, {value.numel():,} in the checkpoint.",
                "Name the checkpoint that the model was converted from.",
            )
        palettizable[parameter] = weight
    return Layout(digest, tuple(weights), palettizable)


def palettes_of(component: Component, layout: Layout, told: Told) -> list[Palettes]:
    """Clusters every palettizable tensor at every width.

    Args:
        component: Where values come from; rounded to fp16 as conversion does it.
        layout: Of its package.
        told: Told about progress.

    Raises:
        NonFiniteWeightError: NaN or infinity in a tensor.
    """

    def cluster(parameter: str) -> Palettes:
        array = half(component.load_weight(parameter))
        histogram = histogram_of(array, name=parameter)
        dtype = table_dtype(layout.palettizable[parameter])
        return Palettes(
            parameter=parameter,
            shape=tuple(component.module.state_dict()[parameter].shape),
            distinct=histogram.distinct,
            energy=float(np.sum(histogram.counts * histogram.values**2)),
            by_bits={bits: palette_of_histogram(histogram, bits, table_dtype=dtype) for bits in BITS},
        )

    found = []
    with ThreadPoolExecutor(_THREADS) as pool:
        for palettes in pool.map(cluster, layout.palettizable):
            found.append(palettes)
            told(f"{component.name}: tables of tensor {len(found)} of {len(layout.palettizable)}")
    return found


@cache
def _ascending() -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The fp16 bit patterns of finite values in ascending order, and those values."""
    values = pattern_values()
    order = np.argsort(values, kind="stable")
    order = order[np.isfinite(values[order])]
    return order, values[order]


def table_dtype(weight: StoredWeight) -> npt.DTypeLike:
    """Of a weight's tables: float32 for weights that are brought to fp32, also where they have palettes already."""
    return np.float32 if weight.form == CAST or weight.element == "float32" else np.float16


def half(array: npt.NDArray[np.generic]) -> npt.NDArray[np.float16]:
    """A weight as packages store it."""
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, np.float16)


def sums_by_pattern(patterns: npt.NDArray[np.uint16], values: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """(65536,) the sum of `values` (n,) over the weights that have each fp16 bit pattern."""
    sums = np.zeros(1 << 16)
    for part in _pieces(patterns.size):
        sums += np.bincount(patterns[part], values[part], minlength=sums.size)
    return sums


def palettized(array: npt.NDArray[np.float16], palette: Palette) -> npt.NDArray[np.float32]:
    """A weight as its palette has it, in its shape."""
    table = palette.table.astype(np.float32)
    patterns, result = bit_patterns(array), np.empty(array.size, np.float32)
    for part in _pieces(array.size):
        result[part] = table[palette.lookup[patterns[part]]]
    return result.reshape(array.shape)


def _pieces(count: int) -> Iterator[slice]:
    return (slice(start, start + _PIECE) for start in range(0, count, _PIECE))
