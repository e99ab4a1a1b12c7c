"""Palettes: the table of 2^bits values that stands for a tensor with the least squared error, and its indices.

The table is optimal among all tables of its number format: entries are rounded inside the optimisation, not after it.
Results depend on the histogram alone, so that the order of weights does not matter and the same weights give the same
bytes everywhere.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from palettization.histogram import Histogram, bit_patterns, histogram_of, pattern_values
from palettization.optimal import optimal_cuts
from palettization.segments import Segments

BITS = (1, 2, 3, 4, 6, 8)
"""Widths of indices that Core ML knows; 3 only from iOS18."""
_CHUNK = 1 << 17
_UNHEARD = 2.0**-40
"""A share of all importance that counts as none: prefix sums could not tell a value that has so little of it."""
_LEAST_TOTAL = 1e-30


@dataclass(frozen=True)
class Palette:
    """A table and who maps to which entry.

    Attributes:
        table: (2^bits,) ascending, float16 or float32; unused entries repeat the last one.
        bits: Of an index.
        used: Entries that differ.
        lookup: (65536,) uint8, the index of every fp16 bit pattern: the nearest entry, the lower one of two.
        squared_error: Sum over all elements of the squared distance to their entries.
        weighted_error: The same with importances; equal without them.
    """

    table: npt.NDArray[np.floating]
    bits: int
    used: int
    lookup: npt.NDArray[np.uint8]
    squared_error: float
    weighted_error: float

    def indices(self, array: npt.NDArray[np.float16]) -> npt.NDArray[np.uint8]:
        """(size,) the indices of a C-contiguous fp16 array, unpacked."""
        patterns = bit_patterns(array)
        found = np.empty(patterns.size, np.uint8)
        for start in range(0, patterns.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            self.lookup.take(patterns[part], out=found[part], mode="clip")
        return found


def palette_of(
    array: npt.NDArray[np.float16],
    bits: int,
    *,
    importance: npt.NDArray[np.floating] | None = None,
    table_dtype: npt.DTypeLike = np.float16,
    name: str = "",
) -> Palette:
    """The best palette of a tensor.

    Args:
        array: fp16, any shape, at least one element.
        bits: 1, 2, 3, 4, 6 or 8.
        importance: As in `histogram_of`; the palette minimises the sum of importance times squared error. Values with
            less than 2^-40 of all importance count as having none.
        table_dtype: float16 or float32.
        name: Of the tensor, for error messages.

    Raises:
        NonFiniteWeightError: `array` holds NaN or infinity.
        ValueError: no elements, or arguments outside the above.
    """
    return palette_of_histogram(histogram_of(array, importance, name=name), bits, table_dtype=table_dtype)


def palette_of_histogram(histogram: Histogram, bits: int, *, table_dtype: npt.DTypeLike = np.float16) -> Palette:
    """The best palette of a tensor with this histogram; see `palette_of`."""
    if bits not in BITS:
        raise ValueError(f"Palettes have indices of {', '.join(map(str, BITS))} bits, not {bits}.")
    if not histogram.distinct:
        raise ValueError("A tensor without elements has no palette.")
    entries = _entries(histogram, 1 << bits, table_dtype)
    chosen = entries[_nearest(entries, histogram.values)]
    squared = (histogram.values - chosen) ** 2
    table = np.full(1 << bits, entries[-1], table_dtype)
    table[: entries.size] = entries
    return Palette(
        table=table,
        bits=bits,
        used=int(entries.size),
        lookup=lookup_of(table),
        squared_error=float(np.cumsum(histogram.counts * squared)[-1]),
        weighted_error=float(np.cumsum(histogram.weights * squared)[-1]),
    )


def narrowest_bits(distinct: int, bits: int, allowed: tuple[int, ...] = BITS) -> int:
    """The fewest allowed bits whose table holds `distinct` values, and no more than `bits`."""
    return min((width for width in allowed if width <= bits and 1 << width >= distinct), default=bits)


def _entries(histogram: Histogram, size: int, dtype: npt.DTypeLike) -> npt.NDArray[np.float64]:
    """The distinct entries of the best table, ascending, exactly as `dtype` holds them."""
    if histogram.distinct <= size:
        return histogram.values
    total = float(histogram.weights.sum())
    heard = histogram.weights > total * _UNHEARD
    if not heard.all():
        # Values without importance have no say in where entries lie.
        kept = (histogram.values[heard], histogram.counts[heard], histogram.weights[heard])
        return _entries(Histogram(*kept), size, dtype)
    if total < _LEAST_TOTAL:
        # A power of two changes no digit, and keeps products with squares of small values from underflowing.
        return _entries(replace(histogram, weights=np.ldexp(histogram.weights, -math.frexp(total)[1])), size, dtype)
    segments = Segments(histogram, dtype)
    means = segments.means(optimal_cuts(histogram, segments, size))
    # Adding zero makes -0 plain.
    return np.unique(means.astype(dtype).astype(np.float64) + 0.0)


def _nearest(entries: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """Indices of the nearest entries; of two equally near ones the lower. Sums of fp16 entries are exact."""
    return np.searchsorted(entries[1:] + entries[:-1], 2 * values)


def lookup_of(table: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """(65536,) the index of the nearest entry of an ascending table for every fp16 bit pattern.

    Of two equally near entries, and of equal ones, it is the first. NaN and infinities are given that of zero.
    """
    values = pattern_values()
    entries = np.unique(table.astype(np.float64))
    return _nearest(entries, np.where(np.isfinite(values), values, 0.0)).astype(np.uint8)
