"""What it costs to let one table entry stand for a run of neighbouring values.

A palette of k entries cuts the N ascending values of a histogram into k runs. The cost of run (i, j], i.e. of values
i, ..., j - 1, is the smallest sum of weighted squared distances to ONE entry that the table's number format can hold.
With prefix sums W, S, Q of w, w v, w v^2 and r the mean S / W rounded to that format, it is Q - 2 r S + r^2 W.

This cost satisfies the quadrangle inequality c(a, c) + c(b, d) <= c(a, d) + c(b, c), a <= b <= c <= d, whatever the set
of entries allowed: let p be the best entry for (a, d] and q for (b, c]. If p <= q, then q serves (b, c] no worse than
p, and (v - q)^2 - (v - p)^2 falls with v, so q serves the larger values of (c, d] no worse either; letting p serve
(a, c] and q serve (b, d] proves it. The case p > q mirrors it. So everything that is known of optimal cuts for such
costs holds for rounded tables too: best cuts are monotone, and the optimal cost is convex in k.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from palettization.histogram import Histogram

Indices = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_SPLITTER = {10: float((1 << 42) + 1), 23: float((1 << 29) + 1)}
"""Veltkamp's constant 2^(52 - mantissa bits) + 1: (x c) - (x c - x) is x rounded to so many mantissa bits."""
_SUBNORMAL = {10: 1.5 * 2.0**28}
"""Adding and subtracting it rounds to multiples of 2^-24, the step of fp16 below 2^-14."""


class Segments:
    """Prefix sums over a histogram and the costs of its runs.

    Attributes:
        values: (N,) as in the histogram.
        count: N.
    """

    def __init__(self, histogram: Histogram, table_dtype: npt.DTypeLike = np.float16) -> None:
        """Sums outward from zero.

        Prefix sums then are small where values are small, and a few huge values do not cost the others precision.

        Args:
            histogram: Of at least one value.
            table_dtype: float16 or float32, the format of table entries.
        """
        mantissa = {"float16": 10, "float32": 23}[np.dtype(table_dtype).name]
        self.values = histogram.values
        self.count = int(histogram.values.size)
        self._splitter = _SPLITTER[mantissa]
        self._subnormal = _SUBNORMAL.get(mantissa)
        weights = histogram.weights
        zero = int(np.searchsorted(self.values, 0.0))
        moments = (weights, weights * self.values, weights * self.values * self.values)
        self._sums = np.stack([_outward(terms, zero) for terms in moments])

    def cost(self, i: Indices, j: Indices) -> Floats:
        """Costs of the runs (i, j], broadcast against each other; i < j everywhere."""
        sums: Floats = self._sums.take(j, axis=1) - self._sums.take(i, axis=1)
        w, s, q = sums
        r = s / w
        # Veltkamp's splitting, in place: these arrays are the hot ones.
        t = r * self._splitter
        r -= t
        r += t
        if self._subnormal is not None:
            r += self._subnormal
            r -= self._subnormal
        w *= r
        s += s
        w -= s
        w *= r
        q += w
        cost: Floats = q
        return cost

    def masked_cost(self, i: Indices, j: Indices) -> Floats:
        """As `cost`, infinite where i >= j."""
        with np.errstate(invalid="ignore", divide="ignore"):
            cost = self.cost(i, j)
        cost[i >= j] = np.inf
        return cost

    def total(self, cuts: Indices) -> float:
        """The cost of a whole cut 0 = cuts[0] < ... < cuts[k] = N, summed in order."""
        return float(np.cumsum(self.cost(cuts[:-1], cuts[1:]))[-1])

    def means(self, cuts: Indices) -> Floats:
        """(k,) the unrounded weighted mean of every run."""
        weight, first, _ = np.diff(self._sums[:, cuts])
        means: Floats = first / weight
        return means


def _outward(terms: Floats, zero: int) -> Floats:
    """(N + 1,) prefix sums P with P[j] - P[i] the sum of terms i to j - 1, and P[zero] = 0."""
    sums = np.zeros(terms.size + 1)
    np.cumsum(terms[zero:], out=sums[zero + 1 :])
    sums[:zero] = -np.cumsum(terms[:zero][::-1])[::-1]
    return sums
