"""Optimal cuts, certified: the penalised problem solved exactly for all numbers of runs at once.

For a price p per run, the cheapest cut of the values 0 ... j - 1 into any number of runs costs

    f(j) = min over i < j of f(i) + c(i, j) + p,        f(0) = 0.

A cut into k runs of cost C with C + p k = f(N) is therefore optimal among all cuts into k runs. The optimal cost is
convex in k (see segments.py), so such a price exists for every k: it lies between the gains of the last run added and
of the next one. Knowing good cuts for k - 1, k and k + 1 runs, one pass at the price between them proves the cut for k
optimal, where the textbook's dynamic programme takes k passes. If the pass finds something better instead, its own cut
is optimal for the number of runs it has, and the price is searched (Aggarwal, Schieber and Tokuyama, Finding a
minimum-weight k-link path in graphs with the concave Monge property, 1994). The search ends one run beside k already:
two optimal cuts whose numbers of runs differ by one interleave, so that every cut for k lies in a window of its own.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from palettization.cuts import first_cuts, refine, resample
from palettization.histogram import Histogram
from palettization.segments import Floats, Indices, Segments

_DENSE = 1 << 14
"""Up to so many costs are computed at once rather than level by level."""
_STRIDES = 8
"""Prices tried on one side before both ends of the curve of costs are taken instead."""
_BRANCHES = 4
"""Rows between two known ones that are looked at in one level of the recursion, and one."""
_TOLERANCE = 1e-10
"""Differences of cost below this share are rounding."""


@dataclass(frozen=True)
class _Point:
    """An optimal cut: `runs`, its cost, and the cut itself."""

    runs: int
    cost: float
    cuts: Indices


def optimal_cuts(histogram: Histogram, segments: Segments, k: int) -> Indices:
    """(k + 1,) the cut of the histogram's values into k runs of least cost; of equal ones a fixed one.

    Args:
        histogram: Of N values with positive weights.
        segments: Of the same histogram.
        k: 1 to N.
    """
    count = segments.count
    if k in (1, count):
        return np.arange(k + 1, dtype=np.int64) if k == count else np.array([0, count], np.int64)
    cuts = refine(segments, first_cuts(histogram, k))
    cost = segments.total(cuts)
    fewer = segments.total(refine(segments, resample(cuts, k - 1), near=True))
    more = segments.total(refine(segments, resample(cuts, k + 1), near=True))
    price = max(fewer - more, 0.0) / 2
    found = _penalised(segments, price, cuts)
    if cost + price * k <= (found.cost + price * found.runs) * (1 + _TOLERANCE):
        return cuts
    return _search(segments, k, found, price, cuts)


def _search(segments: Segments, k: int, found: _Point, price: float, guide: Indices) -> Indices:
    """Finds the price at which k runs are optimal; every pass adds one optimal cut for some number of runs."""
    count = segments.count
    ends = np.array([0, count], np.int64)
    low = _Point(1, segments.total(ends), ends)
    high = _Point(count, 0.0, np.arange(count + 1, dtype=np.int64))
    step, above, below = abs(found.runs - k), False, False
    attempt = 0
    while True:
        if found.runs == k:
            return found.cuts
        if abs(found.runs - k) == 1:
            return beside(segments, k, found.cuts)
        above, below = above or found.runs > k, below or found.runs < k
        if low.runs < found.runs < high.runs:
            low, high = (found, high) if found.runs < k else (low, found)
        line = (low.cost - high.cost) / (high.runs - low.runs)
        if price == line:
            return _splice(low.cuts, high.cuts, k)
        if (above and below) or attempt >= _STRIDES or price <= 0:
            price = line
        else:
            # Only one side is known nearby. Cost falls with the square of the number of runs and the price with its
            # cube, so this price is `step` runs further on; steps grow until the other side is reached.
            price *= (1 + step / k) ** (3 if found.runs > k else -3)
            step *= 2
        attempt += 1
        found = _penalised(segments, price, resample(guide, max(2, min(found.runs, 2 * k))))


def beside(segments: Segments, k: int, cuts: Indices) -> Indices:
    """The optimal cut into k runs, given one into k - 1 or k + 1.

    Let q be the optimal cut into k + 1 runs. Some optimal cut p into k has q[m] <= p[m] <= q[m + 1] for all m: at the
    last m with p[m] < q[m] the run (p[m], p[m + 1]] holds (q[m], q[m + 1]], and by the quadrangle inequality joining
    the front of q to the back of p costs no more than p; likewise at the first m with p[m] > q[m + 1]. With p given, q
    is bounded in the same way.
    """
    count = segments.count
    inner = cuts[1:-1] if cuts.size - 1 > k else cuts
    low, high = np.maximum(inner[:-1], np.arange(1, k)), np.minimum(inner[1:], count - 1)
    f = np.full(count + 1, np.inf)
    before: list[tuple[int, Indices]] = []
    for layer in range(k - 1):
        start, stop = int(low[layer]), int(high[layer]) + 1
        if layer:
            lowest = int(low[layer - 1])
            # The first target is the last source too: it is reached from the others alone.
            first = _row_minima(segments, f, lowest, start, start + 1)
            rest = _row_minima(segments, f, lowest, start + 1, stop) if stop > start + 1 else None
            f[start], sources = first[0][0], first[1]
            if rest is not None:
                f[start + 1 : stop] = rest[0]
                sources = np.concatenate([sources, rest[1]])
        else:
            f[start:stop] = segments.cost(np.zeros(1, np.int64), np.arange(start, stop))
            sources = np.zeros(stop - start, np.int64)
        before.append((start, sources))
    last = np.arange(low[-1], high[-1] + 1)
    path = [count, int(last[(f[last] + segments.cost(last, np.full(1, count))).argmin()])]
    for start, sources in before[:0:-1]:
        path.append(int(sources[path[-1] - start]))
    return np.array([*path, 0][::-1], np.int64)


def _splice(fewer: Indices, more: Indices, k: int) -> Indices:
    """A cut into k runs made of the front of one and the back of the other.

    Both are optimal at one price, and there is a run (fewer[m], fewer[m + 1]] that holds a run (more[n], more[n + 1]]
    with n - m = runs of `more` - k (Aggarwal et al., lemma 4); joining the front of `fewer` to the back of `more` there
    costs no more than either, by the quadrangle inequality.
    """
    shift = more.size - 1 - k
    m = np.arange(min(fewer.size - 1, more.size - 1 - shift))
    inside = (fewer[m] <= more[m + shift]) & (more[m + shift + 1] <= fewer[m + 1])
    first = int(np.flatnonzero(inside)[0])
    return np.concatenate([fewer[: first + 1], more[first + shift + 1 :]])


def _penalised(segments: Segments, price: float, guide: Indices) -> _Point:
    """Solves the penalised problem exactly.

    Values are taken in blocks, a block's f from the f before it. That misses runs inside one block, which cannot pay
    where f rises by less than the price over the block; where it rises more the block is halved. `guide`, any cut,
    sets the first blocks and so the time this takes, not the result.
    """
    count = segments.count
    values = segments.values
    middles = np.searchsorted(values, (values[guide[:-1]] + values[guide[1:] - 1]) / 2)
    edges = np.unique(np.concatenate([guide, np.clip(middles, 1, count - 1)]))
    f = np.zeros(count + 1)
    before = np.zeros(count + 1, np.int64)
    blocks = [(int(x) + 1, int(y) + 1) for x, y in itertools.pairwise(edges)][::-1]
    lowest = 0
    while blocks:
        start, stop = blocks.pop()
        reached, sources = _row_minima(segments, f, lowest, start, stop)
        reached += price
        rise = float((reached - np.minimum.accumulate(reached)).max())
        if rise > price and stop - start > 1:
            middle = (start + stop) // 2
            blocks += [(middle, stop), (start, middle)]
            continue
        f[start:stop] = reached
        before[start:stop] = sources
        lowest = int(sources[-1])
    path = [count]
    while path[-1]:
        path.append(int(before[path[-1]]))
    cuts = np.array(path[::-1], np.int64)
    return _Point(cuts.size - 1, segments.total(cuts), cuts)


def _row_minima(segments: Segments, f: Floats, lowest: int, start: int, stop: int) -> tuple[Floats, Indices]:
    """For every j in start ... stop - 1 the least f(i) + c(i, j) over i in lowest ... start - 1, and its first i."""
    sources, targets = start - lowest, stop - start
    if sources * targets <= _DENSE:
        i = np.arange(lowest, start)
        costs = segments.cost(i[None, :], np.arange(start, stop)[:, None])
        costs += f[lowest:start]
        choice = costs.argmin(axis=1)
        return costs[np.arange(targets), choice], choice + lowest
    # The best i never falls when j rises: those of a few rows bound those of the rows between, level by level.
    best = np.empty(targets + 2, np.int64)
    best[0], best[-1] = lowest, start - 1
    least = np.empty(targets + 2)
    apart = 1
    while apart * _BRANCHES <= targets:
        apart *= _BRANCHES
    while apart:
        rows = np.arange(apart, targets + 1, apart)
        if apart * _BRANCHES <= targets:
            rows = rows[rows % (apart * _BRANCHES) != 0]
        below = rows - rows % (apart * _BRANCHES)
        first = best[below]
        # Rounding can let the best i of nearly equal ones fall by a few: then the first is as good as any.
        lengths = np.maximum(best[np.minimum(below + apart * _BRANCHES, targets + 1)] - first + 1, 1)
        ends = lengths.cumsum()
        starts = ends - lengths
        i = np.arange(int(ends[-1])) + (first - starts).repeat(lengths)
        costs = segments.cost(i, (rows + (start - 1)).repeat(lengths))
        costs += f[i]
        minima = np.minimum.reduceat(costs, starts)
        hits = (costs == minima.repeat(lengths)).nonzero()[0]
        hits = hits[hits.searchsorted(starts)]
        best[rows] = i[hits]
        least[rows] = minima
        apart //= _BRANCHES
    return least[1:-1], best[1:-1]
