"""Histograms of 16-bit weights over their bit patterns: at most 65,536 bins, filled without sorting.

Everything that clustering needs to know of a tensor is how much weight lies on each of its distinct values.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from palettization.errors import PackageError

PATTERNS = 1 << 16
_ZERO = 0xFBFF - 0x8000
"""Place of 0 among finite values in ascending order."""
_MOST = float(np.finfo(np.float32).max)
_CHUNK = 1 << 17
"""Elements counted at a time: numpy widens them to 64-bit integers, which should stay in a core's cache."""


class NonFiniteWeightError(PackageError):
    """A weight holds NaN or infinity, which no table can stand for."""


@dataclass(frozen=True)
class Histogram:
    """The distinct values of a tensor and what lies on them.

    Attributes:
        values: (N,) float64, strictly ascending; -0 and 0 are one value.
        counts: (N,) float64, how many elements have each value.
        weights: (N,) float64, the sum of their importances; `counts` itself without importances.
    """

    values: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]
    weights: npt.NDArray[np.float64]

    @property
    def distinct(self) -> int:
        """How many different values the tensor has."""
        return int(self.values.size)


@cache
def pattern_values() -> npt.NDArray[np.float64]:
    """(65536,) the value of every fp16 bit pattern, NaN and infinities included."""
    return np.arange(PATTERNS, dtype=np.uint16).view(np.float16).astype(np.float64)


@cache
def _ascending() -> npt.NDArray[np.int64]:
    """The bit patterns of finite values in ascending order; that of -0 is left out."""
    order = np.concatenate([np.arange(0xFBFF, 0x8000, -1), np.arange(0x0000, 0x7C00)])
    order.flags.writeable = False
    return order


def bit_patterns(array: npt.NDArray[np.float16]) -> npt.NDArray[np.uint16]:
    """(size,) the bits of a C-contiguous fp16 array, without a copy."""
    return array.reshape(-1).view(np.uint16)


class PatternCounter:
    """Counts bit patterns piece by piece."""

    def __init__(self) -> None:
        self._counts = np.zeros(PATTERNS, np.int64)
        self._weights: npt.NDArray[np.float64] | None = None

    def add(self, patterns: npt.NDArray[np.uint16], importance: npt.NDArray[np.floating] | None = None) -> None:
        """Counts (n,) bit patterns, with importances (n,) in every call or in none."""
        for start in range(0, patterns.size, _CHUNK):
            part = slice(start, start + _CHUNK)
            self._counts += np.bincount(patterns[part], minlength=PATTERNS)
            if importance is not None:
                if self._weights is None:
                    self._weights = np.zeros(PATTERNS, np.float64)
                self._weights += np.bincount(patterns[part], importance[part].astype(np.float64), minlength=PATTERNS)

    def histogram(self, name: str = "") -> Histogram:
        """What was counted.

        Raises:
            NonFiniteWeightError: NaN or infinity among the patterns.
        """
        _check_finite(self._counts, name)
        counts = _ordered(self._counts)
        occupied = np.flatnonzero(counts)
        values = pattern_values()[_ascending()[occupied]]
        held = counts[occupied].astype(np.float64)
        if self._weights is None:
            return Histogram(values, held, held)
        weights = _ordered(self._weights)[occupied]
        return Histogram(values, held, weights if weights.any() else held)


def histogram_of(
    array: npt.NDArray[np.float16], importance: npt.NDArray[np.floating] | None = None, *, name: str = ""
) -> Histogram:
    """Counts the values of a tensor.

    Args:
        array: fp16, any shape.
        importance: Not negative, within the range of float32, and broadcastable to the shape of `array`: one number a
            weight, or for example (O, 1, 1, 1) for one a channel. All zeros count as all ones.
        name: Of the tensor, for error messages.

    Raises:
        NonFiniteWeightError: `array` holds NaN or infinity.
        ValueError: another dtype, or importances that are out of range or do not broadcast.
    """
    if array.dtype != np.float16:
        raise ValueError(f"Histograms are taken of float16 arrays, not {array.dtype}.")
    counter = PatternCounter()
    patterns = bit_patterns(np.ascontiguousarray(array))
    if importance is None:
        counter.add(patterns)
        return counter.histogram(name)
    importance = np.asarray(importance)
    if importance.size and not (importance.min() >= 0 and importance.max() <= _MOST):
        raise ValueError(f"Importances must lie between 0 and {_MOST:.3g}.")
    spread = np.atleast_1d(np.broadcast_to(importance, array.shape))
    # One slice of the first axis at a time, so that importances of channels are not spread out in memory.
    for row, weight in zip(patterns.reshape(len(spread), -1), spread, strict=True):
        counter.add(row, weight.reshape(-1))
    return counter.histogram(name)


def _ordered(per_pattern: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What lies on each finite pattern in ascending order of values, -0 with 0."""
    ordered = per_pattern[_ascending()]
    ordered[_ZERO] += per_pattern[0x8000]
    return ordered


def _check_finite(counts: npt.NDArray[np.int64], name: str) -> None:
    infinite = int(counts[0x7C00] + counts[0xFC00])
    nan = int(counts[0x7C01:0x8000].sum() + counts[0xFC01:].sum())
    if infinite or nan:
        raise NonFiniteWeightError(
            f"Weight {name or '?'} holds {nan} NaN and {infinite} infinite values.",
            "The checkpoint is damaged, or values overflowed in the conversion to fp16.",
        )
